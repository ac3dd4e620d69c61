"""One application in each framework, behind the same browser.

`/name` stores, `/` says what is stored; `/login`, `/rotate` and `/logout` do what they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from inspect import isawaitable
from typing import Any

import django_site
import flask
import pytest
from coatcheck import Store, aio
from coatcheck.asgi import SessionMiddleware as AsgiMiddleware
from coatcheck.wsgi import SessionMiddleware
from conftest import Browser, RedisServer
from flasks import an_app
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

django_site.set_up()

PREFIX = "test:"

# Whoever waits for these ends waits too long: what works, works by more than that.
LONG = "renew=3600&grace=3600"


def account(session: Any, path: str) -> Any:
    """What the view says; to be awaited, where a session's calls are."""
    if path == "/logout":
        ended = session.destroy()
        return after(ended) if isawaitable(ended) else "done"
    if path == "/":
        return str(session.get("color"))
    if path == "/login":
        session.login("user:1", carry=["color"])
    elif path == "/rotate":
        session.rotate()
    else:
        session["color"] = path[1:]
    return "done"


async def after(call: Awaitable[object]) -> str:
    await call
    return "done"


def in_wsgi(url: str, stack: ExitStack) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        said = account(environ["coatcheck.session"], environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [said.encode()]

    return SessionMiddleware(app, stack.enter_context(Store(url, prefix=PREFIX)))


def in_flask(url: str, stack: ExitStack) -> Any:
    app = an_app(stack.enter_context(Store(url, prefix=PREFIX)))

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> Any:
        flask.request.get_data()
        return account(flask.session, f"/{path}")

    return app


def in_pyramid(url: str, stack: ExitStack) -> Any:
    def answer(request: Request) -> Response:
        return Response(account(request.session, request.path), content_type="text/plain")

    store = stack.enter_context(Store(url, prefix=PREFIX))
    config = Configurator(settings={"coatcheck.store": store})
    config.include("coatcheck.pyramid")
    config.add_route("all", "/*path")
    config.add_view(answer, route_name="all")
    return config.make_wsgi_app()


def in_django(url: str, stack: ExitStack, middleware: str = django_site.OURS) -> Any:
    settings = django_site.settings(url, MIDDLEWARE=[middleware, *django_site.REST])
    stack.enter_context(settings)
    return django_site.serve(lambda request: account(request.session, request.path)).app


def in_django_alone(url: str, stack: ExitStack) -> Any:
    return in_django(url, stack, django_site.DJANGOS)


# ---- ASGI ---------------------------------------------------------------------------------------


class InAsgi:
    """An ASGI application as one for WSGI: each request runs in an event loop to its end."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._loop = stack.enter_context(closing(asyncio.new_event_loop()))
        store = aio.Store(url, prefix=PREFIX)
        stack.callback(lambda: self._loop.run_until_complete(store.close()))
        self._app = AsgiMiddleware(self._answer, store)

    @staticmethod
    async def _answer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        said = account(scope["session"], scope["path"])
        body = (await said if isawaitable(said) else said).encode()
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        sent: list[Any] = []

        async def receive() -> Any:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            return {"type": "http.request", "body": environ["wsgi.input"].read(length)}

        async def send(message: Any) -> None:
            sent.append(message)

        self._loop.run_until_complete(self._app(_scope(environ), receive, send))
        start, *body = sent
        headers = [(name.decode().title(), value.decode()) for name, value in start["headers"]]
        start_response(f"{start['status']} of ASGI", headers)
        return [message["body"] for message in body]


def _scope(environ: dict[str, Any]) -> dict[str, Any]:
    headers = [
        (name[5:].lower().replace("_", "-").encode(), value.encode())
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    return {
        "type": "http",
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query_string": environ["QUERY_STRING"].encode(),
        "scheme": environ["wsgi.url_scheme"],
        "headers": headers,
    }


# ---- Where tests meet them ----------------------------------------------------------------------

#: Each makes an application that lives as long as the stack; with the name of its cookie.
FRAMEWORKS: dict[str, tuple[Callable[[str, ExitStack], Any], str]] = {
    "WSGI": (in_wsgi, "__Host-session"),
    "ASGI": (InAsgi, "__Host-session"),
    "Flask": (in_flask, "session"),
    "Pyramid": (in_pyramid, "__Host-session"),
    "Django": (in_django, django_site.NAME),
    "Django with its own middleware": (in_django_alone, django_site.NAME),
}


class Shop:
    """The application in one of them."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name

    def browser(self, session_id: str | None = None) -> Browser:
        browser = Browser(self.app)
        if session_id is not None:
            browser.jar[self.name] = session_id
        return browser

    def visitor(self) -> tuple[Browser, str]:
        """Somebody with a session, and its id."""
        browser = self.browser()
        assert browser.get("/red").body == b"done"
        return browser, browser.jar[self.name]


@pytest.fixture(params=FRAMEWORKS)
def shop(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Shop]:
    make, name = FRAMEWORKS[request.param]
    with ExitStack() as stack:
        yield Shop(make(f"{redis_server.url}?{LONG}", stack), name)
