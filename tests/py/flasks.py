"""What the tests of the sessions in Flask share: applications, and a browser at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from coatcheck import Store
from coatcheck.flask import Coatcheck, Session
from conftest import Browser

NAME = "session"
View = Callable[[Session, str], Any]


def an_app(store: Store | None, **settings: Any) -> flask.Flask:
    app = flask.Flask("shop")
    app.config.update(settings)
    Coatcheck(app, store)
    return app


def at(
    view: View, store: Store | None, *setups: Callable[[flask.Flask], Any], **settings: Any
) -> Browser:
    """A browser at an application of one view, of the session and the path."""
    app = an_app(store, **settings)

    @app.route("/", defaults={"path": ""})
    @app.route("/<path:path>")
    def answer(path: str) -> Any:
        said = view(flask.session, flask.request.path)
        return repr(said) if isinstance(said, (dict, list, bool, int, type(None))) else said

    for setup in setups:
        setup(app)
    return Browser(app)
