"""The ways to the nodes of real topologies: by TLS, by names, through addresses that others see,
and through connections that end while redirects are followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from coatcheck import Error, Store, StoreDenied, StoreUnavailable, Uncertain
from conftest import documented_acl
from faults import Fault, Kind, Loop, Proxy
from test_faults import EVERY_BYTE
from topologies import Node, Topology, cluster, make_certs, sentinels

# ---- By TLS ---------------------------------------------------------------------------------

BY_NAME = (
    *("--cluster-announce-hostname", "localhost"),
    *("--cluster-preferred-endpoint-type", "hostname"),
)


# A handshake comes to its end on a busy machine as well; a refusal does not wait for that.
UNHURRIED = {"timeout": 30.0, "connect_timeout": 10.0}


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module", params=["cluster", "sentinel"])
def by_tls(request: pytest.FixtureRequest, certs: Path) -> Iterator[Topology]:
    started = (
        cluster(3, *BY_NAME, replicas=False, certs=certs)
        if request.param == "cluster"
        else sentinels(1, 1, certs=certs)
    )
    with started as topology:
        yield topology


def come_back(store: Store, count: int = 30) -> None:
    """So many sessions, on all nodes."""
    for n in range(count):
        session = store.new()
        session["n"] = n
        loaded = store.load(session.save() or "")
        assert loaded is not None and loaded["n"] == n
        assert loaded.destroy()


def test_req_66_all_nodes_are_reached_by_tls(by_tls: Topology, certs: Path) -> None:
    with Store(by_tls.url, prefix="tls:", tls_ca_file=str(certs / "ca.crt")) as store:
        come_back(store)


def test_req_66_nodes_by_tls_of_another_authority_are_refused(
    by_tls: Topology, certs: Path
) -> None:
    with (
        Store(by_tls.url, prefix="tls:", tls_ca_file=str(certs / "ca2.crt"), **UNHURRIED) as store,
        pytest.raises(StoreUnavailable, match="tls_ca_file"),
    ):
        store.ping()


def test_req_66_nodes_by_tls_with_another_name_are_refused(by_tls: Topology, certs: Path) -> None:
    ca = str(certs / "ca.crt")
    with (
        Store(
            by_tls.url, prefix="tls:", tls_ca_file=ca, tls_server_name="other.example", **UNHURRIED
        ) as store,
        pytest.raises(StoreUnavailable, match=r"other\.example"),
    ):
        store.ping()


def test_req_66_a_url_without_tls_is_told_what_to_write(by_tls: Topology) -> None:
    with (
        Store(
            "redis" + by_tls.url.removeprefix("rediss"),
            prefix="tls:",
            timeout=3,
            connect_timeout=1.5,
        ) as store,
        pytest.raises(StoreUnavailable, match="rediss"),
    ):
        store.ping()


# ---- Nodes that do not say where they are ---------------------------------------------------


@pytest.fixture(scope="module")
def nameless() -> Iterator[Topology]:
    """A cluster whose nodes leave it to the client to know their host."""
    with cluster(
        3, "--cluster-preferred-endpoint-type", "unknown-endpoint", replicas=False
    ) as started:
        yield started


def test_a_host_that_is_not_said_is_the_one_that_answered(nameless: Topology) -> None:
    with Store(nameless.url, prefix="test:") as store:
        come_back(store)


@contextmanager
def only_redirected(nodes: list[Node]) -> Iterator[None]:
    """Nobody may ask these for their slots."""
    for node in nodes:
        node.cli("ACL", "SETUSER", "shop", "reset", "on", ">s", "~*", "+@all", "-cluster")
    yield
    for node in nodes:
        node.cli("ACL", "DELUSER", "shop")


def test_a_redirect_without_a_host_is_to_the_same_host(nameless: Topology) -> None:
    with (
        only_redirected(nameless.servers),
        Store(nameless.url, prefix="test:", username="shop", password="s") as store,
    ):
        come_back(store)


def test_req_67_the_documented_user_is_led_through_a_cluster_by_redirects(
    nameless: Topology,
) -> None:
    for node in nameless.servers:
        node.cli(
            "ACL",
            "SETUSER",
            "bare",
            "reset",
            "on",
            ">s",
            "~*",
            "-@all",
            *(word for word in documented_acl() if word[0] == "+"),
        )
    with Store(nameless.url, prefix="test:", username="bare", password="s") as store:
        come_back(store)


# ---- Through proxies, known by node_map -----------------------------------------------------


class Behind:
    """A topology whose nodes are reached through a proxy each, at another port."""

    def __init__(self, loop: Loop, topology: Topology, entries: list[Node]) -> None:
        nodes = [*topology.servers, *(node for node in entries if node not in topology.servers)]
        self.proxies = {node.port: Proxy(loop, node.port) for node in nodes}
        self.node_map = ",".join(
            f"{node.address}=127.0.0.1:{self.proxies[node.port].port}" for node in topology.servers
        )
        self.url = topology.url
        self.watchers = [node for node in entries if node not in topology.servers]
        for node in entries:
            port = self.proxies[node.port].port
            self.url = self.url.replace(node.address, f"127.0.0.1:{port}")

    def arm(self, fault: Fault | None) -> None:
        for proxy in self.proxies.values():
            proxy.arm(fault)

    @property
    def hits(self) -> int:
        return sum(proxy.hits for proxy in self.proxies.values())

    def close(self) -> None:
        for proxy in self.proxies.values():
            proxy.close()

    def open(self, **options: str) -> Store:
        return Store(self.url, prefix="test:", node_map=self.node_map, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["cluster", "sentinel"])
def behind(request: pytest.FixtureRequest, loop: Loop) -> Iterator[Behind]:
    with ExitStack() as stack:
        if request.param == "cluster":
            topology = stack.enter_context(cluster(3, replicas=False))
            stack.enter_context(only_redirected(topology.servers))
            entries = topology.servers
        else:
            topology = stack.enter_context(sentinels(0, 1))
            topology.servers[0].cli("ACL", "SETUSER", "shop", "on", ">s", "~*", "+@all")
            entries = topology.watchers
        behind = Behind(loop, topology, list(entries))
        stack.callback(behind.close)
        yield behind


SHOP = {"username": "shop", "password": "s"}


def test_node_map_leads_to_every_node(behind: Behind) -> None:
    behind.arm(None)
    with behind.open(**SHOP) as store:
        come_back(store)
    assert all(proxy.passed("reply") for proxy in behind.proxies.values())


def test_req_67_a_sentinels_user_needs_one_command(behind: Behind) -> None:
    if "cluster" in behind.url:
        return
    few = ("-@all", "+sentinel|get-master-addr-by-name")
    (watcher,) = behind.watchers
    watcher.cli("ACL", "SETUSER", "asker", "reset", "on", ">t", *few)
    behind.arm(None)
    with behind.open(**SHOP, sentinel_username="asker", sentinel_password="t") as store:
        come_back(store, 3)
    watcher.cli("ACL", "SETUSER", "asker", "-sentinel|get-master-addr-by-name")
    with (
        behind.open(
            **SHOP, sentinel_username="asker", sentinel_password="t", max_idle="198"
        ) as store,
        pytest.raises(StoreDenied) as caught,
    ):
        store.ping()
    assert caught.value.code == "NOPERM"


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
def test_req_60_69_a_way_that_ends_anywhere_on_the_way_is_never_no_session(
    behind: Behind, kind: Kind
) -> None:
    # A store that knows nothing yet: it finds its node by redirects, or by asking the sentinel.
    behind.arm(None)
    with behind.open(**SHOP, timeout="5") as truth:
        ids = {}
        for n in range(4):
            session = truth.new()
            session["n"] = n
            ids[session.save() or ""] = n
        timeout = "0.3" if kind == "stall" else "3"
        met = 0
        where = positions(behind, ids, kind)
        for number, at in enumerate(where):
            session_id = list(ids)[number % len(ids)]
            with behind.open(**SHOP, timeout=timeout, max_idle=f"{200 + at}") as store:
                behind.arm(Fault(kind, at=at))
                change(store, session_id, ids, kind)
                met += behind.hits > 0
            behind.arm(None)
            loaded = truth.load(session_id)
            assert loaded is not None and loaded["n"] in (ids[session_id], ids[session_id] + 100)
            ids[session_id] = loaded["n"]
        assert met > len(where) / 2


def positions(behind: Behind, ids: dict[str, int], kind: Kind) -> range:
    """In what the server that says least says, from the greeting to the answer."""
    behind.arm(None)
    with behind.open(**SHOP, timeout="3", max_idle="199") as store:
        change(store, next(iter(ids)), ids, kind)
    said = [len(proxy.passed("reply")) for proxy in behind.proxies.values()]
    size = min(n for n in said if n)
    return range(0, size, 1 if EVERY_BYTE else size // (8 if kind == "stall" else 20))


def change(store: Store, session_id: str, ids: dict[str, int], kind: Kind) -> None:
    """Whatever becomes of it, the session is there, and is this one."""
    try:
        session = store.load(session_id)
        assert session is not None, "it is said not to be there"
        assert session["n"] == ids[session_id], "it is another's, or not what was saved"
        session["n"] += 100
        session.save()
        ids[session_id] += 100
    except Uncertain:
        pass  # the caller looks
    except StoreUnavailable:
        assert kind == "stall", "what was cut could have been asked again"


# ---- Wrong doors ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain() -> Iterator[Topology]:
    with sentinels(0, 1) as started:
        yield started


def failure_of(url: str) -> Error:
    with Store(url, prefix="test:") as store, pytest.raises(Error) as caught:
        store.load("A" * 43)
    return caught.value


def test_who_takes_one_server_for_a_cluster_is_told(plain: Topology) -> None:
    failure = failure_of("redis+cluster://" + plain.servers[0].address)
    assert "write redis:// or rediss://" in str(failure)


def test_who_takes_one_server_for_a_sentinel_is_told(plain: Topology) -> None:
    failure = failure_of(f"redis+sentinel://{plain.servers[0].address}/coats")
    assert "port 26379" in str(failure)


def test_who_takes_a_sentinel_for_a_server_is_told(plain: Topology) -> None:
    failure = failure_of("redis://" + plain.watchers[0].address)
    assert "redis+sentinel://" in str(failure)


def test_who_takes_a_node_of_a_cluster_for_the_whole_is_told(nameless: Topology) -> None:
    failures = []
    with Store("redis://" + nameless.servers[0].address, prefix="test:") as store:
        for _ in range(40):
            session = store.new()
            session["n"] = 1
            try:
                session.save()
            except StoreUnavailable as exc:
                failures.append(str(exc))
    assert failures and all("redis+cluster://" in text for text in failures)
