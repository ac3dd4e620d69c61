"""The session suite's core again, on a Redis Cluster and behind sentinels; and a failover."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

import pytest
import test_core_session
import test_session
from coatcheck import ConfigError, Store, StoreUnavailable, Uncertain, aio
from conftest import in_thread, wait_for
from test_session import session as session
from topologies import SERVICE, Node, Topology, cluster, sentinels


@pytest.fixture(scope="module", params=["cluster", "sentinel"])
def topology(request: pytest.FixtureRequest) -> Iterator[Topology]:
    with cluster() if request.param == "cluster" else sentinels() as started:
        yield started


@pytest.fixture
def store(topology: Topology) -> Iterator[Store]:
    with Store(topology.url, prefix="test:") as store:
        yield store


def _core() -> dict[str, object]:
    """The tests that ask for nothing but a store, or a session of it."""
    return {
        name: test
        for module in (test_session, test_core_session)
        for name, test in vars(module).items()
        if name.startswith("test_")
        and "store" in (names := set(inspect.signature(test).parameters))
        and names <= {"store", "session"}
    }


globals().update(_core())


def test_the_core_is_here() -> None:
    assert len(_core()) > 20


def test_many_sessions_live_on_all_nodes(store: Store, topology: Topology) -> None:
    ids = []
    for i in range(60):
        session = store.new()
        session["n"] = i
        ids.append(session.save())
    for i, session_id in enumerate(ids):
        assert session_id is not None
        loaded = store.load(session_id)
        assert loaded is not None and loaded["n"] == i
    if "cluster" in topology.url:
        assert all(server.cli("DBSIZE") > 0 for server in topology.servers[:3])
    assert all(store.destroy(session_id) for session_id in ids if session_id)


def test_verify_works_on_it(topology: Topology) -> None:
    with Store(topology.url, prefix="verify:", verify=True) as store:
        session = store.new()
        session["a"] = 1
        session_id = session.save()
        assert session_id is not None
        loaded = store.load(session_id)
        assert loaded is not None and loaded["a"] == 1


def test_a_url_without_a_service_is_refused() -> None:
    with pytest.raises(ConfigError, match="names no service"):
        Store("redis+sentinel://h", prefix="test:")


def test_a_service_that_is_not_watched_is_named(topology: Topology) -> None:
    if "sentinel" not in topology.url:
        return
    with (
        Store(topology.url.replace(SERVICE, "other"), prefix="test:") as store,
        pytest.raises(ConfigError, match="watches no service other"),
    ):
        store.ping()


# The last one: it leaves the topology with a server less.
def test_sessions_outlive_their_master(topology: Topology) -> None:
    with Store(topology.url, prefix="test:", timeout=10, connect_timeout=0.5) as store:
        ids = []
        for i in range(30):
            session = store.new()
            session["n"] = i
            ids.append(session.save())
        wait_for(lambda: _replicated(topology), "the replicas to have all")
        topology.servers[0].kill()
        for i, session_id in enumerate(ids):
            assert session_id is not None
            loaded = store.load(session_id)
            assert loaded is not None and loaded["n"] == i
            loaded["n"] = -i
            try:
                loaded.save()
            except (Uncertain, StoreUnavailable) as error:  # pragma: no cover
                pytest.fail(f"a save after the failover: {error}")


def _ours(server: Node) -> set[bytes]:
    """The ids of the connections of stores."""
    lines = server.cli("CLIENT", "LIST").splitlines()
    return {line.split()[0] for line in lines if b" name=coatcheck" in line}


def _several_connections(store: Store, server: Node) -> bool:
    server.cli("CLIENT", "PAUSE", 100)
    for answer in [in_thread(store.ping) for _ in range(4)]:
        answer()
    return len(_ours(server)) >= 3


def test_req_62_a_failover_empties_the_pool() -> None:
    # By hand: a failover of the sentinels' own would also kill the clients of the former master.
    with sentinels(replicas=1, count=1) as topology:
        (former, master), (watcher,) = topology.servers, topology.watchers
        with Store(topology.url, prefix="test:", timeout=10) as store:
            session = store.new()
            session["n"] = 1
            session.save()
            wait_for(lambda: _several_connections(store, former), "several connections")
            wait_for(lambda: _replicated(topology), "the replica to have all")
            watcher.cli("SENTINEL", "REMOVE", SERVICE)
            watcher.cli("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", master.port, 1)
            master.cli("REPLICAOF", "NO", "ONE")
            former.cli("REPLICAOF", "127.0.0.1", master.port)
            assert len(_ours(former)) >= 3
            session["n"] = 2
            session.save()
            wait_for(lambda: not _ours(former), "all connections to the former master to end")
            assert _ours(master)


def _replicated(topology: Topology) -> bool:
    for server in topology.servers:
        info = server.cli("INFO", "replication").decode()
        fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        for name, value in fields.items():
            if name.startswith("slave") and name[5:].isdigit():
                replica = dict(part.split("=") for part in value.split(","))
                if replica["offset"] != fields["master_repl_offset"]:
                    return False
    return True


def test_asyncio_finds_the_nodes_too(topology: Topology) -> None:
    async def main() -> None:
        async with aio.Store(topology.url, prefix="test:", timeout=5) as store:
            sessions = [store.new() for _ in range(60)]
            for n, session in enumerate(sessions):
                session["n"] = n
            ids = await asyncio.gather(*(session.save() for session in sessions))
            found = await asyncio.gather(*(store.load(i or "") for i in ids))
            assert [session["n"] for session in found if session] == list(range(60))
            assert all(await asyncio.gather(*(store.destroy(i or "") for i in ids)))

    asyncio.run(main())
