"""Many requests, by each framework, and calls of a cache: what they leave behind in the process.

COAT_TEST_REQUESTS and COAT_TEST_CALLS say how many; a hundred thousand are part of
`make check-long`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coatcheck import Cache, StoreUnavailable, aio
from conftest import Browser, RedisServer
from frameworks import Shop
from frameworks import shop as shop

REQUESTS = int(os.environ.get("COAT_TEST_REQUESTS", "2000"))
CALLS = int(os.environ.get("COAT_TEST_CALLS", "400"))
ROUND = ["/", "/red", "/", "/login", "/blue", "/rotate", "/", "/logout", "/green"]


def rounds(shop: Shop, requests: int) -> None:
    """With a browser that has a session, one that has none, and one that sends two cookies."""
    name = shop.name
    for _ in range(requests // (len(ROUND) + 3)):
        browser = shop.browser()
        for path in ROUND:
            assert browser.get(path).status == 200
        shop.browser("A" * 43).get("/")
        shop.browser("no id").get("/")
        browser.get("/", HTTP_COOKIE=f"{name}={'A' * 43}; {name}={'B' * 43}")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """pytest would keep all that is logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_many_requests_leave_nothing_behind(shop: Shop, redis_server: RedisServer) -> None:
    rounds(shop, max(REQUESTS // 10, 400))
    before, resident, files = blocks(), resident_bytes(), descriptors()
    rounds(shop, REQUESTS)
    assert descriptors() <= files
    # A request makes some thousand objects; one that stays is a leak.
    assert blocks() - before < 500 + REQUESTS // 4
    assert resident_bytes() - resident < 1024 * 1024 + 16 * REQUESTS


def test_many_failures_leave_nothing_behind(shop: Shop, redis_server: RedisServer) -> None:
    browser, _ = shop.visitor()
    redis_server.stop()

    def fail(requests: int) -> None:
        for _ in range(requests):
            assert fails(browser)

    fail(100)
    before, files = blocks(), descriptors()
    fail(REQUESTS)
    assert descriptors() <= files
    assert blocks() - before < 500 + REQUESTS // 4


def fails(browser: Browser) -> bool:
    try:
        return browser.get("/").status in (500, 503)
    except StoreUnavailable:
        return True


async def awaited(result: Any) -> Any:
    return await result


async def walked(keys: Any) -> int:
    return len([key async for key in keys])


def each_call(cache: Any, run: Any, n: int) -> None:
    """Of a cache, once; run: of what a call has returned."""
    key, value = f"k{n % 10}", {"n": [n, (n,)]}
    run(cache.set(key, value))
    assert run(cache.get(key)) == value
    run(cache.add(key, value))
    run(cache.set(key, value, only_if="present"))
    run(cache.set_many({"a": n, "b": value}))
    assert run(cache.get_many(["a", "b", "c"])) == {"a": n, "b": value}
    run(cache.touch(key))
    run(cache.ttl(key))
    run(cache.has(key))
    _, version = run(cache.get_versioned(key))
    assert run(cache.compare_and_set(key, value, version))
    assert not run(cache.compare_and_set(key, value, None))
    run(cache.incr("n"))
    run(cache.decr("n"))
    assert run(cache.pop(key)) == value
    run(cache.get_or_set(key, lambda: value))
    with pytest.raises(ZeroDivisionError):
        run(cache.get_or_set("none", lambda: 1 // 0))
    with pytest.raises(TypeError):
        run(cache.set(key, {1}))
    assert run(cache.namespace(f"n{n % 3}").get(key)) is None
    run(cache.namespace("n").set(key, value))
    run(cache.invalidate("n"))
    run(cache.delete(key))
    run(cache.delete_many(["a", "b"]))


@pytest.mark.parametrize("kind", [Cache, aio.Cache], ids=["blocking", "asyncio"])
def test_many_calls_of_a_cache_leave_nothing_behind(kind: Any, redis_server: RedisServer) -> None:
    loop = asyncio.new_event_loop()
    cache = kind(redis_server.url, prefix="soak:")

    def run(result: Any) -> Any:
        return loop.run_until_complete(awaited(result)) if kind is aio.Cache else result

    def calls(times: int) -> None:
        for n in range(times):
            each_call(cache, run, n)
            if n % 100 == 0:
                keys = cache.keys()
                assert len(list(keys)) if kind is Cache else run(walked(keys))
                run(cache.clear())

    calls(max(CALLS // 10, 100))
    before, resident, files = blocks(), resident_bytes(), descriptors()
    calls(CALLS)
    assert descriptors() <= files
    assert blocks() - before < 100 + CALLS // 8
    assert resident_bytes() - resident < 512 * 1024 + 16 * CALLS
    run(cache.close())
    loop.close()
