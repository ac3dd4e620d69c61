"""Under coatcheck.django.SessionMiddleware: a store that is away, records, and sessions that ended
meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django_site
import pytest
from conftest import Browser, RedisServer
from views import Slow, overtaken

django_site.set_up()

from coatcheck import StoreUnavailable  # noqa: E402
from coatcheck.django import SessionStore  # noqa: E402
from django.core.signals import got_request_exception  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import override_settings  # noqa: E402
from django_site import DJANGOS, NAME, OURS, REST, put, serve  # noqa: E402


@pytest.fixture(autouse=True)
def _ours(redis_server: RedisServer) -> Iterator[None]:
    with django_site.settings(redis_server.url, MIDDLEWARE=[OURS, *REST]):
        yield


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[None]:
    with override_settings(COATCHECK_URL=f"unix:{tmp_path}/none", COATCHECK_TIMEOUT=0.2):
        yield


def test_req_69_a_store_that_is_down_is_a_503_and_never_a_new_session(nowhere: None) -> None:
    browser = serve(put)
    browser.jar[NAME] = "A" * 43
    for path in ("/", "/color/red"):
        answer = browser.get(path)
        assert answer.status == 503 and answer.cookies == [] and answer["Retry-After"] == "5"
        assert answer["Cache-Control"] == "no-store"


def test_req_44_a_save_that_fails_is_a_503_and_not_a_page_that_lies(nowhere: None) -> None:
    answer = serve(put).get("/color/red")
    assert answer.status == 503 and answer.cookies == []


def test_a_store_that_comes_back_is_used_again(redis_server: RedisServer) -> None:
    browser = serve(put)
    browser.get("/color/red")
    redis_server.stop()
    assert browser.get().status == 503
    redis_server.start()
    answer = browser.get()
    while answer.status == 503:
        answer = browser.get()
    assert answer.body == b"{}"


def test_req_70_a_logout_that_could_not_reach_redis_says_so(nowhere: None) -> None:
    browser = serve(lambda request: request.session.flush())
    browser.jar[NAME] = "A" * 43
    answer = browser.get()
    assert answer.status == 503 and answer.cookies == []


def test_a_500_that_was_made_of_the_stores_failure_becomes_the_503(nowhere: None) -> None:
    def view(request: HttpRequest) -> Any:
        try:
            return put(request)
        except StoreUnavailable:
            return 500, "oops"

    browser = serve(view)
    browser.jar[NAME] = "A" * 43
    assert browser.get().status == 503


def test_unavailable_may_be_raised(nowhere: None) -> None:
    raised: list[Any] = []
    with override_settings(COATCHECK_ON_UNAVAILABLE="raise"):
        browser = serve(put)
        browser.jar[NAME] = "A" * 43

        def note(request: HttpRequest, **_: Any) -> None:
            import sys

            raised.append(sys.exc_info()[0])

        got_request_exception.connect(note)
        try:
            assert browser.get().status == 500
        finally:
            got_request_exception.disconnect(note)
    assert issubclass(raised[0], StoreUnavailable)


def test_unavailable_may_be_an_empty_session(nowhere: None) -> None:
    with override_settings(COATCHECK_ON_UNAVAILABLE="anonymous"):
        browser = serve(put)
        browser.jar[NAME] = "A" * 43
        answer = browser.get()
        assert answer.body == b"{}" and answer.cookies == []
        assert browser.get("/color/red").status == 503


def unavailable(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(f"{type(exception).__name__} at {request.path}", status=503)


@pytest.mark.parametrize("view", [unavailable, "test_django_failures.unavailable"])
def test_unavailable_may_be_a_view(nowhere: None, view: object) -> None:
    with override_settings(COATCHECK_ON_UNAVAILABLE=view):
        browser = serve(put)
        answer = browser.get("/color/red")
        assert answer.body == b"StoreUnavailable at /color/red"
        assert answer["Cache-Control"] == "no-store"
        browser.jar[NAME] = "A" * 43
        assert browser.get().body == b"StoreUnavailable at /"


def curious(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """A middleware that looks at the session on the way out."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        request.session.get("a")
        return response

    return middleware


def test_middleware_that_looks_once_more_does_not_make_a_500_of_it(nowhere: None) -> None:
    with override_settings(MIDDLEWARE=[OURS, "test_django_failures.curious"]):
        browser = serve(put)
        browser.jar[NAME] = "A" * 43
        assert browser.get().status == 503


answered: list[str] = []


def instead(request: HttpRequest, exception: Exception) -> HttpResponse:
    answered.append(request.path)
    return HttpResponse("a page for everybody")


