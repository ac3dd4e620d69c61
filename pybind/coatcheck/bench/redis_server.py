"""
A server for the comparison with other clients, and who runs on which processors.

It is the same for all contenders of a comparison. As a rule the system chooses, as it does
elsewhere: most put a client that waits and its server on one processor, which is faster there than
on two. taskset holds all of them on one, BENCH_APART=1 the server on one and clients on others.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

HOST = "127.0.0.1"
START_S = 10.0


@dataclass(frozen=True)
class Server:
    """It listens on a TCP port of this machine, and on a unix socket."""

    pid: int
    port: int
    path: str

    @property
    def tcp_url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def unix_url(self) -> str:
        return f"unix:{self.path}"


def program(name: str) -> str:
    """redis-<name> or valkey-<name>, the first that is installed."""
    for fork in ("redis", "valkey"):
        if found := shutil.which(f"{fork}-{name}"):
            return found
    raise FileNotFoundError(f"neither redis-{name} nor valkey-{name} is installed")


@contextmanager
def a_server() -> Iterator[Server]:
    """In a directory of its own, and ended by its process id."""
    with TemporaryDirectory(prefix="coat-") as directory:
        port, path = _free_port(), str(Path(directory) / "redis.sock")
        process = _start(port, path, directory)
        try:
            _wait_for(path, process)
            server = Server(process.pid, port, path)
            with apart(server) if os.environ.get("BENCH_APART") else nullcontext():
                yield server
        finally:
            process.terminate()
            process.wait()


@contextmanager
def apart(server: Server) -> Iterator[None]:
    """If there are two processors: one for the server, and the others for us meanwhile."""
    ours, its = os.sched_getaffinity(0), os.sched_getaffinity(server.pid)
    everywhere = ours | its
    os.sched_setaffinity(server.pid, {max(everywhere)})
    os.sched_setaffinity(0, everywhere - {max(everywhere)} or everywhere)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)
        os.sched_setaffinity(server.pid, its)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _start(port: int, path: str, directory: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(program("server"), "--bind", HOST, "--port", str(port)),
            *("--unixsocket", path, "--dir", directory),
            *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _wait_for(path: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:  # it listens there last
                return
        time.sleep(0.005)
    raise RuntimeError(f"{process.args!r} does not listen: status {process.poll()}")
