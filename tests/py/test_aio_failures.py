"""coatcheck.aio where a server is slow, away, strange, or refuses: an error in time."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import time
from typing import Any

import pytest
from coatcheck import StoreTimeout, StoreUnavailable, Uncertain, aio
from conftest import RedisError, RedisServer
from loops import eventually, stored
from loops import nobody_else as nobody_else
from loops import run as run


def test_a_call_ends_at_its_deadline(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=0.3) as store:
            session_id = await stored(store)
            session = await store.load(session_id)
            assert session is not None
            session["a"] = 2
            redis_server.pause()
            began = time.monotonic()
            calls = [store.load(session_id), store.ping(), store.ping(0.1), session.save()]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() - began < 0.3 + 0.25
            assert [type(r) for r in results[:3]] == [StoreTimeout] * 3
            assert isinstance(results[3], Uncertain | StoreTimeout)
            redis_server.resume()
            await eventually(session.save)
            found = await store.load(session_id)
            assert found is not None and found["a"] == 2

    run(main())


def test_after_a_timeout_the_calls_behind_it_are_repeated_elsewhere(
    run: Any, redis_server: RedisServer
) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=5) as store:
            session_id = await stored(store, a=1)
            redis_server.pause()
            before = asyncio.ensure_future(store.load(session_id))
            hasty = asyncio.ensure_future(store.ping(0.1))
            behind = asyncio.ensure_future(store.load(session_id))
            with pytest.raises(StoreTimeout):
                await hasty
            assert not before.done() and not behind.done()
            redis_server.resume()
            assert dict(await before or {}) == dict(await behind or {}) == {"a": 1}

    run(main())


def test_a_server_that_comes_back_is_found_again(run: Any) -> None:
    async def main(server: RedisServer) -> None:
        async with aio.Store(server.url, prefix="test:", timeout=3) as store:
            session_id = await stored(store)
            server.restart()
            assert await eventually(lambda: store.load(session_id)) is not None
            server.kill()
            with pytest.raises(StoreUnavailable):
                await store.load(session_id)
            began = time.monotonic()
            with pytest.raises(StoreUnavailable) as caught:
                await store.load(session_id)
            assert caught.value.code in ("refused", "missing")
            assert time.monotonic() - began < 1
            os.unlink(server.path)
            server.start()
            assert await eventually(lambda: store.load(session_id)) is not None

    with tempfile.TemporaryDirectory(prefix="coat-") as directory:
        server = RedisServer(directory, "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        try:
            run(main(server))
        finally:
            server.stop()


def test_connections_that_the_server_cuts_are_replaced(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=10) as store:
            ids = [await stored(store, n=n) for n in range(10)]

            async def work(n: int) -> None:
                for _ in range(30):
                    session = await eventually(lambda: store.load(ids[n]))  # a greeting may be cut
                    assert session is not None and session["n"] == n

            async def cut() -> None:
                for _ in range(10):
                    redis_server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                    await asyncio.sleep(0.005)

            await asyncio.gather(cut(), *map(work, range(10)))

    run(main())


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*1\r\n", b"$5\r\nab", b"+OK\r\n" * 20, b""],
)
def test_what_is_no_redis_is_an_error_in_time(run: Any, said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        await writer.drain()
        if not said:
            writer.close()
        else:
            await reader.read()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"redis://127.0.0.1:{port}"
        async with aio.Store(url, prefix="test:", timeout=0.4) as store:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.ping()
            assert time.monotonic() - began < 0.4 + 0.25
        server.close()

    run(main())


def test_a_listener_that_never_answers_is_a_timeout(run: Any) -> None:
    async def main(port: int) -> None:
        url = f"redis://127.0.0.1:{port}"
        async with aio.Store(url, prefix="test:", timeout=0.4, connect_timeout=0.2) as store:
            began = time.monotonic()
            results = await asyncio.gather(
                *(store.ping() for _ in range(5)), return_exceptions=True
            )
            assert {type(result) for result in results} == {StoreTimeout}
            assert time.monotonic() - began < 0.4 + 0.25

    with socket.create_server(("127.0.0.1", 0)) as listener:
        run(main(listener.getsockname()[1]))


def test_a_host_that_does_not_exist(run: Any) -> None:
    async def main() -> None:
        async with aio.Store("redis://no-such-host.invalid", prefix="test:") as store:
            with pytest.raises(StoreUnavailable) as caught:
                await store.ping()
            assert caught.value.code in ("resolve", "timeout")

    run(main())


def test_a_write_that_the_server_refuses(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            await store.ping()
            redis_server.cli("CONFIG", "SET", "maxmemory", "1")
            try:
                with pytest.raises(StoreUnavailable) as caught:
                    await stored(store)
                assert caught.value.code == "OOM"
            finally:
                redis_server.cli("CONFIG", "SET", "maxmemory", "0")
            with pytest.raises(RedisError):
                redis_server.cli("NONSENSE")
            assert await stored(store)

    run(main())


def test_a_script_that_the_server_has_forgotten(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            sessions = [await store.load(await stored(store, n=n)) for n in range(5)]
            redis_server.cli("SCRIPT", "FLUSH")
            for session in sessions:
                assert session is not None
                session["n"] += 10
            await asyncio.gather(*(session.save() for session in sessions if session))
            again = [await store.load(s.id or "") for s in sessions if s]
            assert [s["n"] for s in again if s] == [10, 11, 12, 13, 14]

    run(main())


def test_verify_holds_on_a_shared_connection(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", verify=True) as store:
            ids = await asyncio.gather(*(stored(store, n=n) for n in range(20)))
            found = await asyncio.gather(*map(store.load, ids))
            assert [s["n"] for s in found if s] == list(range(20))

    run(main())
