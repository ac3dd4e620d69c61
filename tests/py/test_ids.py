"""Ids that open nothing, by each driver, on one server and on a cluster (requirements 04 to 09)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

import pytest
from conftest import wait_for
from drivers import Client
from sites import (
    CURRENT,
    DEADLINE,
    OTHER,
    Site,
    halves,
    id_of,
    logged_in,
    now_ms,
    opens,
    saved,
    stored,
)
from sites import deployment as deployment
from sites import site as site


def never_made(site: Site, client: Client) -> str:
    return secrets.token_urlsafe(32)


def idle_for_too_long(site: Site, client: Client) -> str:
    session_id = stored(client)
    site.cli("PEXPIRE", site.record(), 1)
    wait_for(lambda: site.all_keys() == [], "the end of the idle timeout")
    return session_id


def past_its_deadline(site: Site, client: Client) -> str:
    session_id = stored(client)
    site.write_ms(DEADLINE, now_ms() - 1)
    return session_id


def logged_out(site: Site, client: Client) -> str:
    session_id = stored(client)
    assert client.destroy(session_id)
    return session_id


def replaced(site: Site, client: Client) -> str:
    session_id = stored(client)
    held = client.load(session_id)
    assert held is not None
    held.rotate()
    saved(held)
    return session_id


ENDS = [never_made, idle_for_too_long, past_its_deadline, logged_out, replaced]


@pytest.mark.parametrize("end", ENDS)
def test_req_04_an_id_that_opens_nothing_is_never_adopted(
    site: Site, end: Callable[[Site, Client], str]
) -> None:
    client = site.open(stale="0")
    session_id = end(site, client)
    before = site.all_keys()
    assert client.load(session_id) is None
    held = client.visit(session_id)
    assert site.all_keys() == before
    held.note = "mine"
    new_id = saved(held)
    assert halves(new_id)[0] != halves(session_id)[0]
    assert opens(client, new_id) and client.load(session_id) is None
    assert set(before) < set(site.all_keys())


def test_req_05_ids_that_open_nothing_are_counted(site: Site) -> None:
    client = site.open(stale="0")
    for session_id in (
        never_made(site, client),
        "no id",
        id_of(halves(stored(client))[0], b"another verifier"),
    ):
        assert client.load(session_id) is None
        assert client.destroy(session_id) is False
    assert client.counts() == {"unknown": 2, "malformed": 2, "dead": 2}


def test_req_06_a_session_is_created_only_where_its_key_is_free(site: Site) -> None:
    client = site.open(max_sessions="5")
    client.ping()
    with site.heard() as commands:
        stored(client)
        logged_in(client)
    sets = [words for words in commands if words[0].upper() == b"SET"]
    assert len(sets) == 2
    assert all(words[3:5] == [b"NX", b"PX"] for words in sets)
    assert len({words[1] for words in sets}) == 2


def test_req_08_what_servers_hear_hold_and_log_shows_no_id(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    options = {} if site.driver == "C" else {"on_event": "log"}
    client = site.open(stale="0", **options)
    for server in site.servers:
        server.cli("CONFIG", "SET", "slowlog-log-slower-than", 0)
        server.cli("SLOWLOG", "RESET")
    ids, held_there = set[str](), list[bytes]()

    def look(session_id: str) -> str:
        ids.add(session_id)
        keys = site.all_keys()
        held_there.extend([*keys, *(site.cli("DUMP", key) for key in keys)])
        return session_id

    try:
        with caplog.at_level("DEBUG"), site.heard() as commands:
            first = look(stored(client))
            held = client.load(first)
            assert held is not None
            held.login("user:42")
            second = look(saved(held))
            assert client.load(first) is None
            with client.lock(second) as locked:
                assert locked is not None
                look(second)
                locked.rotate()
                third = look(saved(locked))
            client.load(look(never_made(site, client)))
            client.destroy(third)
        logs = [repr(server.cli("SLOWLOG", "GET", 1000)).encode() for server in site.servers]
    finally:
        for server in site.servers:
            server.cli("CONFIG", "SET", "slowlog-log-slower-than", 10_000)
    logs += [(server.directory / "log").read_bytes() for server in site.servers]
    assert site.driver == "C" or "refused (unknown)" in caplog.text
    everything = [
        *(word for words in commands for word in words),
        *held_there,
        *logs,
        caplog.text.encode(),
    ]
    assert len(ids) == 4 and any(b"EVAL" in log for log in logs)
    for session_id in ids:
        for secret in (session_id[:20].encode(), session_id[-20:].encode(), *forms(session_id)):
            assert not any(secret in text for text in everything)


def forms(session_id: str) -> list[bytes]:
    """Each half, as what might be written of it."""
    found = []
    for half in halves(session_id):
        shown = repr(half)[2:-1].encode()
        found += [half, shown, base64.urlsafe_b64encode(half)[:20], half.hex().encode()]
    return found


def test_req_09_neither_a_key_nor_what_a_record_holds_opens_a_session(site: Site) -> None:
    client = site.open()
    session_id = stored(client)
    held = client.load(session_id)
    assert held is not None
    held.rotate()
    selector, _ = halves(saved(held))
    key = site.record().decode()
    hidden = key.partition("{")[2].rstrip("}")
    hashes = [site.read(CURRENT), site.read(OTHER)]
    inside = base64.urlsafe_b64decode(hidden)
    guesses = [key, hidden, hidden * 2, hidden.ljust(43, "A"), hidden.rjust(43, "A")]
    guesses += [(hidden * 2)[:43], (hidden * 2)[-43:]]
    for half in (selector, inside[:16], inside[2:], *hashes):
        guesses += [id_of(half, other) for other in (*hashes, inside[:16], inside[2:], half)]
    for guess in guesses:
        assert not opens(client, guess), guess
        assert not client.destroy(guess), guess
