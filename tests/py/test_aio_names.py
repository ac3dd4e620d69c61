"""Hosts' names on asyncio, with a resolver that hangs, fails and comes back."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from coatcheck import StoreTimeout, StoreUnavailable, aio
from conftest import RedisServer
from test_outages import MARGIN_S, TRIES
from topologies import free_port

HOST = "redis.test"
TIMEOUT_S = 0.4


class Resolver:
    """In the place of the system's, for one name: it hangs until `answers` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = threading.Event()
        self.failure: OSError | None = None
        self.addresses = ["127.0.0.1"]
        self._getaddrinfo = socket.getaddrinfo

    def __call__(self, host: Any, *args: Any, flags: int = 0, **kwargs: Any) -> Any:
        if host != HOST or flags & socket.AI_NUMERICHOST:
            return self._getaddrinfo(host, *args, flags=flags, **kwargs)
        self.asked += 1
        self.answers.wait()
        if self.failure is not None:
            raise self.failure
        found = [self._getaddrinfo(address, *args, **kwargs) for address in self.addresses]
        return [entry for entries in found for entry in entries]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.answers.set()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="coat-") as directory:
        server = RedisServer(directory, "--port", str(port), "--bind", "127.0.0.1")
        server.start()
        yield port
        server.stop()


async def fails_in_time(store: aio.Store) -> StoreUnavailable:
    late = []
    for _ in range(TRIES):  # a machine that is busy elsewhere is late now and then
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            await store.ping()
        late.append(time.monotonic() - began - TIMEOUT_S - MARGIN_S)
        if late[-1] <= 0:
            return caught.value
    raise AssertionError(f"{late} s late")


async def recovers(store: aio.Store) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            return await store.ping()
        except StoreUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


def test_req_71_a_name_that_hangs_ends_each_call_in_time_and_takes_one_thread(
    resolver: Resolver, port: int
) -> None:
    async def main() -> None:
        url = f"redis://{HOST}:{port}"
        async with aio.Store(url, prefix="test:", timeout=TIMEOUT_S) as store:
            assert isinstance(await fails_in_time(store), StoreTimeout)
            tried = 0
            while tried < 4:  # in between it fails at once
                tried += isinstance(await fails_in_time(store), StoreTimeout)
                await asyncio.sleep(0.02)
            assert resolver.asked == 1
            resolver.answers.set()
            await recovers(store)

    asyncio.run(main())


def test_a_name_that_hangs_holds_up_nobody_else(resolver: Resolver, port: int) -> None:
    async def main() -> None:
        hanging = aio.Store(f"redis://{HOST}:{port}", prefix="test:", timeout=20)
        async with aio.Store(f"redis://127.0.0.1:{port}", prefix="test:") as store:
            waiting = asyncio.ensure_future(hanging.ping())
            for _ in range(10):
                await recovers(store)
            assert not waiting.done()
            resolver.answers.set()
            await waiting
        await hanging.close()

    asyncio.run(main())


def test_a_store_can_be_closed_while_a_name_hangs(resolver: Resolver, port: int) -> None:
    async def main() -> None:
        store = aio.Store(f"redis://{HOST}:{port}", prefix="test:", timeout=TIMEOUT_S)
        await fails_in_time(store)
        await asyncio.wait_for(store.close(), 10)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        resolver.answers.set()  # which the end of the loop waits for, as Python has it

    asyncio.run(main())


def test_a_name_that_leads_nowhere_is_said_and_asked_again(resolver: Resolver, port: int) -> None:
    resolver.failure = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    resolver.answers.set()

    async def main() -> None:
        url = f"redis://{HOST}:{port}"
        async with aio.Store(url, prefix="test:", timeout=5) as store:
            calls = (store.ping(), store.ping())
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, StoreUnavailable) and error.code == "resolve"
                assert HOST in str(error) and "Name or service not known" in str(error)
            resolver.failure = None
            await recovers(store)

    asyncio.run(main())


def test_a_first_address_that_is_silent_leaves_time_for_the_second(
    resolver: Resolver, port: int
) -> None:
    async def main() -> None:
        url = f"redis://{HOST}:{port}"
        async with aio.Store(url, prefix="test:", timeout=6, connect_timeout=4) as store:
            await store.ping()

    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        for _ in range(8):  # from here on nobody more is let in
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        resolver.addresses = ["127.0.0.2", "127.0.0.1"]
        resolver.answers.set()
        asyncio.run(main())
