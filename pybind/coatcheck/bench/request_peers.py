"""
Small applications that differ in their sessions only. Each has three pages: /fill stores the
payload, /read looks at one field, /write counts in another.

One that is wrapped by nothing at all says what a framework takes by itself.
"""

from __future__ import annotations

import asyncio
import io
import sys
import types
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import ExitStack, closing
from functools import cache
from itertools import repeat
from time import perf_counter
from typing import Any

from .measure import Run
from .payloads import shop
from .redis_server import Server
from .waiting import Clock

PREFIX = "bench:"
SECRET = "a secret that signs what is not measured"
PAGES = ("/fill", "/read", "/write")

# Sends a request for a page, and returns its body.
Ask = Callable[[str], bytes]
Contender = Callable[[Server, ExitStack], Ask]


def payload() -> dict[str, Any]:
    """2.1 KB that each of the others can store, those that speak JSON included."""

    def as_json_has_it(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: as_json_has_it(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [as_json_has_it(inner) for inner in value]
        return value

    fields = {name: value for name, value in shop().items() if not isinstance(value, bytes)}
    return {**as_json_has_it(fields), "visits": 0}


def page(session: MutableMapping[str, Any], path: str) -> str:
    """What every application does with its session."""
    if path == "/fill":
        session.update(payload())
    elif path == "/write":
        session["visits"] = session["visits"] + 1
        return str(session["visits"])
    return str(session["login_at"])


def asks(ask: Ask, what: str, clock: Clock = perf_counter) -> Run:
    """Requests for a page, by a browser whose session holds the payload."""
    for name in PAGES:
        said = ask(name)
    if said not in (b"1", b"hello"):
        raise RuntimeError(f"the application counted {said!r}")

    def run(times: int) -> float:
        begin = clock()
        for path in repeat(what, times):
            ask(path)
        return clock() - begin

    return run


class _Cookies:
    """Of one browser."""

    def __init__(self) -> None:
        self._jar: dict[str, str] = {}
        self.header = ""

    def keep(self, header: str) -> None:
        # In as little time as can be, since it is not the session that takes it.
        name, _, rest = header.partition("=")
        self._jar[name] = rest.partition(";")[0]
        self.header = "; ".join(f"{name}={value}" for name, value in self._jar.items())


def by_wsgi(app: Callable[[dict[str, Any], Any], Iterable[bytes]]) -> Ask:
    cookies = _Cookies()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if not status.startswith("200"):
            raise RuntimeError(f"the application answered {status}")
        for name, value in headers:
            if name.lower() == "set-cookie":
                cookies.keep(value)

    def ask(path: str) -> bytes:
        environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_COOKIE": cookies.header,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        body = app(environ, start_response)
        said = b"".join(body)
        close = getattr(body, "close", None)
        if close is not None:
            close()
        return said

    return ask


def by_asgi(app: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> Ask:
    """By requests of their own in the event loop."""
    cookies = _Cookies()

    async def one(path: str) -> bytes:
        body = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                body.append(message.get("body", b""))
                return
            if message["status"] != 200:
                raise RuntimeError(f"the application answered {message['status']}")
            for name, value in message["headers"]:
                if name.lower() == b"set-cookie":
                    cookies.keep(value.decode())

        headers = [(b"host", b"localhost"), (b"cookie", cookies.header.encode())]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 443),
        }
        await app(scope, receive, send)
        return b"".join(body)

    return lambda path: loop.run_until_complete(one(path))


# ---- WSGI alone ---------------------------------------------------------------------------------


def _say(said: str, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]


def wsgi_bare(server: Server, stack: ExitStack) -> Ask:
    return by_wsgi(lambda environ, start_response: _say("hello", start_response))


def wsgi_ours(server: Server, stack: ExitStack) -> Ask:
    from coatcheck.wsgi import SessionMiddleware

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        said = page(environ["coatcheck.session"], environ["PATH_INFO"])
        return _say(said, start_response)

    wrapped = SessionMiddleware(app, server.tcp_url, prefix=PREFIX)
    stack.enter_context(wrapped.store)
    return by_wsgi(wrapped)


def wsgi_beaker(server: Server, stack: ExitStack) -> Ask:
    from beaker.middleware import SessionMiddleware

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        session, path = environ["beaker.session"], environ["PATH_INFO"]
        said = page(session, path)
        if path != "/read":
            session.save()
        return _say(said, start_response)

    options = {
        "session.type": "ext:redis",
        "session.url": f"{server.tcp_url}/0",
        "session.timeout": 1800,
        "session.data_serializer": "json",
    }
    return by_wsgi(SessionMiddleware(app, options))


# ---- Flask --------------------------------------------------------------------------------------


def _flask() -> Any:
    import flask

    app = flask.Flask("bench")
    app.config.update(SECRET_KEY=SECRET, SESSION_COOKIE_SECURE=True)

    def view() -> str:
        return page(flask.session, flask.request.path)

    for path in PAGES:
        app.add_url_rule(path, path, view)
    return app


def flask_bare(server: Server, stack: ExitStack) -> Ask:
    app = _flask()
    for path in PAGES:
        app.view_functions[path] = lambda: "hello"
    return by_wsgi(app)


def flask_ours(server: Server, stack: ExitStack) -> Ask:
    from coatcheck.flask import Coatcheck

    app = _flask()
    app.config.update(COATCHECK_URL=server.tcp_url, COATCHECK_PREFIX=PREFIX)
    Coatcheck(app)
    return by_wsgi(app)


def flask_session(server: Server, stack: ExitStack, **settings: Any) -> Ask:
    from flask_session import Session
    from redis import Redis

    app = _flask()
    client = stack.enter_context(closing(Redis(port=server.port)))
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client, **settings)
    Session(app)
    return by_wsgi(app)


