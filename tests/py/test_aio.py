"""coatcheck.aio: the same sessions, awaited; and what only an event loop can do to them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import socket
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from coatcheck import (
    ConfigError,
    NotStorable,
    SessionGone,
    StoreDenied,
    StoreTimeout,
    StoreUnavailable,
    Uncertain,
    _core,
    aio,
)
from coatcheck.aio import address
from conftest import RedisError, RedisServer, wait_for

Main = Callable[..., Coroutine[Any, Any, None]]

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


# ---- Sessions ------------------------------------------------------------------------------


def test_a_session_is_stored_loaded_changed_and_ended(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            session = store.new()
            assert session.new and await session.save() is None
            session["cart"] = [("tea", 1)]
            session_id = await session.save()
            assert session_id is not None and not session.new

            again = await store.load(session_id)
            assert again is not None and again["cart"] == [("tea", 1)]
            again["cart"].append(("milk", 2))
            assert again.modified
            assert await again.save() == session_id
            third = await store.load(session_id)
            assert third is not None and dict(third) == {"cart": [("tea", 1), ("milk", 2)]}

            assert await third.destroy() is True
            assert await store.load(session_id) is None
            assert await store.destroy(session_id) is False
            with pytest.raises(SessionGone):
                again["x"] = 1
                await again.save()

    run(main())


def test_login_and_rotate_take_effect_with_the_save(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            first = await stored(store, a=1, b=2)
            session = await store.load(first)
            assert session is not None
            session.login("user:42", carry=["a"])
            second = await session.save()
            assert second not in (None, first) and session.principal == "user:42"
            session.rotate()
            third = await session.save()
            assert third not in (None, first, second)
            assert dict(await store.load(third) or {}) == {"a": 1}
            old = await store.load(second or "")
            assert old is not None and old.stale

    run(main())


def test_what_changed_elsewhere_is_merged(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            session_id = await stored(store, a=1, b=1)
            one, other = await store.load(session_id), await store.load(session_id)
            assert one is not None and other is not None
            one["a"], other["b"] = 2, 2
            await asyncio.gather(one.save(), other.save())
            assert dict(await store.load(session_id) or {}) == {"a": 2, "b": 2}

    run(main())


def test_no_id_is_no_session_and_costs_nothing(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            with redis_server.monitor() as commands:
                assert await store.load("nonsense") is None
                assert await store.destroy("") is False or True
            assert commands == []
            assert store.stats()["coatcheck_malformed_ids_total"] == 2
            with pytest.raises(TypeError):
                await store.load(5)  # type: ignore[arg-type]

    run(main())


def test_what_cannot_be_stored_raises_on_its_line(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            session = store.new()
            with pytest.raises(NotStorable):
                session["x"] = object()
            session["x"] = []
            session["x"].append(object())
            with pytest.raises(NotStorable):
                await session.save()
            session["x"].pop()
            assert await session.save()

    run(main())


def test_nothing_in_it_blocks() -> None:
    blocking = {"load", "destroy", "ping", "save", "stop_embedded"}
    assert blocking.isdisjoint(vars(_core.BaseStore))
    assert blocking.isdisjoint(vars(_core.BaseSession))
    assert not issubclass(aio.Store, _core.Store) and not issubclass(aio.Session, _core.Session)
    for call in (aio.Store.load, aio.Store.destroy, aio.Store.ping, aio.Store.close):
        assert inspect.iscoroutinefunction(call)
    for call in (aio.Session.load, aio.Session.save, aio.Session.destroy):
        assert inspect.iscoroutinefunction(call)


def test_a_session_in_a_call_cannot_be_touched(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            session = store.new()
            session["a"] = 1
            save = asyncio.ensure_future(session.save())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another thread or task"):
                session["a"] = 2
            with pytest.raises(RuntimeError, match="another thread or task"):
                await session.save()
            assert await save

    run(main())


def test_a_subclass_of_the_store_names_its_sessions(run: Any, redis_server: RedisServer) -> None:
    class MySession(aio.Session):
        pass

    class MyStore(aio.Store):
        session_type = MySession

    async def main() -> None:
        async with MyStore(redis_server.url, prefix="test:") as store:
            assert type(await store.load(await stored(store))) is MySession

    run(main())


# ---- Connections that calls share ----------------------------------------------------------


def test_many_calls_share_one_connection(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            ids = await asyncio.gather(*(stored(store, n=n) for n in range(200)))
            with redis_server.monitor() as commands:
                sessions = await asyncio.gather(*map(store.load, ids))
                assert len(clients(redis_server)) == 1
            assert [session["n"] for session in sessions if session] == list(range(200))
            names = [command[0] for command in commands]
            assert names == ["GET", "PTTL"] * 200  # one behind the other, nothing else

    run(main())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of loops that end before the store
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_each_loop_has_connections_of_its_own(redis_server: RedisServer) -> None:
    store = aio.Store(redis_server.url, prefix="test:")
    session_id = asyncio.run(stored(store))
    assert asyncio.run(store.load(session_id)) is not None  # the first loop is closed by now

    async def both() -> None:
        loaded = await asyncio.to_thread(lambda: asyncio.run(store.load(session_id)))
        assert loaded is not None
        assert await store.load(session_id) is not None
        await store.close()

    asyncio.run(both())
    gc.collect()


def test_a_large_record_does_not_disturb_its_neighbours(
    run: Any, redis_server: RedisServer
) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=10) as store:
            notes = ["x" * n for n in (1, 900_000, 2, 500_000, 3)]
            ids = [await stored(store, note=note) for note in notes]
            sessions = await asyncio.gather(*(store.load(i) for i in ids * 3))
            assert [s["note"] for s in sessions if s] == notes * 3

    run(main())


def test_more_than_the_transport_takes_is_sent_as_it_takes_it(
    run: Any, redis_server: RedisServer
) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=20) as store:
            ids = await asyncio.gather(*(stored(store, note="x" * 200_000) for _ in range(40)))
            assert len(set(ids)) == 40

    run(main())


@pytest.mark.parametrize("option", ["max_idle", "max_age"])
def test_a_connection_that_is_worn_out_is_closed_when_another_takes_its_place(
    run: Any, redis_server: RedisServer, option: Any
) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", **{option: 0.05}) as store:
            for _ in range(4):
                await store.ping()
                await asyncio.sleep(0.1)
            await store.ping()
            wait_for(lambda: len(clients(redis_server)) <= 1, "the worn ones to end")

    run(main())


# ---- Cancelling ----------------------------------------------------------------------------


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


@pytest.mark.parametrize("warm", [True, False])
def test_cancelled_at_any_moment_it_disturbs_nobody(
    run: Any, redis_server: RedisServer, warm: bool
) -> None:
    async def one_round(turns: int) -> int:
        """How many calls were over before they were cancelled."""
        async with aio.Store(redis_server.url, prefix="test:") as store:
            ids = [await stored(store, n=n) for n in range(3)]
            if not warm:
                redis_server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(0.01)
            session = await store.load(ids[2]) if warm else store.new()
            assert session is not None
            session["n"] = 33
            calls = [store.load(ids[0]), store.destroy(ids[1]), session.save()]
            results = await asyncio.gather(
                *(cancelled_after(call, turns) for call in calls),
                *(store.load(ids[0]) for _ in range(3)),
            )
            assert [found["n"] for found in results[3:] if found] == [0, 0, 0]
            session["n"] = 34  # it can be used again, and saved
            found = await store.load(await session.save() or "")
            assert found is not None and found["n"] == 34
            assert len(clients(redis_server)) == 1
            return results[:3].count(False)

    async def main() -> None:
        turns = 0
        while await one_round(turns) < 3 and turns < 500:
            turns += 1
        assert 1 < turns < 500

    run(main())


def test_a_lock_that_was_being_taken_as_the_task_was_cancelled_is_given_back(
    run: Any, redis_server: RedisServer
) -> None:
    async def main() -> int:
        cancelled = 0
        async with aio.Store(redis_server.url, prefix="test:", timeout=5) as store:
            session = store.new()
            session["a"] = 1
            session_id = await session.save()
            assert session_id is not None
            for turns in range(50):
                lock = store.lock(session_id)
                if not await cancelled_after(lock.__aenter__(), turns):
                    await lock.__aexit__(None, None, None)
                    break
                cancelled += 1
                async with store.lock(session_id) as locked:
                    assert locked is not None
        return cancelled

    assert run(main()) > 1


def test_cancelled_behind_its_merge_a_save_undoes_nothing_later(
    run: Any, redis_server: RedisServer
) -> None:
    async def one_round(store: aio.Store, turns: int) -> bool:
        session = store.new()
        session.login("user:42", carry=[])
        session["cart"] = [1]
        session_id = await session.save() or ""
        redis_server.cli("PEXPIRE", redis_server.records()[0], 60_000)  # its save enters the index
        mine, theirs = await store.load(session_id), await store.load(session_id)
        assert mine is not None and theirs is not None
        assert mine["cart"] == [1]
        theirs["cart"].append(2)
        await theirs.save()
        mine["seen"] = 1
        cancelled = await cancelled_after(mine.save(), turns)
        mine["seen"] = 2
        await mine.save()
        found = await store.load(session_id)
        assert found is not None
        assert dict(found) == {"cart": [1, 2], "seen": 2}
        await found.destroy()
        return cancelled

    async def main() -> None:
        turns = 0
        async with aio.Store(redis_server.url, prefix="test:", touch_below=1) as store:
            while await one_round(store, turns) and turns < 500:
                turns += 1
        assert 1 < turns < 500

    run(main())


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, GeneratorExit])
def test_whatever_on_conflict_raises_ends_the_call(
    run: Any, redis_server: RedisServer, error: type[BaseException]
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", on_conflict=refuse) as store:
            session_id = await stored(store, n=1)
            mine, theirs = await store.load(session_id), await store.load(session_id)
            assert mine is not None and theirs is not None
            mine["n"], theirs["n"] = 2, 3
            await theirs.save()
            # In a future a StopIteration becomes another exception.
            with pytest.raises((error, TypeError, RuntimeError)):
                await asyncio.wait_for(mine.save(), 30)

    run(main())


def test_replies_of_cancelled_calls_are_dropped(run: Any, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=5) as store:
            one, two = await stored(store, n=1), await stored(store, n=2)
            redis_server.pause()
            calls = [asyncio.ensure_future(store.load(one)) for _ in range(20)]
            last = asyncio.ensure_future(store.load(two))
            for _ in range(10):  # they begin, and are written together
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.sleep(0)
            redis_server.resume()
            session = await last
            assert session is not None and session["n"] == 2
            assert len(clients(redis_server)) == 1

    run(main())


def test_wait_for_may_be_shorter_than_the_stores_timeout(
    run: Any, redis_server: RedisServer
) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=5) as store:
            await store.ping()
            redis_server.pause()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(store.ping(), 0.05)
            redis_server.resume()
            await store.ping()

    run(main())


# ---- Deadlines and faults ------------------------------------------------------------------


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


# ---- Credentials ---------------------------------------------------------------------------


@pytest.fixture
def guarded(redis_server: RedisServer) -> Iterator[RedisServer]:
    redis_server.cli("ACL", "SETUSER", "app", "on", ">right", "~*", "&*", "+@all")
    yield redis_server
    redis_server.cli("ACL", "DELUSER", "app")


def test_credentials_are_asked_for_and_awaited(run: Any, guarded: RedisServer) -> None:
    async def main() -> None:
        asked = []

        async def credentials() -> tuple[str, str]:
            await asyncio.sleep(0)
            asked.append(1)
            return "app", "right"

        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            await store.ping()
            assert asked == [1]

    run(main())


@pytest.mark.parametrize("awaited", [True, False])
def test_refused_credentials_are_asked_for_once_more(
    run: Any, guarded: RedisServer, awaited: bool
) -> None:
    async def main() -> None:
        answers = ["wrong", "right"]

        def plain() -> tuple[str, str]:
            return "app", answers.pop(0)

        async def awaitable() -> tuple[str, str]:
            return plain()

        credentials: Any = awaitable if awaited else plain
        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            await store.ping()
            assert answers == []

    run(main())


def test_refused_twice_is_denied(run: Any, guarded: RedisServer) -> None:
    async def main() -> None:
        asked = []

        def credentials() -> tuple[str, str]:
            asked.append(1)
            return "app", "wrong"

        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert caught.value.code == "WRONGPASS" and len(asked) == 2

    run(main())


@pytest.mark.parametrize("answer", [None, ("app",), ("app", b"right"), ZeroDivisionError()])
def test_no_credentials_are_an_error(run: Any, guarded: RedisServer, answer: Any) -> None:
    def credentials() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> None:
        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert caught.value.code == "credentials"

    run(main())


@pytest.mark.parametrize("awaited", [True, False])
def test_what_the_credentials_raised_is_the_cause(
    run: Any, guarded: RedisServer, awaited: bool
) -> None:
    trouble = ZeroDivisionError("no vault")

    def plain() -> tuple[str, str]:
        raise trouble

    async def awaitable() -> tuple[str, str]:
        return plain()

    async def main() -> None:
        credentials: Any = awaitable if awaited else plain
        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            calls = (store.ping(), store.load("A" * 43))
            for failure in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(failure, StoreDenied) and failure.__cause__ is trouble
                assert "vault" not in str(failure)

    run(main())


def test_credentials_that_are_cancelled_end_the_call_at_once(
    run: Any, guarded: RedisServer
) -> None:
    async def credentials() -> tuple[str, str]:
        raise asyncio.CancelledError

    async def main() -> None:
        url = guarded.url
        async with aio.Store(url, prefix="test:", credentials=credentials, timeout=30) as store:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="cancelled"):
                await store.ping()
            assert time.monotonic() - began < 5
        async with aio.Store(url, prefix="test:", username="app", password="right") as store:
            await store.ping()  # the server was not blamed

    run(main())


def test_what_is_wrong_with_the_credentials_is_the_cause(run: Any, guarded: RedisServer) -> None:
    async def main() -> None:
        answer: Any = ("app", b"right")
        async with aio.Store(guarded.url, prefix="test:", credentials=lambda: answer) as store:
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert isinstance(caught.value.__cause__, TypeError)
            answer = ("app", "wrong")
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert caught.value.__cause__ is None
            answer = ("app", "right")
            await store.ping()

    run(main())


# ---- Loops, processes, closing -------------------------------------------------------------


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


def test_wrong_options_are_refused_as_by_the_blocking_store() -> None:
    with pytest.raises(ConfigError):
        aio.Store("redis://h", prefix="test:", idle=-1)
    with pytest.raises(ConfigError):
        aio.Store("http://h", prefix="test:")


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
