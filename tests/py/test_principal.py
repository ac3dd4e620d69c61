"""The sessions of a principal: listed, ended one by one, ended all; how many there may be."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from coatcheck import (
    Busy,
    ConfigError,
    NotStorable,
    Session,
    SessionGone,
    SessionInfo,
    Store,
    StoreUnavailable,
    TooManySessions,
    aio,
)
from conftest import RedisServer


def log_in(store: Store, principal: str = "user:42", **fields: Any) -> Session:
    session = store.new()
    session.login(principal, carry="all")
    session.update(fields)
    session.save()
    return session


def public_ids(store: Store, principal: str = "user:42") -> list[str]:
    return [info.public_id for info in store.sessions(principal)]


# ---- List ---------------------------------------------------------------------------------------


def test_where_nobody_is_logged_in_no_sessions_can_be_asked_for(store: Store) -> None:
    nobody: Any = store.new().principal
    for call in (store.sessions, store.destroy_all):
        with pytest.raises(TypeError, match="not None: nobody is logged in"):
            call(nobody)


def test_a_list_says_what_may_be_known_of_each_session(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", show=("device", "at", "none")) as store:
        before = datetime.now(timezone.utc) - timedelta(seconds=1)
        session = log_in(store, device="mac", at=(1, [2]), secret="x")
        log_in(store, "user:7", device="other")
        (info,) = store.sessions("user:42")
        assert info == SessionInfo(
            session.public_id, session.created, session.deadline, {"device": "mac", "at": (1, [2])}
        )
        assert before < info.created < info.deadline


def test_without_show_a_list_shows_no_field(store: Store) -> None:
    log_in(store, device="mac")
    (info,) = store.sessions("user:42")
    assert info.shown == {}


def test_a_large_session_shows_its_fields_too(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", show=["device"]) as store:
        log_in(store, text="x" * 100_000, device="mac")
        log_in(store, device="phone")
        assert sorted(info.shown["device"] for info in store.sessions("user:42")) == [
            "mac",
            "phone",
        ]


@pytest.fixture
def crowd(redis_server: RedisServer, store: Store) -> str:
    """The public id of a session behind 70,000 members of its index."""
    session = log_in(store)
    (index,) = set(redis_server.keys()) - set(redis_server.records())
    fill = (
        "local t = redis.call('TIME')[1] * 1000 for i = 1, 70000 do"
        " redis.call('ZADD', KEYS[1], t + 100000 + i, string.format('%024d', i)) end"
    )
    redis_server.cli("EVAL", fill, 1, index)
    return session.public_id or ""


def test_one_of_very_many_is_ended(crowd: str, redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", timeout=20) as store:
        assert store.destroy_one("user:42", crowd)
        assert redis_server.records() == []


def test_very_many_are_all_ended(crowd: str, redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", timeout=20) as store:
        assert store.destroy_all("user:42") == (1, False)
        assert redis_server.keys() == []


@pytest.mark.parametrize("cap", [None, 2])
def test_a_principal_with_very_many_logs_in(
    crowd: str, redis_server: RedisServer, cap: int | None
) -> None:
    with Store(redis_server.url, prefix="test:", timeout=20, max_sessions=cap) as store:
        session = log_in(store)
        assert store.load(session.id or "") is not None
        (index,) = set(redis_server.keys()) - set(redis_server.records())
        members = int(redis_server.cli("ZCARD", index))
        assert members == 70_002 if cap is None else members <= 70_000


def test_a_thousand_sessions_are_listed_and_ended(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", timeout=20, show=("n",)) as store:
        for n in range(1000):
            log_in(store, n=n)
        assert sorted(info.shown["n"] for info in store.sessions("user:42")) == list(range(1000))
        assert store.destroy_all("user:42") == (1000, False)
        assert redis_server.keys() == []


def test_the_first_to_end_comes_first(redis_server: RedisServer) -> None:
    with (
        Store(redis_server.url, prefix="t:", lifetime=1000) as short,
        Store(redis_server.url, prefix="t:", lifetime=2000) as long,
    ):
        expected = [log_in(long), log_in(short)]
        expected.reverse()
        assert public_ids(short) == [session.public_id for session in expected]


def test_who_has_no_session_has_an_empty_list(store: Store) -> None:
    assert store.sessions("user:42") == []


def test_what_has_ended_is_not_listed_and_leaves_the_index(
    redis_server: RedisServer, store: Store
) -> None:
    session = log_in(store)
    redis_server.cli("DEL", *redis_server.records())
    assert store.sessions("user:42") == []
    assert redis_server.keys() == []
    with pytest.raises(SessionGone):
        session["a"] = 1
        session.save()


def test_req_28_no_id_is_in_a_list(store: Store) -> None:
    session = log_in(store)
    (info,) = store.sessions("user:42")
    assert session.id is not None
    assert session.id not in repr(info)
    assert store.load(info.public_id) is None
    assert store.destroy(info.public_id) is False


# ---- End ----------------------------------------------------------------------------------------


def test_req_26_one_session_is_ended_by_its_public_id(store: Store) -> None:
    one, other = log_in(store), log_in(store)
    assert one.public_id is not None
    assert store.destroy_one("user:42", one.public_id) is True
    assert store.load(one.id or "") is None
    assert store.load(other.id or "") is not None
    assert store.destroy_one("user:42", one.public_id) is False
    assert public_ids(store) == [other.public_id]


@pytest.mark.parametrize("public_id", ["", "x", "A" * 12, "\0" * 12, "\ud800" * 12, "é" * 6])
def test_hostile_public_ids_end_nothing(store: Store, public_id: str) -> None:
    session = log_in(store)
    assert store.destroy_one("user:42", public_id) is False
    assert store.load(session.id or "") is not None


def test_a_session_of_another_principal_is_not_ended_by_its_public_id(store: Store) -> None:
    session = log_in(store, "user:7")
    assert session.public_id is not None
    assert store.destroy_one("user:42", session.public_id) is False
    assert store.load(session.id or "") is not None


def test_req_26_all_sessions_are_ended(redis_server: RedisServer, store: Store) -> None:
    ours, theirs = [log_in(store) for _ in range(3)], log_in(store, "user:7")
    assert store.destroy_all("user:42") == (3, False)
    assert [store.load(session.id or "") for session in ours] == [None] * 3
    assert store.load(theirs.id or "") is not None
    assert store.sessions("user:42") == []
    assert store.destroy_all("user:42") == (0, False)
    assert len(redis_server.keys()) == 2


@pytest.mark.parametrize("by", ["session", "public id"])
def test_req_26_all_but_one_are_ended(store: Store, by: str) -> None:
    one, mine, third = (log_in(store) for _ in range(3))
    keep = mine if by == "session" else mine.public_id
    assert store.destroy_all("user:42", keep=keep) == (2, False)
    assert public_ids(store) == [mine.public_id]
    mine["still"] = "here"
    mine.save()
    for ended in (one, third):
        ended["a"] = 1
        with pytest.raises(SessionGone):
            ended.save()


def test_a_lost_index_is_told(redis_server: RedisServer, store: Store) -> None:
    mine, other = log_in(store), log_in(store)
    (index,) = set(redis_server.keys()) - set(redis_server.records())
    redis_server.cli("DEL", index)
    assert store.destroy_all("user:42", keep=mine) == (0, True)
    assert store.load(other.id or "") is not None


def test_a_touch_heals_a_lost_index(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", touch_below=1) as store:
        session = log_in(store)
        (index,) = set(redis_server.keys()) - set(redis_server.records())
        redis_server.cli("DEL", index)
        redis_server.cli("PEXPIRE", *redis_server.records(), 60_000)
        again = store.load(session.id or "")
        assert again is not None
        again.save()
        assert public_ids(store) == [session.public_id]


def test_a_session_that_is_saved_heals_a_lost_index(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", touch_below=1) as store:
        session = log_in(store)
        (index,) = set(redis_server.keys()) - set(redis_server.records())
        redis_server.cli("DEL", index)
        redis_server.cli("PEXPIRE", *redis_server.records(), 60_000)
        again = store.load(session.id or "")
        assert again is not None
        again["seen"] = 1
        again.save()
        assert public_ids(store) == [session.public_id]


def test_only_a_stored_session_can_be_kept(store: Store) -> None:
    session = log_in(store)
    with pytest.raises(ValueError, match="not stored"):
        store.destroy_all("user:42", keep=store.new())
    with pytest.raises(ValueError, match="12 characters"):
        store.destroy_all("user:42", keep="short")
    assert store.load(session.id or "") is not None


# ---- The index ----------------------------------------------------------------------------------


def test_req_25_a_logout_leaves_nothing(redis_server: RedisServer, store: Store) -> None:
    log_in(store).destroy()
    assert redis_server.keys() == []
    store.destroy(log_in(store).id or "")
    assert redis_server.keys() == []


def test_req_21_the_index_has_a_ttl(redis_server: RedisServer, store: Store) -> None:
    log_in(store)
    (index,) = set(redis_server.keys()) - set(redis_server.records())
    assert 43_200_000 < redis_server.cli("PTTL", index) <= 43_200_000 + 120_000


def test_rotation_and_login_again_leave_one_entry(store: Store) -> None:
    session = log_in(store)
    first = store.sessions("user:42")
    session.rotate()
    session.save()
    assert store.sessions("user:42") == first
    session.login("user:42", carry="all")
    session.save()
    assert public_ids(store) == [session.public_id]


# ---- The cap ------------------------------------------------------------------------------------


def test_evict_ends_the_session_that_would_end_first(redis_server: RedisServer) -> None:
    def log_in_for(lifetime: int) -> str:
        with Store(redis_server.url, prefix="t:", max_sessions=2, lifetime=lifetime) as store:
            session = log_in(store)
            evicted.append(store.stats()["coatcheck_evicted_total"])
            return session.id or ""

    evicted: list[float] = []
    ids = [log_in_for(lifetime) for lifetime in (3000, 2000, 4000, 5000)]
    with Store(redis_server.url, prefix="t:") as store:
        assert [store.load(id) is None for id in ids] == [True, True, False, False]
    assert evicted == [0, 0, 1, 1]


def test_refuse_raises_and_leaves_no_record(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", max_sessions=1, on_max="refuse") as store:
        first = log_in(store)
        keys = redis_server.keys()
        with pytest.raises(TooManySessions):
            log_in(store)
        assert redis_server.keys() == keys
        session = store.new()
        session["cart"] = 1
        session.save()
        session.login("user:42", carry="all")
        with pytest.raises(TooManySessions):
            session.save()
        again = store.load(session.id or "")
        assert again is not None
        assert again.principal is None
        assert first.destroy()
        session.save()
        assert session.principal == "user:42"


def test_sessions_that_ended_by_themselves_take_no_place(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", max_sessions=1, on_max="refuse") as store:
        log_in(store)
        redis_server.cli("DEL", *redis_server.records())
        log_in(store)


def test_to_log_in_again_takes_no_place(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", max_sessions=1, on_max="refuse") as store:
        session = log_in(store)
        session.login("user:42", carry="all")
        session.save()


@pytest.mark.parametrize("on_max", ["evict", "refuse"])
def test_req_29_the_cap_is_exact_at_every_moment_under_logins_at_once(
    redis_server: RedisServer, on_max: Any
) -> None:
    logins, cap = 16, 3
    options: dict[str, Any] = {"prefix": "t:", "max_sessions": cap, "timeout": 20}
    granted: list[str] = []
    failures: list[Exception] = []
    most = 0

    def login() -> None:
        try:
            granted.append(log_in(store).id or "")
        except (Busy, TooManySessions) as exc:
            failures.append(exc)

    with Store(redis_server.url, max_connections=logins, on_max=on_max, **options) as store:
        threads = [threading.Thread(target=login) for _ in range(logins)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            # In the order of granting, and each before the next is looked at: a lower bound.
            most = max(most, len(store.sessions("user:42")))
        for thread in threads:
            thread.join()
        working = [id for id in granted if store.load(id) is not None]
        assert most <= cap
        assert len(working) == cap == len(store.sessions("user:42"))
        assert len(granted) + len(failures) == logins
        if on_max == "evict":
            assert failures == []
        else:
            assert len(granted) == cap
            assert all(isinstance(exc, TooManySessions) for exc in failures)


# ---- Arguments, failures, the log ---------------------------------------------------------------


@pytest.mark.parametrize("call", ["sessions", "destroy_all"])
def test_principals_that_cannot_be_are_refused(store: Store, call: str) -> None:
    method = getattr(store, call)
    for principal in ("", "x" * 256, "a\0b"):
        with pytest.raises(ValueError):
            method(principal)
    with pytest.raises(NotStorable):
        method("\ud800")
    with pytest.raises(TypeError):
        method(42)
    with pytest.raises(TypeError):
        store.destroy_one("user:42", None)  # type: ignore[arg-type]


def test_options_that_cannot_be_are_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"max_sessions": 0},
        {"max_sessions": 10_001},
        {"on_max": "drop"},
        {"show": ["a,b"]},
        {"show": [""]},
        {"show": [1]},
        {"show": "a,,b"},
    ]
    for options in wrong:
        with pytest.raises(ConfigError, match=f"option {next(iter(options))}"):
            Store("unix:/nowhere", prefix="t:", **options)


def test_req_69_an_unreachable_store_is_no_empty_list() -> None:
    with Store("unix:/nowhere/at/all", prefix="t:") as store:
        for call in (store.sessions, store.destroy_all):
            with pytest.raises(StoreUnavailable):
                call("user:42")


# ---- asyncio ------------------------------------------------------------------------------------


def test_asyncio_has_the_same_calls(redis_server: RedisServer) -> None:
    import asyncio

    async def main() -> None:
        async with aio.Store(
            redis_server.url, prefix="t:", show=("device",), max_sessions=3, on_max="refuse"
        ) as store:

            async def log_in() -> aio.Session:
                session = store.new()
                session.login("user:42", carry="all")
                session["device"] = "mac"
                await session.save()
                return session

            one, mine, third = [await log_in() for _ in range(3)]
            with pytest.raises(TooManySessions):
                await log_in()
            listed = await store.sessions("user:42")
            assert {info.public_id for info in listed} == {
                session.public_id for session in (one, mine, third)
            }
            assert {info.shown["device"] for info in listed} == {"mac"}
            assert one.public_id is not None
            assert await store.destroy_one("user:42", one.public_id) is True
            assert await store.destroy_one("user:42", one.public_id) is False
            assert await store.destroy_all("user:42", keep=mine) == (1, False)
            assert await store.load(third.id or "") is None
            assert await store.load(mine.id or "") is not None
            with pytest.raises(ValueError, match="null character"):
                await store.sessions("a\0b")

    asyncio.run(main())
    assert len(redis_server.records()) == 1


def test_req_29_the_cap_is_exact_under_tasks_at_once(redis_server: RedisServer) -> None:
    import asyncio

    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="t:", max_sessions=3, timeout=20) as store:

            async def log_in() -> str:
                session = store.new()
                session.login("user:42", carry="all")
                return await session.save() or ""

            granted = await asyncio.gather(*[log_in() for _ in range(16)])
            working = [id for id in granted if await store.load(id) is not None]
            assert len(working) == 3 == len(await store.sessions("user:42"))

    asyncio.run(main())
