"""Sessions in Pyramid: what its own sessions have, its tweens and exception views, its settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from coatcheck import ConfigError, Cookie, NotStorable, Store, StoreUnavailable
from coatcheck.pyramid import Session, get_store
from conftest import Browser, RedisServer
from pyramid.config import Configurator
from pyramid.csrf import check_csrf_token, get_csrf_token, new_csrf_token
from pyramid.interfaces import ISession
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from views import NAME, Slow, logged_in_elsewhere, nowhere, overtaken, put
from zope.interface.verify import verifyObject

View = Callable[[Session, str], Any]
Serve = Callable[..., Browser]


def configured(settings: dict[str, Any]) -> Configurator:
    config = Configurator(
        settings={name if "." in name else f"coatcheck.{name}": v for name, v in settings.items()}
    )
    config.include("coatcheck.pyramid")
    return config


@pytest.fixture
def serve(store: Store) -> Iterator[Serve]:
    """A browser at an application of one view, of the session and the path, which returns a
    response, a text, or (status, text)."""
    apps: list[Any] = []

    def serve(view: View, *setups: Callable[[Configurator], object], **settings: Any) -> Browser:
        config = configured({"store": store, **settings})

        def answer(request: Request) -> Response:
            said = view(request.session, request.path)
            if isinstance(said, Response):
                return said
            status, text = said if isinstance(said, tuple) else (200, said)
            return Response(str(text), status, content_type="text/plain")

        config.add_route("all", "/*path")
        config.add_view(answer, route_name="all")
        for setup in setups:
            setup(config)
        apps.append(config.make_wsgi_app())
        return Browser(apps[-1])

    yield serve


# ---- What Pyramid's sessions have ----------------------------------------------------------


def test_it_is_what_pyramid_calls_a_session(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        assert verifyObject(ISession, session)
        session.changed()
        session["color"] = "red"
        return type(session) is Session

    assert serve(view).get().body == b"True"


def test_a_session_goes_from_one_request_to_the_next(serve: Serve) -> None:
    browser = serve(put)
    first = browser.get("/color/red")
    assert first.cookies == [Cookie().set(browser.jar[NAME])]
    again = browser.get()
    assert again.body == b"{'color': 'red'}" and not again.cookies


def test_what_is_changed_inside_is_kept_and_a_tuple_stays_one(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        session.setdefault("cart", []).append((path, 1))
        return session["cart"]

    browser = serve(view)
    browser.get("/tea")
    assert browser.get("/cup").body == b"[('/tea', 1), ('/cup', 1)]"


def test_created_is_in_seconds(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        return (200, session.created) if path == "/look" else put(session, path)

    browser = serve(view)
    assert browser.get("/look").body == b"0"
    browser.get("/color/red")
    assert int(browser.get("/look").body) > 1_700_000_000


def test_flash(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/say":
            session.flash("saved")
            session.flash("saved")
            session.flash("saved", allow_duplicate=False)
            session.flash(("no", 1), queue="errors")
        shown = session.pop_flash if path == "/pop" else session.peek_flash
        return repr((shown(), shown("errors"), shown("none")))

    browser = serve(view)
    said = b"(['saved', 'saved'], [('no', 1)], [])"
    assert browser.get("/say").body == said
    assert browser.get("/peek").body == said
    assert browser.get("/pop").body == said
    assert browser.get("/pop").body == b"([], [], [])"


def test_csrf_tokens_by_pyramids_own_functions(store: Store) -> None:
    config = configured({"store": store})

    def form(request: Request) -> Response:
        return Response(get_csrf_token(request))

    def submit(request: Request) -> Response:
        ok = check_csrf_token(request, raises=False)
        return Response(f"{ok} {new_csrf_token(request)}")

    config.add_route("form", "/form")
    config.add_route("submit", "/submit")
    config.add_view(form, route_name="form")
    config.add_view(submit, route_name="submit")
    browser = Browser(config.make_wsgi_app())
    token = browser.get("/form").body.decode()
    assert browser.get("/form").body.decode() == token
    ok, other = browser.get("/submit", HTTP_X_CSRF_TOKEN=token).body.decode().split()
    assert ok == "True" and other != token
    ok, _ = browser.get("/submit", HTTP_X_CSRF_TOKEN=token).body.decode().split()
    assert ok == "False"


def test_invalidate_ends_it_and_what_follows_is_another(serve: Serve, store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/out":
            session.invalidate()
            session["color"] = "blue"
        return put(session, "/" if path == "/out" else path)

    browser = serve(view)
    browser.get("/color/red")
    old = browser.jar[NAME]
    browser.get("/out")
    assert browser.jar[NAME] != old and store.load(old) is None
    assert browser.get().body == b"{'color': 'blue'}"


def test_req_11_login_changes_the_id(serve: Serve, store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            session.login("user:1", carry=["cart"])
        elif path == "/begin":
            session.update(cart=["tea"], note="x")
        return repr((session.principal, dict(session)))

    browser = serve(view)
    browser.get("/begin")
    old = browser.jar[NAME]
    browser.get("/login")
    assert browser.jar[NAME] != old and browser.get("/").body == b"('user:1', {'cart': ['tea']})"
    ended = store.load(old)
    assert ended is not None and ended.stale and not ended


def test_req_25_31_logout_takes_the_session_and_the_cookie(serve: Serve, store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/logout":
            session.destroy()
            return "goodbye"
        return put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    old = browser.jar[NAME]
    assert browser.get("/logout").cookies == [Cookie().clear()]
    assert NAME not in browser.jar and store.load(old) is None


def test_the_store_is_at_hand(serve: Serve, store: Store) -> None:
    def devices(request: Request) -> Response:
        return Response(str(len(get_store(request).sessions(request.session.principal))))

    def add(config: Configurator) -> None:
        config.add_route("devices", "/devices")
        config.add_view(devices, route_name="devices")

    browser = serve(lambda session, path: logged_in_elsewhere(session))
    config = configured({"store": store})
    add(config)
    other = Browser(config.make_wsgi_app())
    browser.get("/login")
    other.jar = browser.jar
    assert other.get("/devices").body == b"1"


# ---- Requests and responses ----------------------------------------------------------------


def test_req_43_a_request_that_looks_at_no_session_gets_no_header(store: Store) -> None:
    config = configured({"store": store})
    config.add_route("plain", "/")
    config.add_view(lambda request: Response("hello"), route_name="plain")
    browser = Browser(config.make_wsgi_app())
    answer = browser.get()
    assert not answer.cookies and answer["Vary"] is None and answer["Cache-Control"] is None


def test_req_43_caches_are_told(serve: Serve) -> None:
    browser = serve(put)
    assert browser.get()["Cache-Control"] == "private"
    answer = browser.get("/color/red")
    assert answer["Cache-Control"] == "no-store" and answer["Vary"] == "Cookie"


def test_req_37_of_two_cookies_neither_is_trusted(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/color/red")
    twins = f"{NAME}={browser.jar[NAME]}; {NAME}={'A' * 43}"
    answer = browser.get("/", HTTP_COOKIE=twins)
    assert answer.body == b"{}"
    assert answer.cookies == Cookie().clear_twins("shop.example.com")


def test_req_37_twins_in_the_folders_of_the_request_are_expired(serve: Serve) -> None:
    browser = serve(put, cookie_name="s", cookie_secure=False)
    cleared = browser.get("/a/b c", HTTP_COOKIE="s=a; s=b").cookies
    assert {*cleared[:-1]} == {
        *Cookie("s", secure=False).clear_twins("shop.example.com", "/a/b%20c")
    }


@pytest.mark.parametrize("status", [204, 302, 304, 404])
def test_other_statuses_save(serve: Serve, status: int) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/go":
            session["seen"] = True
            return Response(status=status)
        return put(session, path)

    browser = serve(view)
    browser.get("/go")
    assert browser.get().body == b"{'seen': True}"


def test_head_saves(serve: Serve) -> None:
    browser = serve(put)
    assert browser.get("/color/red", method="HEAD").body == b""
    assert browser.get().body == b"{'color': 'red'}"


@pytest.mark.parametrize("saves", [False, True])
def test_an_error_of_the_application_saves_only_if_told(serve: Serve, saves: bool) -> None:
    def view(session: Session, path: str) -> Any:
        session["seen"] = session.get("seen", 0) + 1
        if path == "/500":
            return 500, "oops"
        if path == "/raise":
            raise ZeroDivisionError
        return session["seen"]

    browser = serve(view, **{"coatcheck.save_on_error": str(saves)})
    browser.get("/")
    browser.get("/500")
    with pytest.raises(ZeroDivisionError):
        browser.get("/raise")
    assert browser.get("/").body == (b"4" if saves else b"2")


def test_an_exception_view_may_use_the_session(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/raise":
            raise KeyError("sku")
        return put(session, path)

    def page(exc: Exception, request: Request) -> Response:
        request.session["failed"] = str(exc)
        return Response("sorry", 404)

    browser = serve(view, lambda config: config.add_exception_view(page, context=KeyError))
    assert browser.get("/raise").status == 404
    assert browser.get().body == b"""{'failed': "'sku'"}"""


def test_req_44_what_a_stream_changes_is_saved_when_it_ends(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        def chunks() -> Iterator[bytes]:
            yield b"a"
            session["at"] = "end"
            yield b"b"

        if path == "/stream":
            session["at"] = "start"
            return Response(app_iter=chunks())
        return put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    assert browser.get("/stream").body == b"ab"
    assert browser.get().body == b"{'color': 'red', 'at': 'end'}"


def test_a_login_in_a_stream_comes_too_late(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        def chunks() -> Iterator[bytes]:
            yield b"a"
            session.login("user:1", carry="all")

        session["color"] = "red"
        return Response(app_iter=chunks())

    with pytest.raises(RuntimeError, match="after the response headers left"):
        serve(view).get()


def test_a_file_goes_to_the_server_as_it_is(serve: Serve, tmp_path: Path) -> None:
    class Wrapped:
        def __init__(self, file: Any, block_size: int = 8192) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            yield self.file.read()

        def close(self) -> None:
            self.file.close()

    (tmp_path / "file").write_bytes(b"content")

    def view(session: Session, path: str) -> Any:
        session["color"] = "red"
        return FileResponse(tmp_path / "file", request=current[0])

    current: list[Request] = []
    config_app = serve(
        view,
        lambda c: c.add_subscriber(
            lambda event: current.append(event.request), "pyramid.events.NewRequest"
        ),
    ).app
    environ = Browser(None).environ("/", **{"wsgi.file_wrapper": Wrapped})
    body = config_app(environ, lambda status, headers: None)
    assert isinstance(body, Wrapped)
    body.close()


def test_a_subrequest_saves_a_session_of_its_own(store: Store) -> None:
    config = configured({"store": store})

    def outer(request: Request) -> Response:
        request.session["outer"] = True
        inner = Request.blank("/inner", base_url="https://shop.example.com")
        if request.cookies:
            inner.headers["Cookie"] = request.headers["Cookie"]
        return Response(request.invoke_subrequest(inner).text)

    def inner(request: Request) -> Response:
        request.session["inner"] = True
        return Response(repr(sorted(request.session)))

    for name, view in (("outer", outer), ("inner", inner)):
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name)
    browser = Browser(config.make_wsgi_app())
    assert browser.get("/outer").body == b"['inner']"
    assert browser.get("/outer").body == b"['inner', 'outer']"
    assert browser.get("/inner").body == b"['inner', 'outer']"


# ---- What goes wrong -----------------------------------------------------------------------


def test_unavailable_is_a_503_and_the_cookie_stays(serve: Serve, tmp_path: Path) -> None:
    browser = serve(put, store=nowhere(tmp_path))
    browser.jar[NAME] = "A" * 43
    answer = browser.get()
    assert answer.status == 503 and answer["Retry-After"] and not answer.cookies
    assert answer["Cache-Control"] == "no-store"


def test_req_44_unavailable_at_the_commit_is_a_503_too(serve: Serve, tmp_path: Path) -> None:
    answer = serve(put, store=nowhere(tmp_path)).get("/color/red")
    assert answer.status == 503 and not answer.cookies


@pytest.mark.parametrize("path", ["/", "/color/red"])  # at the load, at the commit
def test_an_exception_view_of_ones_own_answers(serve: Serve, tmp_path: Path, path: str) -> None:
    def page(exc: Exception, request: Request) -> Response:
        return Response("back soon", 503)

    browser = serve(
        put,
        lambda config: config.add_exception_view(page, context=StoreUnavailable),
        store=nowhere(tmp_path),
    )
    if path == "/":
        browser.jar[NAME] = "A" * 43
    answer = browser.get(path)
    assert (answer.status, answer.body) == (503, b"back soon")
    assert answer["Cache-Control"] == "no-store" and not answer.cookies


def test_a_page_for_all_errors_does_not_make_a_500_of_it(serve: Serve, tmp_path: Path) -> None:
    def page(exc: Exception, request: Request) -> Response:
        return Response("something broke", 500)

    add = lambda config: config.add_exception_view(page, context=Exception)  # noqa: E731
    assert serve(put, add, store=nowhere(tmp_path)).get("/color/red").status == 503


def test_raise_leaves_it_to_whoever_is_outside(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        serve(put, store=nowhere(tmp_path), on_unavailable="raise").get("/color/red")


def test_anonymous_is_empty_and_read_only(serve: Serve, tmp_path: Path) -> None:
    browser = serve(put, store=nowhere(tmp_path), on_unavailable="anonymous")
    browser.jar[NAME] = "A" * 43
    assert browser.get().body == b"{}"


def closed(exc: Exception, request: Request) -> Response:
    return Response(f"closed: {request.path}", 503)


@pytest.mark.parametrize("page", [closed, "test_pyramid.closed"])
@pytest.mark.parametrize("path", ["/", "/color/red"])  # at the load, at the commit
def test_unavailable_may_be_a_function(
    serve: Serve, tmp_path: Path, path: str, page: object
) -> None:
    browser = serve(put, store=nowhere(tmp_path), on_unavailable=page)
    browser.jar[NAME] = "A" * 43
    answer = browser.get(path)
    assert (answer.status, answer.body) == (503, f"closed: {path}".encode())
    assert answer["Cache-Control"] == "no-store" and not answer.cookies


def test_a_page_for_it_finds_an_empty_session(serve: Serve, tmp_path: Path) -> None:
    def page(exc: Exception, request: Request) -> Response:
        return Response(f"closed: {request.session.pop_flash()}", 503)

    browser = serve(put, store=nowhere(tmp_path), on_unavailable=page)
    browser.jar[NAME] = "A" * 43
    answer = browser.get()
    assert (answer.status, answer.body) == (503, b"closed: []")


def test_what_cannot_be_stored_is_refused_on_its_line(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        try:
            session["user"] = [object()]
        except NotStorable as exc:
            return str(exc)

    assert serve(view).get().body.startswith(b"session['user'][0]: object is not storable")


def test_an_unstorable_value_inside_a_list_is_an_error_before_the_headers(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/spoil":
            session["cart"].append(object())
            return "never sent"
        return put(session, path)

    def begin(session: Session, path: str) -> Any:
        if path == "/begin":
            session["cart"] = ["tea"]
            return ""
        return view(session, path)

    browser = serve(begin)
    browser.get("/begin")
    with pytest.raises(NotStorable):
        browser.get("/spoil")
    assert browser.get().body == b"{'cart': ['tea']}"


def test_ended_meanwhile_is_dropped_or_a_409(serve: Serve) -> None:
    for on_gone, status in (("drop", 200), ("error", 409)):
        view = Slow()
        browser = serve(lambda session, path, view=view: view(session, path), on_gone=on_gone)
        browser.get("/color/red")
        answer = overtaken(browser, view, by="/logout")
        assert (answer.status, answer.cookies) == (status, [])


def test_a_login_meanwhile_is_not_overwritten(serve: Serve) -> None:
    view = Slow()
    browser = serve(lambda session, path: view(session, path))
    browser.get("/color/red")
    answer = overtaken(browser, view, by="/login")
    assert (answer.status, answer.cookies) == (200, [])


# ---- Settings ------------------------------------------------------------------------------


def test_settings_as_an_ini_file_has_them(redis_server: RedisServer) -> None:
    config = configured(
        {
            "url": redis_server.url,
            "prefix": "test:",
            "idle": "600",
            "on_conflict": "theirs",
            "cookie_secure": "false",
            "cookie_name": "shop",
            "cookie_max_age": "3600",
            "cookie_samesite": "strict",
            "cache_control": "",
            "on_gone": "error",
            "pyramid.debug_notfound": "false",
        }
    )
    config.add_route("all", "/")
    config.add_view(lambda r: Response(str(r.session.update(a=1))), route_name="all")
    browser = Browser(config.make_wsgi_app(), https=False)
    answer = browser.get()
    assert answer.cookies == [
        f"shop={browser.jar['shop']}; Max-Age=3600; Path=/; HttpOnly; SameSite=Strict"
    ]
    assert answer["Cache-Control"] is None
    (key,) = redis_server.records()
    assert 500_000 < int(redis_server.cli("PTTL", key)) <= 600_000


@pytest.mark.parametrize(
    ("query", "settings", "idle"),
    [("", {}, 100), ("?idle=200", {}, 200), ("?idle=200", {"idle": "300"}, 300)],
)
def test_a_setting_wins_over_the_url_and_that_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, query: str, settings: dict[str, Any], idle: int
) -> None:
    monkeypatch.setenv("COATCHECK_URL", "redis://localhost" + query)
    monkeypatch.setenv("COATCHECK_PREFIX", "test:")
    monkeypatch.setenv("COATCHECK_IDLE", "100")
    for given in (settings, {"url": "redis://localhost" + query, **settings}):
        assert configured(given).registry["coatcheck"].store.new().idle == idle


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"prefix": "a:"}, "COATCHECK_URL"),
        ({"url": "redis://localhost"}, "prefix"),
        ({"url": "redis://localhost", "prefix": "a:", "cookie_secret": "x"}, "cookie_secret"),
        ({"url": "redis://localhost", "prefix": "a:", "cookie_max_age": "1h"}, "whole seconds"),
        ({"url": "redis://localhost", "prefix": "a:", "cookie_max_age": 0}, "400 days"),
        (
            {"cookie_name": "__Host-id", "cookie_secure": "false"},
            "say coatcheck.cookie_secure = true",
        ),
        ({"url": "redis://localhost", "prefix": "a:", "on_gone": "what"}, "on_gone"),
        (
            {"url": "redis://localhost", "prefix": "a:", "on_unavailable": "no.page"},
            "name a function",
        ),
        ({"url": "redis://localhost", "prefix": "a:", "idel": "600"}, "coatcheck.idle"),
        ({"on_gon": "drop"}, "no setting coatcheck.on_gon; did you mean coatcheck.on_gone"),
        ({"cookie_nam": "shop"}, "did you mean coatcheck.cookie_name"),
        ({"store": "redis://localhost"}, "give a coatcheck.Store"),
    ],
)
def test_wrong_settings_are_an_error_at_the_start(settings: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        configured(settings)


def test_options_beside_a_store_are_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"coatcheck\.idle: options of a store that exists"):
        configured({"store": store, "idle": "600"})


def test_a_secure_cookie_over_plain_http_is_advised_on(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    browser = serve(put)
    browser.https = False
    with caplog.at_level(logging.WARNING, "coatcheck"):
        browser.get("/color/red")
    assert "plain http" in caplog.text and "coatcheck.cookie_secure = false" in caplog.text
