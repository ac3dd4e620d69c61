"""The options of a cache: by argument, in its URL, and from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import unquote

from .exceptions import ConfigError
from .store import CommonOptions, refuse_embedded_under_mod_wsgi, text_of, warn_of_patched_sockets

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import timedelta

    from .store import Credentials, Seconds

#: How long an entry lives: seconds or a timedelta; None: it does not end by itself.
Ttl: TypeAlias = "float | timedelta | None"

#: The same where it may be left to the cache, or be found from the value.
TtlOf: TypeAlias = "Ttl | Literal['default'] | Callable[[Any], Ttl | Literal['default']]"

ENV_PREFIX = "COATCHECK_CACHE_"


class _Options(CommonOptions, total=False):
    """What the caches of both kinds take."""

    ttl: Ttl
    ttl_jitter: float
    fill_ttl: Seconds
    stale_ttl: Seconds
    on_corrupt: Literal["miss", "raise"]


class CacheOptions(_Options, total=False):
    """The options of a `Cache`, which says what they mean."""

    credentials: Callable[[], Credentials] | None


class AsyncCacheOptions(_Options, total=False):
    """The options of a `coatcheck.aio.Cache`."""

    credentials: Callable[[], Credentials | Awaitable[Credentials]] | None


_NAMES = frozenset(_Options.__annotations__)

# Those that only a cache has, which its core does not see among the others.
_OWN: dict[str, Any] = {
    "ttl": 300.0,
    "ttl_jitter": 0.1,
    "fill_ttl": 30.0,
    "stale_ttl": 0.0,
    "on_corrupt": "miss",
}


# For which None is a setting of its own: no such limit.
_LIFTED = frozenset({"ttl", "max_bytes", "max_depth", "max_items", "max_idle", "max_age"})


class Settings:
    """What holds, for a cache: what its core is told as text, and the rest."""

    def __init__(self, url: str | None, options: dict[str, Any]) -> None:
        self.credentials = options.pop("credentials", None)
        _check_names("", options)
        in_environment = _from_environment()
        default_url = in_environment.pop("url", None)
        url, in_url, others = _from_url(default_url if url is None else url)
        refuse_embedded_under_mod_wsgi(url or "")
        warn_of_patched_sockets()
        merged: dict[str, Any] = {n: v for n, v in in_environment.items() if n not in others}
        merged |= in_url
        merged |= {n: v for n, v in options.items() if v is not None or n in _LIFTED}
        own = {name: merged.pop(name, default) for name, default in _OWN.items()}
        self.ttl = None if own["ttl"] in (None, "none") else _seconds("ttl", own["ttl"])
        self.jitter = _part("ttl_jitter", own["ttl_jitter"], 0.5)
        self.fill_s = _seconds("fill_ttl", own["fill_ttl"])
        self.stale_s = _seconds("stale_ttl", own["stale_ttl"], 0)
        self.raises_corrupt = _is_raise(own["on_corrupt"])
        core = {"url": url, **merged}
        self.pairs = [(n, text) for n in core if (text := text_of(n, core[n])) is not None]


def _check_names(where: str, names: Mapping[str, Any]) -> None:
    for name in names:
        if name not in _NAMES:
            raise ConfigError(
                f"{where}there is no option {name} of a cache; help(coatcheck.Cache) says which"
                " there are, and what is for sessions only is an option of a Store"
            )


def _from_environment() -> dict[str, str]:
    found = {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in os.environ.items()
        if name.startswith(ENV_PREFIX) and value
    }
    url = found.pop("url", None)
    _check_names("the environment: ", found)
    return found if url is None else {"url": url, **found}


def _from_url(url: str | None) -> tuple[str | None, dict[str, str], set[str]]:
    """The URL without what only a cache knows; that; and the names of what is left."""
    place, mark, query = (url or "").partition("?")
    if not mark:
        return url, {}, set()
    parts = [part.partition("=") for part in query.split("&") if part]
    if "@" not in query:  # so looks a password with a bare ? in it, which the core explains
        _check_names("the URL: ", {name: value for name, _, value in parts if name != "db"})
    own = {name: unquote(value) for name, _, value in parts if name in _OWN}
    rest = [f"{name}{mark}{value}" for name, mark, value in parts if name not in _OWN]
    others = {name for name, _, _ in parts if name not in _OWN}
    return (f"{place}?{'&'.join(rest)}" if rest else place), own, others


def _number(name: str, value: Any, right: str) -> float:
    if hasattr(value, "total_seconds"):  # a timedelta, whose module is not imported for this
        value = value.total_seconds()
    try:
        if isinstance(value, (bool, bytes)):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"option {name} must be {right}") from None


def _seconds(name: str, value: Any, least: float = 0.001) -> float:
    right = f"seconds from {least} to 315360000 (10 years)" + (", or none" if name == "ttl" else "")
    seconds = _number(name, value, right)
    if least <= seconds <= 315360000:
        return seconds
    raise ConfigError(f"option {name} must be {right}")


def _part(name: str, value: Any, most: float) -> float:
    part = _number(name, value, f"a part from 0 to {most}")
    if 0 <= part <= most:
        return part
    raise ConfigError(f"option {name} must be a part from 0 to {most}")


def _is_raise(value: Any) -> bool:
    if value not in ("miss", "raise"):
        raise ConfigError("option on_corrupt must be miss or raise")
    return bool(value == "raise")
