"""The rules of a session through both faces: who wins, what counts exactly, how long ids live."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from coatcheck import (
    MISSING,
    ConfigError,
    Conflict,
    LimitExceeded,
    LockLost,
    LockTimeout,
    NotStorable,
    SessionGone,
    Store,
    StoreTimeout,
    aio,
)
from coatcheck.wsgi import SessionMiddleware
from conftest import Browser, RedisServer, wait_for

BUSY_MS = 20_000  # a busy machine may take its time


class Face:
    """One of the two: `call` makes of a call its result, awaited or not."""

    def __init__(self, kind: type[Any], url: str, loop: asyncio.AbstractEventLoop) -> None:
        self._kind = kind
        self.url = url
        self._loop = loop
        self._stores: list[Any] = []

    def open(self, **options: Any) -> Any:
        self._stores.append(self._kind(self.url, prefix="test:", **options))
        return self._stores[-1]

    def call(self, result: Any) -> Any:
        return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

    def stored(self, store: Any, **fields: Any) -> str:
        session = store.new()
        session.update(fields)
        session_id: str = self.call(session.save())
        return session_id

    def load(self, store: Any, session_id: str) -> Any:
        return self.call(store.load(session_id))

    def fields(self, store: Any, session_id: str) -> dict[str, Any]:
        fields: dict[str, Any] = self.load(store, session_id).copy()
        return fields

    def close(self) -> None:
        async def close() -> None:
            for store in self._stores:
                result = store.close()
                if result is not None:
                    await result

        self._loop.run_until_complete(close())


@pytest.fixture(params=[Store, aio.Store], ids=["blocking", "asyncio"])
def face(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Face]:
    with (
        closing(asyncio.new_event_loop()) as loop,
        closing(Face(request.param, redis_server.url, loop)) as face,
    ):
        yield face


def at_once(*work: Callable[[], None]) -> None:
    """Each in a thread of its own; what one raises is raised."""
    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(one) for one in work]:
            done.result()


# ---- incr -----------------------------------------------------------------------------------


def test_incr_adds_to_a_number_or_to_nothing(face: Face) -> None:
    store = face.open()
    session_id = face.stored(store, n=5)
    session = face.load(store, session_id)
    assert session["n"] == 5
    assert (session.incr("n"), session.incr("n", 10), session.incr("n", by=-2)) == (6, 16, 14)
    assert session.incr("new") == 1
    assert (session["n"], session["new"], session.modified) == (14, 1, True)
    face.call(session.save())
    assert face.fields(store, session_id) == {"n": 14, "new": 1}


@pytest.mark.parametrize("on_conflict", ["mine", "theirs", "raise"])
def test_two_requests_that_count_are_both_counted(face: Face, on_conflict: str) -> None:
    store = face.open(on_conflict=on_conflict)
    session_id = face.stored(store, n=1)
    first, second = face.load(store, session_id), face.load(store, session_id)
    first.incr("n")
    second.incr("n")
    face.call(first.save())
    face.call(second.save())
    assert second["n"] == 3
    assert face.fields(store, session_id) == {"n": 3}
    assert store.stats()["coatcheck_conflicts_total"] == 0


def test_a_number_that_was_deleted_meanwhile_counts_as_none(face: Face) -> None:
    store = face.open()
    session_id = face.stored(store, n=5)
    first, second = face.load(store, session_id), face.load(store, session_id)
    del first["n"]
    second.incr("n", 2)
    face.call(first.save())
    face.call(second.save())
    assert face.fields(store, session_id) == {"n": 2}


def test_what_is_set_after_an_incr_is_set(face: Face) -> None:
    store = face.open()
    session_id = face.stored(store, n=5)
    first, second = face.load(store, session_id), face.load(store, session_id)
    first.incr("n")
    second.incr("n")
    second["n"] = 40
    face.call(first.save())
    face.call(second.save())
    assert face.fields(store, session_id) == {"n": 40}


def test_a_field_that_is_no_number_any_more_is_a_conflict(face: Face) -> None:
    store = face.open(on_conflict="mine")
    session_id = face.stored(store, n=5)
    first, second = face.load(store, session_id), face.load(store, session_id)
    first["n"] = "five"
    second.incr("n")
    face.call(first.save())
    with pytest.raises(Conflict) as caught:
        face.call(second.save())
    assert caught.value.path == "session['n']"
    assert face.fields(store, session_id) == {"n": "five"}


@pytest.mark.parametrize("value", [None, True, 1.0, "1", [1], 1 << 70])
def test_only_whole_numbers_of_64_bits_are_added_to(face: Face, value: Any) -> None:
    session = face.open().new()
    session["n"] = value
    with pytest.raises(TypeError, match=r"session\['n'\]"):
        session.incr("n")
    assert session["n"] is value


def test_a_sum_beyond_64_bits_is_refused(face: Face) -> None:
    session = face.open().new()
    session["n"] = (1 << 63) - 1
    with pytest.raises(LimitExceeded) as caught:
        session.incr("n")
    assert caught.value.limit == "int64"
    with pytest.raises(OverflowError):
        session.incr("m", 1 << 63)
    assert session == {"n": (1 << 63) - 1}


@pytest.mark.parametrize("arguments", [(5,), ("n", 1.0), ("n", True), ("n", "1"), ("\ud800",)])
def test_incr_takes_the_name_of_a_field_and_an_int(face: Face, arguments: Any) -> None:
    session = face.open().new()
    with pytest.raises(TypeError):
        session.incr(*arguments)
    assert not session.modified


def test_many_threads_count_exactly(redis_server: RedisServer) -> None:
    def count() -> None:
        for _ in range(25):
            session = store.load(session_id)
            assert session is not None
            session.incr("n")
            session.save()

    with Store(redis_server.url, prefix="test:", timeout=30) as store:
        session = store.new()
        session["n"] = 0
        session_id = session.save() or ""
        at_once(*[count] * 8)
        again = store.load(session_id)
        assert again is not None
        assert again["n"] == 200


def test_many_tasks_count_exactly(redis_server: RedisServer) -> None:
    async def count(store: aio.Store, session_id: str) -> None:
        for _ in range(25):
            session = await store.load(session_id)
            assert session is not None
            session.incr("n")
            await session.save()

    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=30) as store:
            session = store.new()
            session["n"] = 0
            session_id = await session.save() or ""
            await asyncio.gather(*[count(store, session_id) for _ in range(8)])
            again = await store.load(session_id)
            assert again is not None
            assert again["n"] == 200

    asyncio.run(main())


# ---- update ---------------------------------------------------------------------------------


def test_update_changes_a_session_and_returns_it(face: Face) -> None:
    store = face.open()
    session_id = face.stored(store, words=["a"])
    session = face.call(store.update(session_id, lambda s: s["words"].append("b")))
    assert session == {"words": ["a", "b"]}
    assert not session.modified
    assert face.fields(store, session_id) == {"words": ["a", "b"]}


def test_update_runs_again_on_what_another_request_has_stored(face: Face) -> None:
    def longer(session: Any) -> None:
        seen.append(session.copy())
        session["text"] += "!"
        session["mine"] = len(seen)
        if len(seen) < 3:
            other["text"], other["other"] = f"other {len(seen)}", True
            other_store_save(other)

    def other_store_save(session: Any) -> None:
        with Store(face.url, prefix="test:") as blocking:
            again = blocking.load(session_id)
            assert again is not None
            again.update(session)
            again.save()

    store = face.open(on_conflict=lambda *_: pytest.fail("merged"))
    session_id = face.stored(store, text="first")
    other: dict[str, Any] = {}
    seen: list[dict[str, Any]] = []
    session = face.call(store.update(session_id, longer))
    assert seen == [
        {"text": "first"},
        {"text": "other 1", "other": True},
        {"text": "other 2", "other": True},
    ]
    stored = {"text": "other 2!", "other": True, "mine": 3}
    assert session == face.fields(store, session_id) == stored
    assert store.stats()["coatcheck_conflicts_total"] == 0


def test_update_of_no_session_is_none(face: Face) -> None:
    store = face.open()
    session_id = face.stored(store, n=1)
    face.call(store.destroy(session_id))
    for no_id in (session_id, "malformed"):
        assert face.call(store.update(no_id, lambda _: pytest.fail("called"))) is None


def test_update_of_a_replaced_id_is_none(face: Face) -> None:
    store = face.open()
    session_id = face.stored(store, n=1)
    session = face.load(store, session_id)
    session.rotate()
    face.call(session.save())
    assert face.call(store.update(session_id, lambda _: pytest.fail("called"))) is None


def test_what_fn_raises_ends_an_update_with_nothing_written(face: Face) -> None:
    def fail(session: Any) -> None:
        session["n"] = 2
        raise failure

    failure = LookupError()
    store = face.open()
    session_id = face.stored(store, n=1)
    with pytest.raises(LookupError) as caught:
        face.call(store.update(session_id, fail))
    assert caught.value is failure
    assert face.fields(store, session_id) == {"n": 1}


def test_an_update_of_a_session_that_ends_meanwhile_says_so(face: Face) -> None:
    def end(session: Any) -> None:
        session["n"] = 2
        with Store(face.url, prefix="test:") as blocking:
            assert blocking.destroy(session_id)

    store = face.open()
    session_id = face.stored(store, n=1)
    with pytest.raises(SessionGone):
        face.call(store.update(session_id, end))


def test_an_update_may_log_in_and_count(face: Face) -> None:
    def log_in(session: Any) -> None:
        session.login("user:1", carry=["n"])
        session.incr("n")
        if not interrupted:
            interrupted.append(True)
            with Store(face.url, prefix="test:") as blocking:
                other = blocking.load(session_id)
                assert other is not None
                other.incr("n", 10)
                other.save()

    interrupted: list[bool] = []
    store = face.open()
    session_id = face.stored(store, n=1)
    session = face.call(store.update(session_id, log_in))
    assert (session.principal, session["n"]) == ("user:1", 12)
    assert session.id != session_id
    assert face.load(store, session.id)["n"] == 12


def test_an_update_against_endless_others_ends_with_the_timeout(face: Face) -> None:
    def touch(session: Any) -> None:
        session["mine"] = 1
        other = blocking.load(session_id)
        assert other is not None
        other.incr("n")
        other.save()

    with Store(face.url, prefix="test:") as blocking:
        store = face.open(timeout=1)
        session_id = face.stored(store, n=1)
        with pytest.raises(StoreTimeout, match="each try"):
            face.call(store.update(session_id, touch))
        assert face.call(store.update(session_id, lambda s: s.incr("n", 1000)))["n"] > 1000


def test_threads_that_update_lose_nothing(redis_server: RedisServer) -> None:
    def work() -> None:
        for _ in range(20):
            store.update(session_id, lambda s: s["list"].append(len(s["list"])))

    with Store(redis_server.url, prefix="test:", timeout=30) as store:
        session = store.new()
        session["list"] = []
        session_id = session.save() or ""
        at_once(*[work] * 8)
        again = store.load(session_id)
        assert again is not None
        assert again["list"] == list(range(160))


def test_the_function_of_an_asynchronous_update_may_be_a_coroutine(
    redis_server: RedisServer,
) -> None:
    async def grow(session: aio.Session) -> None:
        length = len(session["list"])
        await asyncio.sleep(0)
        session["list"].append(length)

    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:", timeout=30) as store:
            session = store.new()
            session["list"] = []
            session_id = await session.save() or ""
            await asyncio.gather(*[store.update(session_id, grow) for _ in range(20)])
            again = await store.load(session_id)
            assert again is not None
            assert again["list"] == list(range(20))

    asyncio.run(main())


# ---- The idle clock -------------------------------------------------------------------------


@pytest.mark.parametrize("touch_below", [0.1, 0.5, 0.9, 1])
def test_req_20_a_touch_may_shorten_an_idle_timeout_and_never_lengthen_it(
    face: Face, redis_server: RedisServer, touch_below: float
) -> None:
    idle = 1_800_000
    store = face.open(touch_below=touch_below)
    session_id = face.stored(store, n=1)
    (key,) = redis_server.records()
    for passed in (0, 1000, 150_000, 200_000, 850_000, 950_000, 1_500_000, 1_700_000):
        redis_server.cli("PEXPIRE", key, idle - passed)  # so long nobody has come
        session = face.load(store, session_id)
        face.call(session.save())
        left = redis_server.cli("PTTL", key)
        assert left <= idle
        if passed < (1 - touch_below) * idle - BUSY_MS:
            assert left <= idle - passed  # nothing was sent, so it ends before its time
        if passed > (1 - touch_below) * idle:
            assert left > idle - BUSY_MS


def test_req_20_a_touch_does_not_lengthen_the_life_of_a_session(
    face: Face, redis_server: RedisServer
) -> None:
    store = face.open(idle=1800, lifetime=1000, touch_below=1)
    session_id = face.stored(store, n=1)
    (key,) = redis_server.records()
    session = face.load(store, session_id)
    end_ms = session.deadline_ms
    for _ in range(3):
        redis_server.cli("PEXPIRE", key, 500_000)
        face.call(face.load(store, session_id).save())
        seconds, us = redis_server.cli("TIME")
        now_ms = int(seconds) * 1000 + int(us) // 1000
        left = redis_server.cli("PTTL", key)
        assert left > 500_000 and now_ms + left <= end_ms + BUSY_MS
        assert face.load(store, session_id).deadline_ms == end_ms


# ---- Locks ----------------------------------------------------------------------------------


def locked(face: Face, store: Any, session_id: str, work: Callable[[Any], Any]) -> Any:
    """What `work` makes of the session, under its lock."""
    if isinstance(store, Store):
        with store.lock(session_id) as session:
            return work(session)

    async def run() -> Any:
        async with store.lock(session_id) as session:
            result = work(session)
            return await result if inspect.isawaitable(result) else result

    return face.call(run())


def test_req_21_under_a_lock_a_session_is_loaded_and_saved(
    face: Face, redis_server: RedisServer
) -> None:
    def work(session: Any) -> Any:
        session["n"] += 1
        (key,) = redis_server.cli("KEYS", "test:l:*")
        assert 0 < redis_server.cli("PTTL", key) <= 30000
        return session.save()

    store = face.open()
    session_id = face.stored(store, n=1)
    assert locked(face, store, session_id, work) == session_id
    assert face.fields(store, session_id) == {"n": 2}
    assert redis_server.cli("KEYS", "test:l:*") == []


def test_req_65_who_does_not_get_the_lock_in_time_is_told(face: Face) -> None:
    def work(_: Any) -> None:
        with pytest.raises(LockTimeout) as caught, other.lock(session_id):
            pytest.fail("two have the lock")
        assert caught.value.code == "lock"

    store = face.open()
    with Store(face.url, prefix="test:", timeout=1) as other:
        session_id = face.stored(store, n=1)
        assert other.load(session_id) is not None
        locked(face, store, session_id, work)
        with other.lock(session_id) as session:
            assert session == {"n": 1}


@pytest.mark.parametrize("failure", [LookupError, KeyboardInterrupt, asyncio.CancelledError])
def test_req_65_the_lock_is_given_back_by_work_that_fails(
    face: Face, redis_server: RedisServer, failure: type[BaseException]
) -> None:
    def work(_: Any) -> None:
        assert redis_server.cli("KEYS", "test:l:*") != []
        raise failure

    store = face.open()
    session_id = face.stored(store, n=1)
    with pytest.raises(failure):
        locked(face, store, session_id, work)
    assert redis_server.cli("KEYS", "test:l:*") == []


def test_req_65_the_lock_is_given_back_by_a_task_that_is_cancelled(
    redis_server: RedisServer,
) -> None:
    async def main() -> None:
        async def work() -> None:
            async with store.lock(session_id):
                inside.set()
                await asyncio.Event().wait()

        async with aio.Store(redis_server.url, prefix="test:", timeout=20) as store:
            session = store.new()
            session["n"] = 1
            session_id = await session.save() or ""
            inside = asyncio.Event()
            task = asyncio.ensure_future(work())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert redis_server.cli("KEYS", "test:l:*") == []

    asyncio.run(main())


def test_the_lock_is_given_back_where_there_is_no_session(
    face: Face, redis_server: RedisServer
) -> None:
    store = face.open()
    session_id = face.stored(store, n=1)
    rotated = face.load(store, session_id)
    rotated.rotate()
    face.call(rotated.save())
    assert locked(face, store, session_id, lambda s: (s.stale, len(s))) == (True, 0)
    face.call(store.destroy(rotated.id))
    for no_id in (session_id, "malformed"):
        assert locked(face, store, no_id, lambda s: s) is None
    assert redis_server.cli("KEYS", "test:l:*") == []


def test_req_64_a_save_after_the_lock_was_lost_writes_nothing(
    face: Face, redis_server: RedisServer
) -> None:
    def work(session: Any) -> Any:
        if ttl < 1:
            wait_for(lambda: not redis_server.cli("KEYS", "test:l:*"), "the end of the lock")
        else:
            (key,) = redis_server.cli("KEYS", "test:l:*")
            redis_server.cli("SET", key, "another's")
        session["n"] = 2
        return session.save()

    for ttl in (0.02, 30):
        store = face.open(lock_ttl=ttl)
        session_id = face.stored(store, n=1)
        with pytest.raises(LockLost):
            locked(face, store, session_id, work)
        assert face.fields(store, session_id) == {"n": 1}
        redis_server.cli("FLUSHALL")


def test_who_has_no_lock_saves_as_ever(face: Face) -> None:
    def work(session: Any) -> Any:
        with Store(face.url, prefix="test:") as blocking:
            other = blocking.load(session_id)
            assert other is not None
            other["other"] = True
            other.save()
        session["mine"] = True
        return session.save()

    store = face.open()
    session_id = face.stored(store, n=1)
    locked(face, store, session_id, work)
    assert face.fields(store, session_id) == {"n": 1, "other": True, "mine": True}


def test_req_25_under_a_lock_one_may_log_in_and_out(face: Face, redis_server: RedisServer) -> None:
    def log_in(session: Any) -> Any:
        session.login("user:1", carry="all")
        return session.save()

    store = face.open()
    new_id = locked(face, store, face.stored(store, n=1), log_in)
    assert face.load(store, new_id).principal == "user:1"
    assert locked(face, store, new_id, lambda session: session.destroy()) is True
    assert redis_server.cli("KEYS", "test:l:*") == []


def test_req_65_of_many_threads_one_at_a_time_has_the_lock(redis_server: RedisServer) -> None:
    def work() -> None:
        for _ in range(5):
            with store.lock(session_id) as session:
                assert session is not None
                inside.append(None)
                assert len(inside) == 1
                session["n"] += 1
                session.save()
                inside.pop()

    inside: list[None] = []
    with Store(redis_server.url, prefix="test:", timeout=30, lock_ttl=600) as store:
        session = store.new()
        session["n"] = 0
        session_id = session.save() or ""
        at_once(*[work] * 6)
        again = store.load(session_id)
        assert again is not None
        assert again["n"] == 30
        assert store.stats()["coatcheck_conflicts_total"] == 0


# ---- on_conflict ----------------------------------------------------------------------------


def conflict(face: Face, store: Any, base: Any, mine: Any, theirs: Any) -> tuple[Any, Any]:
    """Two requests change the field `cart`; the session of the one that comes second, unsaved."""
    fields = {} if base is MISSING else {"cart": base}
    session_id = face.stored(store, other=1, **fields)
    first, second = face.load(store, session_id), face.load(store, session_id)
    for session, value in ((first, theirs), (second, mine)):
        if value is MISSING:
            del session["cart"]
        else:
            session["cart"] = value
    face.call(first.save())
    return session_id, second


def test_a_function_merges_what_two_requests_changed(face: Face) -> None:
    def merge(base: list[int], mine: list[int], theirs: list[int]) -> list[int]:
        asked.append((base, mine, theirs))
        return theirs + mine[len(base) :]

    asked: list[Any] = []
    store = face.open(on_conflict=merge)
    session_id, second = conflict(face, store, [1], [1, 2], [1, 3])
    second["mine"] = True
    face.call(second.save())
    assert asked == [([1], [1, 2], [1, 3])]
    assert second["cart"] == [1, 3, 2]
    assert face.fields(store, session_id) == {"cart": [1, 3, 2], "other": 1, "mine": True}
    assert store.stats()["coatcheck_conflicts_total"] == 1


def test_a_function_is_not_asked_where_only_one_side_changed(face: Face) -> None:
    store = face.open(on_conflict=lambda *_: pytest.fail("asked"))
    session_id = face.stored(store, a=1, b=1)
    first, second = face.load(store, session_id), face.load(store, session_id)
    first["a"], second["b"] = 2, 2
    face.call(first.save())
    face.call(second.save())
    assert face.fields(store, session_id) == {"a": 2, "b": 2}
    assert store.stats()["coatcheck_conflicts_total"] == 0


@pytest.mark.parametrize(
    ("base", "mine", "theirs"), [(MISSING, 1, 2), (0, MISSING, 2), (0, 1, MISSING)]
)
def test_a_field_that_is_not_there_is_missing(
    face: Face, base: Any, mine: Any, theirs: Any
) -> None:
    asked: list[Any] = []
    store = face.open(on_conflict=lambda *sides: asked.append(sides) or "merged")
    session_id, second = conflict(face, store, base, mine, theirs)
    face.call(second.save())
    assert asked == [(base, mine, theirs)]
    assert face.fields(store, session_id)["cart"] == "merged"
    assert not MISSING
    assert repr(MISSING) == "MISSING"


def test_none_is_a_value_that_a_function_may_return(face: Face) -> None:
    store = face.open(on_conflict=lambda *_: None)
    session_id, second = conflict(face, store, 0, 1, 2)
    face.call(second.save())
    assert face.fields(store, session_id) == {"cart": None, "other": 1}


def test_a_function_may_delete_the_field(face: Face) -> None:
    store = face.open(on_conflict=lambda *_: MISSING)
    session_id, second = conflict(face, store, 0, 1, 2)
    face.call(second.save())
    assert "cart" not in second
    assert face.fields(store, session_id) == {"other": 1}


@pytest.mark.parametrize(
    ("policies", "winner"),
    [
        ({"cart": "theirs"}, 2),
        ({"cart": "mine", "*": "theirs"}, 1),
        ({"*": "theirs"}, 2),
        ({"other": "theirs"}, 1),
        ({}, 1),
        ({"cart": lambda base, mine, theirs: base + mine + theirs, "*": "raise"}, 3),
    ],
)
def test_each_field_goes_by_its_own_policy(face: Face, policies: Any, winner: int) -> None:
    store = face.open(on_conflict=policies)
    session_id, second = conflict(face, store, 0, 1, 2)
    face.call(second.save())
    assert second["cart"] == face.fields(store, session_id)["cart"] == winner


def test_a_field_may_be_one_for_which_a_conflict_raises(face: Face) -> None:
    store = face.open(on_conflict={"cart": "raise"})
    session_id, second = conflict(face, store, 0, 1, 2)
    with pytest.raises(Conflict) as caught:
        face.call(second.save())
    assert caught.value.path == "session['cart']"
    assert face.fields(store, session_id)["cart"] == 2


def test_a_function_that_raises_ends_the_save_with_nothing_written(face: Face) -> None:
    failure = LookupError("no such thing")

    def fail(*_: Any) -> None:
        raise failure

    store = face.open(on_conflict={"cart": fail})
    session_id, second = conflict(face, store, 0, 1, 2)
    second["other"] = 7
    with pytest.raises(LookupError) as caught:
        face.call(second.save())
    assert caught.value is failure
    assert face.fields(store, session_id) == {"cart": 2, "other": 1}
    assert (second["cart"], second["other"], second.modified) == (1, 7, True)
    assert store.stats()["coatcheck_conflicts_total"] == 1


def test_what_a_function_returns_must_be_storable(face: Face) -> None:
    store = face.open(on_conflict=lambda *_: {"tags": {1}})
    session_id, second = conflict(face, store, 0, 1, 2)
    with pytest.raises(NotStorable) as caught:
        face.call(second.save())
    assert caught.value.path == "session['cart']['tags']"
    assert face.fields(store, session_id)["cart"] == 2


def test_a_function_cannot_touch_the_session_that_is_being_saved(face: Face) -> None:
    def touch(*_: Any) -> Any:
        return second["other"]

    store = face.open(on_conflict=touch)
    _, second = conflict(face, store, 0, 1, 2)
    with pytest.raises(RuntimeError, match="in a call"):
        face.call(second.save())


def test_a_function_may_use_other_sessions(redis_server: RedisServer) -> None:
    def look(base: int, mine: int, theirs: int) -> Any:
        session = store.load(other_id)
        assert session is not None
        return session["price"]

    with Store(redis_server.url, prefix="test:", on_conflict=look) as store:
        other = store.new()
        other["price"] = 5
        other_id = other.save() or ""
        session = store.new()
        session["cart"] = 0
        session_id = session.save() or ""
        second = store.load(session_id)
        assert second is not None
        session["cart"], second["cart"] = 1, 2
        session.save()
        second.save()
        assert second["cart"] == 5


def test_every_conflict_is_logged_by_the_name_of_its_field(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    store = face.open(on_conflict="theirs")
    _, second = conflict(face, store, "value-a", "value-b", "value-c")
    with caplog.at_level(logging.WARNING, "coatcheck"):
        face.call(second.save())
    (line,) = [text for text in caplog.messages if "two requests" in text]
    assert second.public_id in line
    assert "['cart']" in line
    assert "value-" not in line


@pytest.mark.parametrize(
    "on_conflict",
    ["ours", {"cart": "ours"}, {"cart": None}, {5: "mine"}, {"cart": ["mine"]}, 5, ""],
)
def test_what_is_no_policy_is_refused(face: Face, on_conflict: Any) -> None:
    with pytest.raises(ConfigError, match="on_conflict"):
        face.open(on_conflict=on_conflict)


# ---- Lifetimes and renewal ------------------------------------------------------------------


def test_not_before_ends_what_was_created_earlier(face: Face) -> None:
    store = face.open()
    session_id = face.stored(store, n=1)
    created = face.load(store, session_id).created
    for earlier in (created, created.timestamp(), created - timedelta(days=1), None, 0):
        assert face.load(face.open(not_before=earlier), session_id) is not None
    after = face.open(not_before=created + timedelta(milliseconds=1))
    assert face.load(after, session_id) is None
    assert after.stats()["coatcheck_unknown_ids_total"] == 1
    assert face.load(after, face.stored(after, n=1)) is not None


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), "yesterday", -1])
def test_not_before_is_a_time_in_a_zone(face: Face, value: Any) -> None:
    with pytest.raises(ConfigError, match="not_before"):
        face.open(not_before=value)


@pytest.mark.parametrize(
    ("options", "idle", "lifetime"),
    [
        ({"preset": "aal1"}, None, 30 * 86400),
        ({"preset": "aal2"}, 3600, 86400),
        ({"preset": "aal3"}, 900, 43200),
        ({"preset": "aal3", "idle": 60}, 60, 43200),
        ({"preset": "aal3", "lifetime": timedelta(hours=1)}, 900, 3600),
    ],
)
def test_req_19_a_preset_says_how_long_sessions_live(
    face: Face, options: Any, idle: int | None, lifetime: int
) -> None:
    store = face.open(**options)
    session = face.load(store, face.stored(store, n=1))
    assert session.idle == idle
    assert session.deadline - session.created == timedelta(seconds=lifetime)


def test_visitors_may_have_a_shorter_idle_timeout_until_they_log_in(face: Face) -> None:
    store = face.open(anonymous_idle=60, idle=600)
    session = face.load(store, face.stored(store, n=1))
    assert session.idle == 60
    session.login("user:1", carry="all")
    face.call(session.save())
    assert session.idle == face.load(store, session.id).idle == 600


def test_req_13_an_id_is_renewed_and_the_old_one_works_until_the_new_one_was_used(
    face: Face,
) -> None:
    def renewed() -> str | None:
        new_id: str = face.call(face.load(store, old_id).save())
        return new_id if new_id != old_id else None

    store = face.open(renew=1, grace=0, stale=60)
    old_id = face.stored(store, n=1)
    new_id = wait_for(renewed, "a renewal")
    assert face.fields(store, old_id) == {"n": 1}
    assert face.call(face.load(store, new_id).save()) == new_id
    assert face.load(store, old_id).stale
    assert face.fields(store, new_id) == {"n": 1}


def test_the_middleware_tells_the_browser_its_renewed_id(redis_server: RedisServer) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        environ["coatcheck.session"].setdefault("n", 1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    def visit() -> str:
        browser.get()
        (session_id,) = browser.jar.values()
        return session_id

    with Store(redis_server.url, prefix="test:", renew=1, grace=600) as store:
        browser = Browser(SessionMiddleware(application, store))
        first = visit()
        wait_for(lambda: visit() != first, "a renewal")
        second = visit()
        assert visit() == second != first
        assert store.load(second) == store.load(first) == {"n": 1}
