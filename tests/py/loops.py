"""What the tests of asyncio share: event loops that they run in, and what they ask of a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from typing import Any

import pytest
import uvloop
from coatcheck import StoreUnavailable, aio
from conftest import RedisServer

RUN_S = 60  # far more than any test takes, under AddressSanitizer on a busy machine too
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine in a loop that takes no complaint lightly, and leaves no task."""
    loop = LOOPS[request.param]()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        result = loop.run_until_complete(asyncio.wait_for(main, RUN_S))
        loop.run_until_complete(asyncio.sleep(0))
        assert asyncio.all_tasks(loop) == set()
        return result

    with closing(loop):
        yield run
        loop.run_until_complete(loop.shutdown_default_executor())
    assert complaints == []


@pytest.fixture(autouse=True)
def nobody_else(redis_server: RedisServer) -> None:
    """What tests before this one have left is not counted as ours."""
    redis_server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def clients(server: RedisServer) -> list[str]:
    """But for those who watch it."""
    listed = server.cli("CLIENT", "LIST").decode().splitlines()
    return [line for line in listed if "cmd=client" not in line and "cmd=monitor" not in line]


async def eventually(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Again until the store is there: for a moment after a failed connect it is not tried."""
    end = time.monotonic() + 10
    while True:
        try:
            return await call()
        except StoreUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


async def stored(store: aio.Store, **fields: Any) -> str:
    session = store.new()
    session.update(fields or {"a": 1})
    session_id = await session.save()
    assert session_id is not None
    return session_id


async def cancelled_after(call: Coroutine[Any, Any, Any], turns: int) -> bool:
    """Cancels a call after so many turns of the loop. False: it was over before."""
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False
