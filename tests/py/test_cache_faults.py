"""Every call of a cache, while the connection fails at every byte of what it says and hears.

As test_faults.py has it for sessions. An entry has no tag, so it takes the option verify to notice
replies that went astray; all else must hold without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from cache_drivers import CACHE_DRIVERS, CacheClient, CCache
from coatcheck import Cache, ForeignReply, StoreUnavailable, Uncertain
from conftest import RedisClient, RedisServer
from faults import PLAIN, Fault, Loop, Proxy, Transport
from test_faults import (
    EVERY_BYTE,
    GENEROUS_S,
    SHORT_S,
    WARM_S,
    Call,
    Place,
    app_user,  # noqa: F401
    at_once,
    sweep,
    wait_for,
)

THIN = 1 if EVERY_BYTE else 10
VERIFIED = Transport("verified", "redis", (("verify", "1"),))

Open = Callable[..., CacheClient]


class CachePlace(Place):
    """With a prefix of its own, for calls that look at all that is under it."""

    client: Any
    truth: Any
    calls: ClassVar[dict[str, type[Call]]]

    def __init__(
        self, server: RedisServer, loop: Loop, transport: Transport, driver: Open, timeout: float
    ) -> None:
        prefix = f"faults {next(self.numbers)}:"
        self.admin = RedisClient(server.path)
        self.proxy = Proxy(loop, server.path, transport)
        self.timeout = timeout
        self.hits = 0
        self._driver: Any = driver
        self._options = {
            "prefix": prefix,
            "timeout": str(timeout),
            "connect_timeout": str(timeout / 2),
            "max_connections": "2",
            "max_idle": str(WARM_S),
            **dict(transport.options),
        }
        self.client = self.open()
        self.truth = Cache(
            server.url,
            prefix=prefix,
            timeout=GENEROUS_S,
            connect_timeout=GENEROUS_S / 2,
            max_idle=WARM_S,
        )
        self.truth.set("own", "its own")

    def before_call(self) -> None:
        pass

    def new_note(self) -> str:
        return f"{next(self.numbers):07}"  # so many bytes each time

    def recovers(self, connections: int = 1) -> None:
        self.proxy.disarm()
        self.truth.set("own", "its own")
        assert self.patiently(lambda: self.client.get("own")) == "its own"
        wait_for(lambda: self.proxy.open <= connections, "the connections given up to end")


class Space:
    """A namespace with what belongs to its cache."""

    def __init__(self, cache: Any) -> None:
        self._whole, self._space = cache, cache.namespace("n")
        self.ping = cache.ping

    def close(self) -> None:
        if isinstance(self._space, CCache):
            self._space.close()
        self._whole.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._space, name)


class SpacePlace(CachePlace):
    """In a namespace, which another process has ended since: what is remembered of it is wrong."""

    def __init__(
        self, server: RedisServer, loop: Loop, transport: Transport, driver: Open, timeout: float
    ) -> None:
        super().__init__(
            server, loop, transport, lambda url, **options: Space(driver(url, **options)), timeout
        )
        self.truth = Space(self.truth)

    def before_call(self) -> None:
        self.client.set("before", "it ended")
        self.truth.invalidate()
        self.truth.set("own", "its own")


# ---- The calls, and what may come of them ---------------------------------------------------


class CacheCall(Call):
    """There is one entry, and a value that may take its place."""

    place: CachePlace

    def prepare(self) -> None:
        self.key, self.old, self.new = f"k {self.note}", f"old {self.note}", f"new {self.note}"
        self.place.before_call()
        self.begin()
        self.connect()

    def begin(self) -> None:
        self.place.truth.set(self.key, self.old)

    @property
    def client(self) -> Any:
        return self.place.client

    @property
    def now(self) -> Any:
        return self.place.truth.get(self.key)

    def judge(self, result: Any, failure: Exception | None) -> None:
        """Of one that only reads."""
        assert self.now == self.old
        if failure is None:
            self.judge_answer(result)

    def judge_answer(self, result: Any) -> None:
        raise NotImplementedError

    def may_have_landed(self, failure: Exception | None, yes: bool, no: bool) -> None:
        """Of one that may be repeated as often as one likes."""
        assert yes or (failure is not None and no)


class Get(CacheCall):
    def make(self) -> Any:
        return self.client.get(self.key)

    def judge_answer(self, result: Any) -> None:
        assert result == self.old


class GetMany(CacheCall):
    def make(self) -> Any:
        return self.client.get_many([self.key, "nothing", "own"])

    def judge_answer(self, result: Any) -> None:
        assert result == {self.key: self.old, "own": "its own"}


class GetVersioned(CacheCall):
    def make(self) -> Any:
        return self.client.get_versioned(self.key)

    def judge_answer(self, result: Any) -> None:
        assert result == self.place.truth.get_versioned(self.key)


class Has(CacheCall):
    def make(self) -> Any:
        return self.client.has(self.key)

    def judge_answer(self, result: Any) -> None:
        assert result is True


class Touch(Has):
    def make(self) -> Any:
        return self.client.touch(self.key)


class Ttl(CacheCall):
    def make(self) -> Any:
        return self.client.ttl(self.key)

    def judge_answer(self, result: Any) -> None:
        assert 0 < result <= 300


class Set(CacheCall):
    def make(self) -> Any:
        return self.client.set(self.key, self.new)

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.may_have_landed(failure, self.now == self.new, self.now == self.old)


class SetMany(Set):
    def make(self) -> Any:
        self.client.set_many({self.key: self.new, "other": self.new})

    def judge(self, result: Any, failure: Exception | None) -> None:
        super().judge(result, failure)
        if failure is None:
            assert self.place.truth.get("other") == self.new


class Delete(CacheCall):
    def make(self) -> Any:
        return self.client.delete(self.key)

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.may_have_landed(failure, self.now is None, self.now == self.old)
        assert failure is not None or result is True


class Add(CacheCall):
    def begin(self) -> None:
        pass

    def make(self) -> Any:
        return self.client.add(self.key, self.new)

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.landed(failure, self.now == self.new, self.now is None)
        assert failure is not None or result is True


class Pop(CacheCall):
    def make(self) -> Any:
        return self.client.pop(self.key)

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.landed(failure, self.now is None, self.now == self.old)
        assert failure is not None or result == self.old


class Incr(CacheCall):
    def begin(self) -> None:
        self.place.truth.set(self.key, 5)

    def make(self) -> Any:
        return self.client.incr(self.key, 2)

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.landed(failure, self.now == 7, self.now == 5)
        assert failure is not None or result == 7


class CompareAndSet(CacheCall):
    def begin(self) -> None:
        super().begin()
        self.version = self.place.truth.get_versioned(self.key)[1]

    def make(self) -> Any:
        return self.client.compare_and_set(self.key, self.new, self.version)

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.landed(failure, self.now == self.new, self.now == self.old)
        assert failure is not None or result is True


class GetOrSet(CacheCall):
    """It makes the value once, whatever it takes to store it."""

    def begin(self) -> None:
        self.calls = 0

    def made(self) -> str:
        self.calls += 1
        return self.new

    def make(self) -> Any:
        return self.client.get_or_set(self.key, self.made)

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.may_have_landed(failure, self.now == self.new, self.now is None)
        assert failure is not None or (result == self.new and self.calls == 1)
        assert self.calls <= 1


class Keys(CacheCall):
    def begin(self) -> None:
        self.place.truth.clear()
        self.place.truth.set("own", "its own")
        super().begin()

    def make(self) -> Any:
        return list(self.client.keys())

    def judge_answer(self, result: Any) -> None:
        assert set(result) == {self.key, "own"}


class Clear(Keys):
    def make(self) -> Any:
        return self.client.clear()

    def judge(self, result: Any, failure: Exception | None) -> None:
        self.may_have_landed(failure, self.now is None, self.now == self.old)
        if failure is None:
            assert list(self.place.truth.keys()) == []


CachePlace.calls = {
    "get": Get,
    "get_many": GetMany,
    "get_versioned": GetVersioned,
    "has": Has,
    "touch": Touch,
    "ttl": Ttl,
    "set": Set,
    "set_many": SetMany,
    "delete": Delete,
    "compare_and_set": CompareAndSet,
    "get_or_set": GetOrSet,
    "keys": Keys,
    "clear": Clear,
    "add": Add,
    "pop": Pop,
    "incr": Incr,
}
ONCE = ("add", "pop", "incr")
AGAIN = tuple(name for name in CachePlace.calls if name not in ONCE)


# ---- The tests ------------------------------------------------------------------------------

Make = Callable[[float], Callable[[], Place]]


@pytest.fixture(params=CACHE_DRIVERS)
def driver(request: pytest.FixtureRequest) -> Open:
    return CACHE_DRIVERS[request.param]


@pytest.fixture
def make_place(app_user: RedisServer, loop: Loop, driver: Open) -> Make:  # noqa: F811
    return lambda timeout: lambda: CachePlace(app_user, loop, PLAIN, driver, timeout)


@pytest.fixture
def verified(app_user: RedisServer, loop: Loop, driver: Open) -> Make:  # noqa: F811
    return lambda timeout: lambda: CachePlace(app_user, loop, VERIFIED, driver, timeout)


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_what_is_as_good_twice_is_repeated_wherever_it_was_lost(
    make_place: Make, kind: Any
) -> None:
    sweep(make_place(GENEROUS_S), kind, calls=AGAIN, must_succeed=True, thin=THIN)


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_what_is_done_once_is_done_or_uncertain_wherever_it_was_lost(
    make_place: Make, kind: Any
) -> None:
    sweep(make_place(GENEROUS_S), kind, calls=ONCE, thin=1 if EVERY_BYTE else 3)


@pytest.fixture
def make_space(app_user: RedisServer, loop: Loop, driver: Open) -> Make:  # noqa: F811
    return lambda timeout: lambda: SpacePlace(app_user, loop, PLAIN, driver, timeout)


def test_in_a_namespace_it_is_the_same(make_space: Make) -> None:
    sweep(make_space(GENEROUS_S), "cut", calls=AGAIN, must_succeed=True, thin=THIN)
    sweep(make_space(GENEROUS_S), "reset", calls=ONCE, thin=THIN)


def test_a_connection_that_stalls_anywhere_ends_at_the_deadline(make_place: Make) -> None:
    # A walk has a deadline for each piece.
    calls = [name for name in CachePlace.calls if name not in ("keys", "clear", "get_or_set")]
    sweep(make_place(SHORT_S), "stall", calls=calls, thin=THIN)


def test_a_reply_that_comes_too_late_is_nobodys(make_place: Make) -> None:
    calls = ("get", "add", "pop", "incr", "compare_and_set")
    sweep(make_place(SHORT_S), "delay", calls=calls, seconds=1.5 * SHORT_S, thin=THIN)


def test_bytes_that_come_one_by_one_do_no_harm(make_place: Make) -> None:
    calls = tuple(CachePlace.calls)
    sweep(make_place(GENEROUS_S), "trickle", calls=calls, must_succeed=True, thin=2 * THIN)


def test_bytes_that_come_twice_make_no_value_of_another(verified: Make) -> None:
    sweep(
        verified(GENEROUS_S), "double", calls=tuple(CachePlace.calls), sides=("reply",), thin=THIN
    )


# ---- Replies that went astray ----------------------------------------------------------------


@pytest.mark.parametrize("driver", ["Python", "C"], indirect=True)
@pytest.mark.parametrize(
    ("one", "other"),
    [*((name, name) for name in CachePlace.calls if name != "keys"), ("get", "incr")],
)
def test_with_verify_no_value_comes_under_another_key(verified: Make, one: str, other: str) -> None:
    place = verified(0.5)()
    try:
        for failure in swapped(place, one, other):
            assert isinstance(failure, ForeignReply | Uncertain), repr(failure)
    finally:
        place.close()


def swapped(place: Place, *names: str) -> list[Exception | None]:
    """Two calls at once, each of which gets the first reply that was for the other."""
    for _ in range(20):
        calls = [place.calls[name](place) for name in names]
        for call in calls:
            call.prepare()
        place.proxy.arm(Fault("delay", seconds=0.05, times=2))
        at_once([place.client.ping] * 2)
        place.proxy.arm(Fault("swap", times=2))
        outcomes = at_once([call.make for call in calls])
        met = place.proxy.hits - place.proxy.new_hits
        place.recovers(connections=2)
        if met == 2:
            for call, (result, failure) in zip(calls, outcomes, strict=True):
                call.judge(result, failure)
            return [failure for _, failure in outcomes]
    raise AssertionError("two calls at once do not meet the fault")


# ---- A server that dies, or hangs ---------------------------------------------------------------


def test_a_server_that_is_killed_or_hangs_under_load_fails_calls_and_comes_back(
    redis_server: RedisServer, driver: Open
) -> None:
    """Whatever is answered is right; what is not, fails in time, with an exception of ours."""
    options = {"prefix": "load:", "timeout": "0.5", "connect_timeout": "0.25"}
    client, wrong, failed, done = driver(redis_server.url, **options), [], [], []
    running = True

    def work(name: str) -> None:
        n = 0
        while running:
            n += 1
            value = f"{name} {n}"
            try:
                client.set(name, value)
                got = client.get(name)
                made = client.get_or_set(f"{name} made {n}", lambda: value)  # noqa: B023
            except StoreUnavailable as failure:
                failed.append(failure)
                continue
            done.append(name)
            wrong.extend(x for x in (got, made) if x not in (value, None))

    def interrupt() -> None:
        nonlocal running
        try:
            for harm, mend in (
                (redis_server.kill, redis_server.start),
                (redis_server.pause, redis_server.resume),
            ):
                for what, then in ((harm, failed), (mend, done)):
                    what()
                    before = len(then)
                    wait_for(lambda: len(then) > before + 20, what.__name__)  # noqa: B023
        finally:
            running = False

    try:
        at_once([interrupt, *(lambda name=f"worker {n}": work(name) for n in range(4))])  # type: ignore[misc]
    finally:
        client.close()
    assert wrong == []
