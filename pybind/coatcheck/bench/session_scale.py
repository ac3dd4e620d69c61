"""
What operations cost a server that holds many sessions, and what these take there.

There is a server for each number of sessions, and they take turns. The sessions are those of
`minted`, 200 bytes of fields each, and a call takes one of them at random.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from coatcheck import Session, Store

from .figures import Cell, Table, percentile, spread
from .minted import AT_ONCE, fill
from .redis_client import Client
from .redis_peers import PREFIX, Target
from .redis_server import Server, a_server
from .server_cost import Cost, Meter, used_memory
from .session_operations import SIZES, fields_of

FIELDS = fields_of(SIZES["200 B"])
KEPT = 50_000  # ids of each server, to choose from
PRINCIPALS = {1: 20, 10: 5, 1000: 1}  # how many have so many sessions each, in a round
BYTES_EACH = 800  # of a server's memory, and not less than it takes
_MIN_FREE = 1.3


class NotEnoughMemory(Exception):
    """More sessions than would fit."""


def check_memory(counts: Sequence[int]) -> None:
    needed, free = int(sum(counts) * BYTES_EACH * _MIN_FREE), _free()
    if needed > free:
        raise NotEnoughMemory(
            f"{sum(counts)} sessions need about {needed >> 20} MB, and {free >> 20} MB are free:"
            " ask for fewer, as in --sessions 1000,100000"
        )


def _free() -> int:
    with Path("/proc/meminfo").open(encoding="ascii") as lines:
        kilobytes = dict(line.split(":", 1) for line in lines)["MemAvailable"]
    return int(kilobytes.split()[0]) * 1024


@dataclass(frozen=True)
class Filled:
    """A server with so many sessions."""

    count: int
    store: Store
    client: Client
    ids: list[str]
    seconds: float
    empty: int  # used_memory before

    @property
    def bytes_now(self) -> int:
        return used_memory(self.client) - self.empty


# ---- Operations ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Round:
    median_us: float
    p99_us: float
    cost: Cost


def _timed(
    there: Filled, run: Callable[[Any], object], things: list[Any], sent: list[str]
) -> _Round:
    times = []
    meter = Meter(there.client)
    for thing in things:
        begin = perf_counter()
        run(thing)
        times.append((perf_counter() - begin) * 1e6)
    cost = meter.cost(len(things), sent)
    return _Round(percentile(times, 0.5), percentile(times, 0.99), cost)


def _changed(there: Filled, ids: list[str]) -> Iterator[Session]:
    for id in ids:
        session = there.store.load(id)
        if session is not None:
            session["visits"] += 1
            yield session


def _users(there: Filled, sessions: int) -> list[str]:
    """Principals with so many sessions each, beside all the others."""
    users = [f"user:{i}" for i in range(PRINCIPALS[sessions])]
    for user in users:
        for _ in range(sessions):
            session = there.store.new()
            session.update(FIELDS)
            session.login(user, carry="all")
            session.save()
    return users


def _round(there: Filled, calls: int, chance: random.Random) -> dict[str, _Round]:
    """Each operation, beginning and ending with the same number of sessions."""
    store, chosen = there.store, chance.choices(there.ids, k=calls)
    found = {"read": _timed(there, store.load, chosen, ["GET", "PTTL"])}
    unique = list(dict.fromkeys(chosen))  # or the second save would be a merge
    changed = list(_changed(there, unique))
    found["change"] = _timed(there, Session.save, changed, ["EVALSHA"])
    for sessions in PRINCIPALS:
        users, of = (
            _users(there, sessions),
            "1 session" if sessions == 1 else f"{sessions} sessions",
        )
        found[f"list, {of}"] = _timed(there, store.sessions, users, ["ZRANGE", "GETRANGE"])
        found[f"destroy all, {of}"] = _timed(
            there, store.destroy_all, users, ["ZRANGE", "EVALSHA", "ZREM"]
        )
    return found


# ---- Filling ------------------------------------------------------------------------------------


def filled(server: Server, count: int, stack: ExitStack) -> Filled:
    """What every server takes for its scripts and connections is there before it is filled."""
    client = stack.enter_context(Client(server.port))
    store = stack.enter_context(Store(server.tcp_url, prefix=PREFIX, timeout=30))
    _round(_filled(server, client, store, AT_ONCE), 1, random.Random())
    client.flush()
    return _filled(server, client, store, count)


def _filled(server: Server, client: Client, store: Store, count: int) -> Filled:
    empty, begin = used_memory(client), perf_counter()
    session = store.new()
    session.update(FIELDS)
    first = str(session.save())
    ids = fill(client, PREFIX, Target(server, first).key, count - 1, KEPT)
    return Filled(count, store, client, [first, *ids], perf_counter() - begin, empty)


# ---- Measuring ----------------------------------------------------------------------------------


def _row(there: Filled, name: str, rounds: list[_Round], many: bool) -> tuple[Cell, ...]:
    return (
        there.count,
        name,
        spread(found.median_us for found in rounds),
        spread(found.p99_us for found in rounds) if many else None,
        spread(found.cost.in_commands_us for found in rounds),
        spread(found.cost.processor_us for found in rounds),
    )


def _memory_row(there: Filled, used: list[int]) -> tuple[Cell, ...]:
    each = spread(n / there.count for n in used)
    megabytes = spread(n / 1e6 for n in used)
    return (there.count, megabytes, each)


def scale(counts: Sequence[int], rounds: int, calls: int) -> list[Table]:
    chance = random.Random(1)
    with ExitStack() as stack:
        servers = [filled(stack.enter_context(a_server()), n, stack) for n in counts]
        used: list[list[int]] = [[] for _ in servers]
        found: list[list[dict[str, _Round]]] = [[] for _ in servers]
        for _ in range(rounds):
            for i, there in enumerate(servers):
                used[i].append(there.bytes_now)
                found[i].append(_round(there, calls, chance))
        memory = [_memory_row(there, used[i]) for i, there in enumerate(servers)]
        operations = [
            _row(there, name, [one[name] for one in found[i]], name in ("read", "change"))
            for i, there in enumerate(servers)
            for name in found[i][0]
        ]
    return [
        Table(
            "Sessions with 200 B of fields, in one server",
            ("sessions", "used_memory, MB", "bytes each"),
            memory,
            "filled",
        ),
        Table(
            f"One operation among them: {rounds} rounds of {calls} reads and changes, in turns",
            (
                "sessions",
                "operation",
                "median, us",
                "p99, us",
                "in commands, us",
                "of the process, us",
            ),
            operations,
            "among",
        ),
    ]
