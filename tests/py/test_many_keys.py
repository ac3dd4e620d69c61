"""A cache with many keys: walks and clear() take no more memory than for few, and leave all others
alone. COAT_TEST_KEYS says how many; a million are part of `make check-long`."""

from __future__ import annotations

import os

import pytest
from conftest import RedisServer
from many_keys import million
from topologies import Topology

KEYS = int(os.environ.get("COAT_TEST_KEYS", "50000"))
MIB = 1 << 20
# A list of the keys would have 70 bytes for each, and so 3.3 MiB of the least.
ROOM = 3 * MIB // 4
FLAT = ("keys()", "keys() of the namespace", "clear(), with what was invalidated")


@pytest.fixture(params=["server", "cluster"])
def where(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A URL, and the socket of one server."""
    if request.param == "server":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url, server.path
    topology: Topology = request.getfixturevalue("shared_cluster")
    topology.flush()
    return topology.url, topology.servers[0].path


@pytest.mark.parametrize("awaits", [False, True], ids=["blocking", "asyncio"])
def test_many_keys_take_no_more_memory_than_few(where: tuple[str, str], awaits: bool) -> None:
    with million(*where, 1000, awaits) as few:  # what is allocated once
        assert all(few.all_figures())
    with million(*where, KEYS, awaits) as many:
        figures = {figures.what: figures for figures in many.all_figures()}
        assert many.neighbours_are_there()
    print(*figures.values(), sep="\n")
    found = {what: one.found for what, one in figures.items()}
    assert found["keys()"] >= KEYS
    assert found["keys('key:77*')"] >= 11
    assert found["keys() of the namespace"] >= KEYS
    assert found["keys() of it afterwards"] == found["keys() afterwards"] == 0
    assert found["clear(), with what was invalidated"] == 2 * KEYS
    for what in FLAT:
        assert figures[what].peak_bytes < ROOM, figures[what]
