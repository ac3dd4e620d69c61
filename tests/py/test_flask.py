"""Sessions in Flask: what its own have, and its ways to make a response."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import markupsafe
import pytest
from coatcheck import Cookie, NotStorable, Store
from coatcheck.flask import Coatcheck, Session
from conftest import Browser, RedisServer
from flask.sessions import SessionMixin
from flasks import NAME, an_app, at
from views import logged_in_elsewhere, put
from werkzeug.middleware.dispatcher import DispatcherMiddleware

# ---- What Flask's sessions have ------------------------------------------------------------


def test_it_is_what_flask_calls_a_session(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        real = session._get_current_object()
        return type(real) is Session and isinstance(real, SessionMixin)

    assert at(view, store).get().body == b"True"


def test_a_session_goes_from_one_request_to_the_next(store: Store) -> None:
    browser = at(put, store)
    first = browser.get("/color/red")
    assert first.cookies == [Cookie(secure=False, samesite=None).set(browser.jar[NAME])]
    again = browser.get()
    assert again.body == b"{'color': 'red'}" and not again.cookies


def test_what_is_changed_inside_is_kept_and_a_tuple_stays_one(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        session.setdefault("cart", []).append((path, 1))
        return session["cart"]

    browser = at(view, store)
    browser.get("/tea")
    assert browser.get("/cup").body == b"[('/tea', 1), ('/cup', 1)]"


def test_new_modified_and_accessed_tell_what_happened(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        before = session.accessed  # asking for flask.session is not looking at it
        said = [before, session.new, session.modified, session.accessed]
        if path == "/set":
            session["a"] = 1
        return [*said, session.modified]

    browser = at(view, store)
    assert browser.get("/set").body == b"[False, True, False, True, True]"
    assert browser.get().body == b"[False, False, False, True, False]"


def test_to_say_modified_is_allowed_and_changes_nothing(
    store: Store, redis_server: RedisServer
) -> None:
    def view(session: Session, path: str) -> Any:
        session.modified = True
        session.accessed = True
        return session.modified

    assert at(view, store).get().body == b"False"
    assert redis_server.keys() == []


def test_flash(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/say":
            flask.flash("saved")
            flask.flash("failed", "error")
            return ""
        return flask.get_flashed_messages(with_categories=True)

    browser = at(view, store)
    browser.get("/say")
    assert browser.get().body == b"[('message', 'saved'), ('error', 'failed')]"
    assert browser.get().body == b"[]"


def test_a_flashed_message_must_be_plain_text(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        with pytest.raises(NotStorable, match="Markup is not storable"):
            flask.flash(markupsafe.Markup("<b>saved</b>"))
        return ""

    assert at(view, store).get().status == 200


def test_clear_ends_it_and_what_follows_is_another(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/clear":
            session.clear()
            session["user"] = 1
            return ""
        return put(session, path)

    browser = at(view, store)
    browser.get("/color/red")
    old = browser.jar[NAME]
    browser.get("/clear")
    assert browser.jar[NAME] != old and store.load(old) is None
    assert browser.get().body == b"{'user': 1}"


def test_req_25_31_clear_as_a_logout_takes_the_session_and_the_cookie(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/logout":
            session.clear()
            return "goodbye"
        return put(session, path)

    settings = {
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_DOMAIN": "example.com",
        "SESSION_COOKIE_PATH": "/shop",
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_PARTITIONED": True,
    }
    browser = at(view, store, **settings)
    browser.get("/color/red")
    old = browser.jar[NAME]
    (cookie,) = browser.get("/logout").cookies
    assert cookie == (
        "session=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/shop;"
        " Domain=example.com; Secure; HttpOnly; SameSite=Strict; Partitioned"
    )
    assert store.load(old) is None


def test_req_11_16_login_changes_the_id_and_carries_what_is_named(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            session.login("user:1", carry=["cart"])
        elif path == "/begin":
            session.permanent = True
            session.update(cart=["tea"], note="x")
        return [session.principal, session.get("cart"), session.get("note"), session.permanent]

    browser = at(view, store)
    browser.get("/begin")
    old = browser.jar[NAME]
    (cookie,) = browser.get("/login").cookies
    assert browser.jar[NAME] != old and "Max-Age" in cookie
    assert browser.get("/").body == b"['user:1', ['tea'], None, True]"
    ended = store.load(old)
    assert ended is not None and ended.stale and not ended


def test_carry_as_a_single_text_is_refused(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        session["cart"] = 1
        with pytest.raises(TypeError):
            session.login("user:1", carry="cart")
        return ""

    assert at(view, store).get().status == 200


def test_the_store_is_at_hand(store: Store) -> None:
    app = flask.Flask("shop")
    coatcheck = Coatcheck()
    coatcheck.init_app(app, store)

    @app.get("/login")
    def login() -> str:
        return logged_in_elsewhere(flask.session)

    @app.get("/devices")
    def devices() -> str:
        assert coatcheck.store is app.extensions["coatcheck"]
        return str(len(coatcheck.store.sessions(flask.session.principal)))

    browser = Browser(app)
    browser.get("/login")
    assert browser.get("/devices").body == b"1"


# ---- Requests and responses ----------------------------------------------------------------


def test_req_43_a_request_that_looks_at_no_session_gets_no_header(
    store: Store, redis_server: RedisServer
) -> None:
    browser = at(put, store)
    browser.get("/color/red")
    plain = at(lambda session, path: "hello", store)
    plain.jar = browser.jar
    with redis_server.monitor() as commands:
        answer = plain.get()
    assert not answer.cookies and answer["Vary"] is None and answer["Cache-Control"] is None
    assert commands == []


def test_req_43_caches_are_told(store: Store) -> None:
    browser = at(put, store)
    assert browser.get()["Cache-Control"] == "private"
    answer = browser.get("/color/red")
    assert answer["Cache-Control"] == "no-store" and answer["Vary"] == "Cookie"


def test_req_43_what_the_application_says_to_caches_stands_or_is_made_stricter(
    store: Store,
) -> None:
    def view(session: Session, path: str) -> Any:
        put(session, path)
        return "", {"Cache-Control": "public, max-age=60", "Vary": "Accept"}

    browser = at(view, store)
    answer = browser.get()
    assert answer["Cache-Control"] == "public, max-age=60" and answer["Vary"] == "Accept, Cookie"
    assert browser.get("/color/red")["Cache-Control"] == "no-store"


def test_req_37_of_two_cookies_neither_is_trusted(store: Store) -> None:
    browser = at(put, store)
    browser.get("/color/red")
    twins = f"{NAME}={browser.jar[NAME]}; {NAME}={'A' * 43}"
    answer = browser.get("/", HTTP_COOKIE=twins)
    assert answer.body == b"{}"
    cookie = Cookie(secure=False, samesite=None)
    assert answer.cookies == cookie.clear_twins("shop.example.com")


def test_req_37_twins_in_the_folders_of_the_request_are_expired(store: Store) -> None:
    cleared = at(put, store).get("/a/b c", HTTP_COOKIE=f"{NAME}=a; {NAME}=b").cookies
    assert {*cleared[:-1]} == {
        *Cookie(secure=False, samesite=None).clear_twins("shop.example.com", "/a/b%20c")
    }


def test_req_36_a_cookie_in_other_letters_is_another(store: Store) -> None:
    browser = at(put, store)
    browser.get("/color/red")
    other = f"{NAME}={browser.jar[NAME]}; Session={'A' * 43}"
    assert browser.get("/", HTTP_COOKIE=other).body == b"{'color': 'red'}"


def test_req_38_split_cookie_headers_joined_by_a_comma_are_read(store: Store) -> None:
    browser = at(put, store)
    browser.get("/color/red")
    joined = f"a=b; {NAME}={browser.jar[NAME]}, c=d"
    assert browser.get("/", HTTP_COOKIE=joined).body == b"{'color': 'red'}"


def test_req_39_one_cookie_of_our_name(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        session["color"] = "red"
        response = flask.Response("")
        response.set_cookie(NAME, "mine")
        response.set_cookie("other", "1")
        return response

    browser = at(view, store)
    cookies = browser.get().cookies
    assert [cookie.partition("=")[0] for cookie in cookies] == ["other", NAME]
    assert browser.jar[NAME] != "mine"


@pytest.mark.parametrize("status", [204, 302, 304, 404])
def test_other_statuses_save(store: Store, status: int) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/go":
            session["seen"] = True
            response = flask.Response(status=status)
            if status in (204, 304):  # as the validator wants it
                response.headers.pop("Content-Type")
            return response
        return put(session, path)

    browser = at(view, store)
    browser.get("/go")
    assert browser.get().body == b"{'seen': True}"


def test_head_saves(store: Store) -> None:
    browser = at(put, store)
    assert browser.get("/color/red", method="HEAD").body == b""
    assert browser.get().body == b"{'color': 'red'}"


def test_a_redirect_and_a_page_that_flask_answers_304_save(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/go":
            session["went"] = True
            return flask.redirect("/cached")
        if path == "/cached":
            session["seen"] = session.get("seen", 0) + 1
            response = flask.Response("the same")
            response.set_etag("1")
            return response.make_conditional(flask.request)
        return put(session, path)

    browser = at(view, store)
    assert browser.get("/go")["Location"] == "/cached"
    answer = browser.get("/cached", HTTP_IF_NONE_MATCH='"1"')
    assert (answer.status, answer.body) == (304, b"")
    assert browser.get().body == b"{'went': True, 'seen': 1}"


@pytest.mark.parametrize("saves", [False, True])
def test_an_error_of_the_application_saves_only_if_told(store: Store, saves: bool) -> None:
    def view(session: Session, path: str) -> Any:
        session["seen"] = session.get("seen", 0) + 1
        if path == "/500":
            return "oops", 500
        if path == "/raise":
            raise ZeroDivisionError
        return session["seen"]

    browser = at(view, store, COATCHECK_SAVE_ON_ERROR=saves)
    browser.get("/")
    assert browser.get("/500").status == browser.get("/raise").status == 500
    assert browser.get("/").body == (b"4" if saves else b"2")


@pytest.mark.parametrize("setting", ["TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"])
def test_an_exception_that_flask_lets_out_saves_nothing(store: Store, setting: str) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/raise":
            session["seen"] = True
            raise ZeroDivisionError
        return put(session, path)

    browser = at(view, store, **{setting: True})
    browser.get("/color/red")
    with pytest.raises(ZeroDivisionError):
        browser.get("/raise")
    assert browser.get().body == b"{'color': 'red'}"


def test_an_errorhandler_may_use_the_session(store: Store) -> None:
    def setup(app: flask.Flask) -> None:
        @app.errorhandler(KeyError)
        def sorry(exc: KeyError) -> Any:
            flask.session["failed"] = str(exc)
            return "sorry", 404

    def view(session: Session, path: str) -> Any:
        if path == "/raise":
            raise KeyError("sku")
        return put(session, path)

    browser = at(view, store, setup)
    assert browser.get("/raise").status == 404
    assert browser.get().body == b"""{'failed': "'sku'"}"""


def test_hooks_and_blueprints_use_it_from_before_to_after(store: Store) -> None:
    app = an_app(store)
    shop = flask.Blueprint("shop", __name__, url_prefix="/shop")

    @shop.before_request
    def before() -> None:
        flask.session["hooks"] = ["before"]

    @shop.get("/")
    def view() -> str:
        flask.session["hooks"].append("view")

        @flask.after_this_request
        def late(response: flask.Response) -> flask.Response:
            flask.session["hooks"].append("this")
            return response

        return ""

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        if flask.request.path == "/shop/":
            flask.session["hooks"].append("after")
        return response

    @app.teardown_request
    def teardown(exc: BaseException | None) -> None:
        if flask.request.path == "/shop/":
            flask.session["hooks"].append("too late")

    app.register_blueprint(shop)
    app.get("/")(lambda: repr(flask.session["hooks"]))
    browser = Browser(app)
    browser.get("/shop/")
    assert browser.get().body == b"['before', 'view', 'this', 'after']"


def test_async_views_use_it(store: Store) -> None:
    app = an_app(store)

    @app.get("/")
    async def view() -> str:
        return str(flask.session.incr("visits"))

    browser = Browser(app)
    assert [browser.get().body for _ in range(3)] == [b"1", b"2", b"3"]


def test_two_mounted_applications_have_a_cookie_each(redis_server: RedisServer) -> None:
    def shop(name: str) -> flask.Flask:
        settings = {
            "COATCHECK_URL": redis_server.url,
            "COATCHECK_PREFIX": f"{name}:",
            "SESSION_COOKIE_NAME": name,
        }
        app = an_app(None, **settings)
        app.get("/<value>")(lambda value: put(flask.session, f"/{name}/{value}"))
        app.get("/", endpoint="all")(lambda: repr(dict(flask.session)))
        return app

    mounted = DispatcherMiddleware(shop("front"), {"/back": shop("back").wsgi_app})
    browser = Browser(mounted)
    browser.get("/red")
    browser.get("/back/blue")
    assert set(browser.jar) == {"front", "back"}
    assert browser.get("/").body == b"{'front': 'red'}"
    assert browser.get("/back/").body == b"{'back': 'blue'}"


def test_sessions_go_with_their_requests_without_the_collector(store: Store) -> None:
    sessions: list[weakref.ref[Session]] = []

    def view(session: Any, path: str) -> Any:
        sessions.append(weakref.ref(session._get_current_object()))
        put(session, path)
        return flask.stream_with_context(iter("ab")) if path == "/stream/1" else ""

    browser = at(view, store)
    gc.disable()
    try:
        for path in ("/color/red", "/", "/stream/1"):
            browser.get(path)
        assert [session() for session in sessions] == [None, None, None]
    finally:
        gc.enable()


# ---- Streams and files ---------------------------------------------------------------------


def test_what_a_stream_changes_is_saved_when_it_ends(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        def chunks() -> Iterator[str]:
            yield "a"
            flask.session["at"] = "end"
            yield "b"

        if path == "/stream":
            session["at"] = "start"
            return flask.stream_with_context(chunks())
        return put(session, path)

    browser = at(view, store)
    browser.get("/color/red")
    assert browser.get("/stream").body == b"ab"
    assert browser.get().body == b"{'color': 'red', 'at': 'end'}"


def test_req_44_it_is_stored_before_the_first_chunk_of_a_stream(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        session["at"] = "start"
        return flask.stream_with_context(iter(["a", "b"]))

    browser = at(view, store)
    started: list[Any] = []
    chunks = browser.app(browser.environ(), lambda status, headers: started.append(headers))
    try:
        cookie = dict(started[0])["Set-Cookie"]
        stored = store.load(cookie.partition("=")[2].partition(";")[0])
        assert stored is not None and dict(stored) == {"at": "start"}
    finally:
        chunks.close()


@pytest.mark.parametrize(
    ("path", "kept"), [("/plain", "view"), ("/stream", "teardown"), ("/abort", "teardown")]
)
def test_what_a_teardown_changes_is_saved_after_a_stream_only(
    store: Store, path: str, kept: str
) -> None:
    def view(session: Session, path: str) -> Any:
        session["by"] = "view"
        if path == "/abort":
            flask.abort(404)
        return flask.stream_with_context(iter("ab")) if path == "/stream" else "ab"

    def setup(app: flask.Flask) -> None:
        @app.teardown_request
        def teardown(exc: BaseException | None) -> None:
            flask.session["by"] = "teardown"

    browser = at(view, store, setup)
    browser.get(path)
    saved = store.load(browser.jar[NAME])
    assert saved is not None and saved["by"] == kept


def test_what_was_changed_before_a_client_hung_up_is_saved(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        def chunks() -> Iterator[str]:
            flask.session["sent"] = 1
            yield "a"
            flask.session["sent"] = 2
            yield "b"

        return flask.stream_with_context(chunks()) if path == "/stream" else put(session, path)

    browser = at(view, store)
    browser.get("/color/red")
    chunks = browser.app(browser.environ("/stream"), lambda status, headers: None)
    assert next(iter(chunks)) == b"a"
    chunks.close()
    assert browser.get().body == b"{'color': 'red', 'sent': 1}"


def test_a_login_in_a_stream_comes_too_late(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        def chunks() -> Iterator[str]:
            yield "a"
            flask.session.login("user:1", carry="all")

        session["color"] = "red"
        return flask.stream_with_context(chunks())

    with pytest.raises(RuntimeError, match="after the response headers left"):
        at(view, store).get()


def test_a_file_goes_to_the_server_as_it_is(store: Store, tmp_path: Path) -> None:
    class Wrapped:
        def __init__(self, file: Any, block_size: int = 8192) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            yield self.file.read()

        def close(self) -> None:
            self.file.close()

    (tmp_path / "file").write_bytes(b"content")

    def view(session: Session, path: str) -> Any:
        if path == "/file":
            session["color"] = "red"
            return flask.send_file(tmp_path / "file")
        return put(session, path)

    browser = at(view, store)
    environ = browser.environ("/file", **{"wsgi.file_wrapper": Wrapped})
    body = browser.app(environ, lambda status, headers: None)
    assert isinstance(body, Wrapped)
    body.close()
    assert browser.get("/file").body == b"content"
    assert browser.get().body == b"{'color': 'red'}"


# ---- Flask's own test client ---------------------------------------------------------------


def test_the_test_client_and_its_transactions(store: Store) -> None:
    client = at(put, store, TESTING=True).app.test_client()
    with client.session_transaction() as session:
        session["color"] = "red"
    assert client.get("/").text == "{'color': 'red'}"
    client.get("/color/blue")
    with client.session_transaction() as session:
        assert session["color"] == "blue"
        session.clear()
    assert client.get_cookie(NAME) is None
    assert client.get("/").text == "{}"


def test_the_session_can_be_looked_at_after_a_request_of_the_client(store: Store) -> None:
    app = at(put, store, TESTING=True).app
    with app.test_client() as client:
        client.get("/color/red")
        assert flask.session["color"] == "red"
    with app.test_request_context():
        assert dict(flask.session) == {}
