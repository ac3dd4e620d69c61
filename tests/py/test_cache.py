"""What a cache does beyond what the model of test_cache_model.py says of single calls."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from coatcheck import (
    Cache,
    ConfigError,
    Corrupt,
    LimitExceeded,
    NotStorable,
    Store,
    StoreUnavailable,
    _core,
    aio,
)
from conftest import PATIENCE_S, RedisServer, in_thread, wait_for
from topologies import Topology

UNDER = b"test:c:k:"


@pytest.fixture
def cache(redis_server: RedisServer) -> Iterator[Cache]:
    with Cache(redis_server.url, prefix="test:") as cache:
        yield cache


def with_cache(server: RedisServer, main: Callable[[aio.Cache], Any], **options: Any) -> Any:
    async def run() -> Any:
        async with aio.Cache(server.url, prefix="test:", **options) as cache:
            return await asyncio.wait_for(main(cache), 60)

    return asyncio.run(run())


# ---- Options --------------------------------------------------------------------------------


def ttl_of_a_new_entry(server: RedisServer, cache: Cache) -> float:
    with cache:
        cache.set("k", "v")
    left: int = server.cli("PTTL", UNDER + b"k")
    return round(left / 1000)


def test_an_option_comes_from_an_argument_the_url_or_the_environment(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_CACHE_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_CACHE_PREFIX", "test:")
    monkeypatch.setenv("COATCHECK_CACHE_TTL_JITTER", "0")
    assert ttl_of_a_new_entry(redis_server, Cache()) == 300
    monkeypatch.setenv("COATCHECK_CACHE_TTL", "100")
    assert ttl_of_a_new_entry(redis_server, Cache()) == 100
    url = redis_server.url + "?ttl=200"
    assert ttl_of_a_new_entry(redis_server, Cache(url)) == 200
    assert ttl_of_a_new_entry(redis_server, Cache(url, ttl=timedelta(minutes=5))) == 300
    assert ttl_of_a_new_entry(redis_server, Cache(url, ttl=None)) == 0


def test_the_url_wins_over_the_environment_for_what_the_core_is_told(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_CACHE_MAX_BYTES", "none")
    url = redis_server.url + "?max_bytes=10&ttl=9"
    with Cache(url, prefix="test:") as cache, pytest.raises(LimitExceeded):
        cache.set("k", "x" * 20)
    with Cache(url, prefix="test:", max_bytes=30) as cache:
        assert cache.set("k", "x" * 20)


def test_the_variables_of_a_store_are_none_of_a_cache_and_the_other_way_round(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_CACHE_TTL", "100")
    Store(prefix="test:").close()
    with pytest.raises(ConfigError, match="url"):
        Cache(prefix="test:")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"idle": 5}, "no option idle of a cache"),
        ({"ttl": 0}, "option ttl must be seconds from 0.001 .* or none"),
        ({"ttl": "soon"}, "option ttl must be seconds"),
        ({"ttl": True}, "option ttl must be seconds"),
        ({"ttl_jitter": 0.6}, "option ttl_jitter must be a part from 0 to 0.5"),
        ({"fill_ttl": -1}, "option fill_ttl must be seconds"),
        ({"on_corrupt": "new"}, "option on_corrupt must be miss or raise"),
        ({"timeout": 0}, "option timeout must be"),
    ],
)
def test_a_wrong_option_is_an_error(options: dict[str, Any], said: str) -> None:
    for kind in (Cache, aio.Cache):
        with pytest.raises(ConfigError, match=said):
            kind("unix:/nowhere", prefix="test:", **options)


def test_a_wrong_option_in_the_url_or_the_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="the URL: there is no option idle of a cache"):
        Cache("unix:/nowhere?idle=5", prefix="test:")
    monkeypatch.setenv("COATCHECK_CACHE_LIFETIME", "5")
    with pytest.raises(ConfigError, match="the environment: there is no option lifetime"):
        Cache("unix:/nowhere", prefix="test:")


def test_a_cache_says_where_it_is_and_when_it_is_closed() -> None:
    cache = Cache("redis://user:secret@h:1/2?ttl=5", prefix="test:")
    assert repr(cache) == "<Cache redis://h:1/2, prefix test:>"
    cache.close()
    cache.close()
    assert repr(cache) == "<Cache redis://h:1/2, prefix test:, closed>"
    with pytest.raises(ValueError, match="the cache is closed"):
        cache.get("k")


# ---- Keys, values, TTLs ---------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "k" * 513, "ü" * 257, "a\nb", "\0", "\x7f", "\ud800"])
def test_what_is_no_key_is_refused(cache: Cache, key: str) -> None:
    for call in (cache.get, cache.delete, lambda k: cache.get_many(["a", k])):
        with pytest.raises(ValueError, match="a key of a cache"):
            call(key)
    with pytest.raises(ValueError, match="a key of a cache"):
        cache.set_many({"a": 1, key: 2})
    assert cache.get("a") is None


def test_keys_are_text(cache: Cache) -> None:
    with pytest.raises(TypeError, match="a key of a cache is a str, not int"):
        cache.get(5)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="not as one str"):
        cache.get_many("abc")


def test_what_cannot_be_stored_is_refused_and_nothing_is_written(cache: Cache) -> None:
    with pytest.raises(NotStorable, match=r"^value\[0\]: set is not storable"):
        cache.set("k", [{1}])
    with pytest.raises(NotStorable, match=r"^entries\['b'\]\['x'\]: set is not storable"):
        cache.set_many({"a": 1, "b": {"x": {1}}})
    assert cache.get_many(["k", "a", "b"]) == {}


@pytest.mark.parametrize("ttl", [0, -1, 1e9, float("nan"), 10**400])
def test_a_ttl_that_is_none_is_refused(cache: Cache, ttl: Any) -> None:
    for call in (cache.set, cache.add):
        with pytest.raises(ValueError, match="ttl must be from"):
            call("k", 1, ttl)


@pytest.mark.parametrize("ttl", ["5", b"5", [5], True])
def test_a_ttl_of_another_type_is_refused(cache: Cache, ttl: Any) -> None:
    with pytest.raises(TypeError, match="ttl must be a number of seconds, a timedelta or None"):
        cache.set("k", 1, ttl)


def test_an_argument_too_many_or_of_no_name_is_refused(cache: Cache) -> None:
    wrong: list[Callable[[], Any]] = [
        lambda: cache.get(),  # type: ignore[call-overload]
        lambda: cache.get("a", 1, 2),  # type: ignore[call-overload]
        lambda: cache.get("a", key="b"),  # type: ignore[call-overload]
        lambda: cache.set("a", 1, nx=True),  # type: ignore[call-arg]
        lambda: cache.incr("a", 1, 0),  # type: ignore[misc]
        lambda: cache.incr("a", 1.0),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="only_if"):
        cache.set("a", 1, only_if="absent")  # type: ignore[arg-type]


def test_a_version_is_what_was_returned_as_one(cache: Cache) -> None:
    cache.set("k", 1)
    assert cache.compare_and_set("k", 2, "0" * 40) is False
    for wrong in ("", "x"):
        with pytest.raises(ValueError):
            cache.compare_and_set("k", 2, wrong)
    with pytest.raises(TypeError, match="version must be what get_versioned"):
        cache.compare_and_set("k", 2, 5)  # type: ignore[arg-type]
    assert cache.get("k") == 1


def test_threads_that_compare_and_set_lose_nothing(cache: Cache) -> None:
    def add_one() -> None:
        for _ in range(20):
            done = False
            while not done:
                members, version = cache.get_versioned("k", [])
                done = cache.compare_and_set("k", [*members, len(members)], version)

    for join in [in_thread(add_one) for _ in range(4)]:
        join()
    assert cache.get("k") == list(range(80))


def test_ttls_are_shortened_by_chance(redis_server: RedisServer) -> None:
    with Cache(redis_server.url, prefix="test:", ttl=1000, ttl_jitter=0.5) as cache:
        cache.set_many({str(n): n for n in range(100)})
    left = [redis_server.cli("PTTL", UNDER + b"%d" % n) / 1000 for n in range(100)]
    assert all(440 < seconds <= 1000 for seconds in left)
    assert min(left) < 700 < 800 < max(left)


def test_ints_lie_there_as_digits_and_others_do_not(
    cache: Cache, redis_server: RedisServer
) -> None:
    cache.set_many({"int": -5, "bool": True, "big": 2**63, "text": "5"})
    stored = {key: redis_server.cli("GET", UNDER + key) for key in (b"int", b"bool", b"text")}
    assert stored == {b"int": b"-5", b"bool": b"\xc1\x00\xc3", b"text": b"\xc1\x00\xa15"}
    redis_server.cli("INCRBY", UNDER + b"int", 7)
    assert cache.get_many(["int", "bool", "big", "text"]) == {
        "int": 2,
        "bool": True,
        "big": 2**63,
        "text": "5",
    }


def test_get_many_keeps_order_and_takes_any_iterable(cache: Cache) -> None:
    cache.set_many({"a": 1, "b": [2], "c": None})
    assert list(cache.get_many(key for key in "cxab").items()) == [
        ("c", None),
        ("a", 1),
        ("b", [2]),
    ]
    assert cache.get_many([]) == {} and cache.delete_many(()) == 0
    cache.set_many({})


def test_many_keys_are_one_command(cache: Cache, redis_server: RedisServer) -> None:
    keys = [str(n) for n in range(300)]
    cache.set_many(dict.fromkeys(keys, "x"))
    with redis_server.monitor() as seen:
        assert len(cache.get_many(keys)) == 300
    assert [command[0] for command in seen] == ["MGET"]


def test_many_values_may_be_more_than_one_may(redis_server: RedisServer) -> None:
    with Cache(redis_server.url, prefix="test:", timeout=20) as cache:
        cache.set_many({str(n): b"x" * 500_000 for n in range(10)})
        assert len(cache.get_many([str(n) for n in range(10)])) == 10


CORRUPT = [b"", b"x", b"05", b"-0", b"9" * 20, b"\xc1\x00", b"\xc1\x00\xc1", b"\xc1\x01\xc0", b"+1"]


@pytest.mark.parametrize("stored", CORRUPT)
def test_what_is_no_entry_is_missing_or_an_error(
    cache: Cache, redis_server: RedisServer, stored: bytes
) -> None:
    redis_server.cli("SET", UNDER + b"bad", stored)
    cache.set("good", 1)
    assert cache.get("bad", "gone") == "gone"
    assert cache.get_many(["bad", "good"]) == {"good": 1}
    with Cache(redis_server.url, prefix="test:", on_corrupt="raise") as strict:
        for call in (strict.get, strict.pop, lambda key: strict.get_many(["good", key])):
            with pytest.raises(Corrupt):
                call("bad")
            redis_server.cli("SET", UNDER + b"bad", stored)
        assert strict.get("good") == 1


def test_what_is_no_entry_is_counted_and_told_once(
    cache: Cache, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.cli("SET", UNDER + b"bad", "x")
    for _ in range(3):
        cache.get("bad")
    assert [record.message for record in caplog.records if "not an entry" in record.message][
        1:
    ] == []
    assert caplog.records


@pytest.mark.parametrize("kind", ["plain", "namespace"])
def test_a_key_of_another_type_is_missing_or_an_error(redis_server: RedisServer, kind: str) -> None:
    def view(cache: Cache) -> Cache:
        return cache if kind == "plain" else cache.namespace("user:42")

    with Cache(redis_server.url, prefix="test:") as cache:
        view(cache).set("list", 1)
        [key] = filter(lambda key: key.endswith(b"list"), redis_server.keys())
        redis_server.cli("DEL", key)
        redis_server.cli("LPUSH", key, "x")
        assert view(cache).get("list", "gone") == view(cache).pop("list", "gone") == "gone"
        assert view(cache).get_versioned("list", "gone") == ("gone", None)
        assert view(cache).get_many(["list", "other"]) == {}
        assert cache.stats()["coatcheck_corrupt_total"] == 3  # MGET says nothing of it
        with Cache(redis_server.url, prefix="test:", on_corrupt="raise") as strict:
            for call in (view(strict).get, view(strict).pop, view(strict).get_versioned):
                with pytest.raises(Corrupt, match="under one of our keys lies something"):
                    call("list")
            with pytest.raises(Corrupt):
                view(strict).get_or_set("list", lambda: 2, ttl=60)
        assert redis_server.cli("TYPE", key) == "list"
        assert view(cache).get_or_set("list", lambda: 2, ttl=60) == 2
        assert view(cache).get("list") == 2


def test_calls_are_counted(cache: Cache) -> None:
    cache.set("a", 1)
    cache.get("a")
    cache.get("b")
    figures = cache.stats()
    assert figures['coatcheck_operations_total{op="get",result="ok"}'] == 1
    assert figures['coatcheck_operations_total{op="get",result="none"}'] == 1
    assert figures['coatcheck_operations_total{op="set",result="ok"}'] == 1


def test_a_server_that_is_down_is_an_error() -> None:
    with Cache("unix:/nowhere", prefix="test:") as cache:
        for call in (cache.get, cache.has, lambda key: cache.get_or_set(key, int)):
            with pytest.raises(StoreUnavailable):
                call("k")


def test_keys_on_all_nodes_of_a_cluster(shared_cluster: Topology) -> None:
    entries = {str(n): [n] for n in range(100)}
    with Cache(shared_cluster.url, prefix="test:", timeout=20) as cache:
        cache.set_many(entries)
        assert cache.get_many([*entries, "other"]) == entries
        assert cache.incr("count") == 1
        assert cache.delete_many([*entries, "count"]) == 101


# ---- All keys -------------------------------------------------------------------------------


def test_keys_that_a_pattern_fits(cache: Cache, redis_server: RedisServer) -> None:
    cache.set_many({"user:1": 1, "user:2": [2], "user*": 3, "ä": 4})
    redis_server.cli("SET", "test:other", "x")
    assert sorted(cache.keys()) == ["user*", "user:1", "user:2", "ä"]
    assert sorted(cache.keys("user:*")) == ["user:1", "user:2"]
    assert list(cache.keys("user\\*")) == ["user*"]
    assert list(cache.keys("ä")) == ["ä"]
    assert list(cache.keys("[u]ser:?")) != []
    assert list(cache.keys("none*")) == []


def test_clear_deletes_the_entries_of_the_prefix_and_nothing_else(
    cache: Cache, redis_server: RedisServer
) -> None:
    session = Store(redis_server.url, prefix="test:").new()
    session["a"] = 1
    session.save()
    others = sorted(redis_server.keys())
    with Cache(redis_server.url, prefix="test2:") as neighbour:
        neighbour.set("a", 1)
        cache.set_many({str(n): n for n in range(2500)})
        assert cache.clear() == 2500
        assert cache.clear() == 0
        assert neighbour.get("a") == 1
    assert sorted(redis_server.keys()) == sorted([*others, b"test2:c:k:a"])


def test_all_keys_of_a_cluster(shared_cluster: Topology) -> None:
    with Cache(shared_cluster.url, prefix="test:", timeout=20) as cache:
        cache.set_many({str(n): n for n in range(500)})
        assert set(cache.keys()) == {str(n) for n in range(500)}
        assert cache.clear() == 500
        assert list(cache.keys()) == []


def test_all_keys_in_an_event_loop(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        await cache.set_many({str(n): n for n in range(1500)})
        everything = cache.keys()
        assert {key async for key in everything} == {str(n) for n in range(1500)}
        assert [key async for key in cache.keys("7")] == ["7"]
        assert await cache.clear() == 1500
        assert [key async for key in cache.keys("*")] == []

    with_cache(redis_server, main)


def test_a_walk_belongs_to_one_task(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        scan = _core.Scan(cache, "*")
        driver = cache._current
        await cache.get("a")
        driver = cache._current
        assert driver is not None
        first = driver.on_scan(scan)
        assert first is not None
        with pytest.raises(RuntimeError, match="one thread or task"):
            driver.on_scan(scan)
        assert await first.future == []
        assert driver.on_scan(scan) is None
        assert scan.more() is None

    with_cache(redis_server, main)


def test_a_walk_that_is_given_up_can_go_on(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        await cache.set_many({str(n): n for n in range(10)})
        scan = _core.Scan(cache, "*")
        driver = cache._current
        assert driver is not None
        call = driver.on_scan(scan)
        assert call is not None
        call.abandon()
        call = driver.on_scan(scan)
        assert call is not None
        assert len(await call.future) == 10

    with_cache(redis_server, main)


def test_a_pattern_is_text_that_can_fit_a_key(cache: Cache) -> None:
    with pytest.raises(TypeError, match="a pattern of keys is a str, not int"):
        next(cache.keys(5))  # type: ignore[arg-type]
    for pattern in ("", "x" * 2000, "\ud800"):
        with pytest.raises(ValueError):
            next(cache.keys(pattern))


def test_a_walk_of_a_closed_cache_is_over(redis_server: RedisServer) -> None:
    cache = Cache(redis_server.url, prefix="test:")
    cache.set_many({str(n): n for n in range(2000)})
    keys = cache.keys()
    next(keys)
    cache.close()
    with pytest.raises(ValueError, match="the cache is closed"):
        list(keys)


# ---- get_or_set -----------------------------------------------------------------------------


class Slow:
    """A function that takes its time, and counts its calls."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error
        self.calls = 0
        self.may_end = threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        assert self.may_end.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return self.value


