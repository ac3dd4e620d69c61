"""How sessions end, by each driver, on one server and on a cluster; what a list of them tells, and
what locks them (requirements 18, 19, 25, 26, 28, 65, 70 and 72)."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from coatcheck import SessionGone, SessionInfo, StoreTimeout, StoreUnavailable
from conftest import RedisServer, in_thread, wait_for
from drivers import DRIVERS, Client, Held
from sites import (
    CREATED,
    DEADLINE,
    PATIENT,
    Site,
    loaded,
    logged_in,
    now_ms,
    opens,
    saved,
    stored,
)
from sites import deployment as deployment
from sites import site as site

USER = "user:42"
HURRIED = {"timeout": "0.25", "connect_timeout": "0.25"}

# ---- Deadlines ----------------------------------------------------------------------------------


def test_req_18_a_session_without_a_ttl_ends_at_its_deadline(site: Site) -> None:
    client = site.open()
    session_id = logged_in(client).id or ""
    key = site.record()
    site.cli("PERSIST", key)
    site.write_ms(DEADLINE, now_ms() - 1)
    for _ in range(2):
        assert client.sessions(USER) == []
        assert client.load(session_id) is None
        with client.lock(session_id) as held:
            assert held is None
    assert key in site.all_keys()


def test_req_18_a_session_without_a_ttl_ends_when_its_time_has_come(
    redis_server: RedisServer,
) -> None:
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(
                closing(open(redis_server.url, prefix=f"{name}:", lifetime="2", **PATIENT))
            )
            for name, open in DRIVERS.items()
        }
        helds = {}
        for name, client in clients.items():
            client.ping()
            helds[name] = logged_in(client)
            (key,) = (key for key in redis_server.records() if key.startswith(name.encode()))
            assert redis_server.cli("PERSIST", key) == 1
        over_ms = now_ms() + 2001
        wait_for(lambda: now_ms() > over_ms, "the deadlines")
        for name, client in clients.items():
            assert client.load(helds[name].id or "") is None
        assert len(redis_server.records()) == len(DRIVERS)
        while helds:
            name, held = helds.popitem()
            held.note = "late"
            with pytest.raises(SessionGone):
                held.save()
            assert not opens(clients[name], held.id or "")
        del held


@pytest.mark.parametrize(
    ("preset", "idle_s", "lifetime_s"),
    [("aal1", 30 * 86400, 30 * 86400), ("aal2", 3600, 86400), ("aal3", 900, 43200)],
)
def test_req_19_a_preset_is_in_the_record_and_in_its_ttl(
    site: Site, preset: str, idle_s: int, lifetime_s: int
) -> None:
    stored(site.open(preset=preset))
    assert site.read_ms(DEADLINE) - site.read_ms(CREATED) == lifetime_s * 1000
    assert (idle_s - 60) * 1000 < site.cli("PTTL", site.record()) <= idle_s * 1000


# ---- Logout -------------------------------------------------------------------------------------

# Each ends a session that is loaded, or by its id.
End = Callable[[Client, Held], object]

LOGOUTS: dict[str, End] = {
    "session": lambda client, held: held.destroy(),
    "id": lambda client, held: client.destroy(held.id or ""),
}
ENDS: dict[str, End] = {
    **LOGOUTS,
    "one": lambda client, held: client.destroy_one(USER, held.public_id or ""),
    "all": lambda client, held: client.destroy_all(USER),
}


@pytest.mark.parametrize("by", ENDS)
def test_req_25_26_an_end_leaves_neither_record_nor_lock_nor_entry(site: Site, by: str) -> None:
    client = site.open()
    held = logged_in(client)
    session_id = held.id or ""
    with client.lock(session_id):
        assert len(site.all_keys()) == 3
        assert ENDS[by](client, held) == 1
        assert site.all_keys() == []
    assert client.destroy(session_id) is False
    assert site.all_keys() == []


@pytest.mark.parametrize("by", LOGOUTS)
def test_req_25_a_logout_leaves_other_sessions_alone(site: Site, by: str) -> None:
    client = site.open()
    mine, other = logged_in(client), logged_in(client)
    assert LOGOUTS[by](client, mine) is True
    assert [info.public_id for info in client.sessions(USER)] == [other.public_id]
    assert opens(client, other.id or "")


def test_req_70_an_end_that_nobody_answers_raises(site: Site) -> None:
    ids = {by: logged_in(site.open()).id or "" for by in ENDS}
    hurried = site.open(**HURRIED)
    helds = {by: in_time(lambda by=by: loaded(hurried, ids[by])) for by in ENDS}
    with site.silent():
        ends = [in_thread(lambda by=by: ENDS[by](hurried, helds[by])) for by in ENDS]
        for end in ends:
            with pytest.raises(StoreUnavailable):
                end()
    assert {by: held.id for by, held in helds.items()} == ids


def in_time(call: Callable[[], Any]) -> Any:
    """Its result, where a machine that is busy elsewhere leaves too little time now and then."""

    def tried() -> Any:
        try:
            return call()
        except StoreUnavailable:
            return None

    return wait_for(tried, "an answer in time")


@pytest.mark.parametrize("driver", DRIVERS)
def test_req_70_an_end_that_reaches_nobody_raises(driver: str) -> None:
    with closing(DRIVERS[driver]("unix:/nowhere/at/all", prefix="test:")) as client:
        for call in (
            lambda: client.destroy("A" * 43),
            lambda: client.destroy_one(USER, "A" * 12),
            lambda: client.destroy_all(USER),
        ):
            with pytest.raises(StoreUnavailable):
                call()


# ---- The sessions of a user ---------------------------------------------------------------------


def test_req_26_one_all_or_all_others_are_ended(site: Site) -> None:
    client = site.open()
    helds, theirs = [logged_in(client) for _ in range(12)], logged_in(client, "user:7")

    def alive() -> list[int]:
        return [n for n, held in enumerate(helds) if opens(client, held.id or "")]

    assert client.destroy_one(USER, theirs.public_id or "") is False
    assert client.destroy_one(USER, helds[0].public_id or "") is True
    assert client.destroy_one(USER, helds[0].public_id or "") is False
    assert alive() == list(range(1, 12))
    helds[5].rotate()
    saved(helds[5])
    assert client.destroy_all(USER, keep=helds[5].public_id) == 10
    assert alive() == [5]
    assert [info.public_id for info in client.sessions(USER)] == [helds[5].public_id]
    assert client.destroy_all(USER) == 1
    assert alive() == [] == client.sessions(USER)
    for held in helds:
        held.note = "late"
        with pytest.raises(SessionGone):
            held.save()
    assert opens(client, theirs.id or "")


def test_req_26_a_login_that_was_answered_before_the_call_does_not_outlive_it(site: Site) -> None:
    client = site.open(max_connections="4")
    answered: list[str] = []
    over = threading.Event()

    def keep_logging_in() -> None:
        while not over.is_set():
            answered.append(logged_in(client).id or "")

    logins = [in_thread(keep_logging_in) for _ in range(3)]
    try:
        for round in range(1, 6):
            wait_for(lambda round=round: len(answered) >= 5 * round, "logins")
            known = answered[-20:]
            client.destroy_all(USER)
            assert not any(opens(client, session_id) for session_id in known)
    finally:
        over.set()
        for login in logins:
            login()
    client.destroy_all(USER)
    assert site.all_keys() == []


def test_req_28_nothing_in_a_list_opens_or_ends_a_session(site: Site) -> None:
    client = site.open(show="note")
    helds = [logged_in(client) for _ in range(2)]
    listed = client.sessions(USER)
    assert {info.public_id for info in listed} == {held.public_id for held in helds}
    text = repr(listed)
    for held in helds:
        session_id = held.id or ""
        assert not any(session_id[i : i + 8] in text for i in range(36))
    for key in site.all_keys():
        hidden = key.decode().partition("{")[2].rstrip("}")
        assert not any(hidden[i : i + 8] in text for i in range(17))
    for guess in {guess for info in listed for guess in guesses(info)}:
        assert client.load(guess) is None
        assert client.destroy(guess) is False
        with client.lock(guess) as locked:
            assert locked is None
    assert all(opens(client, held.id or "") for held in helds)


def guesses(info: SessionInfo) -> Iterator[str]:
    """What could be made of all that is known of a session into an id."""
    numbers = [
        int(time.timestamp() * 1000).to_bytes(8, "big") for time in (info.created, info.deadline)
    ]
    seeds = [base64.urlsafe_b64decode(info.public_id), *numbers, b"".join(numbers)]
    seeds += [seeds[0] + number for number in numbers] + [info.public_id.encode(), USER.encode()]
    yield info.public_id
    yield from (info.public_id.ljust(43, "A"), info.public_id.rjust(43, "A"))
    for seed in seeds:
        for raw in (seed.ljust(32, b"\0"), seed.rjust(32, b"\0"), (seed * 4)[:32]):
            yield base64.urlsafe_b64encode(raw).decode().rstrip("=")


# ---- Locks --------------------------------------------------------------------------------------


def test_req_65_each_lock_has_a_token_that_cannot_be_guessed(site: Site) -> None:
    client = site.open()
    ids = [stored(client) for _ in range(4)]
    with site.heard() as commands:
        for session_id in ids * 4:
            with client.lock(session_id):
                pass
    tokens = [words[2] for words in commands if words[0].upper() == b"SET"]
    assert len(set(tokens)) == 16
    assert {len(token) for token in tokens} == {16}
    assert all(len({token[i] for token in tokens}) > 8 for i in range(16))


def test_req_65_a_lock_is_given_back_by_one_command_that_looks_whose_it_is(site: Site) -> None:
    client = site.open()
    session_id = stored(client)
    with site.heard() as commands, client.lock(session_id):
        (lock,) = (key for key in site.all_keys() if b":l:{" in key)
        assert site.cli("SET", lock, "another's", "KEEPTTL") == "OK"
    assert site.cli("GET", lock) == b"another's"
    taken, ours, *given = (words[0].upper() for words in commands if lock in words)
    assert taken == ours == b"SET" and {*given} <= {b"EVAL", b"EVALSHA"}


def test_req_65_whoever_waits_for_a_lock_is_told_in_time(site: Site) -> None:
    session_id = stored(site.open())
    hurried = site.open(**HURRIED)
    assert in_time(lambda: hurried.load(session_id))
    with site.open().lock(session_id), pytest.raises(StoreTimeout), hurried.lock(session_id):
        pytest.fail("two have the lock")


# ---- Visitors -----------------------------------------------------------------------------------


def test_req_72_nothing_is_sent_before_something_is_stored(site: Site) -> None:
    client = site.open()
    client.ping()
    with site.heard() as commands:
        held = client.new()
        held.rotate()
        assert held.save() is None
        assert held.destroy() is False
        assert (held.id, held.public_id, held.stale) == (None, None, False)
    assert commands == [] == site.all_keys()
    held.note = "kept"
    saved(held)
    assert len(site.all_keys()) == 1