def flask_session_no_refresh(server: Server, stack: ExitStack) -> Ask:
    return flask_session(server, stack, SESSION_REFRESH_EACH_REQUEST=False)


# ---- Django -------------------------------------------------------------------------------------


@cache
def _django_is_set_up(url: str) -> None:
    import django
    from django.conf import settings

    def cache_of(backend: str) -> dict[str, str]:
        return {"BACKEND": backend, "LOCATION": url}

    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=_django_pages(),
        SESSION_COOKIE_SECURE=True,
        CACHES={
            "default": cache_of("django.core.cache.backends.redis.RedisCache"),
            "django-redis": cache_of("django_redis.cache.RedisCache"),
        },
        COATCHECK_URL=url,
        COATCHECK_PREFIX=PREFIX,
    )
    django.setup(set_prefix=False)


def _django_pages() -> Any:
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def view(request: HttpRequest) -> HttpResponse:
        session = getattr(request, "session", None)
        return HttpResponse("hello" if session is None else page(session, request.path))

    pages = types.ModuleType("bench_pages")
    pages.__dict__["urlpatterns"] = [path(name[1:], view) for name in PAGES]
    return pages


def _django(server: Server, **settings: Any) -> Ask:
    _django_is_set_up(server.tcp_url)
    from django.core.handlers.wsgi import WSGIHandler
    from django.test.utils import override_settings

    with override_settings(**settings):  # which a handler reads where it is made
        return by_wsgi(WSGIHandler())


def _django_sessions(server: Server, engine: str) -> Ask:
    middleware = ["django.contrib.sessions.middleware.SessionMiddleware"]
    return _django(server, MIDDLEWARE=middleware, SESSION_ENGINE=engine)


def django_bare(server: Server, stack: ExitStack) -> Ask:
    return _django(server, MIDDLEWARE=[])


def django_ours(server: Server, stack: ExitStack) -> Ask:
    return _django_sessions(server, "coatcheck.django")


