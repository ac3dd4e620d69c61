"""A cache for asyncio and uvloop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from .. import _core
from ..cache import said, ttl_for
from ..cache_options import Settings
from ..filling import BUSY, FOUND, MAKE, MAKE_AGAIN, being_made, is_being_made, pauses, told
from ..memoize import Keys, MemoizedBase, P, TagsOf
from .driver import driver_of, drop, leave, prepare, refuse_trio, result_of, running_loop
from .shared_task import SharedTask, SharedTasks

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..cache_options import AsyncCacheOptions, Ttl, TtlOf
    from .driver import Driver, Drivers

    TtlGiven = Ttl | Literal["default"]

R = TypeVar("R")
T = TypeVar("T")


class Entries:
    """What is the same for a cache and for a part of it."""

    _id: str  # of the part
    _tasks: SharedTasks
    _fill_s: float
    _stale_s: float
    if TYPE_CHECKING:

        @property
        def _root(self) -> Cache: ...

    async def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return await result_of(driver_of(self._root).on_cache(self, method, *args, **kwargs))

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or the default."""
        return await result_of(driver_of(self._root).on_cache(self, "get", key, default))

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """A dict of those that there are, in one round trip to each node."""
        return cast("dict[str, Any]", await self._call("get_many", keys))

    async def set(
        self,
        key: str,
        value: Any,
        ttl: TtlGiven = "default",
        *,
        only_if: Literal["new", "present"] | None = None,
    ) -> bool:
        """Store it. ``only_if``: ``"new"`` or ``"present"``; False where it was not."""
        return cast(bool, await self._call("set", key, value, ttl, only_if=only_if))

    async def add(self, key: str, value: Any, ttl: TtlGiven = "default") -> bool:
        """Store it where there is none; False where there is."""
        return cast(bool, await self._call("add", key, value, ttl))

    async def set_many(self, entries: Mapping[str, Any], ttl: TtlGiven = "default") -> None:
        """Store them all, in one round trip to each node."""
        await self._call("set_many", entries, ttl)

    async def delete(self, key: str) -> bool:
        """False if there was none."""
        return cast(bool, await self._call("delete", key))

    async def delete_many(self, keys: Iterable[str]) -> int:
        """How many there were."""
        return cast(int, await self._call("delete_many", keys))

    async def has(self, key: str) -> bool:
        """Is there one?"""
        return cast(bool, await self._call("has", key))

    async def touch(self, key: str, ttl: TtlGiven = "default") -> bool:
        """Give it a new TTL; False where there is none."""
        return cast(bool, await self._call("touch", key, ttl))

    async def ttl(self, key: str) -> float | None:
        """The seconds that are left; inf: it does not end; None: there is none."""
        return cast("float | None", await self._call("ttl", key))

    async def pop(self, key: str, default: Any = None) -> Any:
        """The value, or the default, and delete it."""
        return await self._call("pop", key, default)

    async def get_versioned(self, key: str, default: Any = None) -> tuple[Any, str | None]:
        """The value and its version, or the default and None."""
        return cast("tuple[Any, str | None]", await self._call("get_versioned", key, default))

    async def compare_and_set(
        self, key: str, value: Any, version: str | None, ttl: TtlGiven = "default"
    ) -> bool:
        """Store it in place of that version; False where it is another by now."""
        return cast(bool, await self._call("compare_and_set", key, value, version, ttl))

    async def incr(
        self, key: str, by: int = 1, *, initial: int | None = 0, ttl: TtlGiven = "default"
    ) -> int:
        """Add to an int, which keeps its TTL; what it is then. As that of `coatcheck.Cache`."""
        return cast(int, await self._call("incr", key, by, initial=initial, ttl=ttl))

    async def decr(
        self, key: str, by: int = 1, *, initial: int | None = 0, ttl: TtlGiven = "default"
    ) -> int:
        """The same, taken off."""
        return cast(int, await self._call("decr", key, by, initial=initial, ttl=ttl))

    async def get_or_set(
        self, key: str, fn: Callable[[], T | Awaitable[T]], ttl: TtlOf = "default"
    ) -> T:
        """The value; where there is none, what ``fn`` returns, which is stored.

        As that of `coatcheck.Cache`, and ``fn`` may be a coroutine function. It runs in a task of
        its own, for all tasks that wait, and is cancelled when all of these are.
        """
        if is_being_made(self._root, self._id + key):
            return cast(T, await _result(fn()))
        while True:
            # In a view none is joined unasked: it may be of a generation that has ended.
            shared = None if self._id else self._tasks.find(key)
            patience: float | None = self._fill_s
            if shared is None:
                fill = _core.Fill(self, key, self._fill_s)
                state = await self._step(fill, "fetch")
                if state == FOUND:
                    return cast(T, fill.value)
                if state == MAKE_AGAIN:
                    return cast(T, await self._make(fill, state, key, fn, ttl, None))
                place = fill.generation + key
                shared = self._tasks.find(place)
                if shared is None:
                    work = partial(self._obtain, fill, state, key, fn, ttl)
                    shared = self._tasks.start(place, work)
                    patience = None
                elif state == MAKE:  # for the task that was there first
                    await self._step(fill, "release")
            landed = await shared.wait(patience)
            if landed is not None:
                return cast(T, landed[0])
            if not shared.is_over():
                fill = _core.Fill(self, key, self._fill_s)
                return cast(T, await self._obtain(fill, BUSY, key, fn, ttl, None))

    async def _step(self, fill: _core.Fill, step: str, *args: Any) -> Any:
        return await result_of(driver_of(self._root).on_fill(fill, step, *args))

    async def _obtain(
        self,
        fill: _core.Fill,
        state: int,
        key: str,
        fn: Callable[[], Any],
        ttl: TtlOf,
        shared: SharedTask | None,
    ) -> Any:
        """From another process, or made here."""
        pause = pauses()
        while state == BUSY:
            await asyncio.sleep(next(pause))
            state = await self._step(fill, "fetch")
        if state == FOUND:
            return fill.value
        return await self._make(fill, state, key, fn, ttl, shared)

    async def _make(
        self,
        fill: _core.Fill,
        state: int,
        key: str,
        fn: Callable[[], Any],
        ttl: TtlOf,
        shared: SharedTask | None,
    ) -> Any:
        """For all tasks that share it, if it is stored: then nobody has written or deleted the
        entry since it was begun."""
        begun = time.monotonic()
        try:
            with being_made(self._root, self._id + key):
                value = await _result(fn())
            cost = time.monotonic() - begun
            if shared is not None:
                self._tasks.close(shared.place, shared)
            how = (ttl_for(value, ttl), self._stale_s, cost)
            if await self._step(fill, "store", value, *how) and shared is not None:
                shared.land(value)
        except BaseException as error:
            with suppress(Exception):  # then the lock ends by itself
                await self._step(fill, "release")
            if state != MAKE_AGAIN or not isinstance(error, Exception):
                raise
            told(key)
            return fill.value
        return value

    async def keys(self, pattern: str = "*") -> AsyncIterator[str]:
        """The keys that a pattern fits, by ``async for``. As that of `coatcheck.Cache`."""
        scan = _core.Scan(self, pattern)
        while (batch := await result_of(driver_of(self._root).on_scan(scan))) is not None:
            for key in cast("list[str]", batch):
                yield key

    def namespace(self, name: str) -> View:
        """A cache in this one, whose entries end together. As that of `coatcheck.Cache`."""
        return View(self, (name,), True)

    def tagged(self, *tags: str) -> View:
        """A cache in this one, whose entries end with any of these tags, likewise."""
        return View(self, tags, False)

    @overload
    def memoize(self, fn: Callable[P, Awaitable[R]], /) -> Memoized[P, R]: ...
    @overload
    def memoize(
        self,
        fn: None = None,
        /,
        *,
        ttl: TtlOf = "default",
        name: str | None = None,
        ignore: Iterable[str] = (),
        tags: TagsOf = (),
    ) -> Callable[[Callable[P, Awaitable[R]]], Memoized[P, R]]: ...
    def memoize(
        self,
        fn: Any = None,
        /,
        *,
        ttl: TtlOf = "default",
        name: str | None = None,
        ignore: Iterable[str] = (),
        tags: TagsOf = (),
    ) -> Any:
        """Decorates a coroutine function, as that of `coatcheck.Cache` does a function."""
        if fn is None:
            return partial(self._memoize, ttl, name, ignore, tags)
        return self._memoize(ttl, name, ignore, tags, fn)

    def _memoize(
        self,
        ttl: TtlOf,
        name: str | None,
        ignore: Iterable[str],
        tags: TagsOf,
        fn: Callable[P, Awaitable[R]],
    ) -> Memoized[P, R]:
        return Memoized(self, fn, Keys(fn, name, ignore), ttl, tags)


