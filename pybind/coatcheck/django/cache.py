"""The cache of a Django project: ``"BACKEND": "coatcheck.django.Cache"``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import isawaitable
from threading import Lock
from typing import Any, Final, NamedTuple

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.signals import setting_changed

from .. import aio
from ..aio.driver import stay
from ..cache import Cache as _Blocking
from ..exceptions import ConfigError
from .plain import from_plain, to_plain

_MISSING: Final = object()

# What Django says by other names, with those.
_DJANGOS: Final = {"url": "LOCATION", "ttl": "TIMEOUT"}
_NOT_OURS: Final = ("max_entries", "cull_frequency")


class Shared(NamedTuple):
    """The caches of one place, for all threads and tasks, each of which Django gives a backend of
    its own."""

    blocking: _Blocking
    awaited: aio.Cache


class Cache(BaseCache):
    """Plain data of exact types, and Django's own template fragments and pages; no pickle.

    ``LOCATION`` is a URL, and ``OPTIONS`` are those of `coatcheck.Cache`, ``prefix`` above all, in
    small letters; ``TIMEOUT`` takes the place of ``ttl``. Both may come from the environment, as
    ``COATCHECK_CACHE_URL`` and so on. ``clear`` deletes what lies under the prefix, of all versions
    and each KEY_PREFIX, and nothing else. The awaited methods wait in the event loop, in no thread.
    """

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._shared = shared(location, params.get("OPTIONS") or {})

    # ---- Blocking ----

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        name, ttl = self._key(key, version), self._ttl(timeout)
        cache = self._shared.blocking
        return not cache.has(name) if _is_over(ttl) else cache.add(name, to_plain(value), ttl)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        value = self._shared.blocking.get(self._key(key, version), _MISSING)
        return default if value is _MISSING else from_plain(value)

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        name, ttl = self._key(key, version), self._ttl(timeout)
        if _is_over(ttl):
            self._shared.blocking.delete(name)
        else:
            self._shared.blocking.set(name, to_plain(value), ttl)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, ttl = self._key(key, version), self._ttl(timeout)
        cache = self._shared.blocking
        return cache.delete(name) if _is_over(ttl) else cache.touch(name, ttl)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._shared.blocking.delete(self._key(key, version))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self._shared.blocking.has(self._key(key, version))

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        names = self._keys(keys, version)
        return _by_keys(names, self._shared.blocking.get_many(names))

    def set_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[Any]:
        names, ttl = self._keys(data, version), self._ttl(timeout)
        if _is_over(ttl):
            self._shared.blocking.delete_many(names)
        else:
            self._shared.blocking.set_many(_entries(names, data), ttl)
        return []

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        self._shared.blocking.delete_many(self._keys(keys, version))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        try:
            return self._shared.blocking.incr(self._key(key, version), delta, initial=None)
        except KeyError:
            raise ValueError(f"Key '{key}' not found") from None

    def get_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> Any:
        """As Django's; and of all threads and processes that miss it, one calls ``default``."""
        ttl = self._ttl(timeout)
        if not callable(default) or _is_over(ttl):
            return super().get_or_set(key, default, timeout, version)
        made = partial(_plain, default)
        return from_plain(self._shared.blocking.get_or_set(self._key(key, version), made, ttl))

    def clear(self) -> None:
        self._shared.blocking.clear()

    # ---- Awaited ----

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        name, ttl = self._key(key, version), self._ttl(timeout)
        cache = await self._awaited()
        if _is_over(ttl):
            return not await cache.has(name)
        return await cache.add(name, to_plain(value), ttl)

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        value = await (await self._awaited()).get(self._key(key, version), _MISSING)
        return default if value is _MISSING else from_plain(value)

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        name, ttl = self._key(key, version), self._ttl(timeout)
        cache = await self._awaited()
        if _is_over(ttl):
            await cache.delete(name)
        else:
            await cache.set(name, to_plain(value), ttl)

    async def atouch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        name, ttl = self._key(key, version), self._ttl(timeout)
        cache = await self._awaited()
        return await (cache.delete(name) if _is_over(ttl) else cache.touch(name, ttl))

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return await (await self._awaited()).delete(self._key(key, version))

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        return await (await self._awaited()).has(self._key(key, version))

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        names = self._keys(keys, version)
        return _by_keys(names, await (await self._awaited()).get_many(names))

    async def aset_many(
        self,
        data: Mapping[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[Any]:
        names, ttl = self._keys(data, version), self._ttl(timeout)
        cache = await self._awaited()
        if _is_over(ttl):
            await cache.delete_many(names)
        else:
            await cache.set_many(_entries(names, data), ttl)
        return []

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        await (await self._awaited()).delete_many(self._keys(keys, version))

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        try:
            return await (await self._awaited()).incr(self._key(key, version), delta, initial=None)
        except KeyError:
            raise ValueError(f"Key '{key}' not found") from None

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> Any:
        """As Django's; ``default`` may also be a coroutine function."""
        ttl = self._ttl(timeout)
        if callable(default) and not _is_over(ttl):
            made = partial(_aplain, default)
            cache = await self._awaited()
            return from_plain(await cache.get_or_set(self._key(key, version), made, ttl))
        # As Django's, which in some versions is run in a thread.
        value = await self.aget(key, _MISSING, version)
        if value is _MISSING:
            value = await _result(default() if callable(default) else default)
            await self.aadd(key, value, timeout, version)
            value = await self.aget(key, value, version)
        return value

    async def aclear(self) -> None:
        await (await self._awaited()).clear()

    async def aclose(self, **kwargs: Any) -> None:
        """Nothing, as ``close``: the connections are for the requests that follow."""

    # ---- As Redis has it ----

    def _key(self, key: Any, version: int | None) -> str:
        name: str = self.make_and_validate_key(key, version=version)
        return name

    def _keys(self, keys: Iterable[Any], version: int | None) -> dict[str, Any]:
        return {self._key(key, version): key for key in keys}

    def _ttl(self, timeout: Any) -> float | None:
        """In seconds; 0 or less: it is over; None: it does not end."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else float(seconds)

    async def _awaited(self) -> aio.Cache:
        await stay(self._shared.awaited)
        return self._shared.awaited


def _is_over(ttl: float | None) -> bool:
    return ttl is not None and ttl <= 0


def _by_keys(names: Mapping[str, Any], found: Mapping[str, Any]) -> dict[Any, Any]:
    return {names[name]: from_plain(value) for name, value in found.items()}


def _entries(names: Mapping[str, Any], data: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: to_plain(data[key]) for name, key in names.items()}


def _plain(default: Callable[[], Any]) -> Any:
    return to_plain(default())


async def _aplain(default: Callable[[], Any]) -> Any:
    return to_plain(await _result(default()))


async def _result(made: Any) -> Any:
    return await made if isawaitable(made) else made


# ---- The caches behind them ----------------------------------------------------------------------

_lock = Lock()
_opened: list[tuple[str, dict[str, Any], Shared]] = []


def shared(location: Any, options: Mapping[str, Any]) -> Shared:
    """Those that are there for this place and these options, or new ones."""
    url, options = _url(location), _options(options)
    with _lock:
        for place, said, caches in _opened:
            if (place, said) == (url, options):
                return caches
        caches = Shared(_Blocking(url or None, **options), aio.Cache(url or None, **options))
        _opened.append((url, options, caches))
        return caches


def _url(location: Any) -> str:
    if isinstance(location, str):
        return location
    raise ConfigError(
        f"LOCATION={location!r}: give one URL, such as 'redis://localhost:6379/1'; several servers"
        " are one URL, too, redis+sentinel://... or redis+cluster://..."
    )


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    options = {str(name).lower(): value for name, value in given.items()}
    for name, setting in _DJANGOS.items():
        if name in options:
            raise ConfigError(f"OPTIONS has {name!r}: say it as {setting}, beside OPTIONS")
    for name in _NOT_OURS:
        if name in options:
            raise ConfigError(
                f"OPTIONS has {name.upper()}, which a server in the same process would need; leave"
                " it out, and set maxmemory and maxmemory-policy in Redis"
            )
    return options


def _forget(*, setting: str, **_: Any) -> None:
    """In tests settings change."""
    if setting == "CACHES":
        with _lock:
            _opened.clear()


setting_changed.connect(_forget, dispatch_uid="coatcheck.django.cache")
