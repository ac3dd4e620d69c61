"""`confirm`: what a login or a logout waits for, and what a failover then leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from coatcheck import Session, Store, Uncertain, aio
from conftest import RedisServer, documented_acl, wait_for
from topologies import Node, Starter, Topology, cluster

TIMEOUT_S = 10.0  # replicas that are up are quicker
BRIEF_S = 0.5  # and those that are stopped are not waited for


@dataclass
class Pair:
    """A master and its replica, who is its successor."""

    master: Node
    replica: Node

    def url(self, node: Node) -> str:
        return f"redis://{node.address}"

    def cut_off(self) -> None:
        self.replica.cli("REPLICAOF", "NO", "ONE")

    def fail_over(self) -> None:
        """The master dies as it stands; what the replica has is what there is."""
        self.master.kill()
        self.cut_off()


def is_replicated(master: Node) -> bool:
    """One replica has all that was written, and gets what is written now."""
    for _ in range(2):  # it may have had the first from the snapshot that it began with
        master.cli("SET", "tests", "")
        if master.cli("WAIT", 1, 100) == 0:
            return False
    return True


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Starter() as starter:
        master = starter.node()
        replica = starter.node("--replicaof", master.host, str(master.port))
        wait_for(lambda: is_replicated(master), "the replica")
        yield Pair(master, replica)


@contextmanager
def stopped(node: Node) -> Iterator[None]:
    node.pause()
    try:
        yield
    finally:
        node.resume()


def logged_in(store: Store, principal: str = "user:1") -> Session:
    session = store.new()
    session["cart"] = [1]
    session.save()
    session.login(principal, carry="all")
    session.save()
    return session


def is_confirmed(call: Callable[[], object]) -> bool:
    try:
        call()
    except Uncertain:
        return False
    return True


ENDS: dict[str, Callable[[Store, Session], object]] = {
    "logout": lambda store, session: session.destroy(),
    "by id": lambda store, session: store.destroy(session.id or ""),
    "destroy one": lambda store, session: store.destroy_one("user:1", session.public_id or ""),
    "destroy all": lambda store, session: store.destroy_all("user:1"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_was_confirmed_to_have_ended_stays_ended_after_a_failover(
    pair: Pair, end: str
) -> None:
    with Store(pair.url(pair.master), prefix="t:", confirm=1, timeout=TIMEOUT_S) as store:
        session = logged_in(store)
        session_id = session.id or ""
        ENDS[end](store, session)
        pair.fail_over()
    with Store(pair.url(pair.replica), prefix="t:") as store:
        assert store.load(session_id) is None


def test_without_it_a_logout_may_be_undone(pair: Pair) -> None:
    """The control: the replica does not hear of it, and nobody waits for it."""
    with Store(pair.url(pair.master), prefix="t:", timeout=TIMEOUT_S) as store:
        session = logged_in(store)
        session_id = session.id or ""
        assert is_replicated(pair.master)
        pair.cut_off()
        assert session.destroy() is True
        pair.fail_over()
    with Store(pair.url(pair.replica), prefix="t:") as store:
        assert store.load(session_id) is not None


@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_no_replica_has_in_time_is_uncertain_and_confirmed_when_repeated(
    pair: Pair, end: str
) -> None:
    url = pair.url(pair.master)
    with (
        Store(url, prefix="t:", confirm=1, timeout=TIMEOUT_S) as patient,
        Store(url, prefix="t:", confirm=1, timeout=BRIEF_S) as store,
    ):
        session_id = logged_in(patient).id or ""
        session = store.load(session_id)
        assert session is not None
        with stopped(pair.replica):
            began = time.monotonic()
            with pytest.raises(Uncertain) as caught:
                ENDS[end](store, session)
            assert time.monotonic() - began < TIMEOUT_S
            assert caught.value.code == "confirm"
            assert "0 replicas had it in time" in str(caught.value)
            assert store.load(session_id) is None  # on the master
        wait_for(lambda: is_confirmed(lambda: ENDS[end](store, session)), "the replica")


def test_a_login_and_a_rotation_are_there_after_a_failover(pair: Pair) -> None:
    with Store(pair.url(pair.master), prefix="t:", confirm=1, timeout=TIMEOUT_S) as store:
        session = store.new()
        session["cart"] = [1]
        before_login = session.save() or ""
        session.login("user:1", carry="all")
        before_rotation = session.save() or ""
        session.rotate()
        session_id = session.save() or ""
        pair.fail_over()
    with Store(pair.url(pair.replica), prefix="t:") as store:
        loaded = store.load(session_id)
        assert loaded == {"cart": [1]} and loaded.principal == "user:1"
        assert [info.public_id for info in store.sessions("user:1")] == [loaded.public_id]
        for dead in (before_login, before_rotation):
            stale = store.load(dead)
            assert stale is None or stale.stale


@pytest.mark.parametrize("has_session", [True, False])
def test_a_login_that_no_replica_has_in_time_hands_out_no_id(pair: Pair, has_session: bool) -> None:
    with Store(pair.url(pair.master), prefix="t:", confirm=1, timeout=BRIEF_S) as store:
        session = store.new()
        if has_session:
            session["cart"] = []
            session.save()
        before = session.id
        with stopped(pair.replica):
            session.login("user:1", carry="all")
            with pytest.raises(Uncertain):
                session.save()
            assert session.id == before
            other = store.new()  # what no login is part of waits for nobody
            other["cart"] = []
            other.save()
            other["cart"].append(1)
            other.save()
        assert store.load(other.id or "") == {"cart": [1]}


def test_more_replicas_than_there_are_is_uncertain(pair: Pair) -> None:
    with Store(pair.url(pair.master), prefix="t:", confirm=2, timeout=BRIEF_S) as store:
        session = store.new()
        session["cart"] = []
        session.save()
        with pytest.raises(Uncertain, match=r"1 replicas had it in time, .* asks for 2"):
            session.destroy()


def test_who_may_not_wait_is_told_so(redis_server: RedisServer) -> None:
    redis_server.cli(*documented_acl())
    with Store(
        redis_server.url, prefix="shop:", username="shop", password="secret", confirm=1
    ) as store:
        session = store.new()
        session["cart"] = []
        session.save()
        with pytest.raises(Uncertain, match="needs the command WAIT"):
            session.destroy()
    redis_server.cli("ACL", "DELUSER", "shop")


def test_with_asyncio_nobody_waits_behind_it(pair: Pair) -> None:
    async def main() -> None:
        async with aio.Store(
            pair.url(pair.master), prefix="t:", confirm=1, timeout=TIMEOUT_S
        ) as store:
            session = store.new()
            session["cart"] = []
            session_id = await session.save() or ""
            other = store.new()
            other["cart"] = [1]
            other_id = await other.save() or ""
            pair.replica.pause()
            try:
                logout = asyncio.ensure_future(session.destroy())
                while await store.load(session_id) is not None:
                    await asyncio.sleep(0.005)
                for _ in range(20):
                    assert await store.load(other_id) == {"cart": [1]}
                assert not logout.done()
            finally:
                pair.replica.resume()
            assert await logout is True

    asyncio.run(main())


@pytest.fixture(scope="module")
def a_cluster() -> Iterator[Topology]:
    with cluster() as topology:
        yield topology


def test_in_a_cluster_each_node_has_its_replicas(a_cluster: Topology) -> None:
    with Store(a_cluster.url, prefix="t:", confirm=1, timeout=TIMEOUT_S) as store:
        sessions = [logged_in(store) for _ in range(12)]
        assert store.destroy_all("user:1", keep=sessions[0]) == (11, False)
        assert sessions[0].destroy() is True
    with Store(a_cluster.url, prefix="t:", confirm=1, timeout=BRIEF_S) as store:
        sessions = [store.new() for _ in range(40)]
        for session in sessions:
            session["cart"] = []
            session.save()
        results = set()
        with stopped(a_cluster.servers[3]):  # the replica of a third of them
            while sessions and len(results) < 2:
                results.add(is_confirmed(sessions.pop().destroy))
        assert len(results) == 2, "by chance in 1 of 10 million"
