"""What a request sees of its session and what its response carries: each row of the table, and
the ways in which WSGI lets an application answer."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from coatcheck import (
    Busy,
    ConfigError,
    Conflict,
    Cookie,
    Corrupt,
    ForeignReply,
    LimitExceeded,
    LockLost,
    NotStorable,
    Session,
    Store,
    StoreDenied,
    StoreTimeout,
    StoreUnavailable,
    TooManySessions,
    Uncertain,
    UnknownFormat,
)
from coatcheck.wsgi import SessionMiddleware
from conftest import (
    Browser,
    RedisServer,
    application,
    in_thread,
    wait_for,
)

NAME = "__Host-session"
Serve = Callable[..., Browser]


def put(session: Session, path: str) -> str:
    """/name/value stores; any other path shows what is stored."""
    _, name, *value = path.split("/")
    if value:
        session[name] = value[0]
    return repr(dict(session))


def logged_in_elsewhere(session: Session) -> str:
    session.login("user:1", carry="all")
    return "hello"


# ---- The life of a session -----------------------------------------------------------------


def test_a_session_goes_from_one_request_to_the_next(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/color/red")
    assert browser.get().body == b"{'color': 'red'}"


def test_a_tuple_comes_back_as_a_tuple_and_a_nested_change_is_kept(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/begin":
            session["cart"] = [("tea", 1)]
        if path == "/add":
            session["cart"].append(("cup", 2))
        return session["cart"]

    browser = serve(view)
    browser.get("/begin")
    browser.get("/add")
    assert browser.get("/").body == b"[('tea', 1), ('cup', 2)]"


def test_the_cookie_is_set_once_and_not_again(serve: Serve) -> None:
    browser = serve(put)
    first = browser.get("/color/red")
    assert first["Set-Cookie"] == Cookie().set(browser.jar[NAME])
    assert browser.get("/color/blue")["Set-Cookie"] is None


def test_req_11_login_changes_the_id_and_the_old_one_is_dead(serve: Serve, store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            session.login("user:1", carry=["cart"])
        elif path == "/begin":
            session.update(cart=["tea"], note="x")
        return repr((session.principal, dict(session)))

    browser = serve(view)
    browser.get("/begin")
    old = dict(browser.jar)
    browser.get("/login")
    assert browser.jar != old
    assert browser.get("/").body == b"('user:1', {'cart': ['tea']})"
    thief = Browser(browser.app)
    thief.jar = old
    assert thief.get("/").body == b"(None, {})"


def test_req_12_a_change_of_privilege_changes_the_id(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/rotate":
            session.rotate()
        return put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    old = dict(browser.jar)
    browser.get("/rotate")
    assert browser.jar != old
    assert browser.get("/").body == b"{'color': 'red'}"


def test_req_25_31_logout_takes_the_session_and_the_cookie(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session, path: str) -> Any:
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    response = browser.get("/logout")
    assert response.body == b"True"
    assert response["Set-Cookie"] == Cookie().clear()
    assert response["Cache-Control"] == "no-store"
    assert browser.jar == {}
    assert redis_server.keys() == []


def test_logging_out_twice_clears_the_cookie_twice(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    jar = dict(browser.jar)
    browser.get("/logout")
    browser.jar = jar
    response = browser.get("/logout")
    assert response.body == b"False"
    assert response["Set-Cookie"] == Cookie().clear()


def test_a_session_after_a_logout_in_the_same_request_is_a_new_one(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/switch":
            session.destroy()
            session.login("user:2", carry=[])
            session["who"] = "two"
        return put(session, path) if path != "/switch" else ""

    browser = serve(view)
    browser.get("/who/one")
    old = browser.jar[NAME]
    response = browser.get("/switch")
    assert response["Set-Cookie"] == Cookie().set(browser.jar[NAME])
    assert browser.jar[NAME] != old
    assert browser.get("/").body == b"{'who': 'two'}"


def test_req_04_an_unknown_id_is_not_adopted(serve: Serve) -> None:
    browser = serve(put)
    browser.jar[NAME] = unknown = "A" * 43
    assert browser.get("/")["Set-Cookie"] is None
    browser.get("/color/red")
    assert browser.jar[NAME] != unknown


def test_req_07_an_id_in_the_url_is_ignored(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/color/red")
    session_id = browser.jar.pop(NAME)
    query = f"{NAME}={session_id}&session={session_id}"
    assert browser.get("/", QUERY_STRING=query).body == b"{}"


def test_req_09_a_stored_key_presented_as_a_cookie_opens_nothing(
    serve: Serve, redis_server: RedisServer
) -> None:
    browser = serve(put)
    browser.get("/color/red")
    (key,) = redis_server.records()
    hidden = key.decode().partition("{")[2].rstrip("}")
    for guess in (key.decode(), hidden, hidden + "A" * (43 - len(hidden)), hidden * 2):
        thief = Browser(browser.app)
        thief.jar[NAME] = guess
        assert thief.get("/").body == b"{}"


# ---- What it costs, and what Redis sees ----------------------------------------------------


def test_req_03_a_malformed_cookie_costs_nothing_and_is_counted(
    serve: Serve, store: Store, redis_server: RedisServer
) -> None:
    browser = serve(put)
    bad = ["", "x", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "!", "é" * 43, "A" * 9999]
    with redis_server.monitor() as seen:
        for value in bad:
            assert browser.get(HTTP_COOKIE=f"{NAME}={value}").body == b"{}"
    assert seen == []
    assert store.stats()["coatcheck_malformed_ids_total"] == len(bad)


def test_req_72_without_a_cookie_nothing_is_written_until_something_is_stored(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session) -> str:
        session.get("cart")
        session.pop("cart", None)
        list(session)
        return repr(session)

    browser = serve(view)
    with redis_server.monitor() as seen:
        response = browser.get()
    assert seen == []
    assert response.cookies == []


def test_req_08_redis_never_sees_an_id(serve: Serve, redis_server: RedisServer) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            return logged_in_elsewhere(session)
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view)
    ids = set()
    dumps = []
    with redis_server.monitor() as seen:
        for path in ("/a/1", "/a/2", "/", "/login", "/a/3"):
            browser.get(path)
            ids.add(browser.jar[NAME])
            dumps += [redis_server.cli("GET", key) for key in redis_server.records()]
        browser.get("/logout")
    assert len(ids) == 2
    everything = repr(seen) + repr(dumps)
    for session_id in ids:
        assert session_id not in everything
        assert session_id[:16] not in everything and session_id[-16:] not in everything


# ---- The session ended, or its id was replaced, meanwhile -----------------------------------


class Slow:
    """A view of which one request waits, after it has read its session, until it may go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, session: Session, path: str) -> Any:
        if path == "/slow":
            session.get("color")
            self.reached.set()
            assert self.go_on.wait(10)
            session["late"] = True
        if path == "/logout":
            session.destroy()
        if path == "/login":
            logged_in_elsewhere(session)
        return put(session, path) if path.startswith("/color") else dict(session)

    __code__ = __call__.__code__


