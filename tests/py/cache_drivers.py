"""One face for every driver of a cache, as drivers.py has it for those of a store."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any, Protocol

from coatcheck import Cache, aio, loads
from drivers import _CError, _Library

TTL_S = 300


class CacheClient(Protocol):
    """Values are text. Calls fail with the package's exceptions."""

    def get(self, key: str) -> Any: ...
    def get_many(self, keys: list[str]) -> dict[str, Any]: ...
    def set(self, key: str, value: str) -> bool: ...
    def set_many(self, entries: dict[str, str]) -> None: ...
    def add(self, key: str, value: str) -> bool: ...
    def delete(self, key: str) -> bool: ...
    def has(self, key: str) -> bool: ...
    def touch(self, key: str) -> bool: ...
    def ttl(self, key: str) -> float | None: ...
    def pop(self, key: str) -> Any: ...
    def incr(self, key: str, by: int) -> int: ...
    def get_versioned(self, key: str) -> tuple[Any, str | None]: ...
    def compare_and_set(self, key: str, value: str, version: str) -> bool: ...
    def get_or_set(self, key: str, fn: Callable[[], str]) -> Any: ...
    def keys(self) -> Any: ...
    def clear(self) -> int: ...
    def ping(self) -> None: ...
    def close(self) -> None: ...


def open_python(url: str, **options: str) -> Any:
    return Cache(url, **options)  # type: ignore[arg-type]


class AioCache:
    """Calls from any thread, in an event loop that runs in one of its own."""

    def __init__(self, url: str, **options: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._cache = aio.Cache(url, **options)  # type: ignore[arg-type]
        self._thread.start()

    def _run(self, call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._cache, name)

        def call(*args: Any) -> Any:
            result = method(*args)
            if inspect.iscoroutine(result):
                return self._run(result)
            assert isinstance(result, AsyncIterator)
            return self._run(_listed(result))

        return call

    def namespace(self, name: str) -> AioCache:
        """For calls only: what is closed is the whole."""
        view = object.__new__(AioCache)
        view._loop, view._cache = self._loop, self._cache.namespace(name)
        return view

    def close(self) -> None:
        self._run(self._cache.close())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _listed(items: AsyncIterator[str]) -> list[str]:
    return [item async for item in items]


# ---- C, blocking ----------------------------------------------------------------------------

_KEY_FN = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(ctypes.c_char), c_size_t)


class _Item(ctypes.Structure):
    _fields_ = (("key", c_char_p), ("value", c_char_p), ("len", c_size_t))


_FUNCTIONS: dict[str, list[Any]] = {
    "coat_cache_open": [POINTER(c_void_p), c_void_p],
    "coat_cache_get": [c_void_p, c_char_p, POINTER(c_void_p)],
    "coat_cache_get_many": [c_void_p, POINTER(c_char_p), c_size_t, POINTER(c_void_p)],
    "coat_cache_set": [c_void_p, c_char_p, c_void_p, c_int64, c_int],
    "coat_cache_delete": [c_void_p, c_char_p],
    "coat_cache_has": [c_void_p, c_char_p],
    "coat_cache_touch": [c_void_p, c_char_p, c_int64],
    "coat_cache_ttl": [c_void_p, c_char_p, POINTER(c_int64)],
    "coat_cache_pop": [c_void_p, c_char_p, POINTER(c_void_p)],
    "coat_cache_incr": [c_void_p, c_char_p, c_int64, POINTER(c_int64), c_int64, POINTER(c_int64)],
    "coat_cache_get_versioned": [c_void_p, c_char_p, POINTER(c_void_p), c_char_p],
    "coat_cache_compare_and_set": [c_void_p, c_char_p, c_char_p, c_void_p, c_int64],
    "coat_cache_set_many": [c_void_p, POINTER(_Item), c_size_t, c_int64],
    "coat_cache_fetch": [c_void_p, c_char_p, c_int64, POINTER(c_void_p), POINTER(c_void_p)],
    "coat_cache_fill": [c_void_p, c_void_p, c_int64, c_int64, c_int64],
    "coat_cache_keys": [c_void_p, c_char_p, _KEY_FN, c_void_p],
    "coat_cache_clear": [c_void_p, POINTER(c_int64)],
    "coat_cache_namespace": [POINTER(c_void_p), c_void_p, c_char_p],
    "coat_cache_invalidate": [c_void_p, c_void_p, c_size_t],
}

_BUSY, _HAS_VALUE = 0, 1


