"""Two clients on one server, with clocks a minute behind and a minute ahead of the right time.

Both are processes of their own. Time passes for them by a larger shift, never by waiting; the
server does not see it pass, so what ends here is ended by the deadline in the record.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from conftest import RedisServer
from shifted_clock import environment
from shifted_clock import shifted_clock as shifted_clock

BOUND_S = 60
NEAR_S = 25  # a busy machine may take its time

CLIENT = """
import json, sys
import shifted_clock
from coatcheck import Store

store = Store(sys.argv[1], prefix="skew:", timeout=20, **json.loads(sys.argv[2]))

def act(what, *args):
    match what:
        case "shift":
            return shifted_clock.shift(args[0])
        case "sessions":
            return [info.public_id for info in store.sessions(args[0])]
        case "destroy all":
            return store.destroy_all(args[0])
        case "create":
            session = store.new()
        case _:
            session = store.load(args[0])
            if session is None or session.stale:
                return None
    match what:
        case "log in":
            session.login(args[1], carry="all")
        case "create":
            session["n"] = 0
            if args:
                session.login(args[0], carry="all")
        case "count":
            session["n"] += 1
        case "rotate":
            session.rotate()
        case "destroy":
            return session.destroy()
    if what == "load":
        return dict(session)
    return session.save()

for line in sys.stdin:
    print(json.dumps(act(*json.loads(line))), flush=True)
