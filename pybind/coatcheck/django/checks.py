"""What ``manage.py check`` says of the settings of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from ..exceptions import ConfigError
from . import settings as ours

OURS: Final = "coatcheck.django.SessionMiddleware"
DJANGOS: Final = "django.contrib.sessions.middleware.SessionMiddleware"

# What looks for request.session when it is made, or on the way in.
_BEHIND: Final = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
)


def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:
    if not _is_engine():
        return list(_unused())
    return [message for check in _CHECKS for message in check()]


def _is_engine() -> bool:
    try:
        ours.engine()
    except (ConfigError, ImportError):
        return False
    return True


def _unused() -> Iterator[CheckMessage]:
    if OURS in settings.MIDDLEWARE:
        yield Error(
            f"{OURS} needs sessions of coatcheck, and SESSION_ENGINE is"
            f" {settings.SESSION_ENGINE!r}.",
            hint="Say SESSION_ENGINE = 'coatcheck.django', or the module of a subclass of its"
            " SessionStore.",
            id="coatcheck.E001",
        )


def _where() -> Iterator[CheckMessage]:
    for name, example, number in (
        ("url", "redis://localhost:6379/0", "coatcheck.E002"),
        ("prefix", "shop:", "coatcheck.E003"),
    ):
        if not ours.is_said(name) and not (name == "prefix" and _is_embedded()):
            setting = ours.SETTING + name.upper()
            yield Error(
                f"{setting} is not set.",
                hint=f"Set {setting}, as in {setting} = '{example}', here or in the environment.",
                id=number,
            )


def _is_embedded() -> bool:
    return str(ours.store_options().get("url", "")).startswith("embedded:")


def _names() -> Iterator[CheckMessage]:
    for setting, advice in ours.unknown().items():
        hint = advice[0].upper() + advice[1:]
        yield Error(f"There is no setting {setting}.", hint=hint, id="coatcheck.E004")


def _values() -> Iterator[CheckMessage]:
    if any(_where()) or any(_names()):
        return
    # One that is embedded would be started.
    for make in (ours.carry,) if _is_embedded() else (ours.carry, ours.store):
        yield from _made(make, "The COATCHECK_... settings", "coatcheck.E005")
    yield from _made(ours.cookie, "The SESSION_COOKIE_... settings", "coatcheck.E006")
    if OURS in settings.MIDDLEWARE and not _is_embedded():
        yield from _made(ours.rules, "The COATCHECK_ON_... settings", "coatcheck.E005")


def _made(make: Callable[[], object], what: str, number: str) -> Iterator[CheckMessage]:
    try:
        make()
    except (ConfigError, ImportError, TypeError) as exc:
        # Our errors end with what to do, or else with what a value must be.
        wrong, _, advice = str(exc).rpartition("; ")
        if not wrong:
            wrong, advice = advice, "give it such a value, or leave it out"
        hint = f"{advice[0].upper()}{advice[1:]}."
        yield Error(f"{what} cannot be used: {wrong}.", hint=hint, id=number)


def _order() -> Iterator[CheckMessage]:
    middleware = list(settings.MIDDLEWARE)
    if OURS in middleware and DJANGOS in middleware:
        yield Error(
            f"{OURS} and {DJANGOS} are both in MIDDLEWARE, and the session of one hides the"
            " other's.",
            hint=f"Leave out {DJANGOS}.",
            id="coatcheck.E007",
        )
    for place, name in enumerate(middleware):
        if name in _BEHIND and OURS in middleware[place:]:
            yield Error(
                f"{OURS} stands behind {name}, which uses the session.",
                hint=f"Put it before {name} in MIDDLEWARE.",
                id="coatcheck.E008",
            )


def _cookie() -> Iterator[CheckMessage]:
    if not settings.DEBUG and not settings.SESSION_COOKIE_SECURE:
        yield Warning(
            "SESSION_COOKIE_SECURE is not True: the session cookie also goes over plain http, where"
            " anybody on the way can read it.",
            hint="Set SESSION_COOKIE_SECURE = True where the site is served over https; then"
            " SESSION_COOKIE_NAME = '__Host-sessionid' keeps others from setting it.",
            id="coatcheck.W001",
        )
    if not settings.SESSION_COOKIE_HTTPONLY:
        yield Warning(
            "SESSION_COOKIE_HTTPONLY is False: scripts of a page can read the session cookie.",
            hint="Leave it out: True is what Django has where nothing is said.",
            id="coatcheck.W002",
        )


def _serializer() -> Iterator[CheckMessage]:
    if settings.is_overridden("SESSION_SERIALIZER"):
        yield Warning(
            f"SESSION_SERIALIZER={settings.SESSION_SERIALIZER!r} is without effect: coatcheck"
            " stores plain data, and no pickle.",
            hint="Leave it out; what cannot be stored raises NotStorable where it is assigned.",
            id="coatcheck.W003",
        )


def _development() -> Iterator[CheckMessage]:
    if not settings.DEBUG and _is_embedded():
        yield Warning(
            "COATCHECK_URL is embedded:, which is for development.",
            hint="Name a server, as in COATCHECK_URL = 'redis://localhost:6379/0'.",
            id="coatcheck.W004",
        )


def _columns() -> Iterator[CheckMessage]:
    if apps.is_installed("allauth.usersessions"):
        yield Warning(
            "allauth.usersessions keeps the keys of sessions in a column of 40 characters, and"
            " those of coatcheck have 43: databases other than SQLite refuse them.",
            hint="Leave it out: coatcheck.django.store() lists and ends the sessions of a user.",
            id="coatcheck.W005",
        )


_CHECKS: Final = (_where, _names, _values, _order, _cookie, _serializer, _development, _columns)

register(check_settings, Tags.security)
