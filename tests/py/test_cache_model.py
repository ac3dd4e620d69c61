"""A cache against a model, a dict with a clock: whatever is called in whatever order, with either
face, both say the same."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from coatcheck import Cache, aio
from conftest import RedisServer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from values import same, values

DEFAULT_TTL = 1000.0

# A step of the clock is never near a TTL that is made of hundreds, however often it is taken.
STEP_S = 103

keys = st.sampled_from(["a", "b", "ä", "*", "a b", "k" * 512])
ttls = st.sampled_from(["default", None, 100, 200.5, 500])
sum_or_difference = st.sampled_from(["incr", "decr"])
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5)


def fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


class Model:
    """What Redis is taken for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.entries: dict[str, tuple[Any, float | None]] = {}

    def live(self) -> dict[str, Any]:
        return {
            key: value
            for key, (value, end) in self.entries.items()
            if end is None or end > self.now
        }

    def end(self, ttl: Any) -> float | None:
        ttl = DEFAULT_TTL if ttl == "default" else ttl
        return None if ttl is None else self.now + ttl

    def set(self, key: str, value: Any, ttl: Any) -> None:
        self.entries[key] = (value, self.end(ttl))

    def pop(self, key: str) -> Any:
        value = self.live().get(key)
        self.entries.pop(key, None)
        return value

    def left(self, key: str) -> float | None:
        if key not in self.live():
            return None
        end = self.entries[key][1]
        return math.inf if end is None else end - self.now


class Awaited:
    """The calls of an aio.Cache, or of a part of it, each run to its end."""

    def __init__(self, cache: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._cache = cache
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._cache, name)
        if name == "keys":
            method = partial(every, method)
        if name in ("namespace", "tagged"):
            return lambda *names: Awaited(method(*names), self._loop)
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))


async def every(keys: Callable[[], AsyncIterator[str]]) -> list[str]:
    return [key async for key in keys()]


def age(server: RedisServer, seconds: float) -> None:
    """As if so much time had passed for everything in there."""
    keys: list[bytes] = server.cli("KEYS", "*")
    for key in keys:
        left = server.cli("PTTL", key)
        if left >= 0:
            left -= round(seconds * 1000)
            server.cli(*(("PEXPIRE", key, left) if left > 0 else ("DEL", key)))


def machine(cache: Any, server: RedisServer) -> type[RuleBasedStateMachine]:
    class CacheMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            server.cli("FLUSHALL")
            self.model = Model()

        @rule(key=keys, value=values, ttl=ttls)
        def set(self, key: str, value: Any, ttl: Any) -> None:
            assert cache.set(key, value, ttl) is True
            self.model.set(key, value, ttl)

        @rule(key=keys, value=values, ttl=ttls)
        def set_if_new(self, key: str, value: Any, ttl: Any) -> None:
            new = key not in self.model.live()
            assert cache.add(key, value, ttl) is new
            if new:
                self.model.set(key, value, ttl)

        @rule(key=keys, value=values, ttl=ttls)
        def set_if_present(self, key: str, value: Any, ttl: Any) -> None:
            present = key in self.model.live()
            assert cache.set(key, value, ttl, only_if="present") is present
            if present:
                self.model.set(key, value, ttl)

        @rule(entries=st.dictionaries(keys, values), ttl=ttls)
        def set_many(self, entries: dict[str, Any], ttl: Any) -> None:
            cache.set_many(entries, ttl)
            for key, value in entries.items():
                self.model.set(key, value, ttl)

        @rule(key=keys)
        def get(self, key: str) -> None:
            live = self.model.live()
            missing = object()
            got = cache.get(key, missing)
            assert (got is missing) == (key not in live)
            assert got is missing or same(got, live[key])
            assert cache.has(key) is (key in live)

        @rule(wanted=st.lists(keys))
        def get_many(self, wanted: list[str]) -> None:
            live = self.model.live()
            expected = {key: live[key] for key in wanted if key in live}
            assert same(cache.get_many(wanted), expected)

        @rule(key=keys, value=values, ttl=ttls, meanwhile=st.none() | values)
        def compare_and_set(self, key: str, value: Any, ttl: Any, meanwhile: Any) -> None:
            live = self.model.live()
            got, version = cache.get_versioned(key, "none")
            assert same(got, live.get(key, "none")) and (version is None) == (key not in live)
            if meanwhile is not None:
                cache.set(key, meanwhile, ttl)
                self.model.set(key, meanwhile, ttl)
            lost = meanwhile is not None and not (key in live and same(meanwhile, live[key]))
            assert cache.compare_and_set(key, value, version, ttl) is not lost
            if not lost:
                self.model.set(key, value, ttl)

        @rule(key=keys)
        def delete(self, key: str) -> None:
            assert cache.delete(key) is (key in self.model.live())
            self.model.pop(key)

        @rule(wanted=st.lists(keys, unique=True))
        def delete_many(self, wanted: list[str]) -> None:
            live = self.model.live()
            assert cache.delete_many(wanted) == len([key for key in wanted if key in live])
            for key in wanted:
                self.model.pop(key)

        @rule(key=keys)
        def pop(self, key: str) -> None:
            assert same(cache.pop(key), self.model.pop(key))

        @rule(key=keys, ttl=ttls)
        def touch(self, key: str, ttl: Any) -> None:
            live = self.model.live()
            assert cache.touch(key, ttl) is (key in live)
            if key in live:
                self.model.set(key, live[key], ttl)

        @rule(key=keys)
        def ttl(self, key: str) -> None:
            left, expected = cache.ttl(key), self.model.left(key)
            assert left == expected or 0 <= expected - left < 60

        @rule(key=keys, by=numbers, initial=st.none() | numbers, ttl=ttls, method=sum_or_difference)
        def incr(self, key: str, by: int, initial: int | None, ttl: Any, method: str) -> None:
            live = self.model.live()
            before, signed = live.get(key, initial), by if method == "incr" else -by
            expected: Any = ValueError
            if key not in live and initial is None and fits(signed):
                expected = KeyError
            elif type(before) is int and all(map(fits, (before, signed, before + signed))):
                expected = before + signed
            call = partial(getattr(cache, method), key, by, initial=initial, ttl=ttl)
            if isinstance(expected, type):
                with pytest.raises(expected):
                    call()
                return
            assert same(call(), expected)
            if key in live:
                self.model.entries[key] = (expected, self.model.entries[key][1])
            else:
                self.model.set(key, expected, ttl)

        @rule(times=st.integers(1, 3))
        def time_passes(self, times: int) -> None:
            self.model.now += times * STEP_S
            age(server, times * STEP_S)

        @invariant()
        def what_is_there_is_ours(self) -> None:
            there: list[bytes] = server.cli("KEYS", "*")
            assert all(key.startswith(b"test:c:k:") for key in there)
            assert len(there) == len(self.model.live())

    return CacheMachine


