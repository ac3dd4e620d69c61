"""The settings of a Flask application: Flask's own, and those of coatcheck."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import flask
import pytest
from coatcheck import ConfigError, Store
from coatcheck.flask import Coatcheck, Session
from conftest import Browser, RedisServer
from flasks import an_app, at
from views import put


def idle_ms(redis_server: RedisServer, app: flask.Flask) -> tuple[int, float]:
    """The idle timeout and the lifetime of what the application stores, as Redis has them."""
    app.get("/")(lambda: repr([flask.session.update(a=1), flask.session.idle]))
    browser = Browser(app)
    browser.get()
    (key,) = redis_server.records()
    stored = app.extensions["coatcheck"].load(browser.jar[app.config["SESSION_COOKIE_NAME"]])
    return int(redis_server.cli("PTTL", key)), (stored.deadline - stored.created).total_seconds()


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return redis_server.url


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=60)


# ---- Lifetimes -----------------------------------------------------------------------------


def test_by_default_31_days_idle_and_400_in_any_case(redis_server: RedisServer, url: str) -> None:
    app = an_app(None, COATCHECK_URL=url, COATCHECK_PREFIX="test:")
    ttl, lifetime = idle_ms(redis_server, app)
    assert (ttl / 1000, lifetime) == (about(31 * 86400), about(400 * 86400))


@pytest.mark.parametrize("setting", [600, timedelta(minutes=10)])
def test_req_17_flasks_lifetime_is_the_idle_timeout_of_the_server(
    redis_server: RedisServer, url: str, setting: Any
) -> None:
    app = an_app(
        None, COATCHECK_URL=url, COATCHECK_PREFIX="test:", PERMANENT_SESSION_LIFETIME=setting
    )
    ttl, lifetime = idle_ms(redis_server, app)
    assert (ttl / 1000, lifetime) == (about(600), about(400 * 86400))


def test_options_of_ours_win(redis_server: RedisServer, url: str) -> None:
    settings = {"COATCHECK_IDLE": 1200, "COATCHECK_LIFETIME": timedelta(hours=2)}
    app = an_app(None, COATCHECK_URL=url, COATCHECK_PREFIX="test:", **settings)
    ttl, lifetime = idle_ms(redis_server, app)
    assert (ttl / 1000, lifetime) == (about(1200), about(7200))


def test_so_do_those_in_the_url_and_the_environment(
    redis_server: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_URL", f"{url}?prefix=test:&idle=1200")
    monkeypatch.setenv("COATCHECK_LIFETIME", "7200")
    ttl, lifetime = idle_ms(redis_server, an_app(None))
    assert (ttl / 1000, lifetime) == (about(1200), about(7200))


def test_and_a_preset(redis_server: RedisServer, url: str) -> None:
    settings = {"COATCHECK_PRESET": "aal3"}
    app = an_app(None, COATCHECK_URL=url, COATCHECK_PREFIX="test:", **settings)
    ttl, lifetime = idle_ms(redis_server, app)
    assert (ttl / 1000, lifetime) == (about(15 * 60), about(12 * 3600))


@pytest.mark.parametrize(
    ("settings", "idle_s"),
    [
        ({"COATCHECK_IDLE": None}, 400 * 86400),  # not before the deadline
        ({"COATCHECK_LIFETIME": None, "COATCHECK_PRESET": None}, 31 * 86400),  # as if not given
    ],
)
def test_none_is_as_in_a_store(
    redis_server: RedisServer,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    idle_s: int,
) -> None:
    monkeypatch.setenv("IDLE", "60")
    monkeypatch.setenv("PRESET", "aal3")
    app = an_app(None, COATCHECK_URL=url, COATCHECK_PREFIX="test:", **settings)
    ttl, lifetime = idle_ms(redis_server, app)
    assert (ttl / 1000, lifetime) == (about(idle_s), about(400 * 86400))


def test_a_store_that_exists_keeps_its_options(store: Store, redis_server: RedisServer) -> None:
    ttl, lifetime = idle_ms(redis_server, an_app(store, PERMANENT_SESSION_LIFETIME=60))
    assert (ttl / 1000, lifetime) == (about(1800), about(43200))


# ---- The cookie ----------------------------------------------------------------------------


def cookie_of(store: Store, **settings: Any) -> str:
    browser = at(put, store, **settings)
    (cookie,) = browser.get("/color/red").cookies
    (value,) = browser.jar.values()
    return cookie.replace(value, "...")


@pytest.mark.parametrize(
    ("settings", "cookie"),
    [
        ({}, "session=...; Path=/; HttpOnly"),
        ({"SESSION_COOKIE_NAME": "shop"}, "shop=...; Path=/; HttpOnly"),
        ({"SESSION_COOKIE_HTTPONLY": False}, "session=...; Path=/"),
        ({"SESSION_COOKIE_SAMESITE": "Lax"}, "session=...; Path=/; HttpOnly; SameSite=Lax"),
        ({"SESSION_COOKIE_PATH": "/a"}, "session=...; Path=/a; HttpOnly"),
        ({"APPLICATION_ROOT": "/b"}, "session=...; Path=/b; HttpOnly"),
        (
            {"SESSION_COOKIE_DOMAIN": ".example.com"},
            "session=...; Path=/; Domain=example.com; HttpOnly",
        ),
        ({"SESSION_COOKIE_DOMAIN": False}, "session=...; Path=/; HttpOnly"),
        (
            {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_PARTITIONED": True},
            "session=...; Path=/; Secure; HttpOnly; Partitioned",
        ),
        (
            {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_NAME": "__Host-session"},
            "__Host-session=...; Path=/; Secure; HttpOnly",
        ),
    ],
)
def test_req_32_33_34_35_the_cookie_is_as_flasks_settings_say(
    store: Store, settings: dict[str, Any], cookie: str
) -> None:
    assert cookie_of(store, **settings) == cookie


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"SESSION_COOKIE_SAMESITE": "None"}, "say SESSION_COOKIE_SAMESITE = 'Lax'"),
        (
            {"SESSION_COOKIE_NAME": "__Host-session"},
            "say SESSION_COOKIE_SECURE = True",
        ),
        ({"SESSION_COOKIE_PARTITIONED": True}, "say SESSION_COOKIE_PARTITIONED = False"),
        ({"SESSION_COOKIE_SAMESITE": "Laxx"}, "Laxx"),
        ({"SESSION_COOKIE_NAME": "a;b"}, "a;b"),
        ({"SESSION_COOKIE_PATH": "/a\r\nX: y"}, "cookie path"),
        ({"SESSION_COOKIE_DOMAIN": "example.com;"}, "cookie domain"),
        ({"SESSION_COOKIE_NAME": "a" * 4096}, "4096 bytes"),
    ],
)
def test_req_34_35_40_41_a_cookie_that_cannot_be_is_an_error_at_the_start(
    store: Store, settings: dict[str, Any], advice: str
) -> None:
    with pytest.raises(ConfigError, match=advice):
        an_app(store, **settings)


@pytest.mark.parametrize("refresh", [True, False])
def test_req_41_a_cookie_lasts_400_days_at_most(redis_server: RedisServer, refresh: bool) -> None:
    def view(session: Session, path: str) -> Any:
        session.permanent = True
        return put(session, path)

    settings = {
        "COATCHECK_URL": redis_server.url,
        "COATCHECK_PREFIX": "test:",
        "PERMANENT_SESSION_LIFETIME": timedelta(days=3650),
        "SESSION_REFRESH_EACH_REQUEST": refresh,
    }
    (cookie,) = at(view, None, **settings).get("/color/red").cookies
    age = int(cookie.partition("Max-Age=")[2].partition(";")[0])
    assert 400 * 86400 - 60 < age <= 400 * 86400


def test_a_cookie_over_plain_http_is_warned_of_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    browser = at(put, store)
    browser.get("/color/red")
    browser.get("/color/blue")
    (record,) = [r for r in caplog.records if "SESSION_COOKIE_SECURE" in r.getMessage()]
    assert record.levelno == logging.WARNING and record.name == "shop"


@pytest.mark.parametrize("setting", ["SESSION_COOKIE_SECURE", "DEBUG", "TESTING"])
def test_but_not_of_a_secure_one_or_while_developing(
    store: Store, caplog: pytest.LogCaptureFixture, setting: str
) -> None:
    at(put, store, **{setting: True}).get("/color/red")
    assert "SESSION_COOKIE_SECURE" not in caplog.text


def test_a_secure_cookie_over_plain_http_is_advised_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    browser = at(put, store, SESSION_COOKIE_SECURE=True)
    browser.https = False
    browser.get("/color/red")
    assert "while developing make the cookie with SESSION_COOKIE_SECURE = False" in caplog.text


# ---- The others ----------------------------------------------------------------------------

REDIS = {"COATCHECK_URL": "redis://localhost", "COATCHECK_PREFIX": "a:"}


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"COATCHECK_PREFIX": "a:"}, "COATCHECK_URL"),
        ({"COATCHECK_URL": "redis://localhost"}, "prefix"),
        ({"COATCHECK_URL": "redis://[::1", "COATCHECK_PREFIX": "a:"}, "URL"),
        (
            {**REDIS, "COATCHECK_IDEL": 600},
            "COATCHECK_IDEL; did you mean COATCHECK_IDLE",
        ),
        ({**REDIS, "COATCHECK_ON_GON": "drop"}, "did you mean COATCHECK_ON_GONE"),
        ({**REDIS, "COATCHECK_XYZZY": 1}, "leave it out"),
        ({**REDIS, "COATCHECK_ON_GONE": "what"}, "on_gone"),
        ({**REDIS, "COATCHECK_ON_CORRUPT": "what"}, "on_corrupt"),
        ({**REDIS, "COATCHECK_CACHE_CONTROL": "no"}, "cache_control"),
        ({**REDIS, "PERMANENT_SESSION_LIFETIME": 0}, "idle"),
        ({**REDIS, "PERMANENT_SESSION_LIFETIME": timedelta(days=-1)}, "idle"),
    ],
)
def test_wrong_settings_are_an_error_at_the_start(settings: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        an_app(None, **settings)


def test_a_mistyped_setting_is_an_error_beside_a_store_too(store: Store) -> None:
    with pytest.raises(ConfigError, match="COATCHECK_ON_GON;"):
        an_app(store, COATCHECK_ON_GON="drop")


def test_what_is_no_store_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"give a coatcheck\.Store"):
        an_app("redis://localhost")


def test_cache_control_can_be_left_to_the_application(store: Store) -> None:
    answer = at(put, store, COATCHECK_CACHE_CONTROL=None).get("/color/red")
    assert answer["Cache-Control"] is None and answer["Vary"] == "Cookie"


def test_the_store_of_a_test_takes_the_place_of_the_configured_one(
    store: Store, tmp_path: Path
) -> None:
    settings = {"COATCHECK_URL": f"unix:{tmp_path}/none", "COATCHECK_PREFIX": "shop:"}
    browser = at(put, None, lambda app: Coatcheck(app, store), **settings)
    assert browser.get("/color/red").status == 200
    assert browser.get("/").body == b"{'color': 'red'}"
