"""A user's module with sessions of Pyramid, for `mypy --strict`. Pyramid itself has no types."""

from __future__ import annotations

from typing import Any

from coatcheck import Store, StoreUnavailable
from coatcheck.pyramid import Session
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response


def log_in(request: Request) -> Response:
    session: Session = request.session
    session.login("user:42", carry=["cart"])
    session["cart"] = [("tea", 1)]
    session.flash(("success", "hello"), queue="news")
    token: str = session.new_csrf_token()
    created: int = session.created
    return Response(f"{token} {created} {session.get_csrf_token()}")


def news(request: Request) -> list[Any]:
    session: Session = request.session
    return session.peek_flash() + session.pop_flash("news")


def log_out(request: Request) -> Response:
    session: Session = request.session
    session.changed()
    session.invalidate()
    store: Store = request.coatcheck_store
    ended, index_lost = store.destroy_all("user:42", keep=session)
    return Response(f"{ended} {index_lost}")


def closed(exc: StoreUnavailable, request: Request) -> Response:
    return Response(exc.code, 503)


config = Configurator(settings={"coatcheck.url": "redis://localhost/0", "coatcheck.prefix": "a:"})
config.include("coatcheck.pyramid")
config.add_exception_view(closed, context=StoreUnavailable)
