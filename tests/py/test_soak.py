"""Many requests, by each framework: what they leave behind in the process.

COAT_TEST_REQUESTS says how many; a hundred thousand are part of `make check-long`.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from coatcheck import StoreUnavailable
from conftest import Browser, RedisServer
from frameworks import Shop
from frameworks import shop as shop

REQUESTS = int(os.environ.get("COAT_TEST_REQUESTS", "2000"))
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
