"""Real topologies for tests: a Redis Cluster, and a master with replicas and sentinels.

Servers on free ports of 127.0.0.1 in directories of their own, quick to notice that one is gone.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conftest import RedisClient, RedisServer, wait_for

CERTS = Path(__file__).parents[1] / "certs.sh"
SERVICE = "coats"
SLOTS = 16384


def free_port() -> int:
    """One whose neighbour for the bus of a cluster, higher by 10000, is free as well."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            if port + 10000 > 65535:
                continue
            try:
                other.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
            return port


def make_certs(directory: Path) -> Path:
    """What tests/certs.sh makes, there."""
    subprocess.run(["sh", str(CERTS), str(directory)], check=True, timeout=60)
    return directory


def _tls_settings(port: int, certs: Path) -> list[tuple[str, str]]:
    """All that a server says and hears is by TLS, and it has no port without."""
    return [
        ("port", "0"),
        ("tls-port", str(port)),
        ("tls-replication", "yes"),
        ("tls-cert-file", str(certs / "server.crt")),
        ("tls-key-file", str(certs / "server.key")),
        ("tls-ca-cert-file", str(certs / "ca.crt")),
        ("tls-auth-clients", "no"),
    ]


def _as_options(settings: list[tuple[str, str]]) -> list[str]:
    return [word for name, value in settings for word in (f"--{name}", value)]


class Node(RedisServer):
    """A server with a port, which its neighbours reach by the default user."""

    def __init__(self, directory: str, *options: str, certs: Path | None = None) -> None:
        self.port = free_port()
        self.host = "localhost" if certs else "127.0.0.1"  # a host name is what TLS is about
        self.address = f"{self.host}:{self.port}"
        self.settings = _tls_settings(self.port, certs) if certs else [("port", str(self.port))]
        quick = ("--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
        super().__init__(directory, *_as_options(self.settings), *quick, *options)

    @staticmethod
    def _restrict(client: RedisClient) -> None:
        pass

    def follows(self) -> bool:
        return b"master_link_status:up" in self.cli("INFO", "replication")


class Topology:
    """Its `url` is for a Store; `servers` hold the data, the masters first."""

    url: str
    scheme: str
    servers: list[Node]
    watchers: list[_Sentinel]

    def flush(self) -> None:
        for server in self.servers:
            if server.process and b"role:master" in server.cli("INFO", "replication"):
                server.cli("FLUSHALL")


class Starter(ExitStack):
    """Starts servers, and ends them all when it is left."""

    def node(self, *options: str, certs: Path | None = None) -> Node:
        directory = self.enter_context(tempfile.TemporaryDirectory(prefix="coat-"))
        node = Node(directory, *options, certs=certs)
        node.start()
        self.callback(node.stop)
        return node


# ---- Cluster -------------------------------------------------------------------------------


@contextmanager
def cluster(
    masters: int = 3, *more: str, replicas: bool = True, certs: Path | None = None
) -> Iterator[Topology]:
    """So many masters with a replica each; with certificates by TLS only. `more`: settings."""
    with Starter() as starter:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *more]
        if certs:
            options += ["--tls-cluster", "yes"]
        count = 2 * masters if replicas else masters
        nodes = [starter.node(*options, certs=certs) for _ in range(count)]
        for i, node in enumerate(nodes):
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i < masters:
                first, end = i * SLOTS // masters, (i + 1) * SLOTS // masters
                node.cli("CLUSTER", "ADDSLOTS", *range(first, end))
            for other in nodes[:i]:
                node.cli("CLUSTER", "MEET", "127.0.0.1", other.port)
        wait_for(lambda: all(_knows(node, len(nodes)) for node in nodes), "the nodes to meet")
        for master, replica in zip(nodes, nodes[masters:], strict=False):
            replica.cli("CLUSTER", "REPLICATE", master.cli("CLUSTER", "MYID"))
        wait_for(lambda: all(n.follows() for n in nodes[masters:]), "the replicas")
        wait_for(lambda: all(_is_well(node) for node in nodes), "the cluster")
        topology = Topology()
        topology.servers = nodes
        topology.scheme = "rediss" if certs else "redis"
        topology.url = f"{topology.scheme}+cluster://" + ",".join(
            n.address for n in nodes[:masters]
        )
        yield topology


def _knows(node: Node, count: int) -> bool:
    nodes = node.cli("CLUSTER", "NODES")
    return len(nodes.splitlines()) == count and b"handshake" not in nodes


def _is_well(node: Node) -> bool:
    return b"cluster_state:ok" in node.cli("CLUSTER", "INFO")


# ---- Sentinel ------------------------------------------------------------------------------


class _Sentinel(Node):
    def __init__(self, directory: str, master: Node, certs: Path | None) -> None:
        super().__init__(directory, certs=certs)
        config = Path(directory) / "sentinel.conf"
        names = "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
        config.write_text(
            "".join(f"{name} {value}\n" for name, value in self.settings)
            + f"unixsocket {self.path}\n{names if certs else ''}"
            f"sentinel monitor {SERVICE} {master.host} {master.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 600\n"
            f"sentinel failover-timeout {SERVICE} 2000\n"
        )
        self.config = config

    def arguments(self, program: str) -> list[str]:
        return [program, str(self.config), "--sentinel"]

    def watches(self, replicas: int, others: int) -> bool:
        fields = self.cli("SENTINEL", "MASTER", SERVICE)
        known = dict(zip(fields[::2], fields[1::2], strict=True))
        return known[b"num-slaves"] == b"%d" % replicas and (
            known[b"num-other-sentinels"] == b"%d" % others
        )


@contextmanager
def sentinels(replicas: int = 2, count: int = 3, certs: Path | None = None) -> Iterator[Topology]:
    """A master with so many replicas, watched by so many sentinels; with certificates by TLS."""
    with Starter() as starter:
        own_name = ["--replica-announce-ip", "localhost"] if certs else []
        master = starter.node(*own_name, certs=certs)
        nodes = [master]
        for _ in range(replicas):
            of = ("--replicaof", master.host, str(master.port))
            nodes.append(starter.node(*of, *own_name, certs=certs))
        watchers = []
        for _ in range(count):
            directory = starter.enter_context(tempfile.TemporaryDirectory(prefix="coat-"))
            watcher = _Sentinel(directory, master, certs)
            watcher.start()
            starter.callback(watcher.stop)
            watchers.append(watcher)
        wait_for(lambda: all(node.follows() for node in nodes[1:]), "the replicas")
        wait_for(lambda: all(w.watches(replicas, count - 1) for w in watchers), "the sentinels")
        topology = Topology()
        topology.servers = nodes
        topology.watchers = watchers
        topology.scheme = "rediss" if certs else "redis"
        hosts = ",".join(w.address for w in watchers)
        topology.url = f"{topology.scheme}+sentinel://{hosts}/{SERVICE}"
        yield topology
