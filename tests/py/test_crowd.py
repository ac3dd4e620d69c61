"""A hundred logins of one user at once, from several processes: the cap holds at every moment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coatcheck import Store
from conftest import PATIENCE_S, RedisServer
from topologies import cluster

PROCESSES, LOGINS, CAP = 4, 25, 3
PREFIX, PRINCIPAL = "crowd:", "user:42"

# Each process makes all of its logins at the same time, when it is told to.
CROWD = """
import json, sys, threading
from coatcheck import Busy, Store, TooManySessions

def log_in():
    session = store.new()
    session.login(principal, carry="all")
    gate.wait()
    try:
        session.save()
    except (Busy, TooManySessions) as exc:
        results.append(type(exc).__name__)
    else:
        results.append(session.id)

logins, principal, url, options = json.loads(sys.argv[1])
results = []
gate = threading.Barrier(logins + 1)
with Store(url, max_connections=logins, **options) as store:
    store.ping()
    threads = [threading.Thread(target=log_in) for _ in range(logins)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    gate.wait()
    for thread in threads:
        thread.join()
print(json.dumps(results))
"""


@pytest.fixture(scope="module", params=["one server", "a cluster"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[Any]]]:
    """A URL, and the servers behind it."""
    if request.param == "a cluster":
        with cluster(replicas=False) as topology:
            yield topology.url, list(topology.servers)
    else:
        server: RedisServer = request.getfixturevalue("shared_redis_server")
        yield server.url, [server]


def members(servers: list[Any]) -> int:
    """How many sessions are in the index, wherever that is."""
    keys = [(server, key) for server in servers for key in server.cli("KEYS", f"{PREFIX}p:*")]
    return sum(server.cli("ZCARD", key) for server, key in keys)


@pytest.mark.parametrize("on_max", ["evict", "refuse"])
def test_req_29_the_cap_is_exact_under_a_hundred_logins_at_once(
    place: tuple[str, list[Any]], on_max: str, tmp_path: Path
) -> None:
    url, servers = place
    options = {"prefix": PREFIX, "timeout": 20, "max_sessions": CAP, "on_max": on_max}
    arguments = json.dumps([LOGINS, PRINCIPAL, url, options])
    script = tmp_path / "crowd.py"
    script.write_text(CROWD, encoding="utf-8")
    crowd = [
        subprocess.Popen(
            [sys.executable, str(script), arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in crowd:
            assert process.stdout is not None and process.stdin is not None
            assert process.stdout.readline() == "ready\n"
        for process in crowd:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        looks = 0
        while any(process.poll() is None for process in crowd):
            assert members(servers) <= CAP
            looks += 1
        results = [r for p in crowd for r in json.loads(p.communicate(timeout=PATIENCE_S)[0])]
    finally:
        for process in crowd:
            process.kill()
            process.communicate()
    assert looks > 10
    assert len(results) == PROCESSES * LOGINS
    refused = Counter(result for result in results if result in ("Busy", "TooManySessions"))
    with Store(url, prefix=PREFIX) as store:
        granted = set(results) - set(refused)
        working = [session_id for session_id in granted if store.load(session_id) is not None]
        assert len(working) == CAP == members(servers) == len(store.sessions(PRINCIPAL))
        if on_max == "refuse":
            assert len(granted) == CAP
        else:
            assert refused["TooManySessions"] == 0
        store.destroy_all(PRINCIPAL)
