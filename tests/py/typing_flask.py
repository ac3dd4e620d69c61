"""A user's Flask application, for mypy --strict; nothing runs it."""

from __future__ import annotations

from datetime import datetime

import flask
from coatcheck import SessionInfo, Store, StoreUnavailable
from coatcheck.cachelib import Cache
from coatcheck.flask import Coatcheck, Session, session
from flask.sessions import SessionMixin

coatcheck = Coatcheck()


def create_app(store: Store | None = None) -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.from_mapping(COATCHECK_URL="redis://localhost:6379/0", COATCHECK_PREFIX="shop:")
    coatcheck.init_app(app, store)
    app.register_error_handler(StoreUnavailable, closed)
    app.add_url_rule("/login", view_func=log_in)
    app.add_url_rule("/cart", view_func=cart)
    return app


def closed(exc: StoreUnavailable) -> tuple[str, int]:
    return f"closed: {exc.code}", 503


def log_in() -> flask.typing.ResponseReturnValue:
    session.login("user:42", carry=["cart"])
    session.permanent = True
    session["name"] = "Ada"
    flask.flash("welcome")
    return flask.redirect("/")


def cart() -> str:
    session["cart"].append("tea")
    session.modified = True
    visits: int = session.incr("visits")
    ends: datetime | None = session.deadline
    principal: str | None = session.principal
    devices: list[SessionInfo] = coatcheck.store.sessions(principal or "")
    return f"{visits} {ends} {devices} {session.new} {session.accessed} {counted(session)}"


def counted(any_of_flasks: SessionMixin) -> int:
    return len(any_of_flasks)


def ours(one: Session) -> SessionMixin:
    one.rotate()
    one.clear()
    return one


app = create_app()
plain = Coatcheck(app, Store("embedded:"))


def cached(pages: Cache) -> list[object]:
    pages.set("page:1", "<h1>tea</h1>", timeout=60)
    hits: int = pages.inc("hits")
    kept: list[str] = pages.set_many({"a": hits, "b": None})
    found: list[object] = pages.get_many(*kept)
    return found if pages.add("c", 1) and pages.clear() else []