def django_cache(server: Server, stack: ExitStack) -> Ask:
    return _django_sessions(server, "django.contrib.sessions.backends.cache")


def django_redis(server: Server, stack: ExitStack) -> Ask:
    _django_is_set_up(server.tcp_url)
    from django.contrib.sessions.backends.cache import SessionStore
    from django.core.cache import caches

    class OfAnotherCache(SessionStore):  # type: ignore[misc]
        """As SESSION_CACHE_ALIAS says it, which is one for a process."""

        def __init__(self, session_key: str | None = None) -> None:
            super().__init__(session_key)
            self._cache = caches["django-redis"]

    engine = types.ModuleType("bench_django_redis")
    engine.__dict__["SessionStore"] = OfAnotherCache
    sys.modules[engine.__name__] = engine
    return _django_sessions(server, engine.__name__)


# ---- Starlette ----------------------------------------------------------------------------------


def _starlette(*middleware: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def view(request: Request) -> PlainTextResponse:
        if "session" not in request.scope:
            return PlainTextResponse("hello")
        return PlainTextResponse(page(request.session, request.scope["path"]))

    return Starlette(routes=[Route(path, view) for path in PAGES], middleware=list(middleware))


def _loop(stack: ExitStack) -> asyncio.AbstractEventLoop:
    return stack.enter_context(closing(asyncio.new_event_loop()))


def starlette_bare(server: Server, stack: ExitStack) -> Ask:
    return by_asgi(_starlette(), _loop(stack))


def starlette_ours(server: Server, stack: ExitStack) -> Ask:
    from coatcheck.aio import Store
    from coatcheck.asgi import SessionMiddleware

    loop = _loop(stack)
    store = Store(server.tcp_url, prefix=PREFIX)
    stack.callback(lambda: loop.run_until_complete(store.close()))
    return by_asgi(SessionMiddleware(_starlette(), store), loop)


def starlette_starsessions(server: Server, stack: ExitStack) -> Ask:
    from redis.asyncio import Redis
    from starlette.middleware import Middleware
    from starsessions import SessionAutoloadMiddleware, SessionMiddleware
    from starsessions.stores.redis import RedisStore

    loop = _loop(stack)
    client = Redis(port=server.port)
    stack.callback(lambda: loop.run_until_complete(client.aclose()))
    app = _starlette(
        Middleware(SessionMiddleware, store=RedisStore(connection=client), lifetime=1800),
        Middleware(SessionAutoloadMiddleware),
    )
    return by_asgi(app, loop)


# ---- Pyramid ------------------------------------------------------------------------------------


def _pyramid(set_up: Callable[[Any], object]) -> Ask:
    from pyramid.config import Configurator
    from pyramid.request import Request
    from pyramid.response import Response

    def view(request: Request) -> Response:
        return Response(page(request.session, request.environ["PATH_INFO"]))

    def bare(request: Request) -> Response:
        return Response("hello")

    config = Configurator()
    with_sessions = set_up(config) is not None
    for path in PAGES:
        config.add_route(path, path)
        config.add_view(view if with_sessions else bare, route_name=path)
    return by_wsgi(config.make_wsgi_app())


def pyramid_bare(server: Server, stack: ExitStack) -> Ask:
    return _pyramid(lambda config: None)


def pyramid_ours(server: Server, stack: ExitStack) -> Ask:
    def set_up(config: Any) -> bool:
        settings = {"coatcheck.url": server.tcp_url, "coatcheck.prefix": PREFIX}
        config.add_settings(settings)
        config.include("coatcheck.pyramid")
        return True

    return _pyramid(set_up)


def pyramid_session_redis(server: Server, stack: ExitStack) -> Ask:
    from pyramid_session_redis import RedisSessionFactory

    def set_up(config: Any) -> bool:
        factory = RedisSessionFactory(SECRET, redis_url=f"{server.tcp_url}/0", timeout=1800)
        config.set_session_factory(factory)
        return True

    return _pyramid(set_up)
