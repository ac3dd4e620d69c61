"""Ids that take the place of others, by each driver, on one server and on a cluster: logins,
changes of privilege and renewals (requirements 11 to 16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from coatcheck import SessionGone
from drivers import Client, Held
from sites import (
    CREATED,
    CURRENT,
    DEADLINE,
    OTHER,
    UNTIL,
    Site,
    halves,
    loaded,
    now_ms,
    opens,
    saved,
    stored,
)
from sites import deployment as deployment
from sites import site as site
from test_together import Face
from test_together import face as face

# Whoever waits for these ends waits too long: what works, works by more than that.
LONG = {"renew": "3600", "grace": "3600"}
GRACE_MS = 3_600_000


def log_in(held: Held) -> None:
    held.login("user:42")


def rotate(held: Held) -> None:
    held.rotate()


CHANGES = [log_in, rotate]


# ---- At once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES)
def test_req_11_12_14_a_new_id_is_the_only_one_that_works(
    site: Site, change: Callable[[Held], None]
) -> None:
    client = site.open(**LONG)
    old_id = stored(client)
    held, slow = loaded(client, old_id), loaded(client, old_id)
    change(held)
    new_id = saved(held)
    assert new_id != old_id
    assert opens(client, new_id) and not opens(client, old_id)
    slow.note = "late"
    with pytest.raises(SessionGone):
        slow.save()
    with pytest.raises(SessionGone):
        slow.destroy()
    assert client.destroy(old_id) is False
    assert loaded(client, new_id).note == "kept"


@pytest.mark.parametrize("change", CHANGES)
def test_req_11_12_one_command_gives_the_new_id_and_ends_the_old_one(
    site: Site, change: Callable[[Held], None]
) -> None:
    client = site.open()
    held = loaded(client, stored(client))
    held.note = "first"  # from here on the server knows the script
    saved(held)
    key, before = site.record(), site.read(CURRENT)
    change(held)
    with site.heard() as commands:
        saved(held)
    (command,) = (words for words in commands if key in words)
    assert command[0].upper() == b"EVALSHA"
    assert site.read(CURRENT) != before == site.read(OTHER)
    assert site.read(UNTIL)[0] >> 6 == 0b10  # dead


def offered(site: Site, client: Client, old_id: str) -> list[str]:
    """Its id, and one that is offered beside it."""
    site.write_ms(CREATED, now_ms() - 2 * GRACE_MS)
    return [old_id, saved(loaded(client, old_id))]


def in_grace(site: Site, client: Client, old_id: str) -> list[str]:
    """Its id, and the one that was used in its place a moment ago."""
    ids = offered(site, client, old_id)
    assert saved(loaded(client, ids[1])) == ids[1]
    return ids


BOTH_WORK = [offered, in_grace]


@pytest.mark.parametrize("by", [0, 1], ids=["by the old id", "by the new id"])
@pytest.mark.parametrize("renewed", BOTH_WORK)
@pytest.mark.parametrize("change", CHANGES)
def test_req_14_a_new_id_ends_those_of_a_renewal_too(
    site: Site,
    change: Callable[[Held], None],
    renewed: Callable[[Site, Client, str], list[str]],
    by: int,
) -> None:
    client = site.open(**LONG)
    ids = renewed(site, client, stored(client))
    assert ids[0] != ids[1] and all(opens(client, session_id) for session_id in ids)
    held = loaded(client, ids[by])
    change(held)
    assert opens(client, saved(held))
    assert not any(opens(client, session_id) for session_id in ids)


@pytest.mark.parametrize("by", [0, 1], ids=["by the old id", "by the new id"])
@pytest.mark.parametrize("renewed", BOTH_WORK)
def test_req_14_25_a_logout_ends_both_ids_of_a_renewal(
    site: Site, renewed: Callable[[Site, Client, str], list[str]], by: int
) -> None:
    client = site.open(**LONG)
    for whole in (True, False):
        ids = renewed(site, client, stored(client))
        held = loaded(client, ids[by])
        assert held.destroy() if whole else client.destroy(ids[by])
        assert not any(opens(client, session_id) for session_id in ids)
        assert site.all_keys() == []


# ---- Renewal ------------------------------------------------------------------------------------


def test_req_13_a_renewal_keeps_the_old_id_until_the_new_one_was_used(site: Site) -> None:
    client = site.open(**LONG)
    old_id, new_id = offered(site, client, stored(client))
    assert halves(old_id)[0] == halves(new_id)[0] and old_id != new_id
    for _ in range(2):
        assert saved(loaded(client, old_id)) == old_id
        assert opens(client, new_id)


def test_req_13_the_old_id_works_for_seconds_more_and_then_is_dead(site: Site) -> None:
    client = site.open(**LONG)
    before = now_ms()
    old_id, new_id = in_grace(site, client, stored(client))
    assert before <= site.read_ms(UNTIL) - GRACE_MS <= now_ms()
    assert opens(client, old_id) and opens(client, new_id)
    slow = loaded(client, old_id)
    site.write_ms(UNTIL, now_ms() - 1)
    assert not opens(client, old_id) and opens(client, new_id)
    slow.note = "late"
    with pytest.raises(SessionGone):
        slow.destroy()
    assert client.destroy(old_id) is False
    assert saved(loaded(client, new_id)) == new_id


# ---- The deadline -------------------------------------------------------------------------------


def test_req_15_only_a_login_moves_the_deadline(site: Site) -> None:
    client = site.open(**LONG, touch_below="1")
    session_id = stored(client)
    deadline = now_ms() + 1_000_000
    site.write_ms(DEADLINE, deadline)

    def save(change: Callable[[Held], Any] = lambda held: None) -> int:
        nonlocal session_id
        held = loaded(client, session_id)
        change(held)
        session_id = saved(held)
        return site.read_ms(DEADLINE)

    def write(held: Held) -> None:
        held.note = "changed"

    assert save(write) == deadline
    site.write_ms(CREATED, now_ms() - 2 * GRACE_MS)
    old_id = session_id
    assert save() == deadline and session_id != old_id  # it is offered
    assert save() == deadline and not site.read(UNTIL)[0] >> 6  # it was used
    assert save(rotate) == deadline
    site.cli("PEXPIRE", site.record(), 1000)
    assert save() == deadline
    assert site.cli("PTTL", site.record()) <= 1_000_000  # it was touched
    for _ in range(2):
        begun = now_ms()
        assert begun <= save(log_in) - 43_200_000 <= now_ms()


# ---- What a login carries over ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carry", "kept"),
    [
        ((), {}),
        (["cart"], {"cart": [1]}),
        (("cart", "none"), {"cart": [1]}),
        ("all", {"cart": [1], "note": [2, 2], "late": 3, "set": 5, "count": 6}),
    ],
)
def test_req_16_of_what_was_stored_before_a_login_only_that_stays_which_is_named(
    face: Face, carry: Any, kept: dict[str, Any]
) -> None:
    store = face.open()
    session_id = face.stored(store, cart=[1], note=[2])
    session, other = face.load(store, session_id), face.load(store, session_id)
    note = session["note"]
    session["set"] = 5
    session.incr("count", 6)
    session.login("user:42", carry=carry)
    session["mine"] = 4
    note.append(2)  # of a list that may be the session's no more
    other["late"] = 3  # by another request, between the load and the save of the login
    face.call(other.save())
    new_id = face.call(session.save())
    assert session.copy() == face.fields(store, new_id) == {**kept, "mine": 4}


@pytest.mark.parametrize("wrong", [None, "cart", "", "ALL", 1, [1], [None], b"all"])
def test_req_16_what_a_login_carries_has_to_be_said(face: Face, wrong: Any) -> None:
    store = face.open()
    session_id = face.stored(store, cart=1)
    session = face.load(store, session_id)
    with pytest.raises(TypeError):
        session.login("user:42")
    with pytest.raises((TypeError, ValueError)):
        session.login("user:42", carry=wrong)
    assert session.principal is None
    assert face.call(session.save()) == session_id
