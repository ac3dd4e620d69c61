"""A value is made once, whoever wants it; two caches of one server are as two processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from coatcheck import Cache, NotStorable, _core, aio
from conftest import PATIENCE_S, RedisServer, in_thread, wait_for

ENTRY = b"test:c:k:k"
BUSY, FOUND, MAKE, MAKE_AGAIN = range(4)


def never() -> Any:
    raise AssertionError("somebody else makes it")


def caches(url: str, **options: Any) -> tuple[Cache, Cache]:
    options = {"prefix": "test:", "timeout": 10, "ttl_jitter": 0, **options}
    return Cache(url, **options), Cache(url, **options)


@pytest.fixture
def both(redis_server: RedisServer) -> Iterator[tuple[Cache, Cache]]:
    one, other = caches(redis_server.url)
    with one, other:
        yield one, other


class Slow:
    """Makes its value when it is let."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> Any:
        self.begun.set()
        assert self.may_end.wait(PATIENCE_S)
        return self.value


def under_way(cache: Cache, make: Slow) -> Callable[[], Any]:
    answer = in_thread(lambda: cache.get_or_set("k", make))
    assert make.begun.wait(PATIENCE_S)
    return answer


def past_its_ttl(server: RedisServer) -> None:
    """But not yet past the time for which it may be stale, of a minute."""
    assert server.cli("PEXPIRE", ENTRY, 59_000) == 1


def test_another_process_waits_for_the_value(both: tuple[Cache, Cache]) -> None:
    make = Slow([1])
    first = under_way(both[0], make)
    answers = [in_thread(lambda: both[1].get_or_set("k", never)) for _ in range(3)]
    make.may_end.set()
    assert [answer() for answer in [first, *answers]] == [[1]] * 4
    assert both[1].get("k") == [1]