def test_what_was_answered_instead_is_not_saved_once_more(nowhere: None) -> None:
    def view(request: HttpRequest) -> None:
        request.session["a"] = 1
        request.session.save()

    with override_settings(COATCHECK_ON_UNAVAILABLE="test_django_failures.instead"):
        answer = serve(view).get("/here")
    assert (answer.status, answer.body) == (200, b"a page for everybody")
    assert answered == ["/here"]


def test_a_conflict_is_a_409(redis_server: RedisServer) -> None:
    def view(request: HttpRequest) -> str:
        request.session["a"] = request.path
        if request.path != "/":
            other = SessionStore(browser.jar[NAME])
            other["a"] = f"not {request.path}"
            other.save()
        if request.path == "/saved_by_the_view":
            request.session.save()
        return ""

    with override_settings(COATCHECK_ON_CONFLICT="raise"):
        browser = serve(view)
        browser.get()
        assert browser.get("/overtaken").status == 409
        assert browser.get("/saved_by_the_view").status == 409


def test_what_cannot_be_stored_is_an_error_before_the_headers(redis_server: RedisServer) -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/bad":
            request.session["cart"].append(object())
        return repr(request.session.setdefault("cart", []))

    browser = serve(view)
    browser.get()
    answer = browser.get("/bad")
    assert answer.status == 500 and answer.cookies == [] and browser.get().body == b"[]"


@pytest.mark.parametrize("engine", [DJANGOS, OURS])
def test_a_corrupt_record_is_left_alone_and_a_new_session_begins(
    redis_server: RedisServer, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(MIDDLEWARE=[engine, *REST]):
        browser = serve(put)
        browser.get("/color/red")
        old = browser.jar[NAME]
        (key,) = redis_server.records()
        redis_server.cli("SET", key, b"\xc1", "PX", 100_000)
        assert browser.get().body == b"{}"
        browser.jar[NAME] = old
        browser.get("/color/blue")
        assert browser.jar[NAME] != old and redis_server.cli("GET", key) == b"\xc1"
    assert "left alone" in caplog.text and old not in caplog.text


def test_under_djangos_middleware_a_store_that_is_down_takes_no_cookie_away(nowhere: None) -> None:
    changed = {"MIDDLEWARE": [DJANGOS, *REST], "COATCHECK_ON_UNAVAILABLE": "anonymous"}
    with override_settings(**changed):
        browser = serve(put)
        browser.jar[NAME] = "A" * 43
        answer = browser.get()
        assert answer.status == 500 and answer.cookies == []


def test_closers_of_a_response_that_was_refused_are_called(nowhere: None) -> None:
    closed: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 1
        response = HttpResponse("")
        response._resource_closers.append(lambda: closed.append("closer"))
        return response

    assert serve(view).get().status == 503
    assert closed == ["closer"]


# ---- Ended meanwhile -----------------------------------------------------------------------------


def slow_browser(view: Slow) -> Browser:
    return serve(lambda request: view(request.session, request.path))


def test_req_24_a_logout_meanwhile_drops_the_write(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    view = Slow()
    browser = slow_browser(view)
    browser.get("/color/red")
    with caplog.at_level(logging.INFO, "coatcheck"):
        answer = overtaken(browser, view, "/logout")
    assert answer.status == 200 and answer.cookies == [] and redis_server.keys() == []
    assert "dropped" in caplog.text


def test_req_24_a_logout_meanwhile_may_interrupt(redis_server: RedisServer) -> None:
    with override_settings(COATCHECK_ON_GONE="error"):
        view = Slow()
        browser = slow_browser(view)
        browser.get("/color/red")
        answer = overtaken(browser, view, "/logout")
    assert answer.status == 400 and answer.cookies == [] and redis_server.keys() == []


@pytest.mark.parametrize("on_gone", ["drop", "error"])
def test_a_login_meanwhile_is_not_overwritten(on_gone: str) -> None:
    with override_settings(COATCHECK_ON_GONE=on_gone):
        view = Slow()
        browser = slow_browser(view)
        browser.get("/color/red")
        answer = overtaken(browser, view, "/login")
        assert answer.status == 200 and answer.cookies == []
        assert browser.get("/color").body == b"{'color': 'red'}"


def test_a_save_of_the_views_own_says_that_it_ended() -> None:
    def view(request: HttpRequest) -> str:
        request.session["a"] = request.path
        if request.path == "/overtaken":
            SessionStore(request.session.session_key).flush()
            request.session.save()
        return ""

    browser = serve(view)
    browser.get()
    assert browser.get("/overtaken").status == 400
