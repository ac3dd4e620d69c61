"""Real topologies for tests: a Redis Cluster, and a master with replicas and sentinels.

Servers on free ports of 127.0.0.1 in directories of their own, quick to notice that one is gone.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conftest import RedisClient, RedisServer, wait_for

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


class Node(RedisServer):
    """A server with a port, which its neighbours reach by the default user."""

    def __init__(self, directory: str, *options: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        quick = ("--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
        super().__init__(directory, "--port", str(self.port), *quick, *options)

    @staticmethod
    def _restrict(client: RedisClient) -> None:
        pass

    def follows(self) -> bool:
        return b"master_link_status:up" in self.cli("INFO", "replication")


class Topology:
    """Its `url` is for a Store; `servers` hold the data, the masters first."""

    url: str
    servers: list[Node]

    def flush(self) -> None:
        for server in self.servers:
            if server.process and b"role:master" in server.cli("INFO", "replication"):
                server.cli("FLUSHALL")


class Starter(ExitStack):
    """Starts servers, and ends them all when it is left."""

    def node(self, *options: str) -> Node:
        node = Node(self.enter_context(tempfile.TemporaryDirectory(prefix="coat-")), *options)
        node.start()
        self.callback(node.stop)
        return node


# ---- Cluster -------------------------------------------------------------------------------


@contextmanager
def cluster(masters: int = 3) -> Iterator[Topology]:
    """So many masters with a replica each."""
    with Starter() as starter:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        nodes = [starter.node(*options) for _ in range(2 * masters)]
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
        topology.url = "redis+cluster://" + ",".join(n.address for n in nodes[:masters])
        yield topology


def _knows(node: Node, count: int) -> bool:
    nodes = node.cli("CLUSTER", "NODES")
    return len(nodes.splitlines()) == count and b"handshake" not in nodes


def _is_well(node: Node) -> bool:
    return b"cluster_state:ok" in node.cli("CLUSTER", "INFO")


# ---- Sentinel ------------------------------------------------------------------------------


class _Sentinel(Node):
    def __init__(self, directory: str, master: Node) -> None:
        super().__init__(directory)
        config = Path(directory) / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nunixsocket {self.path}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2\n"
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
def sentinels(replicas: int = 2, count: int = 3) -> Iterator[Topology]:
    """A master with so many replicas, watched by so many sentinels."""
    with Starter() as starter:
        master = starter.node()
        nodes = [master]
        for _ in range(replicas):
            nodes.append(starter.node("--replicaof", "127.0.0.1", str(master.port)))
        watchers = []
        for _ in range(count):
            directory = starter.enter_context(tempfile.TemporaryDirectory(prefix="coat-"))
            watcher = _Sentinel(directory, master)
            watcher.start()
            starter.callback(watcher.stop)
            watchers.append(watcher)
        wait_for(lambda: all(node.follows() for node in nodes[1:]), "the replicas")
        wait_for(lambda: all(w.watches(replicas, count - 1) for w in watchers), "the sentinels")
        topology = Topology()
        topology.servers = nodes
        topology.url = "redis+sentinel://" + ",".join(w.address for w in watchers) + f"/{SERVICE}"
        yield topology
