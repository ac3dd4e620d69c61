"""Whoever makes a value may be interrupted, killed or forked: the next one makes it, soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from coatcheck import Cache
from conftest import RedisServer, wait_for

LOCK = b"test:c:l:{test:c:k:k}"
FILL_S = 2.0

# What starts the tests may have told its children to ignore the signal. And one that comes just
# before a sleep does not end that.
BLOCKING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from coatcheck import Cache
cache = Cache(sys.argv[1], prefix="test:", fill_ttl=float(sys.argv[2]))
def make():
    print("making", flush=True)
    for _ in range(6000):
        time.sleep(0.01)
cache.get_or_set("k", make)
"""

ASYNCIO = """
import asyncio, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from coatcheck import aio
async def make():
    print("making", flush=True)
    await asyncio.sleep(60)
async def main():
    async with aio.Cache(sys.argv[1], prefix="test:", fill_ttl=float(sys.argv[2])) as cache:
        await cache.get_or_set("k", make)
asyncio.run(main())
"""


@contextmanager
def making(program: str, url: str, fill_s: float = 60) -> Iterator[subprocess.Popen[str]]:
    """Another process that is about it."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, url, str(fill_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "making\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("program", [BLOCKING, ASYNCIO], ids=["blocking", "asyncio"])
def test_who_is_interrupted_gives_the_lock_back(redis_server: RedisServer, program: str) -> None:
    with making(program, redis_server.url) as process:
        assert redis_server.cli("EXISTS", LOCK) == 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert "KeyboardInterrupt" in said
        assert redis_server.cli("EXISTS", LOCK) == 0
    with Cache(redis_server.url, prefix="test:") as cache:
        assert cache.get_or_set("k", lambda: "mine") == "mine"


@pytest.mark.parametrize("program", [BLOCKING, ASYNCIO], ids=["blocking", "asyncio"])
def test_who_is_killed_holds_others_up_for_fill_ttl_at_most(
    redis_server: RedisServer, program: str
) -> None:
    with making(program, redis_server.url, FILL_S) as process:
        process.kill()
        assert 0 < redis_server.cli("PTTL", LOCK) <= FILL_S * 1000
        with Cache(redis_server.url, prefix="test:", fill_ttl=FILL_S) as cache:
            assert cache.get_or_set("k", lambda: "mine") == "mine"


def test_who_waits_can_be_interrupted(redis_server: RedisServer) -> None:
    waiting = BLOCKING.replace("cache.get_or_set", "print('making', flush=True); cache.get_or_set")
    with making(BLOCKING, redis_server.url), making(waiting, redis_server.url) as other:
        time.sleep(0.1)
        other.send_signal(signal.SIGINT)
        _, said = other.communicate(timeout=10)
        assert "KeyboardInterrupt" in said
        assert redis_server.cli("EXISTS", LOCK) == 1  # that of the first


def in_child(work: Callable[[], Any]) -> None:
    """It must be true in a child of this process."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_makes_its_own_and_leaves_the_lock_of_its_parent(redis_server: RedisServer) -> None:
    with Cache(redis_server.url, prefix="test:") as cache:

        def make() -> str:
            in_child(lambda: cache.get_or_set("other", lambda: "of the child") == "of the child")
            in_child(lambda: cache.set("n", 5) and cache.incr("n") == 6)
            assert redis_server.cli("EXISTS", LOCK) == 1
            return "of the parent"

        assert cache.get_or_set("k", make) == "of the parent"
        assert cache.get("k") == "of the parent"
        assert cache.get("other") == "of the child"
        in_child(lambda: cache.get("k") == "of the parent" and cache.clear() > 0)
        wait_for(lambda: not cache.has("k"), "what the child has deleted")
