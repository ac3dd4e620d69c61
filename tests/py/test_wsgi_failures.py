"""What a request is answered where its session ended meanwhile, or the store cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from coatcheck import Cookie, Corrupt, Session, Store, StoreDenied, StoreUnavailable
from coatcheck.wsgi import SessionMiddleware
from conftest import Browser, RedisServer, application, in_thread, wait_for
from views import NAME, Serve, Slow, logged_in_elsewhere, overtaken, put, spoil

# ---- The session ended, or its id was replaced, meanwhile -----------------------------------


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


def test_that_application_finds_an_empty_session(serve: Serve, redis_server: RedisServer) -> None:
    def sorry(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [repr(dict(environ["coatcheck.session"])).encode()]

    def log_out(session: Any, path: str) -> Any:
        return put(session, path) if path != "/out" else session.destroy()

    browser = serve(log_out, on_unavailable=sorry)
    browser.get("/color/red")
    redis_server.stop()
    assert [browser.get(path).body for path in ("/", "/out")] == [b"{}", b"{}"]


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


@pytest.mark.parametrize("on_unavailable", ["503", "anonymous"])
@pytest.mark.parametrize("looks_first", [False, True])
def test_req_70_a_logout_that_could_not_reach_redis_says_so(
    serve: Serve, redis_server: RedisServer, on_unavailable: Any, looks_first: bool
) -> None:
    def view(session: Session, path: str) -> Any:
        if looks_first:
            len(session)
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view, on_unavailable=on_unavailable)
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
