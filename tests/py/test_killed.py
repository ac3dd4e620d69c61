"""A client that is killed between any two commands of an operation leaves what protocol.md says.

The client is a process of its own behind a proxy that stops what it sends at the beginning of the
nth command; then it gets SIGKILL. What is left is looked at by another client, without the proxy.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from coatcheck import Store
from conftest import RedisServer, wait_for
from faults import Fault, Loop, Proxy

CLIENT = """
import json, sys
from coatcheck import Store

job = json.loads(sys.argv[1])
store = Store(job["url"], prefix="killed:", timeout=30, **job["options"])
store.ping()
session = store.load(job["id"]) if job["id"] else store.new()
print("ready", flush=True)
sys.stdin.readline()
match job["act"]:
    case "save":
        session["a"] = 2
        session.save()
    case "rotate":
        session.rotate()
        session.save()
    case "log in":
        session.login("user:1", carry="all")
        session.save()
    case "log out":
        session.destroy()
    case "hold":
        with store.lock(job["id"]) as held:
            held["a"] = 2
            held.save()
    case "end all":
        store.destroy_all("user:1")
print("done", flush=True)
"""

PRINCIPAL = "user:1"


@dataclass
class Place:
    """A server, the way to it that can be stopped, and a client without it who sees the truth."""

    server: RedisServer
    proxy: Proxy
    truth: Store
    face: str
    options: dict[str, Any] = field(default_factory=dict)  # of the client

    def stored(self, principal: str | None = None) -> str:
        """The id of a new session with the field a=1."""
        session = self.truth.new()
        session["a"] = 1
        if principal:
            session.login(principal, carry="all")
        id = session.save()
        assert id is not None
        return id

    def play(self, act: str, id: str | None, fault: Fault | None) -> bool:
        """Do it until it is done (True), or meets the fault and is killed."""
        url = self.proxy.url() + "/0"
        what = {"url": url, "face": self.face, "id": id, "act": act, "options": self.options}
        job = json.dumps(what)
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, job], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as client:
            assert client.stdin is not None and client.stdout is not None
            self.proxy.disarm()
            assert client.stdout.readline() == b"ready\n"
            self.proxy.arm(fault)
            client.stdin.write(b"\n")
            client.stdin.flush()
            wait_for(lambda: self.proxy.hits or client.poll() is not None, "the fault or the end")
            client.kill()
        wait_for(lambda: self.proxy.open == 0, "the end of the connections")
        return self.proxy.hits == 0

    def commands(self, act: str, id: str | None) -> list[int]:
        """At which byte each command of it begins; the first is at 0."""
        self.play(act, id, None)
        sent = bytes(self.proxy.passed("request"))
        starts, at = [], 0
        while at < len(sent):
            starts.append(at)
            head = sent.index(b"\r\n", at)
            count, at = int(sent[at + 1 : head]), head + 2
            for _ in range(count):
                head = sent.index(b"\r\n", at)
                at = head + 2 + int(sent[at + 1 : head]) + 2
        return starts

    def loads(self, id: str) -> bool:
        """Whether it opens a session."""
        held = self.truth.load(id)
        return held is not None and not held.stale

    def listed(self) -> int:
        return len(self.truth.sessions(PRINCIPAL))

    def no_key_is_for_ever(self) -> None:
        for key in self.server.cli("KEYS", "killed:*"):
            assert self.server.cli("PTTL", key) > 0, key


@pytest.fixture(params=["blocking", "asyncio"])
def place(redis_server: RedisServer, loop: Loop, request: pytest.FixtureRequest) -> Iterator[Place]:
    proxy = Proxy(loop, redis_server.path)
    with Store(redis_server.url, prefix="killed:", timeout=30) as truth:
        truth.ping()
        yield Place(redis_server, proxy, truth, request.param)
    proxy.close()


def faults(starts: list[int]) -> Iterator[Fault]:
    """Before each command but the first, and when all were carried out and no reply has come."""
    for at in starts[1:]:
        yield Fault("stall", "request", at)
    yield Fault("stall", "reply", 0)


def each_kill(
    place: Place, act: str, principal: str | None, *, anew: bool = False
) -> Iterator[str]:
    """The id that the client held, after each way to be killed, on a server that is else empty."""

    def held() -> str | None:
        """The client's session, if it has one, with another that is there on an empty server."""
        nonlocal id
        place.server.cli("FLUSHALL")
        id = place.stored(principal)
        return None if anew else id

    id, killed = "", 0
    place.play(act, held(), None)  # from here on the server knows the scripts
    starts = place.commands(act, held())
    for fault in faults(starts):
        killed += not place.play(act, held(), fault)
        place.no_key_is_for_ever()
        yield id
        place.no_key_is_for_ever()
    assert killed == len(starts), "not every command was a place to be killed at"


