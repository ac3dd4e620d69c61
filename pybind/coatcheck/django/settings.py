"""What the settings of a Django project say of its sessions, and the store that they name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .. import aio
from .._request import RULES, Rules, refuse_unknown, unknown_settings, with_lifetimes
from ..aio.driver import prepare, stay
from ..cookie import Cookie, CookieOfSettings
from ..exceptions import ConfigError
from ..session import Session, SessionInfo
from ..store import Store as _Store
from ..store import StoreOptions, is_given

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .engine import SessionStore

SETTING: Final = "COATCHECK_"

#: The settings that are not options of the store, with their defaults.
DEFAULTS: Final[dict[str, Any]] = {"carry": "all", **RULES}

# Django's login() writes these before its signal is sent, and its CSRF protection the third.
_DJANGOS: Final = (
    "_auth_user_id",
    "_auth_user_backend",
    "_auth_user_hash",
    "_csrftoken",
    "_session_expiry",
)


class Store(_Store):
    """The store of the sessions. Methods that begin with an a are awaited, the others block."""

    def __init__(self, url: str | None = None, **options: Unpack[StoreOptions]) -> None:
        super().__init__(url, **options)
        prepare(self)
        session = self.new()
        session.login("anybody", carry=())  # before that, anonymous_idle may be another
        self._idle = session.idle

    async def aload(self, id: str) -> Session | None:
        return cast("Session | None", await aio.Store.load(await _awaited(self), id))

    async def adestroy(self, id: str) -> bool:
        return await aio.Store.destroy(await _awaited(self), id)

    async def asessions(self, principal: str) -> list[SessionInfo]:
        return await aio.Store.sessions(await _awaited(self), principal)

    async def adestroy_one(self, principal: str, public_id: str) -> bool:
        return await aio.Store.destroy_one(await _awaited(self), principal, public_id)

    async def adestroy_all(
        self, principal: str, keep: Session | str | None = None
    ) -> tuple[int, bool]:
        return await aio.Store.destroy_all(await _awaited(self), principal, cast(Any, keep))

    async def aping(self, timeout: float | None = None) -> None:
        await aio.Store.ping(await _awaited(self), timeout)


async def _awaited(store: _Store) -> aio.Store:
    """What the calls of an aio.Store use of it, this one has as well."""
    own = cast(aio.Store, store)
    await stay(own)
    return own


@lru_cache(maxsize=1)
def store() -> Store:
    """The store that the settings name."""
    refuse_unknown(_all_given(), _spelt, "carry")
    options = store_options()
    made = Store(options.pop("url", None), **options)
    age = settings.SESSION_COOKIE_AGE
    if settings.is_overridden("SESSION_COOKIE_AGE") and made._idle != age:
        made.close()
        raise ConfigError(
            f"SESSION_COOKIE_AGE={age!r} is not the idle timeout that {SETTING}IDLE, the"
            f" environment or the URL says, {made._idle}; leave out one of the two"
        )
    return made


@lru_cache(maxsize=1)
def cookie() -> Cookie:
    """The cookie that the settings SESSION_COOKIE_... describe."""
    return CookieOfSettings(
        settings.SESSION_COOKIE_NAME,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=bool(settings.SESSION_COOKIE_HTTPONLY),
        samesite=settings.SESSION_COOKIE_SAMESITE or None,
        path=settings.SESSION_COOKIE_PATH,
        domain=settings.SESSION_COOKIE_DOMAIN or None,
    )


@lru_cache(maxsize=1)
def rules() -> Rules:
    """How sessions behave under our own middleware."""
    given = _given()
    chosen = {name: given.get(name, default) for name, default in DEFAULTS.items()}
    del chosen["carry"]
    chosen["on_unavailable"] = _view(chosen["on_unavailable"])
    return Rules(store(), cookie(), **chosen)


def _view(on_unavailable: Any) -> Any:
    view = on_unavailable
    if isinstance(view, str) and "." in view:
        try:
            view = import_string(view)
        except ImportError as exc:
            raise ConfigError(
                f"{SETTING}ON_UNAVAILABLE={view!r}: {exc}; name a view, as in 'shop.views.closed'"
            ) from exc
    if iscoroutinefunction(view):
        raise ConfigError(
            f"{SETTING}ON_UNAVAILABLE={on_unavailable!r}: nothing awaits it where it is called;"
            " name a view that is no async def"
        )
    return view


@lru_cache(maxsize=1)
def carry() -> list[str] | str:
    """What of a session goes through a login: "all", or names of fields, and Django's own."""
    named = _given().get("carry", DEFAULTS["carry"])
    if named == "all":
        return "all"
    if isinstance(named, str) or not all(isinstance(name, str) for name in named):
        raise ConfigError(f"{SETTING}CARRY={named!r}: must be 'all', or a list of names of fields")
    return [*named, *_DJANGOS]


def engine() -> type[SessionStore]:
    """The class of the sessions: that of the module which SESSION_ENGINE names."""
    from .engine import SessionStore

    found = getattr(import_module(settings.SESSION_ENGINE), "SessionStore", None)
    if isinstance(found, type) and issubclass(found, SessionStore):
        return found
    raise ConfigError(
        f"coatcheck.django.SessionMiddleware with SESSION_ENGINE={settings.SESSION_ENGINE!r}: say"
        " 'coatcheck.django', or name a module whose SessionStore is a subclass of it"
    )


def principal(user: Any) -> str:
    """The principal of a user's sessions, as in ``store().destroy_all(principal(user))``."""
    return f"user:{user._meta.pk.value_to_string(user)}"


def names() -> dict[str, str]:
    """Each name that a setting may have after COATCHECK_, by the name of its option."""
    known = {"url", *StoreOptions.__annotations__, *DEFAULTS}
    return {name: _spelt(name) for name in sorted(known)}


def unknown() -> dict[str, str]:
    """Settings that begin like ours and are none, and what to do about each."""
    return unknown_settings(_all_given(), _spelt, "carry")


def _spelt(name: str) -> str:
    return SETTING + name.upper()


def is_said(name: str) -> bool:
    """Is an option of the store given by a setting, in the URL, or by the environment?"""
    return is_given(name, _given())


def store_options() -> dict[str, Any]:
    """What the settings say of the store."""
    given = _given()
    options = {name: value for name, value in given.items() if name not in DEFAULTS}
    if settings.is_overridden("SESSION_COOKIE_AGE") and not is_said("idle"):
        options["idle"] = settings.SESSION_COOKIE_AGE
    return with_lifetimes(options, settings.SESSION_COOKIE_AGE)


def _given() -> dict[str, Any]:
    """Our settings, by the names of their options."""
    known = names()
    return {name: value for name, value in _all_given().items() if name in known}


def _all_given() -> dict[str, Any]:
    return {
        name.removeprefix(SETTING).lower(): getattr(settings, name)
        for name in dir(settings)
        if name.startswith(SETTING) and name.isupper()
    }


_CACHED: tuple[Callable[[], object], ...] = (store, cookie, rules, carry)


def _forget(*, setting: str, **_: Any) -> None:
    """In tests settings change."""
    if setting.startswith((SETTING, "SESSION_")):
        for cached in _CACHED:
            cast(Any, cached).cache_clear()


setting_changed.connect(_forget, dispatch_uid="coatcheck.django.settings")
