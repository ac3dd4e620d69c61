"""A user's module with sessions of Pyramid, for `mypy --strict`. Pyramid itself has no types."""

from __future__ import annotations

from typing import Any

from coatcheck import Store, StoreUnavailable
from coatcheck.pyramid import Session, get_store

Request = Any


def log_in(request: Request) -> str:
    session: Session = request.session
    session.login("user:42", carry=["cart"])
    session["cart"] = [("tea", 1)]
    session.flash(("success", "hello"), queue="news")
    token: str = session.new_csrf_token()
    created: int = session.created
    return f"{token} {created} {session.get_csrf_token()}"


def news(request: Request) -> list[Any]:
    session: Session = request.session
    return session.peek_flash() + session.pop_flash("news")


def log_out(request: Request) -> tuple[int, bool]:
    session: Session = request.session
    session.changed()
    session.invalidate()
    store: Store = get_store(request)
    return store.destroy_all("user:42", keep=session)


def closed(exc: StoreUnavailable, request: Request) -> str:
    return exc.code
