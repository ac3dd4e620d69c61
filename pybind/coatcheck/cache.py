"""A cache: values that may be gone at any time, and are made again then."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from . import _core
from .cache_options import Settings
from .filling import BUSY, FOUND, MAKE, MAKE_AGAIN, being_made, is_being_made, pauses, told
from .flight import Flight, Flights
from .memoize import Keys, MemoizedBase, P, TagsOf

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._core import _Entries
    from .cache_options import CacheOptions, Ttl, TtlOf
else:
    _Entries = object

R = TypeVar("R")
T = TypeVar("T")


class Entries(_Entries):
    """What is the same for a cache and for a part of it."""

    _id: str  # of the part
    if TYPE_CHECKING:

        @property
        def _root(self) -> Cache: ...

    _flights: Flights
    _fill_s: float
    _stale_s: float

    def get_or_set(self, key: str, fn: Callable[[], T], ttl: TtlOf = "default") -> T:
        """The value; where there is none, what ``fn`` returns, which is stored.

        One makes it at a time, of all threads and processes; the others wait, for ``fill_ttl`` at
        most, and get a value of their own, or in the same process what ``fn`` has raised. Shortly
        before its end, sooner where it takes long to make, one makes it anew while the others go on
        with the one that is there. None is a value like any other; ``ttl`` may be a function of
        the value, as for one that is to be asked for again soon.
        """
        if is_being_made(self._root, self._id + key):
            return fn()
        while True:
            # In a view none is joined unasked: it may be of a generation that has ended.
            flight = None if self._id else self._flights.find(key)
            if flight is None:
                fill = _core.Fill(self, key, self._fill_s)
                state = fill.fetch()
                if state == FOUND:
                    return cast(T, fill.value)
                if state == MAKE_AGAIN:
                    return cast(T, self._make(fill, state, key, fn, ttl, None))
                place = fill.generation + key
                flight = self._flights.join(place)
                if flight.is_ours():
                    work = partial(self._obtain, fill, state, key, fn, ttl)
                    return cast(T, self._flights.run(place, flight, work))
                if state == MAKE:  # for the thread that was there first
                    fill.release()
            landed = flight.wait(self._fill_s)
            if landed is not None:
                return cast(T, landed[0])
            if not flight.is_over():
                fill = _core.Fill(self, key, self._fill_s)
                return cast(T, self._obtain(fill, BUSY, key, fn, ttl, None))

    def _obtain(
        self,
        fill: _core.Fill,
        state: int,
        key: str,
        fn: Callable[[], Any],
        ttl: TtlOf,
        flight: Flight | None,
    ) -> Any:
        """From another process, or made here."""
        pause = pauses()
        while state == BUSY:
            time.sleep(next(pause))
            state = fill.fetch()
        return fill.value if state == FOUND else self._make(fill, state, key, fn, ttl, flight)

    def _make(
        self,
        fill: _core.Fill,
        state: int,
        key: str,
        fn: Callable[[], Any],
        ttl: TtlOf,
        flight: Flight | None,
    ) -> Any:
        """For all threads of the flight, if it is stored: then nobody has written or deleted the
        entry since it was begun."""
        begun = time.monotonic()
        try:
            with being_made(self._root, self._id + key):
                value = fn()
            cost = time.monotonic() - begun
            if flight is not None:
                self._flights.close(flight.place, flight)
            if fill.store(value, ttl_for(value, ttl), self._stale_s, cost) and flight is not None:
                flight.land(value)
        except BaseException as error:
            with suppress(Exception):  # then the lock ends by itself
                fill.release()
            if state != MAKE_AGAIN or not isinstance(error, Exception):
                raise
            told(key)
            return fill.value
        return value

    def keys(self, pattern: str = "*") -> Iterator[str]:
        """The keys that a pattern fits, while one walks: ``*`` stands for any text, ``?`` for a
        byte, ``[a-c]`` for one of these, and after a backslash each stands for itself.

        All that is there from the beginning to the end comes at least once. For looking into a
        cache, not for serving requests: it looks at every key of the server.
        """
        scan = _core.Scan(self, pattern)
        while (batch := scan.more()) is not None:
            yield from batch

    def namespace(self, name: str) -> View:
        """A cache in this one, whose entries end together by its ``invalidate()``, however many.

        To make it asks nothing of Redis. Its keys are its own. What is in it in turn, ends with it.
        """
        return View(self, (name,), True)

    def tagged(self, *tags: str) -> View:
        """A cache in this one, whose entries end when any of these tags is invalidated.

        They are found by who names the same tags, in any order.
        """
        return View(self, tags, False)

    @overload
    def memoize(self, fn: Callable[P, R], /) -> Memoized[P, R]: ...
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
    ) -> Callable[[Callable[P, R]], Memoized[P, R]]: ...
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
        """Decorates a function whose results are cached, by its exact arguments.

        ``name``: what the function is called in keys, in place of its module and name. ``ignore``:
        names of arguments that do not change the result. ``tags``: those of `tagged` for its
        results, or a function of a call's arguments that returns them. Arguments that cannot be
        stored are refused: NotStorable. The result has ``invalidate``, ``refresh`` and ``key``,
        each of which takes the arguments of a call.
        """
        if fn is None:
            return partial(self._memoize, ttl, name, ignore, tags)
        return self._memoize(ttl, name, ignore, tags, fn)

    def _memoize(
        self,
        ttl: TtlOf,
        name: str | None,
        ignore: Iterable[str],
        tags: TagsOf,
        fn: Callable[P, R],
    ) -> Memoized[P, R]:
        if inspect.iscoroutinefunction(fn):
            raise TypeError(
                f"memoize: {fn.__qualname__} is a coroutine function; memoize it with a"
                " coatcheck.aio.Cache"
            )
        return Memoized(self, fn, Keys(fn, name, ignore), ttl, tags)


class Cache(Entries, _core.Cache):
    """One application's cache in Redis. It holds plain data only, as sessions do.

    ``url`` is as that of `Store`, and so are ``prefix`` and the options that concern connections
    (``timeout``, ``username``, ``tls_ca_file``, ...) and limits (``max_bytes``, ``max_depth``,
    ``max_items``, of one value). Its own, times in seconds or as timedelta:

    ==================  ==========================================================================
    ttl                 for how long an entry lives where nothing else is said; None: it does not
                        end by itself (300)
    ttl_jitter          the part of each TTL, up to 0.5, that is left to chance, so that what was
                        stored together does not end together (0.1)
    fill_ttl            for how long others wait for the one who fills an entry (30)
    stale_ttl           for how long after its TTL a value of `get_or_set` is kept, to be served
                        while it is made anew, and where that fails (0)
    on_corrupt          what is found that is no entry of a cache: ``"miss"`` or ``"raise"``
                        (``"miss"``)
    ==================  ==========================================================================

    Each may also come from the URL (``?ttl=60``) or the environment (``COATCHECK_CACHE_URL``,
    ``COATCHECK_CACHE_TTL``, ...); an argument wins over the URL, and that over the environment.

    Any number of threads may share a cache, and so may processes that fork. Calls raise
    StoreUnavailable, or its kinds, within ``timeout``.
    """

    _id = ""

    def __init__(self, url: str | None = None, **options: Unpack[CacheOptions]) -> None:
        settings = Settings(url, cast("dict[str, Any]", options))
        self._flights = Flights()
        self._fill_s = settings.fill_s
        self._stale_s = settings.stale_s
        super().__init__(
            settings.pairs,
            settings.ttl,
            settings.jitter,
            settings.raises_corrupt,
            settings.credentials,
        )

    @property
    def _root(self) -> Cache:
        return self

    def invalidate(self, name: str, *names: str) -> int:
        """End all entries in these namespaces, or with one of these tags, by one short command; how
        many of them may have had any. What a call that began before stores is not found, either."""
        return self._invalidate((name, *names))

    def clear(self) -> int:
        """Delete all entries under the prefix, and nothing else; how many there were. What is
        stored meanwhile may stay."""
        scan = _core.Scan(self, None)
        count = 0
        while (deleted := scan.more()) is not None:
            count += deleted
        return count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class View(Entries, _core.View):
    """A part of a cache whose entries end together; `Cache.namespace` and `tagged` make it."""

    _root: Cache

    def __init__(self, of: Entries, names: tuple[str, ...], is_namespace: bool) -> None:
        self._root = of._root
        self._flights = of._flights
        self._fill_s = of._fill_s
        self._stale_s = of._stale_s
        self._said = said(of, names, is_namespace)

    def invalidate(self, *names: str) -> int:
        """End all entries here; or those in these namespaces in it, or with one of these tags."""
        return self._invalidate(names)

    def clear(self) -> int:
        """The same as `invalidate` without names."""
        return self._invalidate(())

    def __repr__(self) -> str:
        return f"<{self._said} of {self._root!r}>"


def said(of: object, names: tuple[str, ...], is_namespace: bool) -> str:
    """How a part of a cache was made, for its repr()."""
    before = f"{of._said}." if hasattr(of, "_said") else ""
    return f"{before}{'namespace' if is_namespace else 'tagged'}({', '.join(map(repr, names))})"


def ttl_for(value: Any, ttl: TtlOf) -> Ttl | Literal["default"]:
    return ttl(value) if callable(ttl) else ttl


class Memoized(MemoizedBase[P], Generic[P, R]):
    """A function whose results are cached; `Cache.memoize` makes it."""

    _fn: Callable[P, R]

    def _place(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Entries:
        return cast(Entries, self._tagged(args, kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        made = partial(self._fn, *self._first, *args, **kwargs)
        place = self._place(args, kwargs)
        return place.get_or_set(self.key(*args, **kwargs), made, self._ttl)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """The next such call makes it again; False if it was not cached."""
        return self._place(args, kwargs).delete(self.key(*args, **kwargs))

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make it now, and store it in place of what is cached."""
        value = self._fn(*self._first, *args, **kwargs)
        place = self._place(args, kwargs)
        place.set(self.key(*args, **kwargs), value, ttl_for(value, self._ttl))
        return value
