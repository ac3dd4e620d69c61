"""A cache while nodes die and slots move: it goes on, and shows nobody what is another's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from coatcheck import Cache, StoreUnavailable, Uncertain
from conftest import in_thread, wait_for
from test_aio_topologies import move, slot_of
from topologies import Topology, cluster, sentinels

TIMEOUT_S = 15.0  # longer than any failover here takes, on a busy machine too
WORKERS = 6


class Worker:
    """A thread that uses entries of its own, one that all want, and a namespace."""

    def __init__(self, cache: Cache, name: str) -> None:
        self.cache, self.name = cache, name
        self.space = cache.namespace(name)
        self.stored = self.rounds = 0
        self.longest = 0.0
        self.failures: list[StoreUnavailable] = []

    def _is_ours(self, found: object) -> None:
        if found is None:  # it was not replicated yet
            return
        assert isinstance(found, tuple) and found[0] == self.name, "it is another's"
        assert found[1] <= self.stored, "nobody has written this"

    def round(self) -> None:
        self._is_ours(self.cache.get(self.name))
        self._is_ours(self.cache.get_many([self.name, f"{self.name}:b"]).get(self.name))
        self.stored += 1
        self.cache.set(self.name, (self.name, self.stored))
        self.cache.set_many({f"{self.name}:a": 1, f"{self.name}:b": (self.name, 2)})
        assert self.cache.get_or_set("hot", lambda: ["made"], ttl=0.2) == ["made"]
        self._is_ours(self.space.get("own"))
        self.space.set("own", (self.name, self.stored))
        if self.stored % 5 == 0:
            self.space.invalidate()
        try:
            self.cache.incr(f"{self.name}:n")
            self.cache.add(f"{self.name}:once", 1)
            self.cache.pop(f"{self.name}:a")
        except Uncertain:
            pass

    def work(self, over: threading.Event) -> None:
        while not over.is_set():
            begun = time.monotonic()
            try:
                self.round()
            except StoreUnavailable as error:
                self.failures.append(error)
            self.longest = max(self.longest, time.monotonic() - begun)
            self.rounds += 1


@contextmanager
def under_load(topology: Topology) -> Iterator[Callable[[], None]]:
    """What it gives waits until each has done three rounds more. All must have gone well."""
    over = threading.Event()
    with Cache(topology.url, prefix="test:", timeout=TIMEOUT_S, connect_timeout=0.5) as cache:
        workers = [Worker(cache, f"worker {n}") for n in range(WORKERS)]
        results = [in_thread(lambda worker=worker: worker.work(over)) for worker in workers]

        def some_more() -> None:
            before = [worker.rounds for worker in workers]
            wait_for(
                lambda: all(w.rounds >= n + 3 for w, n in zip(workers, before, strict=True)),
                "rounds of each",
            )

        try:
            some_more()
            yield some_more
        finally:
            over.set()
            for result in results:
                result()
    assert [worker.failures for worker in workers] == [[]] * WORKERS


def test_a_failover_of_sentinels_is_waited_for() -> None:
    with sentinels() as topology, under_load(topology) as some_more:
        topology.servers[0].kill()
        some_more()


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Topology]:
    with cluster() as topology:
        yield topology


@pytest.fixture
def entries(a_cluster: Topology) -> Iterator[Cache]:
    """Those of 300 keys, and others beside them."""
    a_cluster.flush()
    with (
        Cache(a_cluster.url, prefix="test:", timeout=TIMEOUT_S) as cache,
        Cache(a_cluster.url, prefix="other:") as other,
    ):
        cache.set_many(dict.fromkeys(KEYS, 1))
        other.set_many(dict.fromkeys(KEYS, 2))
        yield cache
        assert len(other.get_many(KEYS)) == len(KEYS)


KEYS = [f"key:{n}" for n in range(300)]


@contextmanager
def slots_move(topology: Topology) -> Iterator[set[str]]:
    """Of some keys, there and back; which these are."""
    masters = topology.servers[:3]
    there = [key for key in KEYS if f"test:c:k:{key}".encode() in masters[0].cli("KEYS", "*")][:10]
    slots = {slot_of(masters[0], f"test:c:k:{key}".encode()) for key in there}
    over = threading.Event()

    def work() -> int:
        moved = 0
        while not over.is_set():
            for slot in slots:
                move(slot, masters[0], masters[1], masters)
                move(slot, masters[1], masters[0], masters)
                moved += 2
                time.sleep(0.05)  # a slot that never rests is an error
        return moved

    moving = in_thread(work)
    try:
        yield set(there)
    finally:
        over.set()
        assert moving() > 0


def test_keys_of_a_cluster_whose_slots_move(entries: Cache, a_cluster: Topology) -> None:
    with slots_move(a_cluster) as moving:
        for _ in range(10):
            found = [*entries.keys()]
            assert {*found} <= {*KEYS} and {*KEYS} - {*found} <= moving
    assert {*entries.keys()} == {*KEYS}


def test_clearing_a_cluster_whose_slots_move(entries: Cache, a_cluster: Topology) -> None:
    with slots_move(a_cluster) as moving:
        assert entries.clear() >= len(KEYS) - len(moving)
        assert {*entries.keys()} <= moving
    entries.clear()
    assert [*entries.keys()] == []


# The last one: it leaves the cluster with a master less.
def test_a_master_of_a_cluster_that_dies_is_replaced(a_cluster: Topology) -> None:
    with under_load(a_cluster) as some_more:
        a_cluster.servers[2].kill()
        some_more()
