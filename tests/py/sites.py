"""Where a requirement must hold: each driver, on one server and on a cluster.

`site` is such a place. Drivers open clients on it, and the tests look past them at what the servers
hold and hear.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import pytest
from conftest import RedisServer, wait_for
from drivers import DRIVERS, Client, Held
from topologies import Topology

PREFIX = "site:"

# Where these parts of a record begin, and how long they are; see record.h.
CURRENT, OTHER, UNTIL, CREATED, DEADLINE = (46, 16), (62, 16), (78, 8), (87, 8), (96, 8)
Part = tuple[int, int]

# A busy machine may take its time; no test here is about that.
PATIENT = {"timeout": "20", "connect_timeout": "10"}


class Site:
    def __init__(self, url: str, servers: list[RedisServer], driver: str) -> None:
        self.url = url
        self.servers = servers
        self.driver = driver
        self._clients: list[Client] = []

    def open(self, **options: str) -> Client:
        client = DRIVERS[self.driver](self.url, prefix=PREFIX, **{**PATIENT, **options})
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for server in self.servers:
            server.cli("FLUSHALL")

    # What the servers hold.

    def all_keys(self) -> list[bytes]:
        return sorted(chain.from_iterable(server.keys() for server in self.servers))

    def record(self) -> bytes:
        """The key of the one session that there is."""
        (key,) = (key for key in self.all_keys() if key.startswith(b"site:s:{"))
        return key

    def cli(self, command: str, key: bytes, *arguments: str | bytes | int) -> Any:
        """Asks the server that holds the key."""
        (server,) = (server for server in self.servers if {key} <= set(server.keys()))
        return server.cli(command, key, *arguments)

    def read(self, part: Part) -> bytes:
        """Of the record of the one session that there is."""
        begin, length = part
        bytes_: bytes = self.cli("GETRANGE", self.record(), begin, begin + length - 1)
        return bytes_

    def read_ms(self, part: Part) -> int:
        return int.from_bytes(self.read(part), "big")

    def write_ms(self, part: Part, ms: int) -> None:
        self.cli("SETRANGE", self.record(), part[0], ms.to_bytes(8, "big"))

    # What the servers hear.

    @contextmanager
    def heard(self) -> Iterator[list[list[bytes]]]:
        """The commands that arrive meanwhile, but for those of scripts; complete afterwards."""
        commands: list[list[bytes]] = []
        with ExitStack() as stack:
            seen = [stack.enter_context(server.monitor()) for server in self.servers]
            yield commands
        commands += [[unescaped(word) for word in words] for each in seen for words in each]

    @contextmanager
    def silent(self) -> Iterator[None]:
        """They stand still meanwhile."""
        try:
            for server in self.servers:
                server.pause()
            yield
        finally:
            for server in self.servers:
                server.resume()
            wait_for(lambda: all(map(_is_well, self.servers)), "the servers to go on")


def _is_well(server: RedisServer) -> bool:
    clustered = b"cluster_enabled:1" in server.cli("INFO", "cluster")
    return not clustered or b"cluster_state:ok" in server.cli("CLUSTER", "INFO")


def unescaped(word: str) -> bytes:
    """A word of a command, as MONITOR shows it."""
    return word.encode("latin-1").decode("unicode_escape").encode("latin-1")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def stored(client: Client, note: str = "kept") -> str:
    """The id of a new session."""
    held = client.new()
    held.note = note
    return saved(held)


def logged_in(client: Client, principal: str = "user:42") -> Held:
    held = client.new()
    held.note = "kept"
    held.login(principal)
    saved(held)
    return held


def saved(held: Held) -> str:
    session_id = held.save()
    assert session_id is not None
    return session_id


def loaded(client: Client, session_id: str) -> Held:
    held = client.load(session_id)
    assert held is not None and not held.stale
    return held


def opens(client: Client, session_id: str) -> bool:
    held = client.load(session_id)
    return held is not None and not held.stale


def halves(session_id: str) -> tuple[bytes, bytes]:
    """Selector and verifier."""
    raw = base64.urlsafe_b64decode(session_id + "=")
    return raw[:16], raw[16:]


def id_of(selector: bytes, verifier: bytes) -> str:
    return base64.urlsafe_b64encode(selector + verifier).decode().rstrip("=")


@pytest.fixture(params=["one server", "a cluster"])
def deployment(request: pytest.FixtureRequest) -> tuple[str, list[RedisServer]]:
    """A URL, and the servers behind it."""
    if request.param == "a cluster":
        shared: Topology = request.getfixturevalue("shared_cluster")
        return shared.url, list(shared.servers)
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url, [server]


@pytest.fixture(params=DRIVERS)
def site(
    deployment: tuple[str, list[RedisServer]], request: pytest.FixtureRequest
) -> Iterator[Site]:
    site = Site(*deployment, request.param)
    yield site
    site.close()