"""


class Client:
    """Its clock is wrong by so many seconds."""

    def __init__(self, library: Path, url: str, wrong_by: int, **options: Any) -> None:
        self.wrong_by = wrong_by
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:0] = {sys.path!r}\n{CLIENT}",
                url,
                json.dumps(options),
            ],
            env=environment(library, wrong_by),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *job: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, f"the client ended in {job}"
        return json.loads(answer)

    def is_wrong_by(self, seconds: int) -> None:
        self.wrong_by = seconds
        self.after(0)

    def after(self, seconds: int) -> Client:
        """The same, when so much time has passed since it was started."""
        self("shift", self.wrong_by + seconds)
        return self

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


Clients = Callable[..., tuple[Client, Client]]


@pytest.fixture
def clients(shifted_clock: Path, redis_server: RedisServer) -> Iterator[Clients]:
    """One that is behind and one that is ahead, of stores with these options."""
    started: list[Client] = []

    def start(**options: Any) -> tuple[Client, Client]:
        for wrong_by in (-BOUND_S, BOUND_S):
            started.append(Client(shifted_clock, redis_server.url, wrong_by, **options))
        return started[-2], started[-1]

    yield start
    for client in started:
        client.close()


def pairs(two: tuple[Client, Client]) -> list[tuple[Client, Client]]:
    """Each of two clients and the other one."""
    return [two, (two[1], two[0])]


def test_req_22_a_session_lives_as_long_as_is_said_and_twice_the_bound_at_most(
    clients: Clients,
) -> None:
    lifetime = 3600
    two = clients(lifetime=lifetime, idle=None)
    ids = [client("create") for client in two]
    for client in two:
        client.after(lifetime - 2 * BOUND_S - NEAR_S)
        assert [client("load", id) for id in ids] == [{"n": 0}] * 2
    for client in two:
        client.after(lifetime + 2 * BOUND_S + NEAR_S)
        assert [client("load", id) for id in ids] == [None] * 2


def test_req_22_no_ttl_is_shortened_or_stretched_by_a_clock(
    clients: Clients, redis_server: RedisServer
) -> None:
    idle = 1800
    for maker, other in pairs(clients(idle=idle)):
        id = maker("create")
        for client in (other, maker, other):
            assert client("count", id) == id
            for key in redis_server.records():
                assert idle - NEAR_S < redis_server.cli("PTTL", key) / 1000 <= idle
        redis_server.cli("FLUSHALL")


def test_req_22_the_server_keeps_a_session_while_any_clock_may_hold_that_it_lives(
    clients: Clients, redis_server: RedisServer
) -> None:
    lifetime = 600
    for maker, other in pairs(clients(lifetime=lifetime, idle=None)):
        id = maker("create")
        assert other("count", id) == id
        (key,) = redis_server.records()
        left = redis_server.cli("PTTL", key) / 1000
        assert lifetime - 2 * BOUND_S - NEAR_S < left <= lifetime + 2 * BOUND_S
        redis_server.cli("FLUSHALL")


def test_req_22_saves_of_both_are_kept(clients: Clients) -> None:
    behind, ahead = clients()
    id = behind("create")
    for client in (ahead, behind, ahead, behind):
        assert client("count", id) == id
    assert behind("load", id) == ahead("load", id) == {"n": 4}


@pytest.mark.parametrize("act", ["rotate", "log in"])
def test_req_22_a_new_id_works_at_once_and_the_old_one_nowhere(clients: Clients, act: str) -> None:
    for one, other in pairs(clients()):
        old = other("create")
        new = one(act, old, "ann")
        assert new != old
        assert one("load", old) is other("load", old) is None
        assert one("load", new) == other("load", new) == {"n": 0}


def test_req_22_a_logout_holds_everywhere(clients: Clients, redis_server: RedisServer) -> None:
    for one, other in pairs(clients()):
        id = one("create", "ann")
        assert other("destroy", id) is True
        assert one("load", id) is other("load", id) is None
        assert one("count", id) is None
        assert redis_server.keys() == []


def test_req_22_the_list_of_sessions_has_those_that_any_clock_lets_live(
    clients: Clients, redis_server: RedisServer
) -> None:
    """One that was made behind is over already for who is ahead, who must not forget it."""
    behind, ahead = clients(lifetime=2 * BOUND_S - NEAR_S, idle=None)
    id = behind("create", "ann")
    ahead("sessions", "ann")
    ahead("create", "ann")
    (index,) = set(redis_server.keys()) - set(redis_server.records())
    assert redis_server.cli("PTTL", index) > 0
    assert behind("load", id) == {"n": 0}
    assert redis_server.cli("ZCARD", index) == 2
    assert len(behind("sessions", "ann")) == 2
    ahead("destroy all", "ann")
    assert behind("load", id) is None


def test_req_22_a_cap_counts_the_sessions_of_both(clients: Clients) -> None:
    two = clients(max_sessions=3)
    ids = [client("create", "ann") for client in two * 3]
    for client in two:
        assert len(client("sessions", "ann")) == 3
        assert sum(client("load", id) is not None for id in ids) == 3


def test_req_22_a_grace_is_longer_by_twice_the_bound_at_most(clients: Clients) -> None:
    renew, grace = 3600, 600
    for one, other in pairs(clients(renew=renew, grace=grace, stale=0)):
        old = one("create")
        one.after(renew + 2 * BOUND_S)
        other.after(renew + 2 * BOUND_S)
        new = one("count", old)
        assert new != old
        assert other("load", old) == {"n": 1}
        assert one("count", new) == new  # the first use: the grace begins
        for client in (one, other):
            client.after(renew + 2 * BOUND_S + grace - 2 * BOUND_S - NEAR_S)
            assert client("load", old) == {"n": 2}
            client.after(renew + 2 * BOUND_S + grace + 2 * BOUND_S + NEAR_S)
            assert client("load", old) is None
            assert client("load", new) == {"n": 2}
        one.after(0)
        other.after(0)


# ---- Any two clocks within the bound ----------------------------------------------------------

SOME = (-BOUND_S, -59, -31, -1, 0, 7, 30, BOUND_S)


def any_two(two: tuple[Client, Client]) -> Iterator[tuple[Client, Client, int]]:
    """Who makes, who comes then, and by how much their clocks differ: from the right time to one
    side or to both, by the same or not; who is behind comes first, and comes later."""
    for wrong in product(SOME, repeat=2):
        for client, by in zip(two, wrong, strict=True):
            client.is_wrong_by(by)
        yield *two, abs(wrong[0] - wrong[1])


def test_req_22_any_two_clocks_see_the_same_session(
    clients: Clients, redis_server: RedisServer
) -> None:
    idle = 1800
    for one, other, _ in any_two(clients(idle=idle)):
        old = one("create", "ann")
        assert other("count", old) == one("count", old) == old
        (key,) = redis_server.records()
        assert idle - NEAR_S < redis_server.cli("PTTL", key) / 1000 <= idle
        new = other("rotate", old)
        assert one("load", old) is other("load", old) is None
        assert one("load", new) == other("load", new) == {"n": 2}
        assert len(one("sessions", "ann")) == len(other("sessions", "ann")) == 1
        assert one("destroy", new) is True
        assert one("load", new) is other("load", new) is None
        assert redis_server.keys() == []


def test_req_22_any_two_clocks_end_a_session_as_much_apart_as_they_are(clients: Clients) -> None:
    lifetime = 600
    for one, other, apart in any_two(clients(lifetime=lifetime, idle=None)):
        id = one("create")
        for seconds, found in (
            (lifetime - apart - NEAR_S, {"n": 0}),
            (lifetime + apart + NEAR_S, None),
        ):
            assert one.after(seconds)("load", id) == other.after(seconds)("load", id) == found


def test_req_22_any_two_clocks_end_a_grace_as_much_apart_as_they_are(clients: Clients) -> None:
    renew, grace = 3600, 600
    for one, other, apart in any_two(clients(renew=renew, grace=grace, stale=0)):
        old = one("create")
        later = renew + apart + NEAR_S
        new = other.after(later)("count", old)
        assert new != old
        assert one.after(later)("count", new) == new  # the first use: the grace begins
        for seconds, found in (
            (later + grace - apart - NEAR_S, {"n": 2}),
            (later + grace + apart + NEAR_S, None),
        ):
            assert one.after(seconds)("load", old) == other.after(seconds)("load", old) == found
            assert one("load", new) == other("load", new) == {"n": 2}