def test_after_an_error_another_process_makes_it_at_once(both: tuple[Cache, Cache]) -> None:
    with pytest.raises(ZeroDivisionError):
        both[0].get_or_set("k", lambda: 1 // 0)
    with pytest.raises(NotStorable):
        both[0].get_or_set("k", lambda: [{1}])
    with pytest.raises(ValueError, match="ttl"):
        both[0].get_or_set("k", lambda: 1, ttl=-1)
    assert _core.Fill(both[1], "k", 30).fetch() == MAKE


def test_who_is_too_late_does_not_write_over_a_newer_value(redis_server: RedisServer) -> None:
    one, other = caches(redis_server.url, fill_ttl=0.05)
    with one, other:
        make = Slow("late")
        first = under_way(one, make)
        assert other.get_or_set("k", lambda: "in time") == "in time"
        make.may_end.set()
        assert first() == "late"
        assert one.get("k") == "in time"


def test_what_is_deleted_while_it_is_made_is_not_stored(both: tuple[Cache, Cache]) -> None:
    make = Slow("of before")
    first = under_way(both[0], make)
    both[1].delete("k")
    make.may_end.set()
    assert first() == "of before"
    assert not both[1].has("k")


def test_what_is_written_while_it_is_made_stays(both: tuple[Cache, Cache]) -> None:
    make = Slow("of before")
    first = under_way(both[0], make)
    both[1].set("k", "newer")
    make.may_end.set()
    assert first() == "of before"
    assert both[1].get("k") == "newer"


def test_who_asks_after_a_delete_gets_what_is_made_after_it(both: tuple[Cache, Cache]) -> None:
    make = Slow("of before")
    first = under_way(both[0], make)
    both[1].delete("k")
    second = in_thread(lambda: both[0].get_or_set("k", lambda: "of after"))
    wait_for(lambda: both[0]._flights._under_way["k"]._awaited, "the other thread")
    make.may_end.set()
    assert first() == "of before"
    assert second() == both[1].get("k") == "of after"


def test_what_is_popped_while_it_is_made_is_not_stored(both: tuple[Cache, Cache]) -> None:
    make = Slow("of before")
    first = under_way(both[0], make)
    both[1].set("k", "newer")
    assert both[1].pop("k") == "newer"
    make.may_end.set()
    assert first() == "of before"
    assert not both[1].has("k")


# ---- Stale, and early -----------------------------------------------------------------------


@pytest.fixture
def stale(redis_server: RedisServer) -> Iterator[tuple[Cache, Cache]]:
    """Two caches, and an entry that is past its TTL."""
    one, other = caches(redis_server.url, stale_ttl=60)
    with one, other:
        assert one.get_or_set("k", lambda: "old", ttl=100) == "old"
        assert 100_000 < redis_server.cli("PTTL", ENTRY) <= 160_000
        past_its_ttl(redis_server)
        yield one, other


def test_where_making_it_anew_fails_the_stale_one_is_served(
    stale: tuple[Cache, Cache], caplog: pytest.LogCaptureFixture
) -> None:
    assert stale[0].get_or_set("k", lambda: 1 // 0) == "old"
    (record,) = [r for r in caplog.records if "could not be made anew" in r.message]
    assert record.exc_info and record.exc_info[0] is ZeroDivisionError
    assert stale[1].get_or_set("k", lambda: "new") == "new" == stale[0].get("k")


def test_an_exit_is_not_hidden_by_a_stale_value(stale: tuple[Cache, Cache]) -> None:
    def leave() -> Any:
        raise SystemExit

    with pytest.raises(SystemExit):
        stale[0].get_or_set("k", leave)


def test_others_get_the_stale_one_while_it_is_made_anew(stale: tuple[Cache, Cache]) -> None:
    make = Slow("new")
    first = under_way(stale[0], make)
    assert stale[0].get_or_set("k", never) == stale[1].get_or_set("k", never) == "old"
    make.may_end.set()
    assert first() == "new" == stale[1].get_or_set("k", never)


def test_one_makes_it_anew_before_its_end_where_it_was_costly(both: tuple[Cache, Cache]) -> None:
    fill = _core.Fill(both[0], "k", 30)
    assert fill.fetch() == MAKE
    assert fill.store(["old"], 100, 0, 4_000_000)
    assert both[0].get_or_set("k", lambda: 1 // 0) == ["old"]
    make = Slow(["new"])
    first = under_way(both[0], make)
    assert both[1].get_or_set("k", never) == ["old"]
    make.may_end.set()
    assert first() == ["new"]


def test_one_that_costs_nothing_lives_until_its_end(both: tuple[Cache, Cache]) -> None:
    fill = _core.Fill(both[0], "k", 30)
    assert fill.fetch() == MAKE
    assert fill.store(["old"], 100, 0, 0)
    assert all(both[1].get_or_set("k", never) == ["old"] for _ in range(50))


# ---- The core -------------------------------------------------------------------------------


def test_the_steps_of_a_fill(both: tuple[Cache, Cache]) -> None:
    one, other = (_core.Fill(cache, "k", 30) for cache in both)
    assert (one.fetch(), other.fetch()) == (MAKE, BUSY)
    assert other.release() is False or other.fetch() == BUSY
    assert one.release() is True
    assert (other.fetch(), one.fetch()) == (MAKE, BUSY)
    assert other.store({"a": 1}, "default", 0, 0) is True
    assert one.fetch() == FOUND and one.value == {"a": 1}
    assert one.store([2], 5, 0, 0) is False
    assert both[0].get("k") == {"a": 1}


def test_arguments_of_a_fill_are_checked(both: tuple[Cache, Cache]) -> None:
    with pytest.raises(ValueError, match="a key of a cache"):
        _core.Fill(both[0], "", 30)
    with pytest.raises(TypeError, match="a key of a cache is a str"):
        _core.Fill(both[0], 5, 30)  # type: ignore[arg-type]
    fill = _core.Fill(both[0], "k", 30)
    assert fill.fetch() == MAKE
    for wrong in [(object(), 1, 0, 0), (1, -1, 0, 0), (1, 1, -1, 0), (1, 1, 0, "x"), (1,)]:
        with pytest.raises((TypeError, ValueError)):
            fill.store(*wrong)
    assert fill.store(1, 1, 0, 0)
    both[0].close()
    with pytest.raises(ValueError, match="the cache is closed"):
        fill.fetch()


# ---- asyncio --------------------------------------------------------------------------------


def run(server: RedisServer, main: Callable[[aio.Cache, Cache], Any], **options: Any) -> None:
    async def whole() -> None:
        options.update(prefix="test:", timeout=10, ttl_jitter=0)
        with Cache(server.url, **options) as other:
            async with aio.Cache(server.url, **options) as cache:
                await asyncio.wait_for(main(cache, other), 60)

    asyncio.run(whole())


def test_tasks_wait_for_another_process(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache, other: Cache) -> None:
        make = Slow([1])
        first = under_way(other, make)
        tasks = [asyncio.ensure_future(cache.get_or_set("k", never)) for _ in range(5)]
        await asyncio.sleep(0)
        make.may_end.set()
        assert await asyncio.gather(*tasks) == [[1]] * 5
        assert first() == [1]

    run(redis_server, main)


def test_another_process_waits_for_a_task_and_not_for_one_that_is_cancelled(
    redis_server: RedisServer,
) -> None:
    async def main(cache: aio.Cache, other: Cache) -> None:
        begun = asyncio.Event()

        async def make() -> Any:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(cache.get_or_set("k", make))
        await begun.wait()
        assert _core.Fill(other, "k", 30).fetch() == BUSY
        task.cancel()
        await asyncio.wait([task])
        while cache._tasks._under_way:
            await asyncio.sleep(0.001)
        assert _core.Fill(other, "k", 30).fetch() == MAKE

    run(redis_server, main)


def test_a_task_serves_the_stale_one_where_making_it_anew_fails(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache, other: Cache) -> None:
        async def fails() -> Any:
            raise LookupError

        assert await cache.get_or_set("k", lambda: "old") == "old"
        past_its_ttl(redis_server)
        assert await cache.get_or_set("k", fails) == "old"
        assert await cache.get_or_set("k", lambda: "new") == "new" == other.get("k")

    run(redis_server, main, stale_ttl=60)


def test_a_function_may_ask_for_its_own_key_in_an_event_loop(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache, _: Cache) -> None:
        async def outer() -> int:
            return 1 + await cache.get_or_set("k", lambda: 1)

        assert await cache.get_or_set("k", outer) == 2

    run(redis_server, main)


def test_who_takes_longer_than_fill_ttl_is_not_interrupted(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache, other: Cache) -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def make() -> str:
            begun.set()
            await may_end.wait()
            return "late"

        first = asyncio.ensure_future(cache.get_or_set("k", make))
        await begun.wait()
        assert await cache.get_or_set("k", lambda: "in time") == "in time"
        may_end.set()
        assert await first == "late" and other.get("k") == "in time"

    run(redis_server, main, fill_ttl=0.05)


def test_a_step_belongs_to_one_task(redis_server: RedisServer) -> None:
    async def main(cache: aio.Cache, _: Cache) -> None:
        await cache.get("k")
        driver = cache._current
        assert driver is not None
        fill = _core.Fill(cache, "k", 30)
        first = driver.on_fill(fill, "fetch")
        with pytest.raises(RuntimeError, match="one thread or task"):
            driver.on_fill(fill, "fetch")
        assert await first.future == MAKE
        for wrong in [(cache, "fetch"), (fill, "look"), (fill,)]:
            with pytest.raises(TypeError):
                driver.on_fill(*wrong)  # type: ignore[arg-type]

    run(redis_server, main)


def test_threads_of_two_processes_make_it_once(both: tuple[Cache, Cache]) -> None:
    calls: list[int] = []
    barrier = threading.Barrier(16)

    def make() -> list[int]:
        calls.append(1)
        wait_for(lambda: True, "nothing")
        return [1]

    def ask(cache: Cache) -> Any:
        barrier.wait(PATIENCE_S)
        return cache.get_or_set("k", make)

    answers = [in_thread(lambda c=both[n % 2]: ask(c)) for n in range(16)]  # type: ignore[misc]
    assert [answer() for answer in answers] == [[1]] * 16
    assert calls == [1]