class Cache(Entries, _core.BaseCache):
    """One application's cache in Redis; the options are those of `coatcheck.Cache`.

    ``credentials`` may also be a coroutine function. ``max_connections`` is not used: in each event
    loop the calls share one connection to each server. It is closed by ``await cache.close()``, or
    by ``async with``.
    """

    _id = ""
    _current: Driver | None
    _drivers: Drivers

    def __init__(self, url: str | None = None, **options: Unpack[AsyncCacheOptions]) -> None:
        refuse_trio()
        settings = Settings(url, cast("dict[str, Any]", options))
        self._tasks = SharedTasks()
        self._fill_s = settings.fill_s
        self._stale_s = settings.stale_s
        super().__init__(
            settings.pairs,
            settings.ttl,
            settings.jitter,
            settings.raises_corrupt,
            settings.credentials,
        )
        prepare(self)

    @property
    def _root(self) -> Cache:
        return self

    async def invalidate(self, name: str, *names: str) -> int:
        """End all entries in these namespaces, or with one of these tags."""
        return cast(int, await self._call("_invalidate", (name, *names)))

    async def clear(self) -> int:
        """Delete all entries under the prefix, and nothing else; how many there were."""
        scan = _core.Scan(self, None)
        count = 0
        while (deleted := await result_of(driver_of(self).on_scan(scan))) is not None:
            count += cast(int, deleted)
        return count

    async def ping(self, timeout: float | None = None) -> None:
        """Ask the server whether it is there."""
        await result_of(driver_of(self).ping(self, timeout))

    async def close(self) -> None:
        """Close it. Any number of times."""
        super().close()
        own = leave(self)
        drop(self._drivers)
        if own is not None:
            await own.close()

    async def __aenter__(self) -> Self:
        running_loop()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class View(Entries, _core.BaseView):
    """A part of a cache whose entries end together; `Cache.namespace` and `tagged` make it."""

    _root: Cache

    def __init__(self, of: Entries, names: tuple[str, ...], is_namespace: bool) -> None:
        self._root = of._root
        self._tasks = of._tasks
        self._fill_s = of._fill_s
        self._stale_s = of._stale_s
        self._said = said(of, names, is_namespace)

    async def invalidate(self, *names: str) -> int:
        """End all entries here; or those in these namespaces in it, or with one of these tags."""
        return cast(int, await self._call("_invalidate", names))

    async def clear(self) -> int:
        """The same as `invalidate` without names."""
        return await self.invalidate()

    def __repr__(self) -> str:
        return f"<{self._said} of {self._root!r}>"


async def _result(made: Any) -> Any:
    return await made if isawaitable(made) else made


class Memoized(MemoizedBase[P], Generic[P, R]):
    """A coroutine function whose results are cached; `Cache.memoize` makes it."""

    _fn: Callable[P, Awaitable[R]]

    def _place(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Entries:
        return cast(Entries, self._tagged(args, kwargs))

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = self.key(*args, **kwargs)
        made = partial(self._fn, *self._first, *args, **kwargs)
        return cast(R, await self._place(args, kwargs).get_or_set(key, made, self._ttl))

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """The next such call makes it again; False if it was not cached."""
        return await self._place(args, kwargs).delete(self.key(*args, **kwargs))

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make it now, and store it in place of what is cached."""
        value = await _result(self._fn(*self._first, *args, **kwargs))
        place = self._place(args, kwargs)
        await place.set(self.key(*args, **kwargs), value, ttl_for(value, self._ttl))
        return cast(R, value)
