"""coatcheck.aio: the same sessions, awaited; and the connections that their calls share."""

from __future__ import annotations

import asyncio
import gc
import inspect
from typing import Any

import pytest
from coatcheck import ConfigError, NotStorable, SessionGone, _core, aio
from conftest import RedisServer, wait_for
from loops import clients, stored
from loops import nobody_else as nobody_else
from loops import run as run

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


def test_wrong_options_are_refused_as_by_the_blocking_store() -> None:
    with pytest.raises(ConfigError):
        aio.Store("redis://h", prefix="test:", idle=-1)
    with pytest.raises(ConfigError):
        aio.Store("http://h", prefix="test:")