def waiters(cache: Cache) -> int:
    return sum(flight._awaited for flight in cache._flights._under_way.values())


def test_one_thread_makes_the_value_and_all_get_it(cache: Cache) -> None:
    make = Slow([1, (2,)])
    answers = [in_thread(lambda: cache.get_or_set("k", make)) for _ in range(16)]
    wait_for(lambda: waiters(cache), "a thread that waits")
    make.may_end.set()
    got = [answer() for answer in answers]
    assert got == [[1, (2,)]] * 16
    assert len({id(value) for value in got}) == 16
    assert make.calls == 1
    assert cache.get_or_set("k", make) == [1, (2,)] and make.calls == 1


def test_an_error_is_for_all_who_wait_and_is_not_stored(cache: Cache) -> None:
    make = Slow(error=LookupError("gone"))
    answers = [in_thread(lambda: cache.get_or_set("k", make)) for _ in range(2)]
    wait_for(lambda: waiters(cache), "a thread that waits")
    make.may_end.set()
    for answer in answers:
        with pytest.raises(LookupError, match="gone"):
            answer()
    assert make.calls == 1 and not cache.has("k")


def test_nobody_waits_longer_than_fill_ttl(redis_server: RedisServer) -> None:
    with Cache(redis_server.url, prefix="test:", fill_ttl=0.05) as cache:
        make = Slow([1])
        first = in_thread(lambda: cache.get_or_set("k", make))
        wait_for(lambda: make.calls, "the first")
        second = in_thread(lambda: cache.get_or_set("k", lambda: [2]))
        wait_for(lambda: waiters(cache), "the second")
        cache.set("k", [3])  # as another process would
        assert second() == [3]
        make.may_end.set()
        assert first() == [1]


