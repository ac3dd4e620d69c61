"""What must hold whatever the framework: which ids open a session, and what ends with them
(requirements 04, 07, 11, 12, 25, 70 and 72)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import django_site
import flask
import pytest
from coatcheck import Session, Store
from coatcheck.wsgi import SessionMiddleware
from conftest import Browser, RedisServer
from flasks import an_app
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

django_site.set_up()

from coatcheck.django import SessionStore  # noqa: E402
from django.http import HttpRequest  # noqa: E402

View = Callable[[Session, str], str]


def account(session: Session, path: str) -> str:
    if path == "/login":
        session.login("user:1", carry=["color"])
    elif path == "/rotate":
        session.rotate()
    elif path == "/logout":
        session.destroy()
    elif path == "/":
        return str(session.get("color"))
    else:
        session["color"] = path[1:]
    return "done"


# ---- The frameworks -----------------------------------------------------------------------------


def bare(store: Store) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        said = account(environ["coatcheck.session"], environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [said.encode()]

    return SessionMiddleware(app, store)


def in_flask(store: Store) -> Any:
    app = an_app(store)

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> str:
        flask.request.get_data()
        return account(flask.session, f"/{path}")

    return app


def in_pyramid(store: Store) -> Any:
    def answer(request: Request) -> Response:
        return Response(account(request.session, request.path), content_type="text/plain")

    config = Configurator(settings={"coatcheck.store": store})
    config.include("coatcheck.pyramid")
    config.add_route("all", "/*path")
    config.add_view(answer, route_name="all")
    return config.make_wsgi_app()


def in_django(_: Store) -> Any:
    def answer(request: HttpRequest) -> str:
        assert isinstance(request.session, SessionStore)
        return account(request.session, request.path)

    return django_site.serve(answer).app


FRAMEWORKS: dict[str, tuple[Callable[[Store], Any], str]] = {
    "WSGI": (bare, "__Host-session"),
    "Flask": (in_flask, "session"),
    "Pyramid": (in_pyramid, "__Host-session"),
    "Django": (in_django, django_site.NAME),
    "Django with its own middleware": (in_django, django_site.NAME),
}


class Site:
    """An application, and the name of its cookie."""

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
def site(request: pytest.FixtureRequest, store: Store, redis_server: RedisServer) -> Iterator[Site]:
    make, name = FRAMEWORKS[request.param]
    middleware = django_site.DJANGOS if "its own" in request.param else django_site.OURS
    with django_site.settings(redis_server.url, MIDDLEWARE=[middleware, *django_site.REST]):
        yield Site(make(store), name)


# ---- Ids that open nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("end", ["never made", "expired", "logged out", "replaced"])
def test_req_04_an_id_of_no_session_is_not_adopted(
    site: Site, redis_server: RedisServer, end: str
) -> None:
    browser, old_id = site.visitor()
    match end:
        case "never made":
            old_id = "A" * 43
        case "expired":
            redis_server.cli("DEL", *redis_server.records())
        case "logged out":
            browser.get("/logout")
        case "replaced":
            browser.get("/rotate")
    browser = site.browser(old_id)
    assert browser.get("/").body == b"None"
    browser.get("/blue")
    assert end == "replaced" or browser.jar[site.name] != old_id
    assert site.browser(old_id).get("/").body == b"None"


@pytest.mark.parametrize(
    "request_with",
    [
        lambda name, value: {"QUERY_STRING": f"{name}={value}"},
        lambda name, value: {"QUERY_STRING": f"session={value}&{name}={value}&sid={value}"},
        lambda name, value: {"PATH_INFO": f"/;{name}={value}", "REQUEST_URI": f"/;{name}={value}"},
        lambda name, value: {"SCRIPT_NAME": f"/{value}"},
        lambda name, value: {"HTTP_AUTHORIZATION": f"Bearer {value}", "HTTP_X_SESSION_ID": value},
        lambda name, value: {"HTTP_REFERER": f"https://shop.example.com/?{name}={value}"},
        lambda name, value: {"HTTP_SET_COOKIE": f"{name}={value}"},
        lambda name, value: {"HTTP_COOKIE": f"other={value}; {name}2={value}"},
        lambda name, value: posted("application/x-www-form-urlencoded", f"{name}={value}"),
        lambda name, value: posted("application/json", f'{{"{name}": "{value}"}}'),
        lambda name, value: posted("text/plain", value),
    ],
)
def test_req_07_an_id_that_is_not_in_our_cookie_is_ignored(
    site: Site, request_with: Callable[[str, str], dict[str, Any]]
) -> None:
    _, session_id = site.visitor()
    elsewhere = request_with(site.name, session_id)
    response = site.browser().get(**{"path": "/", **elsewhere})
    assert b"red" not in response.body
    assert not any(session_id in cookie for cookie in response.cookies)
    assert site.browser(session_id).get("/").body == b"red"


def posted(kind: str, body: str) -> dict[str, Any]:
    return {
        "method": "POST",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body.encode()),
    }


# ---- Ids that change, and end -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/rotate"])
def test_req_11_12_14_a_new_id_is_the_only_one_that_works(site: Site, path: str) -> None:
    browser, old_id = site.visitor()
    assert site.browser(old_id).get("/").body == b"red"
    browser.get(path)
    assert browser.jar[site.name] != old_id
    assert browser.get("/").body == b"red"
    assert site.browser(old_id).get("/").body == b"None"


def test_req_25_a_logout_leaves_nothing(site: Site, redis_server: RedisServer) -> None:
    browser, _ = site.visitor()
    browser.get("/login")
    assert len(redis_server.keys()) == 2
    session_id = browser.jar[site.name]
    browser.get("/logout")
    assert redis_server.keys() == []
    assert site.browser(session_id).get("/").body == b"None"


@pytest.mark.parametrize("path", ["/logout", "/login", "/rotate"])
def test_req_70_what_could_not_reach_redis_says_so(
    site: Site, redis_server: RedisServer, path: str
) -> None:
    browser, session_id = site.visitor()
    redis_server.stop()
    response = browser.get(path)
    assert response.status in (500, 503)  # the first only from Django's own middleware
    assert response.cookies == []
    assert browser.jar[site.name] == session_id


def test_req_72_a_request_that_stores_nothing_writes_nothing(
    site: Site, redis_server: RedisServer
) -> None:
    browser = site.browser()
    browser.get("/")  # whatever a framework does only once
    with redis_server.monitor() as seen:
        for path in ("/", "/rotate"):
            assert browser.get(path).cookies == []
    assert seen == []
