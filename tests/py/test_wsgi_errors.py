"""What is saved, and answered, where the application or its save fails."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from coatcheck import (
    Busy,
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
from conftest import Browser, RedisServer, application
from views import NAME, Oops, Serve, Slow, logged_in_elsewhere, overtaken, put, spoil

# ---- Errors of the application --------------------------------------------------------------


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
        assert caught.value.type.endswith("views.Oops")
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


# ---- What failed leaves nothing ------------------------------------------------------------


def unstorable(session: Session, path: str) -> Any:
    session["cart"] = []
    session["cart"].append(object())
    return "fine"


@pytest.mark.parametrize("path", ["/raise", "/500", "/color/red", "/unstorable"])
@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("cookie", [False, True])
def test_a_request_that_failed_leaves_nothing_for_the_collector_of_cycles(
    redis_server: RedisServer, tmp_path: Path, path: str, away: bool, cookie: bool
) -> None:
    kept: list[weakref.ref[Session]] = []

    def view(session: Session, path: str) -> Any:
        kept.append(weakref.ref(session))
        return (unstorable if path == "/unstorable" else failing)(session, path)

    url = f"unix:{tmp_path}/none" if away else redis_server.url
    with Store(url, prefix="test:", timeout=0.2) as store:
        browser = Browser(SessionMiddleware(application(view), store))
        gc.disable()
        try:
            for _ in range(3):
                if cookie:
                    browser.jar[NAME] = "A" * 43
                with suppress(Oops, NotStorable):
                    browser.get(path)
            assert [session() for session in kept] == [None] * 3
        finally:
            gc.enable()