def test_a_function_may_ask_for_other_keys_and_even_for_its_own(cache: Cache) -> None:
    assert cache.get_or_set("a", lambda: cache.get_or_set("b", lambda: 1) + 1) == 2
    assert cache.get_or_set("c", lambda: cache.get_or_set("c", lambda: 1) + 1) == 2


def test_none_is_a_value_and_the_ttl_may_follow_from_it(
    cache: Cache, redis_server: RedisServer
) -> None:
    make = Slow(None)
    make.may_end.set()
    for _ in range(2):
        assert cache.get_or_set("k", make, ttl=lambda value: 5 if value is None else 500) is None
    assert make.calls == 1
    assert 0 < redis_server.cli("PTTL", UNDER + b"k") <= 5000


# ---- memoize --------------------------------------------------------------------------------


def test_a_memoized_function_is_called_once_for_the_same_arguments(cache: Cache) -> None:
    calls: list[Any] = []

    @cache.memoize(ttl=60, name="f")
    def f(a: Any, b: int = 2) -> list[Any]:
        """What f is for."""
        calls.append(a)
        return [a, b]

    assert f(1) == f(1, 2) == f(a=1, b=2) == [1, 2] and calls == [1]
    assert type(f(1.0)[0]) is float and type(f(True)[0]) is bool and len(calls) == 3
    assert f.__name__ == "f" and f.__doc__ == "What f is for." and f.__wrapped__(5) == [5, 2]
    assert cache.get(f.key(1)) == [1, 2]
    del calls[:]
    assert f.invalidate(1) and not f.invalidate(1)
    assert f(1) == f.refresh(1) == [1, 2] and calls == [1, 1]