# ---- What is left -------------------------------------------------------------------------------


def test_req_21_a_save_is_done_or_not(place: Place) -> None:
    for id in each_kill(place, "save", None):
        held = place.truth.load(id)
        assert held is not None and held["a"] in (1, 2)


def test_req_21_a_lock_ends_by_itself_whoever_held_it_or_gave_it_back(place: Place) -> None:
    held_at_the_end = 0
    for id in each_kill(place, "hold", None):
        locks = place.server.cli("KEYS", "killed:l:*")
        held_at_the_end += len(locks)
        for lock in locks:
            assert 0 < place.server.cli("PTTL", lock) <= 30000
            place.server.cli("PEXPIRE", lock, 1)
        with place.truth.lock(id) as session:
            assert session is not None and session["a"] in (1, 2)
        assert place.server.cli("KEYS", "killed:l:*") == []
    assert held_at_the_end >= 4  # loading under it, saving, giving it back


def test_req_11_12_21_of_two_ids_exactly_one_works(place: Place) -> None:
    for id in each_kill(place, "rotate", None):
        held = place.truth.load(id)
        assert held is not None
        assert held.stale or held["a"] == 1
        assert len(place.server.records()) == 1


def test_req_11_21_a_login_is_done_or_can_be_done_again(place: Place) -> None:
    for id in each_kill(place, "log in", None):
        held = place.truth.load(id)
        assert held is not None
        if held.stale:
            assert place.listed() == 1
            continue
        assert held.principal is None and place.listed() == 0
        held.login(PRINCIPAL, carry="all")
        new = held.save()
        assert new is not None and place.loads(new) and not place.loads(id)
        assert place.listed() == 1


@pytest.mark.parametrize("policy", ["evict", "refuse"])
def test_req_21_29_a_login_without_a_session_never_exceeds_the_cap(
    place: Place, policy: str
) -> None:
    place.options = {"max_sessions": 2, "on_max": policy}
    for _ in each_kill(place, "log in", PRINCIPAL, anew=True):
        assert place.listed() <= 2


def test_req_21_29_a_login_that_evicts_never_exceeds_the_cap_and_the_next_heals(
    place: Place,
) -> None:
    place.options = {"max_sessions": 1}
    with Store(place.server.url, prefix="killed:", max_sessions=1) as capped:
        for id in each_kill(place, "log in", PRINCIPAL, anew=True):
            records = place.server.records()
            assert place.listed() <= 1
            # One whose id nobody was told may wait for its end; the one who was there goes first.
            assert len(records) <= 2
            session = capped.new()
            session.login(PRINCIPAL, carry="all")
            new = session.save()
            assert new is not None and place.loads(new) and not place.loads(id)
            assert place.listed() == 1


@pytest.mark.parametrize("act", ["log out", "log out by its id"])
def test_req_21_25_a_logout_leaves_at_most_what_the_next_list_takes_away(
    place: Place, act: str
) -> None:
    for id in each_kill(place, act, PRINCIPAL):
        alive = place.loads(id)
        assert place.listed() == alive
        assert len(place.server.cli("KEYS", "killed:*")) == 2 * alive


def test_req_21_26_ending_all_is_finished_by_the_next_call(place: Place) -> None:
    for id in each_kill(place, "end all", PRINCIPAL):
        alive = place.loads(id)
        ended, _ = place.truth.destroy_all(PRINCIPAL)
        assert ended == alive and not place.loads(id)
        assert place.server.cli("KEYS", "killed:*") == []
