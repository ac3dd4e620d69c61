"""
Many writers of one session at the same time, each in a thread of one process of Python.

Each of them loads the session, works for a millisecond as a request does, adds one to a number and
saves it. So at the end the numbers say how many of these were lost; what a plain GET and SET lose
is there to show that the writers meet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter, sleep

from coatcheck import Session, Store, dumps, loads

from .figures import Cell, Table, percentile, spread
from .redis_client import Client
from .redis_peers import PREFIX, Target
from .redis_server import Server
from .server_cost import Meter
from .session_operations import SIZES, fields_of

WRITERS = (2, 8, 32)
FIELDS = fields_of(SIZES["200 B"])
WORK_S = 0.001
CONFLICTS = "coatcheck_conflicts_total"
_TIMEOUT_S = 30.0  # for whoever loses all the time

# One save by one writer.
Save = Callable[[int], object]


def _loaded(store: Store, id: str) -> Session:
    session = store.load(id)
    if session is None:
        raise RuntimeError("the session that all write to has gone")
    return session


def _work_and_add(session: Session, field: str) -> None:
    sleep(WORK_S)
    session[field] += 1


class Writers:
    """Ways to add one to a number of one session; `total` is what the numbers come to."""

    def __init__(self, server: Server, store: Store, stack: ExitStack, writers: int) -> None:
        self.store = store
        session = store.new()
        session.update({**FIELDS, "n": 0, **{f"n{i}": 0 for i in range(writers)}})
        self.id = str(session.save())
        self._fields = ["n", *(f"n{i}" for i in range(writers))]
        self._plain_key = Target(server, self.id).key + ":plain"
        self._clients = [stack.enter_context(Client(server.port)) for _ in range(writers)]
        self._clients[0]("SET", self._plain_key, dumps(dict(session)), "PX", 1_800_000)

    def own_fields(self, writer: int) -> None:
        session = _loaded(self.store, self.id)
        _work_and_add(session, f"n{writer}")
        session.save()

    def incr(self, _: int) -> None:
        session = _loaded(self.store, self.id)
        sleep(WORK_S)
        session.incr("n")
        session.save()

    def same(self, writer: int) -> None:
        """What no other writes, or both sides would have made the same change."""
        session = _loaded(self.store, self.id)
        sleep(WORK_S)
        session["last"] = (writer, perf_counter())
        session.save()

    def update(self, _: int) -> None:
        self.store.update(self.id, lambda session: _work_and_add(session, "n"))

    def lock(self, _: int) -> None:
        with self.store.lock(self.id) as session:
            if session is None:
                raise RuntimeError("the session that all write to has gone")
            _work_and_add(session, "n")
            session.save()

    def plain(self, writer: int) -> None:
        client = self._clients[writer]
        fields = loads(client("GET", self._plain_key))
        sleep(WORK_S)
        fields[f"n{writer}"] += 1
        client("SET", self._plain_key, dumps(fields), "PX", 1_800_000)

    def total(self) -> int:
        session = _loaded(self.store, self.id)
        return sum(session[name] for name in self._fields)

    def plain_total(self) -> int:
        fields = loads(self._clients[0]("GET", self._plain_key))
        return sum(fields[name] for name in self._fields)


PLAIN = "plain GET, SET"

# By what they do, how it is done, and what is read at the end: None where one wins by intention.
WAYS: dict[str, tuple[Callable[[Writers], Save], Callable[[Writers], int] | None]] = {
    "a field of its own": (lambda w: w.own_fields, Writers.total),
    "one field, mine wins": (lambda w: w.same, None),
    "incr of one field": (lambda w: w.incr, Writers.total),
    "update of one field": (lambda w: w.update, Writers.total),
    "lock, and one field": (lambda w: w.lock, Writers.total),
    PLAIN: (lambda w: w.plain, Writers.plain_total),
}


# ---- Measuring ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Round:
    saves_per_s: float
    round_trips: float  # for each save, its load included
    scripts: float  # how often SAVE was sent for each save, and UNLOCK
    conflicts: float
    median_us: float
    p99_us: float
    lost: int | None


def _together(save: Save, writers: int, saves: int) -> list[float]:
    """The times of all of them, in microseconds."""
    begin = threading.Barrier(writers)

    def work(writer: int) -> list[float]:
        times = []
        begin.wait()
        for _ in range(saves):
            start = perf_counter()
            save(writer)
            times.append((perf_counter() - start) * 1e6)
        return times

    with ThreadPoolExecutor(writers) as pool:
        return [time for times in pool.map(work, range(writers)) for time in times]


def _round(server: Server, client: Client, way: str, writers: int, saves: int) -> _Round:
    """With a session of its own, and everybody connected before it begins."""
    each = max(1, saves // writers)
    all_of_them = each * writers
    client.flush()
    with ExitStack() as stack:
        store = stack.enter_context(
            Store(server.tcp_url, prefix=PREFIX, timeout=_TIMEOUT_S, max_connections=writers)
        )
        how, total = WAYS[way]
        those = Writers(server, store, stack, writers)
        save = how(those)
        _together(save, writers, 1)
        before = total(those) if total else 0
        conflicts = store.stats()[CONFLICTS]
        meter, started = Meter(client), perf_counter()
        times = _together(save, writers, each)
        seconds = perf_counter() - started
        cost = meter.cost(all_of_them, ["EVALSHA"])
        lost = all_of_them - (total(those) - before) if total else None
        if lost and way != PLAIN:
            raise RuntimeError(f"{lost} of {all_of_them} updates were lost: {writers} of {way}")
        return _Round(
            all_of_them / seconds,
            cost.round_trips,
            cost.commands,
            (store.stats()[CONFLICTS] - conflicts) / all_of_them,
            percentile(times, 0.5),
            percentile(times, 0.99),
            lost,
        )


def _lost(rounds: list[_Round]) -> Cell:
    lost = [found.lost for found in rounds if found.lost is not None]
    return spread(lost) if lost else "by intention"


def _row(writers: int, way: str, rounds: list[_Round]) -> tuple[Cell, ...]:
    return (
        writers,
        way,
        spread(found.saves_per_s for found in rounds),
        spread(found.round_trips for found in rounds),
        spread(found.scripts for found in rounds),
        None if way == PLAIN else spread(found.conflicts for found in rounds),
        spread(found.median_us for found in rounds),
        spread(found.p99_us for found in rounds),
        _lost(rounds),
    )


def conflict(server: Server, client: Client, rounds: int, saves: int) -> Table:
    cases = [(writers, way) for writers in WRITERS for way in WAYS]
    found: dict[tuple[int, str], list[_Round]] = {case: [] for case in cases}
    for _ in range(rounds):
        for writers, way in cases:
            found[writers, way].append(_round(server, client, way, writers, saves))
    return Table(
        f"Threads that write to one session at once: {rounds} rounds of {saves} saves, in turns",
        (
            "writers",
            "each changes",
            "saves/s",
            "round trips",
            "scripts",
            "conflicts",
            "median, us",
            "p99, us",
            "lost",
        ),
        [_row(*case, found[case]) for case in cases],
        "conflict",
    )
