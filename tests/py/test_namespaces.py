"""Namespaces and tags of a cache: what the model of test_cache_model.py does not see of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from coatcheck import Cache, Corrupt, StoreUnavailable, aio
from conftest import PATIENCE_S, RedisServer, in_thread
from topologies import Topology


@pytest.fixture
def cache(redis_server: RedisServer) -> Iterator[Cache]:
    with Cache(redis_server.url, prefix="test:") as cache:
        yield cache


@pytest.fixture
def other(redis_server: RedisServer) -> Iterator[Cache]:
    """As another process: it shares no memory of generations."""
    with Cache(redis_server.url, prefix="test:") as cache:
        yield cache


def commands(server: RedisServer, work: Callable[[], object]) -> list[str]:
    with server.monitor() as seen:
        work()
    return [" ".join(command) for command in seen]


# ---- What is where ---------------------------------------------------------------------------


def test_a_namespace_has_keys_of_its_own(cache: Cache) -> None:
    a, b = cache.namespace("a"), cache.namespace("b")
    for number, place in enumerate((cache, a, b, a.namespace("b"), cache.tagged("a", "b"))):
        assert place.get("k") is None
        place.set("k", number)
    assert [p.get("k") for p in (cache, a, b, a.namespace("b"), cache.tagged("b", "a"))] == [
        *range(5)
    ]
    assert cache.namespace("a").get("k") == 1 == cache.tagged("a", "a").get("k")


def test_what_is_in_a_namespace_ends_with_it_and_nothing_else_does(cache: Cache) -> None:
    a, b = cache.namespace("a"), cache.namespace("b")
    inner = a.namespace("x")
    deep, tagged = inner.namespace("y"), a.tagged("t")
    for place in (cache, a, b, inner, deep, tagged):
        place.set("k", 1)
    assert inner.invalidate() == 1 and inner.invalidate() == 0
    assert [p.has("k") for p in (cache, a, b, inner, deep, tagged)] == [1, 1, 1, 0, 0, 1]
    assert a.invalidate("t", "none") == 1
    assert not tagged.has("k") and a.has("k")
    assert cache.invalidate("a") == 1
    assert [p.has("k") for p in (cache, a, b, inner, deep, tagged)] == [1, 0, 1, 0, 0, 0]


def test_what_has_tags_ends_with_any_of_them(cache: Cache) -> None:
    for tag in ("product:7", "prices"):
        page = cache.tagged("product:7", "prices")
        page.set("k", 1)
        cache.tagged("other").set("k", 2)
        assert cache.tagged("prices", "product:7").get("k") == 1
        assert cache.invalidate(tag) == 1
        assert page.get("k") is None and cache.tagged("other").get("k") == 2


def test_names_in_a_namespace_are_none_elsewhere(cache: Cache) -> None:
    inner = cache.namespace("a").namespace("b")
    inner.set("k", 1)
    for name in ("b", "ab", "a:b", "a/b"):
        assert cache.invalidate(name) == 0
    assert inner.get("k") == 1


def test_a_namespace_is_cleared_and_walked_over_for_itself(cache: Cache) -> None:
    space = cache.namespace("a*")
    assert list(space.keys()) == []
    space.set_many({f"k{n}": n for n in range(1200)})
    cache.namespace("ab").set("k", 1)
    cache.set("k", 1)
    assert sorted(space.keys()) == sorted(f"k{n}" for n in range(1200))
    assert sorted(space.keys("k1?")) == [f"k1{n}" for n in range(10)]
    assert list(cache.keys()) == ["k"]
    assert space.clear() == 1
    assert list(space.keys()) == [] and cache.has("k") and cache.namespace("ab").has("k")


def test_a_name_that_no_key_could_be_is_refused(cache: Cache) -> None:
    for name in ("", "a\n", "a\x1fb", "x" * 513, "\ud800"):
        for make in (cache.namespace, cache.tagged, cache.invalidate):
            with pytest.raises(ValueError):
                make(name)
    for call in (cache.tagged, lambda: cache.tagged(*"123456789")):
        with pytest.raises(ValueError, match="tag"):
            call()
    with pytest.raises(ValueError, match="at most 8"):
        cache.tagged(*"12345678").tagged("9")
    with pytest.raises(ValueError, match="512"):
        cache.namespace("x" * 300).namespace("x" * 300)
    with pytest.raises(TypeError):
        cache.namespace(42)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        cache.invalidate()  # type: ignore[call-arg]


# ---- Other processes -------------------------------------------------------------------------


CALLS: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    "get": (lambda space: space.get("k"), 7, None),
    "get many": (lambda space: space.get_many(["k", "l"]), {"k": 7}, {}),
    "get versioned": (lambda space: space.get_versioned("k")[0], 7, None),
    "set if present": (lambda space: space.set("k", 8, only_if="present"), True, False),
    "add": (lambda space: space.add("k", 8), False, True),
    "delete": (lambda space: space.delete("k"), True, False),
    "delete many": (lambda space: space.delete_many(["k", "l"]), 1, 0),
    "has": (lambda space: space.has("k"), True, False),
    "touch": (lambda space: space.touch("k"), True, False),
    "ttl": (lambda space: space.ttl("k") is None, False, True),
    "pop": (lambda space: space.pop("k"), 7, None),
    "incr": (lambda space: space.incr("k"), 8, 1),
    "compare and set": (lambda space: space.compare_and_set("k", 1, OF_SEVEN), True, False),
    "get or set": (lambda space: space.get_or_set("k", lambda: 9), 7, 9),
    "keys": (lambda space: list(space.keys()), ["k"], []),
}

OF_SEVEN = hashlib.sha1(b"7").hexdigest()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_in_the_generation_of_now(cache: Cache, other: Cache, name: str) -> None:
    """Whatever a process remembers: another has invalidated, and perhaps stored, meanwhile."""
    mine, theirs = cache.namespace("n"), other.namespace("n")
    call, there, none = CALLS[name]
    mine.set_many({"k": 1, "l": 2})
    theirs.invalidate()
    theirs.set("k", 7)
    assert call(mine) == there
    mine.set_many({"k": 1, "l": 2})
    theirs.invalidate()
    assert call(mine) == none


def test_what_is_stored_is_in_the_generation_of_now(cache: Cache, other: Cache) -> None:
    mine, theirs = cache.namespace("n"), other.namespace("n")
    for there in (True, False):
        mine.set("k", 1)
        theirs.invalidate()
        if there:
            theirs.set("l", 1)
        mine.set("k", 2)
        assert theirs.get_many(["k", "l"]) == ({"k": 2, "l": 1} if there else {"k": 2})


def test_an_evicted_generation_brings_nothing_back(
    cache: Cache, other: Cache, redis_server: RedisServer
) -> None:
    mine, theirs = cache.namespace("n"), other.namespace("n")
    mine.set("k", "old")
    assert theirs.get("k") == "old"
    assert redis_server.cli("DEL", "test:c:g:n") == 1
    assert theirs.get("k") is None
    mine.set("l", "new")  # which remembers the former one
    assert theirs.get("k") is None and theirs.get("l") == "new" and mine.get("k") is None


def test_what_is_no_generation_is_said(cache: Cache, redis_server: RedisServer) -> None:
    space = cache.namespace("n")
    space.set("k", 1)
    for wrong in ("", "x" * 16, "0" * 16, "1" * 17):
        redis_server.cli("SET", "test:c:g:n", wrong)
        for call in (lambda: space.get("k"), lambda: space.set("k", 1)):
            with pytest.raises(Corrupt, match="generation"):
                call()
    space.invalidate()
    assert space.set("k", 1) and space.get("k") == 1


def test_clear_of_the_cache_leaves_no_generation(cache: Cache, redis_server: RedisServer) -> None:
    space = cache.namespace("n")
    space.set("k", 1)
    cache.tagged("a", "b").set("{k}", 1, ttl=None)
    assert cache.clear() == 5
    assert redis_server.keys() == [] and space.get("k") is None


# ---- Making a value once ---------------------------------------------------------------------


@pytest.mark.parametrize("inside", ["the same process", "another"])
def test_a_value_that_was_begun_before_an_invalidation_is_not_found_after_it(
    cache: Cache, other: Cache, inside: str
) -> None:
    space = cache.namespace("n")
    ended = (cache if inside == "the same process" else other).namespace("n")
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return "old"

    making = in_thread(lambda: space.get_or_set("k", slow))
    assert begun.wait(PATIENCE_S)
    ended.invalidate()
    # It waits for nobody, since nobody makes it in this generation.
    assert ended.get_or_set("k", lambda: "new") == "new"
    go_on.set()
    assert making() == "old"
    assert space.get("k") == "new" == ended.get("k")


def test_tasks_that_come_after_an_invalidation_do_not_wait_for_those_before(
    redis_server: RedisServer,
) -> None:
    async def main() -> None:
        async with aio.Cache(redis_server.url, prefix="test:") as cache:
            go_on = asyncio.Event()

            async def slow() -> str:
                await go_on.wait()
                return "old"

            space = cache.namespace("n")
            first = asyncio.create_task(space.get_or_set("k", slow))
            while not redis_server.cli("KEYS", "test:c:l:*"):
                await asyncio.sleep(0.01)
            assert await cache.invalidate("n") == 1
            assert await cache.namespace("n").get_or_set("k", lambda: "new") == "new"
            go_on.set()
            assert await first == "old" and await space.get("k") == "new"

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_one_of_many_threads_makes_a_value_of_a_namespace(cache: Cache) -> None:
    made: list[int] = []
    barrier = threading.Barrier(8)

    def want() -> Any:
        barrier.wait(PATIENCE_S)
        return cache.namespace("n").get_or_set("k", lambda: made.append(1) or "value")

    waiting = [in_thread(want) for _ in range(8)]
    assert [wait() for wait in waiting] == ["value"] * 8 and made == [1]


def test_a_value_may_be_made_of_the_same_one(cache: Cache) -> None:
    """As with a whole cache it is made, and does not wait for itself, by whatever names."""

    def outer() -> int:
        return cache.tagged("b", "a").get_or_set("k", lambda: 1) + 1

    assert cache.tagged("a", "b").get_or_set("k", outer) == 2


def test_results_of_a_function_are_in_a_namespace(cache: Cache) -> None:
    calls = []
    space = cache.namespace("n")

    @space.memoize(name="f")
    def f(x: int) -> int:
        calls.append(x)
        return x + 1

    assert [f(1), f(1), f(2)] == [2, 2, 3] and calls == [1, 2]
    assert f.invalidate(1) and f(1) == 2 and calls == [1, 2, 1]
    space.invalidate()
    assert f(2) == 3 and calls == [1, 2, 1, 2]


def test_results_of_a_function_have_tags(cache: Cache) -> None:
    calls = []

    class Shop:
        @cache.memoize(name="f", ignore=["self"], tags=lambda self, x, y=0: [f"x:{x}", "all"])
        def f(self, x: int, y: int = 0) -> int:
            calls.append(x)
            return x

    @cache.memoize(name="g", tags="all")
    def g() -> int:
        calls.append(0)
        return 0

    f = Shop().f
    assert [f(1), f(1, y=0), f(2), g(), g()] == [1, 1, 2, 0, 0] and calls == [1, 2, 0]
    assert cache.invalidate("x:1") == 1
    assert [f(1), f(2), g()] == [1, 2, 0] and calls == [1, 2, 0, 1]
    assert f.invalidate(2) and f.refresh(1) == 1 and calls == [1, 2, 0, 1, 1]
    assert [f(1), f(2)] == [1, 2] and calls == [1, 2, 0, 1, 1, 2]
    assert cache.invalidate("all") == 1
    assert [f(1), g()] == [1, 0] and calls == [1, 2, 0, 1, 1, 2, 1, 0]
    assert cache.get(f.key(1)) is None


def test_results_of_a_coroutine_function_have_tags(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Cache(redis_server.url, prefix="test:") as cache:
            calls = []

            @cache.memoize(name="f", tags=lambda x: (f"x:{x}", "all"))
            async def f(x: int) -> int:
                calls.append(x)
                return x

            assert [await f(1), await f(1), await f(2)] == [1, 1, 2] and calls == [1, 2]
            assert await cache.invalidate("x:1") == 1
            assert [await f(1), await f(2)] == [1, 2] and calls == [1, 2, 1]
            assert await f.invalidate(2) and await f.refresh(1) == 1 and calls == [1, 2, 1, 1]
            assert [await f(1), await f(2)] == [1, 2] and calls == [1, 2, 1, 1, 2]

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


# ---- Where it runs ---------------------------------------------------------------------------


def test_a_child_has_what_its_parent_had(cache: Cache) -> None:
    space = cache.namespace("n")
    space.set("k", 1)
    child = os.fork()
    if child == 0:
        space.invalidate()
        space.set("k", 2)
        os._exit(0 if space.get("k") == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert space.get("k") == 2


def test_a_view_of_a_closed_cache_is_closed(redis_server: RedisServer) -> None:
    cache = Cache(redis_server.url, prefix="test:")
    space = cache.namespace("n")
    cache.close()
    for call in (lambda: space.get("k"), space.invalidate, lambda: space.namespace("m")):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_a_server_that_is_away_is_no_miss(redis_server: RedisServer) -> None:
    with Cache("unix:/nowhere", prefix="test:") as cache:
        space = cache.namespace("n")
        for call in (lambda: space.get("k"), lambda: space.set("k", 1), space.invalidate):
            with pytest.raises(StoreUnavailable):
                call()


def test_a_cluster_has_names_and_entries_on_whatever_nodes(shared_cluster: Topology) -> None:
    with (
        Cache(shared_cluster.url, prefix="test:", timeout=20) as cache,
        Cache(shared_cluster.url, prefix="test:", timeout=20) as other,
    ):
        for number in range(20):
            mine, theirs = (c.tagged(f"a{number}", "b", f"c{number}") for c in (cache, other))
            mine.set_many({f"k{n}": n for n in range(30)})
            assert len(theirs.get_many([f"k{n}" for n in range(30)])) == 30
            assert theirs.get_or_set("m", lambda: 1) == 1 == mine.incr("k0")
            assert len(list(theirs.keys())) == 31
            other.invalidate(f"a{number}" if number % 2 else "b")
            assert mine.get_many([f"k{n}" for n in range(30)]) == {} == theirs.get_many(["k1"])
            assert list(mine.keys()) == [] and mine.add("k1", 5) and theirs.pop("k1") == 5
        cache.clear()


# ---- What it costs ---------------------------------------------------------------------------


def test_what_each_call_sends(cache: Cache, other: Cache, redis_server: RedisServer) -> None:
    space = cache.namespace("n")
    theirs = other.namespace("n")
    key = "test:c:n:%s:k"

    def sent(call: Callable[[], object]) -> list[str]:
        now = redis_server.cli("GET", "test:c:g:n")
        text = "\n".join(commands(redis_server, call))
        return text.replace(now.decode() if now else "-", "%s").split("\n")

    generation = "GET test:c:g:n"
    assert sent(lambda: space.get("k")) == [generation]
    made = sent(lambda: space.set("k", 1, ttl=None))
    assert [c.split(":")[0] for c in made] == ["SET test", "GET test", "SET test", "GET test"]
    assert made[0].endswith(" NX") and made[1] == made[3] == generation
    assert sent(lambda: space.get("k")) == [f"GET {key}", generation]
    assert sent(lambda: theirs.get("k")) == [generation, f"GET {key}", generation]
    assert sent(lambda: theirs.get("k")) == [f"GET {key}", generation]
    assert sent(space.invalidate) == ["UNLINK test:c:g:n"]
    assert len(sent(lambda: theirs.get("k"))) == 3
    assert sent(lambda: theirs.get("k")) == [generation]