def overtaken(browser: Browser, view: Slow, by: str) -> Any:
    """The response to a slow request that another, quick one overtakes."""
    slow = Browser(browser.app)
    slow.jar = dict(browser.jar)
    answer = in_thread(lambda: slow.get("/slow"))
    assert view.reached.wait(10)
    browser.get(by)
    view.go_on.set()
    return answer()


def test_req_24_a_logout_is_not_undone_by_a_slower_request(
    serve: Serve, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    view = Slow()
    app = application(lambda session, path: view(session, path))
    browser = serve(view, app=app)
    browser.get("/color/red")
    with caplog.at_level(logging.INFO, "coatcheck"):
        response = overtaken(browser, view, "/logout")
    assert response.status == 200
    assert response.cookies == []
    assert redis_server.keys() == []
    assert "dropped" in caplog.text


@pytest.mark.parametrize("on_gone", ["drop", "error"])
def test_a_slow_request_of_a_session_that_ended_leaves_the_cookie_of_a_new_login(
    serve: Serve, on_gone: str
) -> None:
    view = Slow()
    app = application(lambda session, path: view(session, path))
    browser = serve(view, app=app, on_gone=on_gone)
    browser.get("/color/red")
    slow = Browser(browser.app)
    slow.jar = dict(browser.jar)
    late = in_thread(lambda: slow.get("/slow"))
    assert view.reached.wait(10)
    browser.get("/logout")
    browser.get("/login")
    browser.get("/color/new")
    view.go_on.set()
    response = late()
    assert response.status == (200 if on_gone == "drop" else 409)
    assert response.cookies == []
    assert browser.get("/").body == b"{'color': 'new'}"


def test_on_gone_error_answers_409(serve: Serve, redis_server: RedisServer) -> None:
    view = Slow()
    app = application(lambda session, path: view(session, path))
    browser = serve(view, app=app, on_gone="error")
    browser.get("/color/red")
    response = overtaken(browser, view, "/logout")
    assert response.status == 409
    assert response.cookies == []
    assert response["Cache-Control"] == "no-store"
    assert redis_server.keys() == []


@pytest.mark.parametrize("on_gone", ["drop", "error"])
def test_an_id_replaced_meanwhile_drops_the_write_and_sets_no_cookie(
    serve: Serve, on_gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    view = Slow()
    app = application(lambda session, path: view(session, path))
    browser = serve(view, app=app, on_gone=on_gone)
    browser.get("/color/red")
    with caplog.at_level(logging.INFO, "coatcheck"):
        response = overtaken(browser, view, "/login")
    assert response.status == 200
    assert response.cookies == []
    assert "dropped" in caplog.text
    assert browser.get("/").body == b"{'color': 'red'}"


def test_an_id_replaced_before_is_an_empty_session_that_sets_no_cookie(serve: Serve) -> None:
    view = Slow()
    app = application(lambda session, path: view(session, path))
    browser = serve(view, app=app)
    browser.get("/color/red")
    late = Browser(browser.app)
    late.jar = dict(browser.jar)
    browser.get("/login")
    response = late.get("/color/blue")
    assert response.status == 200
    assert response.cookies == []
    assert browser.get("/").body == b"{'color': 'red'}"


def test_a_login_with_an_id_replaced_before_begins_a_session_of_its_own(serve: Serve) -> None:
    view = Slow()
    app = application(lambda session, path: view(session, path))
    browser = serve(view, app=app)
    browser.get("/color/red")
    late = Browser(browser.app)
    late.jar = dict(browser.jar)
    browser.get("/login")
    response = late.get("/login")
    assert response["Set-Cookie"] == Cookie().set(late.jar[NAME])
    assert late.get("/").body == b"{}"
    assert browser.get("/").body == b"{'color': 'red'}"


def test_a_cookie_of_our_name_by_the_application_goes_with_a_replaced_id(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            return logged_in_elsewhere(session)
        return "200 OK", put(session, path), [("Set-Cookie", f"{NAME}=mine"), ("Set-Cookie", "a=b")]

    browser = serve(view)
    browser.get("/color/red")
    jar = {NAME: browser.jar[NAME]}
    late = Browser(browser.app)
    late.jar = jar
    browser.get("/login")
    assert late.get("/color/blue").cookies == ["a=b"]


def test_a_cookie_of_our_name_by_the_application_goes_with_an_id_replaced_meanwhile(
    serve: Serve,
) -> None:
    view = Slow()

    def setting(session: Session, path: str) -> Any:
        return "200 OK", view(session, path), [("Set-Cookie", f"{NAME}=mine")]

    browser = serve(setting)
    browser.get("/color/red")
    assert overtaken(browser, view, "/login").cookies == []


# ---- The store cannot be used ---------------------------------------------------------------


def test_req_69_a_store_that_is_down_is_a_503_and_never_a_new_session(
    serve: Serve, redis_server: RedisServer
) -> None:
    browser = serve(put)
    browser.get("/color/red")
    redis_server.stop()
    response = browser.get("/")
    assert response.status == 503
    assert response["Retry-After"] == "5"
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Length"] == str(len(response.body))
    assert response.cookies == []


def test_req_44_a_server_that_goes_during_the_request_is_a_503_and_not_a_page_that_lies(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session, path: str) -> Any:
        session["count"] = session.get("count", 0) + 1
        if path == "/cut":
            redis_server.stop()
        return "saved"

    browser = serve(view)
    assert browser.get("/").body == b"saved"
    response = browser.get("/cut")
    assert response.status == 503
    assert b"saved" not in response.body
    assert response.cookies == []


def test_a_server_that_stands_still_is_a_503_within_the_timeout(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", timeout=0.2) as store:
        browser = Browser(SessionMiddleware(application(put), store))
        browser.get("/color/red")
        redis_server.pause()
        assert browser.get("/").status == 503
        redis_server.resume()
        assert browser.get("/").body == b"{'color': 'red'}"


def test_a_server_that_comes_back_is_used_again_and_both_are_logged_once(
    serve: Serve, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    browser = serve(put)
    browser.get("/color/red")
    redis_server.stop()
    with caplog.at_level(logging.WARNING, "coatcheck"):
        for _ in range(3):
            assert browser.get("/").status == 503
        redis_server.start()
        wait_for(lambda: browser.get("/color/blue").status == 200, "the store")
        browser.get("/color/green")
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    said = [text for text in said if text.startswith("session store")]
    assert said == ["session store unavailable", "session store available again"]
    assert browser.jar[NAME] not in caplog.text


def test_a_visitor_without_a_session_does_not_tell_that_the_store_is_back(
    serve: Serve, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    browser = serve(put)
    browser.get("/color/red")
    redis_server.stop()
    with caplog.at_level(logging.WARNING, "coatcheck"):
        browser.get("/")
        assert Browser(browser.app).get("/").status == 200
    # The first is about the server, and said by the library.
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_on_unavailable_raise(serve: Serve, redis_server: RedisServer) -> None:
    browser = serve(put, on_unavailable="raise")
    browser.get("/color/red")
    redis_server.stop()
    with pytest.raises(StoreUnavailable):
        browser.get("/")


def test_on_unavailable_anonymous_is_empty_and_read_only(
    serve: Serve, redis_server: RedisServer
) -> None:
    browser = serve(put, on_unavailable="anonymous")
    browser.get("/color/red")
    redis_server.stop()
    response = browser.get("/")
    assert (response.status, response.body) == (200, b"{}")
    assert response.cookies == []
    assert response["Cache-Control"] == "no-store"
    assert browser.get("/color/blue").status == 503


def test_on_unavailable_may_be_an_application(serve: Serve, redis_server: RedisServer) -> None:
    def sorry(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [type(environ["coatcheck.error"]).__mro__[-4].__name__.encode()]

    browser = serve(put, on_unavailable=sorry)
    browser.get("/color/red")
    redis_server.stop()
    response = browser.get("/")
    assert (response.status, response.body) == (503, b"Error")


def test_a_500_that_a_framework_made_of_a_store_failure_becomes_the_503(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session, path: str) -> Any:
        try:
            return put(session, path)
        except StoreUnavailable:
            return "500 Internal Server Error", "oops"

    browser = serve(view)
    browser.get("/color/red")
    redis_server.stop()
    assert browser.get("/").status == 503


def test_a_page_that_does_without_the_store_goes_out(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session, path: str) -> Any:
        try:
            return put(session, path)
        except StoreUnavailable:
            return "a page for everybody"

    browser = serve(view)
    browser.get("/color/red")
    redis_server.stop()
    response = browser.get("/")
    assert (response.status, response.body) == (200, b"a page for everybody")
    assert response.cookies == []
    assert (response["Vary"], response["Cache-Control"]) == ("Cookie", "no-store")


def test_req_70_a_logout_that_could_not_reach_redis_says_so(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session, path: str) -> Any:
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    redis_server.stop()
    response = browser.get("/logout")
    assert response.status == 503
    assert response.cookies == []


def test_a_wrong_password_is_no_503(redis_server: RedisServer) -> None:
    redis_server.cli("CONFIG", "SET", "requirepass", "sesame")
    try:
        browser = Browser(
            SessionMiddleware(
                application(put), redis_server.url, prefix="test:", password="open", timeout=0.3
            )
        )
        with pytest.raises(StoreDenied) as caught:
            browser.get("/color/red")
        assert "open" not in str(caught.value)
    finally:
        redis_server.cli("CONFIG", "SET", "requirepass", "")


# ---- Records that cannot be used ------------------------------------------------------------


def spoil(redis_server: RedisServer, change: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    (key,) = redis_server.records()
    spoiled = change(redis_server.cli("GET", key))
    redis_server.cli("SET", key, spoiled, "KEEPTTL")
    return key, spoiled


@pytest.mark.parametrize(
    "change",
    [
        lambda record: b"not ours",
        lambda record: b"",
        lambda record: record[:-1],
        lambda record: record + b"\xc0",
        lambda record: record[:130] + b"\xc1" * (len(record) - 130),
    ],
)
def test_a_corrupt_record_is_left_alone_and_a_new_session_begins(
    serve: Serve,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[bytes], bytes],
) -> None:
    browser = serve(put)
    browser.get("/color/" + "red" * 10)
    old = browser.jar[NAME]
    key, spoiled = spoil(redis_server, change)
    with caplog.at_level(logging.ERROR, "coatcheck"):
        assert browser.get("/").body == b"{}"
    assert "left alone" in caplog.text and old not in caplog.text
    assert browser.jar[NAME] == old
    browser.get("/color/blue")
    assert browser.jar[NAME] != old
    assert redis_server.cli("GET", key) == spoiled


def test_a_foreign_kind_of_key_is_corrupt_and_left_alone(
    serve: Serve, redis_server: RedisServer
) -> None:
    browser = serve(put)
    browser.get("/color/red")
    (key,) = redis_server.records()
    redis_server.cli("DEL", key)
    redis_server.cli("LPUSH", key, "mine")
    assert browser.get("/").body == b"{}"
    assert redis_server.cli("LRANGE", key, 0, -1) == [b"mine"]


def test_on_corrupt_raise(serve: Serve, redis_server: RedisServer) -> None:
    browser = serve(put, on_corrupt="raise")
    browser.get("/color/red")
    spoil(redis_server, lambda record: record[:-1])
    with pytest.raises(Corrupt):
        browser.get("/")


@pytest.mark.parametrize("settings", [{}, {"on_corrupt": "raise"}, {"on_unavailable": "anonymous"}])
def test_a_record_of_a_newer_format_is_a_503_and_never_a_new_session(
    serve: Serve, redis_server: RedisServer, settings: dict[str, Any]
) -> None:
    browser = serve(put, **settings)
    browser.get("/color/red")
    key, spoiled = spoil(redis_server, lambda record: record[:1] + b"\x02" + record[2:])
    response = browser.get("/color/blue")
    assert response.status == 503
    assert response.cookies == []
    assert redis_server.cli("GET", key) == spoiled


# ---- Two cookies ----------------------------------------------------------------------------


def test_req_37_of_two_cookies_neither_is_trusted_and_both_are_expired(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/color/red")
    twins = f"{NAME}={browser.jar[NAME]}; {NAME}={'A' * 43}"
    response = browser.get("/", HTTP_COOKIE=twins)
    assert response.body == b"{}"
    assert response.cookies == Cookie().clear_twins("shop.example.com")
    assert response["Cache-Control"] == "no-store"
    assert response["Vary"] == "Cookie"


def test_req_37_twins_are_expired_though_nobody_looked_at_the_session(serve: Serve) -> None:
    browser = serve(lambda session: "")
    response = browser.get(HTTP_COOKIE=f"{NAME}=a; {NAME}=b")
    assert response.cookies == Cookie().clear_twins("shop.example.com")


def test_req_37_a_logout_with_twins_expires_each_variant_once(serve: Serve) -> None:
    browser = serve(lambda session: session.destroy())
    response = browser.get(HTTP_COOKIE=f"{NAME}=a; {NAME}=b")
    assert response.cookies == Cookie().clear_twins("shop.example.com")


def test_req_37_a_new_session_comes_after_the_expired_twins(serve: Serve) -> None:
    cookie = Cookie("s")
    browser = serve(put, cookie=cookie)
    response = browser.get("/color/red", HTTP_COOKIE="s=a; s=b")
    assert response.cookies == [
        *cookie.clear_twins("shop.example.com"),
        cookie.set(browser.jar["s"]),
    ]
    assert browser.get("/").body == b"{'color': 'red'}"


# ---- What the response carries --------------------------------------------------------------


def test_an_untouched_session_adds_nothing(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        return put(session, path) if path != "/untouched" else ""

    browser = serve(view)
    browser.get("/color/red")
    response = browser.get("/untouched")
    assert response.headers == [("Content-Type", "text/plain; charset=utf-8")]


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        ([], ["Cookie"]),
        (["Accept"], ["Accept, Cookie"]),
        (["Accept", "Origin"], ["Accept, Origin, Cookie"]),
        (["Accept, cookie"], ["Accept, cookie"]),
        (["*"], ["*"]),
    ],
)
def test_req_43_vary_by_cookie_where_the_session_was_looked_at(
    serve: Serve, own: list[str], sent: list[str]
) -> None:
    browser = serve(lambda session: ("200 OK", len(session), [("vary", value) for value in own]))
    assert browser.get().all("Vary") == sent


@pytest.mark.parametrize(
    ("path", "own", "sent"),
    [
        ("/read", None, "private"),
        ("/read", "public, max-age=60", "public, max-age=60"),
        ("/read", "no-store", "no-store"),
        ("/new", None, "no-store"),
        ("/new", "public, max-age=60", "no-store"),
        ("/new", "private, No-Store", "private, No-Store"),
        ("/logged-in", None, "no-store"),
        ("/logged-in", "public", "no-store"),
        ("/logout", "public", "no-store"),
    ],
)
def test_req_43_cache_control(serve: Serve, path: str, own: str | None, sent: str) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            return logged_in_elsewhere(session)
        if path == "/new":
            session["a"] = 1
        if path == "/logout":
            session.destroy()
        return "200 OK", len(session), [("Cache-Control", own)] if own else []

    browser = serve(view)
    if path in ("/logged-in", "/logout"):
        browser.get("/login")
    assert browser.get(path)["Cache-Control"] == sent


def test_cache_control_none_leaves_it_to_the_application(serve: Serve) -> None:
    browser = serve(put, cache_control=None)
    assert browser.get("/a/1")["Cache-Control"] is None


def test_req_39_one_cookie_of_our_name_whatever_the_application_sets(serve: Serve) -> None:
    def view(session: Session) -> Any:
        session["a"] = 1
        return "200 OK", "", [("set-cookie", f"{NAME}=x"), ("Set-Cookie", f"{NAME}2=y")]

    browser = serve(view)
    assert browser.get().cookies == [f"{NAME}2=y", Cookie().set(browser.jar[NAME])]


def test_a_secure_cookie_over_plain_http_gives_advice_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    browser = serve(put, https=False)
    with caplog.at_level(logging.WARNING, "coatcheck"):
        for _ in range(2):
            browser.jar.clear()
            browser.get("/a/1")
    assert [record.getMessage().count("Cookie(secure=False)") for record in caplog.records] == [1]


def test_a_cookie_for_plain_http_gives_no_advice(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    browser = serve(put, https=False, cookie=Cookie(secure=False))
    with caplog.at_level(logging.WARNING, "coatcheck"):
        browser.get("/a/1")
    assert list(browser.jar) == ["session"]
    assert caplog.records == []


def test_the_settings_of_the_cookie_are_obeyed(serve: Serve) -> None:
    cookie = Cookie("s", domain="example.com", max_age=60)
    browser = serve(put, cookie=cookie)
    assert browser.get("/a/1")["Set-Cookie"] == cookie.set(browser.jar["s"])


def test_a_304_carries_the_new_cookie(serve: Serve) -> None:
    def view(session: Session) -> Any:
        session["a"] = 1
        return "304 Not Modified", ""

    response = serve(view).get()
    assert response.status == 304
    assert len(response.cookies) == 1


def test_head_saves_as_get_does(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "9")])
        return []

    browser = serve(None, app=app)
    response = browser.get(method="HEAD")
    assert response.body == b"" and len(response.cookies) == 1


def test_a_503_to_head_has_no_body(serve: Serve, redis_server: RedisServer) -> None:
    browser = serve(put)
    browser.get("/color/red")
    redis_server.stop()
    response = browser.get("/", method="HEAD")
    assert (response.status, response.body) == (503, b"")


def test_the_environ_key_is_a_setting(store: Store) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [repr("coatcheck.session" in environ).encode(), str(len(environ["s"])).encode()]

    assert Browser(SessionMiddleware(app, store, environ_key="s")).get().body == b"False0"


# ---- Errors of the application --------------------------------------------------------------


class Oops(Exception):
    pass


def failing(session: Session, path: str) -> Any:
    """/raise and /500 change the session and fail, /raise/login and /500/login log in and fail."""
    kind, *what = path.strip("/").split("/")
    if kind not in ("raise", "500"):
        return put(session, path)
    session["color"] = "changed"
    if what == ["login"]:
        session.login("user:1", carry="all")
    if what == ["destroy"]:
        session.destroy()
    if kind == "raise":
        raise Oops
    return "500 Internal Server Error", "oops"


def visit_failing(browser: Browser, path: str) -> Any:
    try:
        return browser.get(path)
    except Oops:
        return None


@pytest.mark.parametrize("path", ["/raise", "/500", "/raise/login", "/500/login"])
def test_nothing_is_saved_where_the_view_failed(serve: Serve, path: str) -> None:
    browser = serve(failing)
    browser.get("/color/red")
    jar = dict(browser.jar)
    visit_failing(browser, path)
    assert browser.jar == jar
    assert browser.get("/").body == b"{'color': 'red'}"


@pytest.mark.parametrize("path", ["/raise", "/500"])
def test_save_on_error_saves_where_the_view_failed(serve: Serve, path: str) -> None:
    browser = serve(failing, save_on_error=True)
    browser.get("/color/red")
    visit_failing(browser, path)
    assert browser.get("/").body == b"{'color': 'changed'}"


def test_save_on_error_after_a_login_that_raised_keeps_the_id_that_the_browser_has(
    serve: Serve,
) -> None:
    browser = serve(failing, save_on_error=True)
    browser.get("/color/red")
    visit_failing(browser, "/raise/login")
    assert browser.get("/").body == b"{'color': 'red'}"


def test_save_on_error_after_a_login_that_answered_500_sends_the_new_id(serve: Serve) -> None:
    browser = serve(failing, save_on_error=True)
    browser.get("/color/red")
    jar = dict(browser.jar)
    visit_failing(browser, "/500/login")
    assert browser.jar != jar
    assert browser.get("/").body == b"{'color': 'changed'}"


def test_what_destroy_did_stands_though_the_view_failed(
    serve: Serve, redis_server: RedisServer
) -> None:
    browser = serve(failing)
    browser.get("/color/red")
    response = browser.get("/500/destroy")
    assert redis_server.keys() == []
    assert response["Set-Cookie"] == Cookie().clear()


def test_an_unstorable_value_is_refused_on_its_line_with_its_path(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path != "/bad":
            return put(session, path)
        with pytest.raises(NotStorable) as caught:
            session["color"] = ["red", {"by": Oops()}]
        assert caught.value.path == "session['color'][1]['by']"
        assert caught.value.type.endswith("test_wsgi.Oops")
        return dict(session)

    browser = serve(view)
    browser.get("/color/red")
    assert browser.get("/bad").body == b"{'color': 'red'}"


def a_cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize(
    ("value", "exception"),
    [
        (lambda: Oops(), NotStorable),
        (a_cycle, LimitExceeded),
        (lambda: "x" * (1 << 20), LimitExceeded),
        (lambda: [None] * 262144, LimitExceeded),
    ],
)
def test_a_value_refused_at_the_commit_raises_before_the_headers_and_loses_nothing(
    serve: Serve, value: Callable[[], Any], exception: type[Exception]
) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/begin":
            session["cart"] = ["tea"]
        if path == "/bad":
            session["other"] = 1
            session["cart"].append(value())
        return dict(session) if path != "/bad" else "never seen"

    browser = serve(view)
    browser.get("/begin")
    with pytest.raises(exception, match=r"^session"):
        browser.get("/bad")
    assert browser.get("/").body == b"{'cart': ['tea']}"


@pytest.mark.parametrize(
    ("exception", "status"),
    [
        (StoreUnavailable, 503),
        (StoreTimeout, 503),
        (ForeignReply, 503),
        (Uncertain, 503),
        (Busy, 503),
        (LockLost, 503),
        (UnknownFormat, 503),
        (TooManySessions, 409),
        (Conflict, 409),
    ],
)
@pytest.mark.parametrize("place", ["commit", "view"])
def test_every_failure_of_a_save_has_its_answer(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    exception: type[Exception],
    status: int,
    place: str,
) -> None:
    def fail(session: Session) -> None:
        raise exception("told so")

    def view(session: Session) -> Any:
        session["a"] = 1
        if place == "view":
            session.save()
        return "fine"

    monkeypatch.setattr(Session, "save", fail)
    response = serve(view).get()
    assert response.status == status
    assert response["Cache-Control"] == "no-store"
    assert (response["Retry-After"] is not None) == (status == 503)
    assert response.cookies == []


@pytest.mark.parametrize("exception", [Corrupt, LimitExceeded, StoreDenied, NotStorable])
@pytest.mark.parametrize("place", ["commit", "view"])
def test_other_failures_are_the_servers_to_answer_and_no_headers_have_left(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, exception: type[Exception], place: str
) -> None:
    def fail(session: Session) -> None:
        raise exception("told so")

    def view(session: Session) -> Any:
        session["a"] = 1
        if place == "view":
            session.save()
        return "fine"

    monkeypatch.setattr(Session, "save", fail)
    with pytest.raises(exception, match="told so"):
        serve(view).get()


def test_a_record_that_is_damaged_before_the_save_is_left_alone(
    serve: Serve, redis_server: RedisServer
) -> None:
    found: list[tuple[bytes, bytes]] = []

    def view(session: Session, path: str) -> Any:
        body = put(session, path)
        if path == "/color/blue":
            found.append(spoil(redis_server, lambda record: b"not ours"))
        return body

    browser = serve(view)
    browser.get("/color/red")
    with pytest.raises(Corrupt):
        browser.get("/color/blue")
    ((key, spoiled),) = found
    assert redis_server.cli("GET", key) == spoiled


def test_a_limit_that_two_requests_reach_together_fails_the_later_one(
    redis_server: RedisServer,
) -> None:
    store = Store(redis_server.url, prefix="test:", max_bytes=1000)

    def view(session: Session, path: str) -> Any:
        session[path] = "x" * 600
        if path == "/late":
            other = store.load(browser.jar[NAME])
            assert other is not None
            other["other"] = "x" * 600
            other.save()
        return "never seen" if path == "/late" else "fine"

    browser = Browser(SessionMiddleware(application(put), store))
    browser.get("/color/red")
    browser.app = SessionMiddleware(application(view), store)
    with pytest.raises(LimitExceeded):
        browser.get("/late")
    after = store.load(browser.jar[NAME])
    assert after is not None and list(after) == ["color", "other"]


def test_a_view_that_saves_a_session_that_ended_is_a_409_unless_it_handles_it(
    serve: Serve, store: Store
) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/late":
            session["color"] = "blue"
            store.destroy(browser.jar[NAME])
            session.save()
        return put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    response = browser.get("/late")
    assert response.status == 409
    assert response.cookies == []


def logging_out(session: Session, path: str) -> Any:
    """Logs out: /logout at once, /logout-and-goodbye with something to store afterwards,
    /look-and-logout after the session was looked at."""
    if path == "/login":
        return logged_in_elsewhere(session)
    if path == "/look-and-logout":
        session.get("color")
    if "logout" not in path:
        return put(session, path)
    ended = session.destroy()
    if path == "/logout-and-goodbye":
        session["goodbye"] = "Ada"
    return ended


@pytest.mark.parametrize(
    ("path", "status"), [("/logout", 200), ("/logout-and-goodbye", 200), ("/look-and-logout", 409)]
)
def test_a_logout_by_an_id_replaced_before_ends_nothing_and_sets_no_cookie(
    serve: Serve, path: str, status: int
) -> None:
    browser = serve(logging_out)
    browser.get("/color/red")
    late = Browser(browser.app)
    late.jar = dict(browser.jar)
    browser.get("/login")
    response = late.get(path)
    assert response.status == status
    assert response.cookies == []
    assert browser.get("/").body == b"{'color': 'red'}"


def test_two_requests_that_change_one_field_are_a_409_where_the_store_is_told_to_raise(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    view = Slow()

    def both(session: Session, path: str) -> Any:
        result = view(session, path)
        if path == "/quick":
            session["late"] = "quick"
        return result

    with Store(redis_server.url, prefix="test:", on_conflict="raise") as store:
        browser = Browser(SessionMiddleware(application(both), store))
        browser.get("/color/red")
        with caplog.at_level(logging.INFO, "coatcheck"):
            response = overtaken(browser, view, "/quick")
        assert response.status == 409
        assert b"late" not in response.body and "['late']" in caplog.text
        assert browser.get("/").body == b"{'color': 'red', 'late': 'quick'}"


# ---- The ways to answer ---------------------------------------------------------------------


class Body:
    """The body of a response as an iterator, which notes that it was closed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        self.closed += 1


def streaming(chunks: Callable[[Session], Iterator[bytes]]) -> tuple[Any, list[Body]]:
    bodies: list[Body] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        session = environ["coatcheck.session"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] != "/stream":
            return [put(session, environ["PATH_INFO"]).encode()]
        bodies.append(Body(chunks(session)))
        return bodies[-1]

    return app, bodies


def test_what_changes_before_the_first_chunk_is_in_the_headers(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b""
        session["color"] = "red"
        yield b"one"
        yield b"two"

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    response = browser.get("/stream")
    assert response.body == b"onetwo"
    assert len(response.cookies) == 1
    assert browser.get("/").body == b"{'color': 'red'}"
    assert bodies[0].closed == 1


def test_a_body_without_chunks_is_committed_at_its_end(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "red"
        yield b""

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    assert len(browser.get("/stream").cookies) == 1


def test_what_changes_while_the_body_is_sent_is_saved_at_its_end(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        session["size"] = 7
        yield b"two"
        session["size"] = 8

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    browser.get("/stream")
    assert browser.get("/").body == b"{'color': 'blue', 'size': 8}"


def test_what_was_changed_until_the_client_hung_up_is_saved(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        session["color"] = "blue"
        yield b"two"
        session["color"] = "green"
        yield b"three"

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    body = browser.app(browser.environ("/stream"), lambda *args: None)
    it = iter(body)
    assert [next(it), next(it)] == [b"one", b"two"]
    body.close()
    assert bodies[0].closed == 1
    assert browser.get("/").body == b"{'color': 'blue'}"


@pytest.mark.parametrize("failure", [ValueError, SystemExit])
@pytest.mark.parametrize("close_fails", [False, True])
def test_what_a_body_changed_before_it_failed_is_not_saved(
    serve: Serve, failure: type[BaseException], close_fails: bool
) -> None:
    class Failing:
        def __init__(self, session: Session) -> None:
            self.session = session

        def __iter__(self) -> Iterator[bytes]:
            yield b"one"
            self.session["color"] = "blue"
            raise failure

        def close(self) -> None:
            if close_fails:
                raise RuntimeError

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/fail":
            return application(put)(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Failing(environ["coatcheck.session"])

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    browser.get("/color/red")
    with pytest.raises((failure, RuntimeError)):
        browser.get("/fail")
    assert browser.get("/").body == b"{'color': 'red'}"


def test_a_body_that_nobody_asks_for_is_closed_and_saves_nothing(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["coatcheck.session"]["color"] = "red"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    body = Body(iter([b"one"]))
    browser = Browser(SessionMiddleware(app, serve(None, app=app).app.store))
    browser.app(browser.environ(), lambda *args: None).close()
    assert body.closed == 1


@pytest.mark.parametrize(
    ("late", "text"),
    [
        (lambda session: session.login("user:1", carry="all"), "login after"),
        (lambda session: session.rotate(), "rotate after"),
        (lambda session: session.save(), "save after"),
        (lambda session: None, "save after"),
    ],
)
def test_what_needs_a_new_cookie_after_the_headers_left_raises(
    serve: Serve, late: Callable[[Session], Any], text: str
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        session["color"] = "red"
        late(session)
        yield b"two"

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    with pytest.raises(RuntimeError, match=text):
        browser.get("/stream")
    assert bodies[0].closed == 1
    assert browser.get("/").body == b"{}"


def test_a_new_session_that_nothing_was_stored_in_may_be_saved_late(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        assert session.get("color") is None
        assert session.save() is None

    app, _ = streaming(chunks)
    assert serve(None, app=app).get("/stream").body == b"one"


@pytest.mark.parametrize("begin", ["/color/red", "/"])
def test_a_login_that_a_500_did_not_save_cannot_be_saved_late(serve: Serve, begin: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        session, path = environ["coatcheck.session"], environ["PATH_INFO"]
        if path != "/500":
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield put(session, path).encode()
            return
        session.login("user:1", carry="all")
        start_response("500 Oops", [("Content-Type", "text/plain")])
        yield b"oops"
        with pytest.raises(RuntimeError, match="save after"):
            session.save()

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    before = browser.get(begin).body
    jar = dict(browser.jar)
    browser.get("/500")
    assert browser.jar == jar
    assert browser.get("/").body == before


def test_a_late_save_that_fails_does_so_before_the_body_has_ended(
    serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        session["color"] = "green"
        monkeypatch.setattr(Session, "save", fail)

    def fail(session: Session) -> None:
        raise StoreUnavailable("told so")

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    body = browser.app(browser.environ("/stream"), lambda *args: None)
    it = iter(body)
    assert next(it) == b"one"
    with pytest.raises(StoreUnavailable):
        next(it)
    body.close()


def test_a_body_that_fails_half_way_saves_nothing_more(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        session["color"] = "blue"
        raise Oops

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    with pytest.raises(Oops):
        browser.get("/stream")
    assert bodies[0].closed == 1
    assert browser.get("/").body == b"{'color': 'red'}"


def test_a_body_whose_late_changes_cannot_be_saved_is_cut_off(
    serve: Serve, redis_server: RedisServer
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        session["color"] = "green"
        redis_server.stop()

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    with pytest.raises(StoreUnavailable):
        browser.get("/stream")


def test_late_changes_of_a_session_that_ended_are_dropped(serve: Serve, store: Store) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        store.destroy(browser.jar[NAME])
        session["color"] = "green"

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    assert browser.get("/stream").body == b"one"
    assert browser.get("/").body == b"{}"


def test_a_stream_whose_session_cannot_be_loaded_is_a_503(
    serve: Serve, redis_server: RedisServer
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield session["color"].encode()

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    redis_server.stop()
    assert browser.get("/stream").status == 503
    assert bodies[0].closed == 1


def test_a_generator_that_calls_start_response_itself(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"one"

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    response = browser.get()
    assert response.body == b"one" and len(response.cookies) == 1


def test_write_commits_with_the_first_call(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        session = environ["coatcheck.session"]
        session["color"] = "red"
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one")
        with pytest.raises(RuntimeError):
            session.rotate()
        write(b"two")
        return [b"three"]

    browser = serve(None, app=app)
    response = browser.get()
    assert response.body == b"onetwothree"
    assert len(response.cookies) == 1


def test_what_was_changed_after_write_is_saved_also_where_a_list_follows(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        session = environ["coatcheck.session"]
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/first":
            session["color"] = "red"
        write(str(dict(session)).encode())
        session["color"] = "blue"
        return [b""]

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    browser.get("/first")
    assert browser.get().body == b"{'color': 'blue'}"
    browser.jar.clear()
    with pytest.raises(RuntimeError, match="save after the response headers left"):
        browser.get()


@pytest.mark.parametrize("swallow", [False, True])
def test_write_after_a_failed_commit_sends_nothing_but_the_503(
    serve: Serve, redis_server: RedisServer, swallow: bool
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["coatcheck.session"]["path"] = environ["PATH_INFO"]
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/cut":
            redis_server.stop()
        try:
            write(b"saved")
        except StoreUnavailable:
            if not swallow:
                raise
            redis_server.start()
        return [b"saved"]

    browser = serve(None, app=app)
    browser.get()
    response = browser.get("/cut")
    assert response.status == 503
    assert b"saved" not in response.body


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_or_tuple_is_passed_through_as_it_is(store: Store, kind: type) -> None:
    body = kind([b"one", b"two"])

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    middleware = SessionMiddleware(app, store)
    assert middleware(Browser(app).environ(), lambda *args: None) is body


@pytest.mark.parametrize("wrap", [FileWrapper, lambda file, size=1: file])
def test_a_wrapped_file_is_passed_through_for_the_server_to_send(
    store: Store, wrap: Callable[..., Any]
) -> None:
    wrapped = []
    started = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        wrapped.append(environ["wsgi.file_wrapper"](io.BytesIO(b"file"), 4))
        return wrapped[0]

    environ = Browser(app).environ()
    environ["wsgi.file_wrapper"] = wrap
    body = SessionMiddleware(app, store)(environ, lambda *args: started.append(args))
    assert body is wrapped[0]
    assert "Set-Cookie" in dict(started[0][1])


@pytest.mark.parametrize("kind", ["list", "file", "generator"])
def test_a_server_can_ask_whether_the_body_is_of_its_class_for_files(
    store: Store, kind: str
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        if kind == "file":
            return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))
        return [b"text"] if kind == "list" else (chunk for chunk in [b"text"])

    environ = Browser(app).environ()
    environ["wsgi.file_wrapper"] = FileWrapper
    started: list[Any] = []
    body = SessionMiddleware(app, store)(environ, lambda *args: started.append(args))
    # As gunicorn does.
    assert isinstance(body, environ["wsgi.file_wrapper"]) == (kind == "file")
    assert b"".join(body) == (b"file" if kind == "file" else b"text")
    assert "Set-Cookie" in dict(started[0][1])


def test_a_wrapped_file_is_closed_where_the_503_goes_out_instead(
    store: Store, redis_server: RedisServer
) -> None:
    file = io.BytesIO(b"file")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        session = environ["coatcheck.session"]
        session["path"] = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/cut":
            redis_server.stop()
            return environ["wsgi.file_wrapper"](file)
        return [b""]

    browser = Browser(SessionMiddleware(app, store))
    browser.get("/")
    assert browser.get("/cut", **{"wsgi.file_wrapper": FileWrapper}).status == 503
    assert file.closed


def test_an_error_page_replaces_the_headers_that_wait(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            environ["coatcheck.session"]["a"] = Oops()
        except NotStorable:
            headers = [("Content-Type", "text/plain")]
            start_response("500 Internal Server Error", headers, sys.exc_info())
        return [b"oops"]

    response = serve(None, app=app).get()
    assert (response.status, response.body) == (500, b"oops")


def test_an_error_page_after_the_headers_is_left_to_the_server(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"one"
        try:
            raise Oops
        except Oops:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        yield b"never"

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    with pytest.raises(Oops):
        browser.get()


def test_start_response_twice_without_exc_info_is_an_error(store: Store) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    with pytest.raises(AssertionError, match="twice"):
        Browser(SessionMiddleware(app, store)).get()


def test_a_body_without_start_response_is_an_error(store: Store) -> None:
    with pytest.raises(AssertionError, match="without calling start_response"):
        Browser(SessionMiddleware(lambda environ, start: [b"x"], store)).get()


# ---- Threads --------------------------------------------------------------------------------


def test_requests_at_once_on_one_session_lose_no_field(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/begin/0")

    def visit(number: int) -> None:
        own = Browser(browser.app)
        own.jar = dict(browser.jar)
        for turn in range(10):
            assert own.get(f"/field{number}/{turn}").status == 200

    answers = [in_thread(lambda number=number: visit(number)) for number in range(8)]
    for answer in answers:
        answer()
    expected = {"begin": "0", **{f"field{n}": "9" for n in range(8)}}
    assert eval(browser.get("/").body) == expected


def test_browsers_at_once_keep_to_their_own_sessions(serve: Serve) -> None:
    app = serve(put).app

    def visit(number: int) -> None:
        own = Browser(app)
        for turn in range(20):
            own.get(f"/mine/{number}-{turn}")
            assert own.get("/").body == repr({"mine": f"{number}-{turn}"}).encode()

    for answer in [in_thread(lambda number=number: visit(number)) for number in range(8)]:
        answer()


# ---- Settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"on_corrupt": "ignore"}, "on_corrupt='ignore': must be 'new' or 'raise'"),
        ({"on_unavailable": "500"}, "on_unavailable='500'"),
        ({"on_unavailable": "a callable"}, "or a callable"),
        ({"on_gone": "raise"}, "on_gone='raise'"),
        ({"cache_control": "public"}, "cache_control='public'"),
        ({"cookie": "session"}, "give a coatcheck.Cookie"),
        ({"prefix": "a:", "idle": 5}, "prefix, idle: options of a store that exists"),
    ],
)
def test_a_wrong_setting_is_a_config_error(
    store: Store, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        SessionMiddleware(application(put), store, **settings)


def test_a_url_with_options_makes_a_store(redis_server: RedisServer) -> None:
    middleware = SessionMiddleware(application(put), redis_server.url, prefix="a:", idle=60)
    browser = Browser(middleware)
    browser.get("/color/red")
    (key,) = redis_server.records()
    assert key.startswith(b"a:s:")
    assert 0 < redis_server.cli("TTL", key) <= 60


def test_the_environment_makes_a_store(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_PREFIX", "env:")
    Browser(SessionMiddleware(application(put))).get("/color/red")
    assert redis_server.records()[0].startswith(b"env:s:")


def test_a_wrong_option_is_a_config_error_when_the_middleware_is_made() -> None:
    with pytest.raises(ConfigError, match="prefix"):
        SessionMiddleware(application(put), "redis://localhost")


def test_a_middleware_without_an_application_is_told_so() -> None:
    with pytest.raises(ConfigError, match="the first argument is the WSGI application"):
        SessionMiddleware("redis://localhost", prefix="t:")  # type: ignore[arg-type]
