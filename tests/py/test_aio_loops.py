"""coatcheck.aio in loops and processes that come and go: what is closed, and what is left."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from coatcheck import StoreUnavailable, _core, aio
from coatcheck.aio import address
from conftest import RedisServer, wait_for
from loops import cancelled_after, clients, stored
from loops import nobody_else as nobody_else
from loops import run as run


def test_without_a_loop_it_says_so(redis_server: RedisServer) -> None:
    store = aio.Store(redis_server.url, prefix="test:")
    coroutine = store.load("x")
    with pytest.raises(RuntimeError, match="event loop"):
        coroutine.send(None)
    asyncio.run(store.close())


def test_trio_is_refused_at_the_start(redis_server: RedisServer) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="trio"):
            aio.Store(redis_server.url, prefix="test:")

    trio.run(main)


def test_a_closed_store_refuses_calls(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        store = aio.Store(redis_server.url, prefix="test:")
        session = store.new()
        session["a"] = 1
        await session.save()
        await store.close()
        await store.close()
        for call in (store.ping, lambda: store.load("x"), session.save, session.destroy):
            with pytest.raises(ValueError, match="closed"):
                await call()
        wait_for(lambda: not clients(redis_server), "the connection to end")

    run(main())


def test_close_lets_calls_end_that_are_under_way(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        store = aio.Store(redis_server.url, prefix="test:")
        ids = await asyncio.gather(*(stored(store, n=n) for n in range(5)))
        loads = [asyncio.ensure_future(store.load(i)) for i in ids]
        await asyncio.sleep(0)
        await store.close()
        assert all(load.done() and load.exception() is None for load in loads)

    run(main())


def test_a_store_that_was_dropped_closes_its_connections(
    run: Any, redis_server: RedisServer
) -> None:
    async def main() -> None:
        store = aio.Store(redis_server.url, prefix="test:")
        await store.ping()
        assert len(clients(redis_server)) == 1
        del store
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)
        wait_for(lambda: not clients(redis_server), "the connection to end")

    run(main())


def test_a_forked_child_has_connections_of_its_own(redis_server: RedisServer) -> None:
    store = aio.Store(redis_server.url, prefix="test:")

    async def parent() -> None:
        session_id = await stored(store, a=1)
        child = os.fork()
        if child == 0:
            asyncio.events._set_running_loop(None)
            code = 1
            try:
                loaded = asyncio.run(store.load(session_id))
                code = 0 if loaded is not None and loaded["a"] == 1 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        loaded = await store.load(session_id)
        assert loaded is not None and loaded["a"] == 1
        await store.close()

    asyncio.run(parent())


def test_calls_leave_nothing_behind(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            session_id = await stored(store)

            async def work() -> None:
                for _ in range(20):
                    session = await store.load(session_id)
                    assert session is not None
                    session["n"] = time.monotonic()
                    await session.save()
                    await cancelled_after(store.ping(), 1)
                    await asyncio.sleep(0)

            await work()
            gc.collect()
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                blocks = sys.getallocatedblocks()
                for _ in range(50):
                    await work()
                gc.collect()
                assert tracemalloc.get_traced_memory()[0] - before < 50_000
                assert sys.getallocatedblocks() - blocks < 500
            finally:
                tracemalloc.stop()
            assert len(asyncio.all_tasks()) <= 2
            assert len(clients(redis_server)) == 1

    run(main())


def test_stores_that_come_and_go_leave_no_socket(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async def use() -> None:
            async with aio.Store(redis_server.url, prefix="test:") as store:
                await store.ping()

        await use()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            await use()
        assert len(os.listdir("/proc/self/fd")) <= before

    run(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_was_closed_with_calls_under_way_can_be_collected(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        store = aio.Store(f"redis://127.0.0.1:{silent.getsockname()[1]}", prefix="test:")

        def use() -> None:
            async def main() -> socket.socket:
                calls.append(asyncio.ensure_future(store.ping()))
                peer, _ = await loop.sock_accept(silent)
                assert await loop.sock_recv(peer, 1)
                return peer

            calls: list[asyncio.Future[None]] = []
            loop = new_loop()
            loop.set_exception_handler(lambda *_: None)
            with loop.run_until_complete(main()):
                loop.close()

        use()
        asyncio.run(store.close())
        store = aio.Store(f"redis://127.0.0.1:{silent.getsockname()[1]}", prefix="test:")
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            use()
        asyncio.run(store.close())
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_closed_while_connecting_says_nothing_of_the_server(
    redis_server: RedisServer,
) -> None:
    store = aio.Store(redis_server.url, prefix="test:")

    def use(rounds: int) -> None:
        async def main() -> None:
            calls.append(asyncio.ensure_future(store.ping()))
            for _ in range(rounds):
                await asyncio.sleep(0)

        calls: list[asyncio.Future[None]] = []
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        loop.run_until_complete(main())
        loop.close()

    for rounds in range(15):
        use(rounds)
        gc.collect()
        asyncio.run(store.ping())
    asyncio.run(store.close())
    gc.collect()


def test_a_connection_that_meets_itself_is_refused(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    class Bound(socket.socket):
        """From the port that it will connect to, as the system may choose."""

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", port))

    async def main() -> None:
        async with aio.Store(f"redis://127.0.0.1:{port}", prefix="test:", timeout=5) as store:
            with pytest.raises(StoreUnavailable, match="connection refused"):
                await store.ping()

    monkeypatch.setattr(address, "socket", SimpleNamespace(**vars(socket) | {"socket": Bound}))
    run(main())


def test_a_driver_that_was_not_initialised_says_so(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            with pytest.raises(RuntimeError, match="__init__"):
                _core.Driver.__new__(_core.Driver).ping(store, None)

    asyncio.run(main())
