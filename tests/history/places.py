"""Where histories are played: a server, a cluster, or a master with its sentinels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TypeAlias

import topologies
from conftest import RedisServer, a_redis_server
from events import Event
from topologies import Topology

Where: TypeAlias = RedisServer | Topology


class Places(ExitStack):
    """Each is started when it is first wanted, and stays until all end."""

    def __init__(self) -> None:
        super().__init__()
        self._there: dict[str, Where] = {}

    def __getitem__(self, name: str) -> Where:
        if name not in self._there:
            self._there[name] = self._start(name)
        return self._there[name]

    def _start(self, name: str) -> Where:
        if name == "cluster":
            return self.enter_context(topologies.cluster(replicas=False))
        if name == "sentinel":
            return self.enter_context(topologies.sentinels(replicas=1, count=2))
        return self.enter_context(a_redis_server())


def masters(where: Where) -> list[RedisServer]:
    if isinstance(where, RedisServer):
        return [where]
    return [node for node in where.servers if b"role:master" in node.cli("INFO", "replication")]


def flush(where: Where) -> None:
    for server in masters(where):
        server.cli("FLUSHALL")


def keys_without_ttl(where: Where) -> Iterator[Event]:
    for server in masters(where):
        for key in server.records():
            if server.cli("PTTL", key) == -1:
                at = time.monotonic_ns()
                yield {"op": "key", "key": key.decode(), "begin": at, "end": at, "visit": "end"}
