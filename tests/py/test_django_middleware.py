"""coatcheck.django.SessionMiddleware: what it adds to an engine under Django's own."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django_site
import pytest
from conftest import Browser, RedisServer, in_thread
from views import Slow

django_site.set_up()

from coatcheck import ConfigError, Cookie, StoreUnavailable  # noqa: E402
from coatcheck.django import SessionMiddleware, SessionStore  # noqa: E402
from django.core.signals import got_request_exception  # noqa: E402
from django.http import (  # noqa: E402
    FileResponse,
    HttpRequest,
    HttpResponse,
    StreamingHttpResponse,
)
from django.test import override_settings  # noqa: E402
from django_site import DJANGOS, NAME, OURS, REST, serve  # noqa: E402

INSECURE = Cookie(NAME, secure=False)


@pytest.fixture(autouse=True)
def _ours(redis_server: RedisServer) -> Iterator[None]:
    with django_site.settings(redis_server.url, MIDDLEWARE=[OURS, *REST]):
        yield


def put(request: HttpRequest) -> str:
    """/name/value stores; /plain looks at nothing; any other path shows what is stored."""
    _, name, *value = request.path.split("/")
    if name == "plain":
        return "plain"
    if value:
        request.session[name] = value[0]
    return repr(dict(request.session))


def attributes(cookie: str) -> set[str]:
    return set(cookie.replace("Expires=", "expires=").split("; "))


# ---- The cookie ----------------------------------------------------------------------------------


def test_req_42_the_cookie_is_as_the_settings_say() -> None:
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True):
        browser = serve(put)
        (cookie,) = browser.get("/color/red").cookies
        assert attributes(cookie) == attributes(INSECURE.set(browser.jar[NAME]))


def test_req_17_a_cookie_that_is_kept_lasts_as_long_as_the_session_may() -> None:
    with override_settings(COATCHECK_LIFETIME=3600):
        (cookie,) = serve(put).get("/color/red").cookies
    (age,) = re.findall(r"Max-Age=(\d+)", cookie)
    assert 3590 <= int(age) <= 3600


def test_req_32_33_34_35_each_setting_of_the_cookie_is_obeyed() -> None:
    changed: dict[str, Any] = {
        "SESSION_COOKIE_NAME": "__Secure-id",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": False,
        "SESSION_COOKIE_SAMESITE": "None",
        "SESSION_COOKIE_PATH": "/shop",
        "SESSION_COOKIE_DOMAIN": ".example.com",
        "SESSION_EXPIRE_AT_BROWSER_CLOSE": True,
    }
    with override_settings(**changed):
        browser = serve(put)
        (cookie,) = browser.get("/color/red").cookies
    assert attributes(cookie) == {
        f"__Secure-id={browser.jar['__Secure-id']}",
        "Secure",
        "SameSite=None",
        "Path=/shop",
        "Domain=example.com",
    }


def test_samesite_may_be_left_out() -> None:
    with override_settings(SESSION_COOKIE_SAMESITE=False):
        (cookie,) = serve(put).get("/color/red").cookies
        assert "SameSite" not in cookie


def test_req_35_a_cookie_that_browsers_drop_is_an_error() -> None:
    with (
        override_settings(SESSION_COOKIE_NAME="__Host-id"),
        pytest.raises(ConfigError, match="SESSION_COOKIE_SECURE = False: browsers drop it"),
    ):
        serve(put)


def test_req_41_max_age_is_at_most_400_days() -> None:
    (cookie,) = serve(put).get("/color/red").cookies
    (age,) = re.findall(r"Max-Age=(\d+)", cookie)
    assert 399 * 86400 < int(age) <= 400 * 86400


def test_req_37_of_two_cookies_neither_is_trusted_and_both_are_expired() -> None:
    with override_settings(SESSION_COOKIE_SECURE=True):
        browser = serve(put)
        browser.get("/color/red")
        twins = f"{NAME}={browser.jar[NAME]}; {NAME}={'A' * 43}"
        answer = browser.get("/", HTTP_COOKIE=twins)
    assert answer.body == b"{}"
    expected = Cookie(NAME).clear_twins("shop.example.com")
    assert [attributes(c) for c in answer.cookies] == [attributes(c) for c in expected]


def test_req_37_a_new_session_follows_the_twins() -> None:
    browser = serve(put)
    answer = browser.get("/color/red", HTTP_COOKIE=f"{NAME}=a; {NAME}=b")
    *cleared, cookie = answer.cookies
    assert cleared and all("Max-Age=0" in twin for twin in cleared)
    assert cookie.startswith(f"{NAME}={browser.jar[NAME]}; ")


def test_req_36_names_of_cookies_have_a_case() -> None:
    browser = serve(put)
    browser.get("/color/red")
    answer = browser.get("/", HTTP_COOKIE=f"{NAME.upper()}={browser.jar[NAME]}")
    assert answer.body == b"{}"


def test_req_39_a_response_has_one_cookie_of_our_name_and_it_is_ours() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        response = HttpResponse(put(request))
        response.set_cookie(NAME, "mine")
        response.set_cookie("other", "stays")
        return response

    browser = serve(view)
    browser.get("/color/red")
    assert browser.jar[NAME] != "mine" and browser.jar["other"] == "stays"


def test_a_cookie_of_our_name_by_the_application_goes_with_a_replaced_id() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        if request.path == "/cycle":
            request.session.cycle_key()
        response = HttpResponse(put(request))
        response.set_cookie(NAME, "mine")
        return response

    browser = serve(view)
    browser.get("/color/red")
    late = Browser(browser.app)
    late.jar = dict(browser.jar)
    browser.get("/cycle")
    assert late.get().cookies == []


def test_req_31_logout_clears_the_cookie_with_its_flags() -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/logout":
            request.session.flush()
            return ""
        return put(request)

    with override_settings(SESSION_COOKIE_SECURE=True, SESSION_COOKIE_DOMAIN="example.com"):
        browser = serve(view)
        browser.get("/color/red")
        (cookie,) = browser.get("/logout").cookies
    cleared = Cookie(NAME, domain="example.com").clear()
    assert attributes(cookie) == attributes(cleared) and NAME not in browser.jar


def test_a_page_that_only_reads_sets_no_cookie() -> None:
    browser = serve(put)
    browser.get("/color/red")
    assert browser.get().cookies == []


def test_a_change_sends_no_cookie_which_might_overwrite_that_of_a_login() -> None:
    browser = serve(put)
    browser.get("/color/red")
    assert browser.get("/color/blue").cookies == []


def test_an_expiry_that_is_set_later_is_told_to_the_browser() -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/forget":
            request.session.set_expiry(0)
        return put(request)

    browser = serve(view)
    browser.get("/color/red")
    (cookie,) = browser.get("/forget").cookies
    assert attributes(cookie) == attributes(INSECURE.set(browser.jar[NAME]))


def test_another_session_may_be_put_in_its_place() -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/other":
            request.session = SessionStore()
            request.session["a"] = 1
        elif request.path == "/none":
            del request.session
            return ""
        return repr(dict(request.session))

    browser = serve(view)
    browser.get("/other")
    assert browser.get().body == b"{'a': 1}"
    assert browser.get("/none").status == 200


# ---- Caches --------------------------------------------------------------------------------------


def test_req_43_caches_are_told() -> None:
    browser = serve(put)
    plain = browser.get("/plain")
    assert plain["Vary"] is None and plain["Cache-Control"] is None
    read = browser.get()
    assert (read["Vary"], read["Cache-Control"]) == ("Cookie", "private")
    changed = browser.get("/color/red")
    assert (changed["Vary"], changed["Cache-Control"]) == ("Cookie", "no-store")


def test_req_43_what_the_view_says_of_caches_stays_where_it_is_stricter() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session.get("a")
        headers = {"Vary": "Accept-Language", "Cache-Control": "no-store, max-age=0"}
        return HttpResponse("", headers=headers)

    answer = serve(view).get()
    assert answer["Vary"] == "Accept-Language, Cookie"
    assert answer["Cache-Control"] == "no-store, max-age=0"


def test_cache_control_may_be_left_to_the_application() -> None:
    with override_settings(COATCHECK_CACHE_CONTROL=None):
        assert serve(put).get("/color/red")["Cache-Control"] is None


# ---- Failures ------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("view", [unavailable, "test_django_middleware.unavailable"])
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
    with override_settings(MIDDLEWARE=[OURS, "test_django_middleware.curious"]):
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

    with override_settings(COATCHECK_ON_UNAVAILABLE="test_django_middleware.instead"):
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


# ---- Ended meanwhile -----------------------------------------------------------------------------


def slow_browser(view: Slow) -> Browser:
    return serve(lambda request: view(request.session, request.path))


def overtaken(browser: Browser, view: Slow, by: str) -> Any:
    slow = Browser(browser.app)
    slow.jar = dict(browser.jar)
    answer = in_thread(lambda: slow.get("/slow"))
    assert view.reached.wait(10)
    browser.get(by)
    view.go_on.set()
    return answer()


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


# ---- Responses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("saves", [False, True])
def test_an_error_of_the_application_saves_only_if_told(saves: bool) -> None:
    def view(request: HttpRequest) -> Any:
        request.session["seen"] = request.session.get("seen", 0) + 1
        if request.path == "/500":
            return 500, "oops"
        if request.path == "/raise":
            raise ZeroDivisionError
        return request.session["seen"]

    with override_settings(COATCHECK_SAVE_ON_ERROR=saves):
        browser = serve(view)
        browser.get()
        assert browser.get("/500").status == 500
        assert browser.get("/raise").status == 500
        assert browser.get().body == (b"4" if saves else b"2")


@pytest.mark.parametrize("saves", [False, True])
def test_an_error_that_goes_through_all_of_django_saves_only_if_told(saves: bool) -> None:
    def view(request: HttpRequest) -> Any:
        request.session["seen"] = request.session.get("seen", 0) + 1
        if request.path == "/raise":
            raise ZeroDivisionError
        return request.session["seen"]

    changed = {"COATCHECK_SAVE_ON_ERROR": saves, "DEBUG_PROPAGATE_EXCEPTIONS": True}
    with override_settings(**changed):
        browser = serve(view)
        browser.get()
        with pytest.raises(ZeroDivisionError):
            browser.get("/raise")
        assert browser.get().body == (b"3" if saves else b"2")


def test_what_a_stream_changes_is_saved_when_it_ends() -> None:
    def view(request: HttpRequest) -> Any:
        def chunks() -> Iterator[bytes]:
            yield b"a"
            request.session["at"] = "end"
            yield b"b"

        if request.path == "/stream":
            request.session["at"] = "start"
            return StreamingHttpResponse(chunks())
        return put(request)

    browser = serve(view)
    browser.get("/color/red")
    assert browser.get("/stream").body == b"ab"
    assert browser.get().body == b"{'color': 'red', 'at': 'end'}"


def test_a_stream_that_fails_saves_nothing_more() -> None:
    def view(request: HttpRequest) -> Any:
        def chunks() -> Iterator[bytes]:
            yield b"a"
            request.session["at"] = "end"
            raise ZeroDivisionError

        return StreamingHttpResponse(chunks()) if request.path == "/stream" else put(request)

    browser = serve(view)
    browser.get("/color/red")
    with pytest.raises(ZeroDivisionError):
        browser.get("/stream")
    assert browser.get().body == b"{'color': 'red'}"


def test_a_login_in_a_stream_comes_too_late() -> None:
    def view(request: HttpRequest) -> StreamingHttpResponse:
        def chunks() -> Iterator[bytes]:
            yield b"a"
            request.session.cycle_key()

        request.session["color"] = "red"
        return StreamingHttpResponse(chunks())

    with pytest.raises(RuntimeError, match="after the response headers left"):
        serve(view).get()


def test_a_file_goes_to_the_server_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"of a file")
    wrapped: list[Any] = []

    class Wrapped:
        def __init__(self, body: Any, block_size: int) -> None:
            wrapped.append(body)
            self.body = body

        def __iter__(self) -> Iterator[bytes]:
            yield self.body.read()

        def close(self) -> None:
            self.body.close()

    def view(request: HttpRequest) -> FileResponse:
        request.session["a"] = 1
        return FileResponse(file.open("rb"))

    browser = serve(view)
    answer = browser.get("/", **{"wsgi.file_wrapper": Wrapped})
    assert answer.body == b"of a file" and wrapped and NAME in browser.jar


def test_closers_of_a_response_that_was_refused_are_called(nowhere: None) -> None:
    closed: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 1
        response = HttpResponse("")
        response._resource_closers.append(lambda: closed.append("closer"))
        return response

    assert serve(view).get().status == 503
    assert closed == ["closer"]


def test_a_secure_cookie_over_plain_http_is_advised_on(caplog: pytest.LogCaptureFixture) -> None:
    with override_settings(SESSION_COOKIE_SECURE=True):
        serve(put, https=False).get("/color/red")
        assert "over plain http" in caplog.text and "SESSION_COOKIE_SECURE = False" in caplog.text


def test_a_proxy_may_say_that_it_is_https(caplog: pytest.LogCaptureFixture) -> None:
    header = ("HTTP_X_FORWARDED_PROTO", "https")
    with override_settings(SESSION_COOKIE_SECURE=True, SECURE_PROXY_SSL_HEADER=header):
        serve(put, https=False).get("/color/red", HTTP_X_FORWARDED_PROTO="https")
        assert "over plain http" not in caplog.text


def test_it_wants_an_engine_of_ours() -> None:
    with (
        override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"),
        pytest.raises(ConfigError, match="SESSION_ENGINE"),
    ):
        SessionMiddleware(lambda request: HttpResponse(""))
