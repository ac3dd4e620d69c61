"""What `manage.py check` says of the settings of sessions; and what they come to."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import django_site
import pytest

django_site.set_up()

from coatcheck import ConfigError, StoreOptions  # noqa: E402
from coatcheck.django import checks, settings  # noqa: E402
from django.conf import settings as django_settings  # noqa: E402
from django.core.checks import registry, run_checks  # noqa: E402
from django.test import override_settings  # noqa: E402
from django_site import DJANGOS, OURS, REST  # noqa: E402

GOOD: dict[str, Any] = {
    "COATCHECK_URL": "redis://localhost:6379/0",
    "COATCHECK_PREFIX": "shop:",
    "SESSION_COOKIE_SECURE": True,
}


async def waits(request: Any, exception: Exception) -> None:
    """A view that nothing would await."""


def found(**changed: Any) -> dict[str, Any]:
    """The ids of the messages, with their texts and hints."""
    with override_settings(**{**GOOD, **changed}):
        messages = [m for m in run_checks() if str(m.id).startswith("coatcheck.")]
    assert all(message.hint for message in messages)
    if "INSTALLED_APPS" not in changed:  # where it is for good, for test_django_applications
        messages = [message for message in messages if message.id != "coatcheck.W005"]
    return {str(message.id): f"{message.msg} {message.hint}" for message in messages}


def test_good_settings_are_good_in_both_ways() -> None:
    assert found() == {} and found(MIDDLEWARE=[OURS, *REST]) == {}


def test_they_are_registered_once() -> None:
    assert list(registry.registry.registered_checks).count(checks.check_settings) == 1


@pytest.mark.parametrize(
    ("number", "advice", "changed"),
    [
        (
            "E001",
            "SESSION_ENGINE = 'coatcheck.django'",
            {
                "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
                "MIDDLEWARE": [OURS, *REST],
            },
        ),
        ("E002", "COATCHECK_URL = 'redis://localhost:6379/0'", {"COATCHECK_URL": None}),
        ("E003", "COATCHECK_PREFIX = 'shop:'", {"COATCHECK_PREFIX": None}),
        ("E004", "Did you mean COATCHECK_TIMEOUT?", {"COATCHECK_TIMEOUTS": 1}),
        ("E004", "Leave it out", {"COATCHECK_XYZZY": 1}),
        ("E005", "Leave out one of the two", {"COATCHECK_IDLE": 60, "SESSION_COOKIE_AGE": 61}),
        ("E005", '"soon". Give it such a value', {"COATCHECK_TIMEOUT": "soon"}),
        ("E005", "no form that is known. Write redis://", {"COATCHECK_URL": "http://localhost"}),
        ("E005", "COATCHECK_CARRY", {"COATCHECK_CARRY": "cart"}),
        ("E005", "on_gone", {"COATCHECK_ON_GONE": "ignore", "MIDDLEWARE": [OURS, *REST]}),
        (
            "E005",
            "Name a view, as in 'shop.views.closed'",
            {"COATCHECK_ON_UNAVAILABLE": "nowhere.view", "MIDDLEWARE": [OURS, *REST]},
        ),
        (
            "E005",
            "Name a view that is no async def",
            {"COATCHECK_ON_UNAVAILABLE": "test_django_checks.waits", "MIDDLEWARE": [OURS, *REST]},
        ),
        (
            "E006",
            "Leave out the path",
            {"SESSION_COOKIE_NAME": "__Host-id", "SESSION_COOKIE_PATH": "/shop"},
        ),
        ("E007", f"Leave out {DJANGOS}", {"MIDDLEWARE": [DJANGOS, OURS, *REST]}),
        ("E008", f"before {REST[0]}", {"MIDDLEWARE": [REST[0], OURS]}),
        ("W001", "SESSION_COOKIE_SECURE = True", {"SESSION_COOKIE_SECURE": False}),
        ("W002", "scripts", {"SESSION_COOKIE_HTTPONLY": False}),
        (
            "W003",
            "no pickle",
            {"SESSION_SERIALIZER": "django.contrib.sessions.serializers.JSONSerializer"},
        ),
        ("W005", "store()", {"INSTALLED_APPS": django_settings.INSTALLED_APPS}),
        ("W004", "redis://localhost", {"COATCHECK_URL": "embedded:/nowhere"}),
    ],
)
def test_what_is_wrong_has_a_number_and_a_hint(
    number: str, advice: str, changed: dict[str, Any]
) -> None:
    messages = found(**changed)
    assert list(messages) == [f"coatcheck.{number}"]
    assert advice in messages[f"coatcheck.{number}"]


def test_while_debugging_the_cookie_may_go_over_http_and_the_server_be_embedded() -> None:
    changed = {"SESSION_COOKIE_SECURE": False, "COATCHECK_URL": "embedded:"}
    assert found(DEBUG=True, **changed) == {}


def test_another_engine_is_none_of_ours() -> None:
    assert found(SESSION_ENGINE="django.contrib.sessions.backends.cache") == {}
    assert found(SESSION_ENGINE="nowhere.at.all") == {}


def test_every_number_has_a_test() -> None:
    numbers = set(re.findall(r'"coatcheck\.([EW]\d{3})"', inspect.getsource(checks)))
    tested = set(re.findall(r'"([EW]\d{3})"', Path(__file__).read_text(encoding="utf-8")))
    assert numbers == tested


# ---- What the settings come to -------------------------------------------------------------------


def options(**changed: Any) -> dict[str, Any]:
    with override_settings(**{**GOOD, **changed}):
        return settings.store_options()


def test_each_option_of_a_store_is_a_setting_and_no_other() -> None:
    names = {*StoreOptions.__annotations__, "url", *settings.DEFAULTS}
    assert settings.names() == {name: f"COATCHECK_{name.upper()}" for name in sorted(names)}
    assert options(COATCHECK_TIMEOUT=0.5)["timeout"] == 0.5


@pytest.mark.parametrize("setting", ["COATCHECK_TIMEOUTS", "COATCHECK_ON_GON"])
def test_a_mistyped_setting_is_an_error_without_the_checks(setting: str) -> None:
    with (
        override_settings(**{**GOOD, setting: 1}),
        pytest.raises(ConfigError, match=f"no setting {setting}; did you mean {setting[:-1]}"),
    ):
        settings.store()


def test_the_idle_timeout_is_the_age_of_the_cookie() -> None:
    assert options()["idle"] == 1209600 and options(SESSION_COOKIE_AGE=60)["idle"] == 60


@pytest.mark.parametrize(
    ("environment", "changed"),
    [
        ({}, {"COATCHECK_IDLE": 60}),
        ({}, {"COATCHECK_URL": "redis://localhost?idle=60"}),
        ({"COATCHECK_IDLE": "60"}, {}),
        ({"COATCHECK_IDLE": "60"}, {"SESSION_COOKIE_AGE": 60}),
        ({"COATCHECK_IDLE": "60"}, {"COATCHECK_PRESET": "aal2"}),
        ({"COATCHECK_IDLE": ""}, {"COATCHECK_URL": "redis://localhost?idle=60"}),
    ],
)
def test_unless_ours_is_said_somewhere(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], changed: dict[str, Any]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with override_settings(**{**GOOD, **changed}):
        assert settings.store().new().idle == 60


@pytest.mark.parametrize("place", ["settings", "environment", "URL"])
def test_two_idle_timeouts_are_an_error(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    changed = {
        "settings": {"COATCHECK_IDLE": 60},
        "environment": {},
        "URL": {"COATCHECK_URL": "redis://localhost?idle=60"},
    }[place]
    if place == "environment":
        monkeypatch.setenv("COATCHECK_IDLE", "60")
    with (
        override_settings(**{**GOOD, **changed, "SESSION_COOKIE_AGE": 600}),
        pytest.raises(ConfigError, match=r"SESSION_COOKIE_AGE=600 .* says, 60; leave out one"),
    ):
        settings.store()


def test_lifetime_is_400_days_unless_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options()["lifetime"] == 400 * 86400
    assert options(COATCHECK_LIFETIME=60)["lifetime"] == 60
    assert "lifetime" not in options(COATCHECK_URL="redis://localhost?lifetime=60")
    monkeypatch.setenv("COATCHECK_LIFETIME", "60")
    assert "lifetime" not in options()


def test_a_preset_says_both_unless_they_are_said() -> None:
    preset = options(COATCHECK_PRESET="aal2")
    assert "idle" not in preset and "lifetime" not in preset
    assert options(COATCHECK_PRESET="aal2", SESSION_COOKIE_AGE=60)["idle"] == 60


def test_url_and_prefix_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COATCHECK_URL", "redis://elsewhere?prefix=shop:")
    with override_settings(SESSION_COOKIE_SECURE=True):
        assert not {m.id for m in run_checks()} & {"coatcheck.E002", "coatcheck.E003"}
        assert "elsewhere" in repr(settings.store())


def test_an_engine_is_looked_for_in_its_module() -> None:
    with override_settings(SESSION_ENGINE="django_engine"):
        assert settings.engine().__module__ == "django_engine"
    with (
        override_settings(SESSION_ENGINE="django.contrib.sessions.backends.db"),
        pytest.raises(ConfigError, match="subclass"),
    ):
        settings.engine()


def test_the_tests_say_nothing_of_ours_in_the_settings() -> None:
    assert not [name for name in dir(django_settings) if name.startswith("COATCHECK_")]