def test_a_method_is_memoized_by_its_object_or_without(cache: Cache) -> None:
    class Shop:
        calls = 0

        @cache.memoize(name="price", ignore=["self"])
        def price(self, sku: str) -> int:
            Shop.calls += 1
            return len(sku)

        @cache.memoize(name="by_self")
        def by_self(self, sku: str) -> int:
            return len(sku)

    assert Shop().price("tea") == Shop().price(sku="tea") == 3 and Shop.calls == 1
    assert Shop().price.invalidate("tea") and Shop().price.refresh("tea") == 3
    with pytest.raises(NotStorable, match=r"^self: .*Shop.* is not storable"):
        Shop().by_self("tea")


def test_a_coroutine_function_needs_a_cache_that_awaits(cache: Cache) -> None:
    async def f() -> None: ...

    with pytest.raises(TypeError, match=r"memoize it with a coatcheck\.aio\.Cache"):
        cache.memoize(f)


# ---- asyncio --------------------------------------------------------------------------------


def test_one_task_makes_the_value_and_all_get_it(redis_server: RedisServer) -> None:
    calls: list[int] = []

    async def main(cache: aio.Cache) -> None:
        @cache.memoize(name="f")
        async def f(a: int) -> list[int]:
            calls.append(a)
            await asyncio.sleep(0.01)
            return [a]

        got = await asyncio.gather(*(f(1) for _ in range(20)))
        assert got == [[1]] * 20 and calls == [1]
        assert len({id(value) for value in got}) == 20
        assert await f.invalidate(1) and not await f.invalidate(1)
        assert await f.refresh(1) == [1] == await f(1) and calls == [1, 1]
        assert await cache.get(f.key(1)) == [1]

    with_cache(redis_server, main)


