"""What is secret is gone from the memory of a Python process when it is closed: from what the
library owns, for nobody can wipe Python's own strings. So ids are looked for as the bytes that they
are text of, which Python never sees, and the password is one that the library reads from a file.

A child works with sessions, and leaves all that it may write to in files, for its parent to search.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RedisServer
from test_tls import certs as certs
from topologies import free_port

# What stands before it may be overwritten as soon as memory is freed.
LOOKED_FOR = b"Open-sesame-42-times"
PASSWORD = b"the-first-bytes-of-it-" + LOOKED_FOR

CHILD = """
import asyncio, gc, json, os, re, sys
from coatcheck import Store, aio

job = json.loads(sys.argv[1])

def dump(name):
    gc.collect()
    # One buffer, which is wiped: what was read is not to be found by the next one.
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    with open("/proc/self/maps") as maps, open(f"{job['folder']}/{name}", "wb", buffering=0) as out:
        for line in maps.read().splitlines():
            start, end, may = re.match("([0-9a-f]+)-([0-9a-f]+) (....)", line).groups()
            at, end = int(start, 16), int(end, 16)
            if may[1] != "w" or end - at > 1 << 28:
                continue
            try:
                while at < end:
                    size = os.preadv(memory, [view[: min(end - at, len(view))]], at)
                    out.write(view[:size])
                    at += size
            except OSError:
                pass
    os.close(memory)
    buffer[:] = bytes(len(buffer))

def say(session_id):
    print(session_id, flush=True)

def blocking():
    store = Store(job["url"], prefix="test:", **job["options"])
    session = store.new()
    session["a"] = 1
    say(session.save())
    session.rotate()
    say(session.save())
    sessions = [store.load(session.id) for _ in range(20)]
    assert all(session["a"] for session in sessions)
    dump("before")
    del session, sessions
    session = store.new()
    session.login("ann", carry="all")
    say(session.save())
    session.destroy()
    del session
    dump("between")
    store.close()

async def awaited():
    store = aio.Store(job["url"], prefix="test:", **job["options"])
    session = store.new()
    session["a"] = 1
    say(await session.save())
    session.rotate()
    say(await session.save())
    sessions = [await store.load(session.id) for _ in range(20)]
    assert all(session["a"] for session in sessions)
    dump("before")
    del session, sessions
    session = store.new()
    session.login("ann", carry="all")
    say(await session.save())
    await session.destroy()
    del session
    dump("between")
    await store.close()

if job["face"] == "blocking":
    blocking()
else:
    asyncio.run(awaited())
dump("after")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[tuple[str, str]]:
    """Where it is reached plain, and by TLS. It wants a password."""
    port = free_port()
    files = {"cert-file": "server.crt", "key-file": "server.key", "ca-cert-file": "ca.crt"}
    options = [word for name in files for word in (f"--tls-{name}", str(certs / files[name]))]
    server = RedisServer(
        str(tmp_path_factory.mktemp("wiped")),
        *("--tls-port", str(port), "--tls-auth-clients", "no", "--bind", "127.0.0.1", *options),
    )
    server.start()
    server.cli("ACL", "SETUSER", "keeper", "reset", "on", b">" + PASSWORD, "~*", "&*", "+@all")
    yield server.url, f"rediss://localhost:{port}"
    server.stop()


def times(dump: Path, needle: bytes) -> int:
    return dump.read_bytes().count(needle)


@pytest.mark.parametrize("by_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("face", ["blocking", "asyncio"])
def test_req_51_what_was_closed_leaves_neither_id_nor_password_in_memory(
    server: tuple[str, str], certs: Path, tmp_path: Path, face: str, by_tls: bool
) -> None:
    secret = tmp_path / "password"
    secret.write_bytes(PASSWORD)
    options = {"username": "keeper", "password_file": str(secret), "timeout": 30}
    if by_tls:
        options["tls_ca_file"] = str(certs / "ca.crt")
    job = {"face": face, "url": server[by_tls], "options": options, "folder": str(tmp_path)}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(job)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
        text=True,
    )
    former, current, ended = (base64.urlsafe_b64decode(id + "=") for id in child.stdout.split())
    assert former[:16] == current[:16]
    before, between, after = (tmp_path / name for name in ("before", "between", "after"))
    # They are found where they are.
    assert times(before, current[:16]) > 0
    assert times(before, current[16:]) > 0
    assert times(before, former[16:]) == 0
    for session_id in (former, current, ended):
        for half in (session_id[:16], session_id[16:]):
            assert times(between, half) == times(after, half) == 0
    assert times(after, LOOKED_FOR) == 0
