"""coatcheck.django.SessionMiddleware: what it adds to an engine under Django's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django_site
import pytest
from conftest import Browser, RedisServer

django_site.set_up()

from coatcheck import ConfigError, Cookie  # noqa: E402
from coatcheck.django import SessionMiddleware, SessionStore  # noqa: E402
from django.http import (  # noqa: E402
    FileResponse,
    HttpRequest,
    HttpResponse,
    StreamingHttpResponse,
)
from django.test import override_settings  # noqa: E402
from django_site import NAME, OURS, REST, put, serve  # noqa: E402

INSECURE = Cookie(NAME, secure=False)


@pytest.fixture(autouse=True)
def _ours(redis_server: RedisServer) -> Iterator[None]:
    with django_site.settings(redis_server.url, MIDDLEWARE=[OURS, *REST]):
        yield


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
    answer = browser.get("/color/r\xc3\xa9d", HTTP_COOKIE=f"{NAME}=a; {NAME}=b")
    *cleared, cookie = answer.cookies
    assert cleared and all("Max-Age=0" in twin for twin in cleared)
    for path in ("/", "/color", "/color/", "/color/r%C3%A9d"):
        assert any(f"Path={path}" in attributes(twin) for twin in cleared)
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
    assert (changed["Vary"], changed["Cache-Control"]) == (
        "Cookie",
        "no-store, private",
    )


def test_req_43_what_the_view_says_of_caches_stays_where_it_is_stricter() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session.get("a")
        headers = {"Vary": "Accept-Language", "Cache-Control": "no-store, max-age=0"}
        return HttpResponse("", headers=headers)

    answer = serve(view).get()
    assert answer["Vary"] == "Accept-Language, Cookie"
    assert answer["Cache-Control"] == "no-store, max-age=0, private"


def test_req_43_djangos_cache_keeps_no_response_with_our_cookie() -> None:
    # Django 5.2.0 keeps one that is no-store, for all who send the same cookies.
    cache = "django.middleware.cache."
    around = [f"{cache}UpdateCacheMiddleware", OURS, f"{cache}FetchFromCacheMiddleware"]
    with override_settings(MIDDLEWARE=around):
        visitors = serve(put), serve(put)
        for browser in visitors:
            browser.jar["lang"] = "en"
            browser.get("/color/red")
    assert visitors[0].jar[NAME] != visitors[1].jar[NAME]


def test_cache_control_may_be_left_to_the_application() -> None:
    with override_settings(COATCHECK_CACHE_CONTROL=None):
        assert serve(put).get("/color/red")["Cache-Control"] is None


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
