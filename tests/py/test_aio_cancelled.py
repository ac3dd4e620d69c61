"""Calls of coatcheck.aio that are cancelled: they disturb nobody, and nothing is done later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from coatcheck import aio
from conftest import RedisServer
from loops import cancelled_after, clients, stored
from loops import nobody_else as nobody_else
from loops import run as run


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
            # Not awaited, for a GeneratorExit would close whoever awaits it.
            call = asyncio.ensure_future(mine.save())
            await asyncio.wait([call], timeout=30)
            # In a future a StopIteration becomes another exception.
            assert isinstance(call.exception(), (error, TypeError, RuntimeError))

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
