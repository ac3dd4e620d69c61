"""How long sessions live in Django: settings and `set_expiry`, on the server and in the cookie."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import django_site
import pytest
from conftest import RedisServer, wait_for

django_site.set_up()

from coatcheck.django import SessionStore  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.test import override_settings  # noqa: E402
from django_site import DJANGOS, NAME, OURS, REST, put, serve  # noqa: E402


@pytest.fixture(params=[DJANGOS, OURS], ids=["djangos_middleware", "ours"])
def each_middleware(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[str]:
    with django_site.settings(redis_server.url, MIDDLEWARE=[request.param, *REST]):
        yield request.param


@pytest.fixture
def engine(redis_server: RedisServer) -> Iterator[None]:
    with django_site.settings(redis_server.url):
        yield


def ttl_ms(server: RedisServer) -> int:
    (key,) = server.records()
    return server.cli("PTTL", key)


def test_req_17_session_cookie_age_is_the_idle_timeout(
    each_middleware: str, redis_server: RedisServer
) -> None:
    with override_settings(SESSION_COOKIE_AGE=600):
        browser = serve(put)
        (cookie,) = browser.get("/color/red").cookies
        assert ("Max-Age=600" in cookie) is (each_middleware == DJANGOS)
        assert 590_000 < ttl_ms(redis_server) <= 601_000
        session = SessionStore(browser.jar[NAME])
        assert session.idle == 600 and session.get_expiry_age() == 600


@pytest.mark.parametrize(
    ("changed", "idle", "age"),
    [
        ({"COATCHECK_PRESET": "aal2"}, 3600, 3600),
        ({"COATCHECK_IDLE": 60}, 60, 60),
        ({"COATCHECK_IDLE": None}, None, 400 * 86400),
        ({"COATCHECK_ANONYMOUS_IDLE": 60}, 60, 1209600),
    ],
)
def test_without_an_expiry_the_idle_timeout_is_that_of_the_store(
    redis_server: RedisServer, changed: dict[str, Any], idle: int | None, age: int
) -> None:
    with django_site.settings(redis_server.url, **changed):
        session = SessionStore()
        assert (session.idle, session.get_session_cookie_age()) == (idle, age)
        for expiry in (300, None, 300, 0):
            session.set_expiry(expiry)
        assert (session.idle, session.get_expiry_age()) == (idle, age)


def test_nor_is_an_expiry_taken_back_to_that_of_who_is_not_logged_in(
    redis_server: RedisServer,
) -> None:
    with django_site.settings(redis_server.url, COATCHECK_ANONYMOUS_IDLE=60):
        session = SessionStore()
        session.login("user:1", carry="all")
        session.set_expiry(None)
        session.save()
        assert session.idle == 1209600


def test_it_lives_for_400_days_at_most(engine: None) -> None:
    session = SessionStore()
    session.save()
    left = session.deadline - datetime.now(timezone.utc)
    assert timedelta(days=399) < left <= timedelta(days=400)


@pytest.mark.parametrize(
    ("expiry", "age", "closes"),
    [
        (300, 300, False),
        (0, 1209600, True),
        (None, 1209600, False),
        (timedelta(seconds=300), 300, False),
        (-5, 1, False),
    ],
)
def test_set_expiry_holds_on_the_server_and_in_the_cookie(
    each_middleware: str, redis_server: RedisServer, expiry: Any, age: int, closes: bool
) -> None:
    def view(request: HttpRequest) -> str:
        request.session["a"] = 1
        request.session.set_expiry(expiry)
        assert request.session.get_expire_at_browser_close() is closes
        return ""

    (cookie,) = serve(view).get().cookies
    assert 0 < ttl_ms(redis_server) <= (age + 1) * 1000
    assert ("Max-Age" not in cookie) is closes


def test_a_moment_at_which_it_ends_is_not_put_off_by_use(engine: None) -> None:
    session = SessionStore()
    session.set_expiry(datetime.now(timezone.utc) + timedelta(seconds=3000))
    session.save()
    assert 2990 < session.idle <= 3000
    session["_session_expiry"] = (datetime.now(timezone.utc) + timedelta(seconds=100)).isoformat()
    session["a"] = 1
    session.save()
    assert session.idle <= 100
    assert 0 < (session.get_expiry_date() - datetime.now(timezone.utc)).total_seconds() <= 100


def test_expiry_can_be_taken_back(engine: None) -> None:
    session = SessionStore()
    session.set_expiry(300)
    session.set_expiry(None)
    assert session.idle == 1209600 and "_session_expiry" not in session


def test_saving_every_request_renews_the_idle_timeout(
    each_middleware: str, redis_server: RedisServer
) -> None:
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True, COATCHECK_TOUCH_BELOW=1):
        browser = serve(put)
        browser.get("/color/red")
        (key,) = redis_server.records()
        redis_server.cli("PEXPIRE", key, 1000)
        browser.get("/plain")
        assert ttl_ms(redis_server) > 1_000_000


def test_each_use_renews_the_idle_timeout_under_our_middleware(redis_server: RedisServer) -> None:
    with django_site.settings(redis_server.url, MIDDLEWARE=[OURS, *REST]):
        browser = serve(put)
        browser.get("/color/red")
        (key,) = redis_server.records()
        redis_server.cli("PEXPIRE", key, 1000)
        browser.get()
        assert ttl_ms(redis_server) > 1_000_000


def test_a_session_that_expired_is_an_empty_one(engine: None) -> None:
    session = SessionStore()
    session["a"] = 1
    session.set_expiry(1)
    session.save()
    key = session.session_key
    wait_for(lambda: not SessionStore().exists(key), "the end of the session")
    late = SessionStore(key)
    assert late.load() == {} and late.session_key is None and late.is_empty()
