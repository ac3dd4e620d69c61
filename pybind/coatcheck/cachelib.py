"""A cache with the interface of cachelib, for what takes one of those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cachelib import BaseCache

from .cache import Cache as _Cache

if TYPE_CHECKING:
    from datetime import timedelta

    from .cache_options import Ttl


class Cache(BaseCache):
    """Plain data of exact types, and no pickle.

        cache = Cache("redis://localhost:6379/1", prefix="shop:")

    Takes a URL and the options of `coatcheck.Cache`, but for ``ttl``, which is ``default_timeout``
    here. A timeout of 0 is an entry that does not end by itself. Unlike with cachelib's own caches,
    a failure is an exception, and never False or None.
    """

    def __init__(
        self,
        url: str | None = None,
        default_timeout: int | timedelta = 300,
        ignore_delete_many_errors: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(default_timeout)
        self.ignore_delete_many_errors = ignore_delete_many_errors  # there are none
        if "ttl" in options:
            raise TypeError("ttl: say it as default_timeout")
        self._cache = _Cache(url, **options)

    def get(self, key: str) -> Any:
        return self._read(self._cache.get(key))

    def get_many(self, *keys: str) -> list[Any]:
        found = self._cache.get_many(keys)
        return [self._read(found.get(key)) for key in keys]

    def set(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        return self._cache.set(key, self._plain(value), self._ttl(timeout))

    def add(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        return self._cache.add(key, self._plain(value), self._ttl(timeout))

    def set_many(
        self, mapping: Mapping[str, Any], timeout: int | timedelta | None = None
    ) -> list[str]:
        entries = {key: self._plain(value) for key, value in mapping.items()}
        self._cache.set_many(entries, self._ttl(timeout))
        return [*entries]

    def delete(self, key: str) -> bool:
        return self._cache.delete(key)

    def delete_many(self, *keys: str) -> list[str]:
        self._cache.delete_many(keys)
        return [*keys]

    def has(self, key: str) -> bool:
        return self._cache.has(key)

    def clear(self) -> bool:
        """Delete all entries under the prefix, and nothing else."""
        self._cache.clear()
        return True

    def inc(self, key: str, delta: int = 1) -> int:
        return self._cache.incr(key, delta, ttl=self._ttl(None))

    def dec(self, key: str, delta: int = 1) -> int:
        return self._cache.decr(key, delta, ttl=self._ttl(None))

    def _ttl(self, timeout: int | timedelta | None) -> Ttl:
        return (self.default_timeout if timeout is None else timeout) or None

    # For those that store more than plain data, by what it consists of.

    def _plain(self, value: Any) -> Any:
        return value

    def _read(self, value: Any) -> Any:
        return value