class CCache:
    def __init__(self, url: str, **options: str) -> None:
        self._library = library = _Library()
        c = self._c = library.c
        for name, arguments in _FUNCTIONS.items():
            getattr(c, name).argtypes = [*arguments, POINTER(_CError)]
        for name in ("cache_close", "cache_values_free", "cache_work_close", "packer_release"):
            getattr(c, f"coat_{name}").argtypes = [c_void_p]
            getattr(c, f"coat_{name}").restype = None
        c.coat_cache_store.argtypes, c.coat_cache_store.restype = [c_void_p], c_void_p
        c.coat_packer_init.argtypes = [c_void_p, c_void_p]
        c.coat_pack_str.argtypes = [c_void_p, c_char_p]
        pointers = [POINTER(c_void_p), POINTER(c_size_t)]
        c.coat_cache_value_of.argtypes = [c_void_p, c_size_t, *pointers]
        self._cache, o = c_void_p(), c_void_p()
        library("coat_options_new", byref(o))
        try:
            for name, value in {"url": url, **options}.items():
                library("coat_options_set", o, name.encode(), str(value).encode())
            library("coat_cache_open", byref(self._cache), o)
        finally:
            c.coat_options_free(o)

    def __call__(self, name: str, *arguments: Any) -> int:
        return self._library(f"coat_cache_{name}", self._cache, *arguments)

    @contextmanager
    def _packed(self, value: str) -> Iterator[Any]:
        packer = ctypes.create_string_buffer(1024)  # as large as a struct coat_packer at least
        self._c.coat_packer_init(packer, None)
        self._c.coat_pack_str(packer, value.encode())
        try:
            yield packer
        finally:
            self._c.coat_packer_release(packer)

    def _taken(self, values: c_void_p, count: int = 1) -> list[Any]:
        value, size, found = c_void_p(), c_size_t(), []
        for n in range(count if values else 0):
            there = self._c.coat_cache_value_of(values, n, byref(value), byref(size))
            found.append(loads(ctypes.string_at(value, size.value)) if there else None)
        self._c.coat_cache_values_free(values)
        return found or [None] * count

    def get(self, key: str) -> Any:
        values = c_void_p()
        self("get", key.encode(), byref(values))
        return self._taken(values)[0]

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        values, count = c_void_p(), len(keys)
        self("get_many", (c_char_p * count)(*map(str.encode, keys)), count, byref(values))
        found = zip(keys, self._taken(values, count), strict=True)
        return {key: value for key, value in found if value is not None}

    def _set(self, key: str, value: str, when: int) -> bool:
        with self._packed(value) as packer:
            return bool(self("set", key.encode(), packer, TTL_S * 1000, when))

    def set(self, key: str, value: str) -> bool:
        return self._set(key, value, 0)

    def add(self, key: str, value: str) -> bool:
        return self._set(key, value, 1)

    def set_many(self, entries: dict[str, str]) -> None:
        items = (_Item * len(entries))()
        for item, (key, value) in zip(items, entries.items(), strict=True):
            packed = bytes([0xA0 + len(value)]) + value.encode()  # of less than 32 bytes
            item.key, item.value, item.len = key.encode(), packed, len(packed)
        self("set_many", items, len(entries), TTL_S * 1000)

    def delete(self, key: str) -> bool:
        return bool(self("delete", key.encode()))

    def has(self, key: str) -> bool:
        return bool(self("has", key.encode()))

    def touch(self, key: str) -> bool:
        return bool(self("touch", key.encode(), TTL_S * 1000))

    def ttl(self, key: str) -> float | None:
        ms = c_int64()
        if not self("ttl", key.encode(), byref(ms)):
            return None
        return math.inf if ms.value < 0 else ms.value / 1000

    def pop(self, key: str) -> Any:
        values = c_void_p()
        self("pop", key.encode(), byref(values))
        return self._taken(values)[0]

    def incr(self, key: str, by: int) -> int:
        total = c_int64()
        self("incr", key.encode(), by, byref(c_int64(0)), TTL_S * 1000, byref(total))
        return total.value

    def get_versioned(self, key: str) -> tuple[Any, str | None]:
        values, version = c_void_p(), ctypes.create_string_buffer(64)
        there = self("get_versioned", key.encode(), byref(values), version)
        return self._taken(values)[0], version.value.decode() if there else None

    def compare_and_set(self, key: str, value: str, version: str) -> bool:
        with self._packed(value) as packer:
            given = (key.encode(), version.encode(), packer, TTL_S * 1000)
            return bool(self("compare_and_set", *given))

    def get_or_set(self, key: str, fn: Callable[[], str]) -> Any:
        """As the header has it."""
        values, work = c_void_p(), c_void_p()
        while (state := self("fetch", key.encode(), 30_000, byref(values), byref(work))) == _BUSY:
            time.sleep(0.005)
        found = self._taken(values)[0]
        try:
            if state == _HAS_VALUE:
                return found
            value = fn()
            with self._packed(value) as packer:
                self._library("coat_cache_fill", work, packer, TTL_S * 1000, 0, 0)
            return value
        finally:
            self._c.coat_cache_work_close(work)

    def keys(self) -> list[str]:
        found: list[str] = []

        def take(_: Any, key: Any, size: int) -> int:
            found.append(ctypes.string_at(key, size).decode())
            return 0

        self("keys", b"*", _KEY_FN(take), None)
        return found

    def clear(self) -> int:
        removed = c_int64()
        self("clear", byref(removed))
        return removed.value

    def namespace(self, name: str) -> CCache:
        """To be closed before the whole."""
        view = object.__new__(CCache)
        view._library, view._c, view._cache = self._library, self._c, c_void_p()
        self._library("coat_cache_namespace", byref(view._cache), self._cache, name.encode())
        return view

    def invalidate(self) -> int:
        return self("invalidate", None, 0)

    def ping(self) -> None:
        self._library("coat_store_ping", self._c.coat_cache_store(self._cache))

    def close(self) -> None:
        self._c.coat_cache_close(self._cache)
        self._cache = c_void_p()


#: Each opens a client: url, **options.
CACHE_DRIVERS: dict[str, Callable[..., CacheClient]] = {
    "Python": open_python,
    "asyncio": AioCache,
    "C": CCache,
}