# Parts of a cache, and what ends by which name.
SPACES: dict[str, Callable[[Any], Any]] = {
    "whole": lambda cache: cache,
    "n": lambda cache: cache.namespace("n"),
    "n in n": lambda cache: cache.namespace("n").namespace("n"),
    "t": lambda cache: cache.tagged("t", "n"),
    "u": lambda cache: cache.tagged("t", "u"),
}
ENDS = {"n": ["n", "n in n", "t"], "t": ["t", "u"], "u": ["u"]}


class Here:
    """The calls of a cache, or of the part of it that it is at."""

    def __init__(self, cache: Any) -> None:
        self.at = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self.at, name)


def machine_of_spaces(cache: Any, other: Any, server: RedisServer) -> type[RuleBasedStateMachine]:
    """Steps through the parts of a cache; another one, which remembers nothing of it, ends them."""
    here = Here(cache)

    class SpaceMachine(machine(here, server)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.models = {space: Model() for space in SPACES}
            self.enter("whole", cache)

        @rule(space=st.sampled_from([*SPACES]), whose=st.sampled_from([cache, other]))
        def enter(self, space: str, whose: Any) -> None:
            here.at = SPACES[space](whose)
            now = self.model.now
            self.model = self.models[space]
            self.model.now = now

        @rule(name=st.sampled_from([*ENDS]), whose=st.sampled_from([cache, other]))
        def invalidate(self, name: str, whose: Any) -> None:
            assert whose.invalidate(name) in (0, 1)
            for space in ENDS[name]:
                self.models[space].entries.clear()

        @rule()
        def clear(self) -> None:
            here.clear()
            whole = self.model is self.models["whole"]
            space = next(space for space, model in self.models.items() if model is self.model)
            ended = SPACES if whole else {"n in n": ["n in n"], "n": ENDS["n"]}.get(space)
            for other_space in ended or {*ENDS["t"], *ENDS["n" if space == "t" else "u"]}:
                self.models[other_space].entries.clear()

        @invariant()
        def what_is_there_is_ours(self) -> None:
            assert sorted(here.keys()) == sorted(self.model.live())

    return SpaceMachine


@pytest.fixture
def options(redis_server: RedisServer) -> dict[str, Any]:
    return {"prefix": "test:", "ttl": DEFAULT_TTL, "ttl_jitter": 0}


@pytest.fixture(params=["blocking", "awaited"])
def cache(
    request: pytest.FixtureRequest, redis_server: RedisServer, options: dict[str, Any]
) -> Iterator[Any]:
    yield from opened(request.param, redis_server, options)


@pytest.fixture
def other(redis_server: RedisServer, options: dict[str, Any]) -> Iterator[Any]:
    yield from opened("blocking", redis_server, options)


def opened(face: str, redis_server: RedisServer, options: dict[str, Any]) -> Iterator[Any]:
    if face == "blocking":
        with Cache(redis_server.url, **options) as blocking:
            yield blocking
        return
    loop = asyncio.new_event_loop()
    awaited = aio.Cache(redis_server.url, **options)
    yield Awaited(awaited, loop)
    loop.run_until_complete(awaited.close())
    loop.close()


def test_a_cache_is_a_dict_with_a_clock(cache: Any, redis_server: RedisServer) -> None:
    run_state_machine_as_test(
        machine(cache, redis_server), settings=settings(max_examples=40, stateful_step_count=20)
    )


def test_parts_of_a_cache_are_dicts_that_are_emptied(
    cache: Any, other: Any, redis_server: RedisServer
) -> None:
    run_state_machine_as_test(
        machine_of_spaces(cache, other, redis_server),
        settings=settings(max_examples=6, stateful_step_count=25),
    )