def test_a_plain_function_may_make_the_value_in_an_event_loop(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        assert await cache.get_or_set("k", lambda: 5, ttl=lambda value: value) == 5
        assert await cache.get_or_set("k", lambda: 6) == 5
        left = await cache.ttl("k")
        assert left is not None and left <= 5

    with_cache(redis_server, main)


def test_one_may_be_cancelled_and_the_others_get_the_value(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def make() -> list[int]:
            begun.set()
            await may_end.wait()
            return [1]

        first = asyncio.ensure_future(cache.get_or_set("k", make))
        await begun.wait()
        second = asyncio.ensure_future(cache.get_or_set("k", make))
        while next(iter(cache._tasks._under_way.values()))._waiting < 2:
            await asyncio.sleep(0)
        first.cancel()
        may_end.set()
        assert await second == [1]
        assert first.cancelled()

    with_cache(redis_server, main)


def test_calls_of_tasks_share_a_connection(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        await asyncio.gather(*(cache.set(str(n), n) for n in range(50)))
        got = await asyncio.gather(*(cache.get(str(n)) for n in range(50)))
        assert got == list(range(50))
        assert await cache.get_many([str(n) for n in range(60)]) == {str(n): n for n in range(50)}
        await cache.ping()

    with_cache(redis_server, main)


def test_wrong_arguments_and_corrupt_entries_in_an_event_loop(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        redis_server.cli("SET", UNDER + b"bad", "x")
        with pytest.raises(ValueError, match="a key of a cache"):
            await cache.get("")
        with pytest.raises(NotStorable, match=r"^value: "):
            await cache.set("k", object())
        with pytest.raises(Corrupt):
            await cache.get("bad")
        assert await cache.get("k") is None

    with_cache(redis_server, main, on_corrupt="raise")


def test_a_closed_cache_says_so_in_an_event_loop(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache) -> None:
        await cache.close()
        with pytest.raises(ValueError, match="the cache is closed"):
            await cache.get("k")

    with_cache(redis_server, main)


# ---- Threads --------------------------------------------------------------------------------


def test_threads_count_exactly(cache: Cache) -> None:
    def count() -> None:
        for _ in range(50):
            cache.incr("n")
            cache.get_many(["n", "m"])

    for join in [in_thread(count) for _ in range(8)]:
        join()
    assert cache.get("n") == 400


def test_entries_end(cache: Cache) -> None:
    cache.set("k", 1, ttl=0.02)
    end = time.monotonic() + PATIENCE_S
    while cache.has("k"):
        assert time.monotonic() < end
    assert cache.get("k") is None
