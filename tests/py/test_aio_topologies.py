"""asyncio while nodes move, die and are replaced: nothing is lost but what no replica had yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from coatcheck import StoreUnavailable, Uncertain, aio
from conftest import wait_for
from test_topologies import _replicated as is_replicated
from topologies import Node, Topology, cluster, sentinels

SESSIONS = 16
TIMEOUT_S = 15.0  # longer than any failover here takes, on a busy machine too


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Topology]:
    with cluster() as topology:
        yield topology


class Counter:
    """One session, in which one task counts."""

    def __init__(self, session_id: str, name: str) -> None:
        self.id, self.name = session_id, name
        self.acknowledged = self.attempted = 0

    async def count(self, store: aio.Store) -> None:
        session = await store.load(self.id)
        assert session is not None, "it is said not to be there"
        assert session["name"] == self.name, "it is another's"
        assert session["n"] <= self.attempted, "nobody has written this"
        self.attempted += 1
        session["n"] = self.attempted
        with suppress(Uncertain):
            await session.save()
            self.acknowledged = self.attempted


class Load:
    """Tasks that count, each in a session of its own, until it is left."""

    def __init__(self, store: aio.Store) -> None:
        self.store = store
        self.counters: list[Counter] = []
        self.failures: list[StoreUnavailable] = []
        self.running = True

    async def create(self) -> None:
        for i in range(SESSIONS):
            session = self.store.new()
            session.update(name=f"session {i}", n=0)
            self.counters.append(Counter(await session.save() or "", f"session {i}"))

    async def work(self, counter: Counter) -> None:
        while self.running:
            try:
                await counter.count(self.store)
            except StoreUnavailable as error:
                self.failures.append(error)
            await asyncio.sleep(0.001)

    async def saves(self, more: int) -> None:
        """Until every session was saved so often again."""
        wanted = [counter.acknowledged + more for counter in self.counters]
        end = time.monotonic() + 2 * TIMEOUT_S
        for counter, n in zip(self.counters, wanted, strict=True):
            while counter.acknowledged < n:
                assert time.monotonic() < end, f"no more saves: {self.failures[-1:]}"
                await asyncio.sleep(0.005)

    async def assert_kept(self) -> None:
        """What was acknowledged is there, or what was tried after it."""
        for counter in self.counters:
            session = await self.store.load(counter.id)
            assert session is not None
            assert counter.acknowledged <= session["n"] <= counter.attempted


@asynccontextmanager
async def under_load(topology: Topology) -> AsyncIterator[Load]:
    async with aio.Store(topology.url, prefix="load:", timeout=TIMEOUT_S) as store:
        load = Load(store)
        await load.create()
        await asyncio.to_thread(wait_for, lambda: is_replicated(topology), "the replicas")
        tasks = [asyncio.ensure_future(load.work(counter)) for counter in load.counters]
        try:
            await load.saves(5)
            yield load
        finally:
            load.running = False
            await asyncio.gather(*tasks)
        await load.assert_kept()


# ---- Cluster -------------------------------------------------------------------------------


def slot_of(node: Node, key: bytes) -> int:
    slot: int = node.cli("CLUSTER", "KEYSLOT", key)
    return slot


def move(slot: int, source: Node, target: Node, masters: list[Node]) -> None:
    """As redis-cli does it, one key after the other."""
    ids = {node: node.cli("CLUSTER", "MYID") for node in (source, target)}
    target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    while keys := source.cli("CLUSTER", "GETKEYSINSLOT", slot, 1):
        source.cli("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
    for node in (target, source, *masters):
        node.cli("CLUSTER", "SETSLOT", slot, "NODE", ids[target])


def test_a_reshard_under_load_loses_nothing(a_cluster: Topology) -> None:
    masters = a_cluster.servers[:3]

    async def main() -> None:
        async with under_load(a_cluster) as load:
            slots = {slot_of(masters[0], key) for key in masters[0].records()}
            assert slots
            for slot in slots:
                await asyncio.to_thread(move, slot, masters[0], masters[1], masters)
                await load.saves(1)
        assert load.failures == []
        assert all(c.acknowledged == c.attempted for c in load.counters)

    asyncio.run(main())


# It leaves the cluster with a master less.
def test_a_master_killed_under_load_loses_only_what_was_not_replicated(
    a_cluster: Topology,
) -> None:
    victim = a_cluster.servers[2]

    async def main() -> None:
        async with under_load(a_cluster) as load:
            victim.kill()
            await load.saves(5)
        assert load.failures == []

    asyncio.run(main())


# ---- Sentinel ------------------------------------------------------------------------------


def test_a_failover_under_load_loses_only_what_was_not_replicated() -> None:
    async def main(topology: Topology) -> None:
        async with under_load(topology) as load:
            topology.servers[0].kill()
            await load.saves(5)
        assert load.failures == []

    with sentinels() as topology:
        asyncio.run(main(topology))
