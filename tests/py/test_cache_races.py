"""Processes that use one cache at once, one of them in an event loop: all that they do could have
happened one after the other. `make check-long` lets them race for COAT_TEST_RACE seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import RedisServer, in_thread
from linear import STEPS, Op, fault_of
from test_aio_topologies import move, slot_of
from topologies import SLOTS, Topology

SECONDS = float(os.environ.get("COAT_TEST_RACE", "1"))
TIMES = int(100 * SECONDS)
WORKERS = 3
PROGRAM = Path(__file__).with_name("racer.py")


class Racers:
    """One that blocks, and one with an event loop, on one cache."""

    def __init__(self, *command: str) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, str(PROGRAM), name, face, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name, face in (("p", "blocking"), ("q", "asyncio"))
        ]
        for process in self._processes:
            assert process.stdout
            assert process.stdout.readline() == "\n", "it has not started"

    def __call__(self, program: str, *given: Any) -> list[Any]:
        """What each worker of each process has brought."""
        for process in self._processes:
            assert process.stdin
            process.stdin.write(json.dumps([program, *given]) + "\n")
            process.stdin.flush()
        answers: list[Any] = []
        for process in self._processes:
            assert process.stdout
            line = process.stdout.readline()
            assert line, "it has failed"
            answers += json.loads(line)
        return answers

    def close(self) -> None:
        for process in self._processes:
            process.communicate()


@pytest.fixture(scope="module")
def racers(shared_redis_server: RedisServer) -> Iterator[Racers]:
    shared_redis_server.start()
    with ExitStack() as stack:
        racers = Racers(shared_redis_server.url)
        stack.callback(racers.close)
        yield racers


def histories(records: list[Any]) -> dict[str, list[Op]]:
    """By key."""
    by_key: dict[str, list[Op]] = defaultdict(list)
    for record in records:
        for key, name, start, end, given, answer in record:
            by_key[key].append(Op(name, start, end, given, answer))
    return by_key


def assert_linearizable(records: list[Any], but: Iterable[str] = ()) -> None:
    by_key = histories(records)
    assert len(by_key) == 4
    met = Counter(op.name for ops in by_key.values() for op in ops)
    missing = {"wait"} | ({"delete perhaps"} if "clear" in but else set())
    assert set(met) | missing == set(STEPS), "an operation was never met"
    faults = {key: fault for key, ops in by_key.items() if (fault := fault_of(ops))}
    assert not faults, "\n".join(f"{key!r}: {fault}" for key, fault in faults.items())


def test_whatever_races_could_have_happened_in_some_order(
    redis_server: RedisServer, racers: Racers
) -> None:
    assert_linearizable(racers("mixed", SECONDS))


# In a cluster a write that overlaps an invalidation may show before it, and once more after it.
@pytest.mark.parametrize("part", [[], ["n", "clear"]], ids=["all of it", "namespace"])
def test_in_a_cluster_as_well(shared_cluster: Topology, part: list[str]) -> None:
    shared_cluster.flush()
    with ExitStack() as stack:
        racers = Racers(shared_cluster.url, *part)
        stack.callback(racers.close)
        assert_linearizable(racers("mixed", SECONDS), but=set(part))


def test_while_slots_of_a_cluster_move_as_well(shared_cluster: Topology) -> None:
    """But for walks, which miss what moves to a node that they have been to."""
    shared_cluster.flush()
    masters = shared_cluster.servers[:3]
    homes = {slot_of(masters[0], b"race:c:k:" + key): key for key in (b"a", b"b", b"{c}")}
    ends = [n * SLOTS // 3 for n in range(1, 4)]
    with ExitStack() as stack:
        racers = Racers(shared_cluster.url, "", "clear,keys")
        stack.callback(racers.close)
        racing = in_thread(lambda: racers("mixed", 2 * SECONDS))
        moved, end = 0, time.monotonic() + 2 * SECONDS
        while time.monotonic() < end:
            for slot in homes:
                home = next(n for n, end in enumerate(ends) if slot < end)
                there = masters[home], masters[(home + 1) % 3]
                move(slot, *there, masters)
                move(slot, *reversed(there), masters)
                moved += 2
                time.sleep(0.05)  # a slot that never rests is an error
        assert moved > 6
        assert_linearizable(racing(), but={"clear"})


def test_in_a_namespace_as_well(redis_server: RedisServer) -> None:
    with ExitStack() as stack:
        racers = Racers(redis_server.url, "n")
        stack.callback(racers.close)
        assert_linearizable(racers("mixed", SECONDS))


def test_sums_are_exact(redis_server: RedisServer, racers: Racers) -> None:
    racers("sums", TIMES)
    # The first one began from 100, unless a decr was first.
    total = int(redis_server.cli("GET", "race:c:k:sum"))
    assert total == 100 + 2 * TIMES * WORKERS * 2


def test_what_is_popped_is_popped_once(redis_server: RedisServer, racers: Racers) -> None:
    popped = Counter(value for found in racers("pops", TIMES) for value in found)
    assert popped
    assert set(popped.values()) == {1}


def test_one_of_all_adds_it(redis_server: RedisServer, racers: Racers) -> None:
    added = sorted(n for won in racers("adds", TIMES) for n in won)
    assert added == list(range(TIMES))


def test_a_counter_by_compare_and_set_is_exact(redis_server: RedisServer, racers: Racers) -> None:
    racers("swaps", TIMES)
    assert int(redis_server.cli("GET", "race:c:k:swap")) == TIMES * WORKERS * 2


def test_what_is_deleted_is_counted_once(redis_server: RedisServer, racers: Racers) -> None:
    for n in range(10 * TIMES):
        redis_server.cli("SET", f"race:c:k:delete {n}", n)
    counts = racers("deletes", 10 * TIMES)
    assert sum(map(sum, counts)) == 10 * TIMES


def test_each_value_is_made_once_for_all(redis_server: RedisServer, racers: Racers) -> None:
    results = racers("fills", TIMES)
    made = sorted(n for mine, _ in results for n in mine)
    assert made == list(range(TIMES))
    assert len({tuple(brought) for _, brought in results}) == 1


def test_after_a_delete_nobody_gets_what_was_begun_before(
    redis_server: RedisServer, racers: Racers
) -> None:
    late = [ns for found in racers("own_deletes", TIMES) for ns in found]
    assert late == []


# ---- The checker ------------------------------------------------------------------------------


def test_in_order_and_out_of_order() -> None:
    first = [Op("set", 0, 9, "x"), Op("get", 1, 2, None, "x"), Op("get", 3, 4, None, "x")]
    assert fault_of(first) is None
    assert fault_of([*first[:2], Op("get", 3, 4, None, None)])
    assert fault_of([first[0], Op("get", 10, 11, None, None)])
    assert fault_of([]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        [Op("add", 0, 5, "x", True), Op("add", 0, 5, "y", True)],
        [Op("replace", 0, 5, "x", True)],
        [Op("incr", 0, 5, (1, 0), 1), Op("incr", 0, 5, (1, 0), 1)],
        [Op("set", 0, 1, "x"), Op("incr", 2, 3, (1, 0), 1)],
        [Op("set", 0, 1, "x"), Op("pop", 2, 5, None, "x"), Op("pop", 2, 5, None, "x")],
        [Op("set", 0, 1, "x"), Op("delete", 2, 5, None, True), Op("delete", 2, 5, None, True)],
        [Op("set", 0, 1, "x"), Op("swap", 2, 5, ("x", "y"), True), Op("has", 6, 7, None, False)],
        [Op("swap", 0, 5, (None, "x"), True), Op("swap", 0, 5, (None, "y"), True)],
        [Op("set", 0, 1, "x"), Op("claim", 2, 3, "m")],
        [  # the late one takes the place of what is newer
            *(Op("claim", 0, 1, "m"), Op("set", 2, 3, "x")),
            *(Op("fill", 4, 5, "m", "y"), Op("get", 6, 7, None, "y")),
        ],
        [  # what was deleted meanwhile comes back
            *(Op("claim", 0, 1, "m"), Op("delete", 2, 3, None, False)),
            *(Op("stop makers", 2, 3), Op("fill", 4, 5, "m", "y"), Op("has", 6, 7, None, True)),
        ],
        [Op("claim", 0, 1, "m"), Op("fill", 2, 3, "m", "y"), Op("get", 4, 5, None, None)],
    ],
)
def test_what_cannot_have_happened_is_found(wrong: list[Op]) -> None:
    assert fault_of(wrong)
