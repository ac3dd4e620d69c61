"""
Those whose way to Redis is compared, each with the commands of a load: GET and PTTL of a record,
in one pipeline, by the fastest means that its manual names. Of ours nobody touches a field.
"""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import io
import os
import subprocess
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

from coatcheck import Store

from .measure import Run
from .redis_server import HOST, Server, program
from .waiting import Clock, in_program, in_tasks, in_threads, waits

PREFIX = "bench:"
PROGRAMS = Path(os.environ.get("BENCH_PROGRAMS", "build/tests/bench"))
POLLING: dict[str, Any] = {}  # as it is by default
NOT_POLLING: dict[str, Any] = {"spin_us": 0}


@dataclass(frozen=True)
class Target:
    """A session in Redis, for those who read it."""

    server: Server
    id: str
    over_tcp: bool = True

    @property
    def key(self) -> str:
        """As protocol.md derives it: others are told where the record is, and need not find it."""
        selector = urlsafe_b64decode(self.id + "=")[:16]
        digest = sha256(PREFIX.encode() + b"\0" + selector).digest()
        return f"{PREFIX}s:{{{urlsafe_b64encode(digest[:18]).decode()}}}"

    @property
    def url(self) -> str:
        return self.server.tcp_url if self.over_tcp else self.server.unix_url

    @property
    def address(self) -> list[str]:
        return [HOST, str(self.server.port)] if self.over_tcp else [self.server.path]


def is_built(name: str) -> bool:
    return (PROGRAMS / name).exists()


def built(name: str) -> str:
    path = PROGRAMS / name
    if not is_built(name):
        raise FileNotFoundError(f"{path} is not built: make bench-redis builds and runs it")
    return str(path)


# ---- Ours ---------------------------------------------------------------------------------------


def _store(target: Target, stack: ExitStack, options: dict[str, Any]) -> Store:
    store = Store(target.url, prefix=PREFIX, timeout=10.0, **options)
    return stack.enter_context(store)


def ours(
    target: Target, stack: ExitStack, options: dict[str, Any], clock: Clock = perf_counter
) -> Run:
    return waits(_store(target, stack, options).load, target.id, clock)


def ours_in_threads(target: Target, threads: int, stack: ExitStack, options: dict[str, Any]) -> Run:
    return in_threads(_store(target, stack, options).load, target.id, threads, stack)


def has_aio() -> bool:
    return importlib.util.find_spec("coatcheck.aio") is not None


def ours_in_tasks(
    target: Target, tasks: int, stack: ExitStack, loop: asyncio.AbstractEventLoop
) -> Run:
    aio: Any = importlib.import_module("coatcheck.aio")
    store = aio.Store(target.url, prefix=PREFIX, timeout=10.0)
    stack.callback(lambda: loop.run_until_complete(_closed(store)))
    return in_tasks(store.load, target.id, tasks, loop)


async def _closed(client: Any) -> None:
    """Closes what may or may not have to be awaited for that."""
    closing = client.close()
    if closing is not None:
        await closing


def c_library(target: Target, threads: int, stack: ExitStack) -> Run:
    arguments = [built("store_load"), target.url, PREFIX, target.id, str(threads)]
    return in_program(arguments, stack)


# ---- Theirs -------------------------------------------------------------------------------------


def c_hiredis(target: Target, stack: ExitStack, clock: Clock = perf_counter) -> Run:
    return in_program([built("bare_load"), *target.address, target.key], stack, clock)


def _redis_py(target: Target, stack: ExitStack) -> Any:
    import hiredis  # noqa: F401  # redis-py takes it where it is there
    import redis

    client = redis.Redis.from_url(target.url.replace("unix:", "unix://"))
    stack.callback(client.close)
    return client


def _redis_py_load(target: Target, stack: ExitStack) -> Callable[[str], object]:
    client = _redis_py(target, stack)

    def load(key: str) -> object:
        with client.pipeline(transaction=False) as pipe:
            pipe.get(key)
            pipe.pttl(key)
            return pipe.execute()

    return load


def redis_py(target: Target, stack: ExitStack, clock: Clock = perf_counter) -> Run:
    return waits(_redis_py_load(target, stack), target.key, clock)


def redis_py_in_threads(target: Target, threads: int, stack: ExitStack) -> Run:
    return in_threads(_redis_py_load(target, stack), target.key, threads, stack)


def redis_py_get(target: Target, stack: ExitStack) -> Run:
    """Less than a load: GET alone."""
    return waits(_redis_py(target, stack).get, target.key)


def redis_py_in_tasks(
    target: Target, tasks: int, stack: ExitStack, loop: asyncio.AbstractEventLoop
) -> Run:
    import hiredis  # noqa: F401
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(target.url)
    stack.callback(lambda: loop.run_until_complete(client.aclose()))

    async def load(key: str) -> object:
        async with client.pipeline(transaction=False) as pipe:
            pipe.get(key)
            pipe.pttl(key)
            return await pipe.execute()

    return in_tasks(load, target.key, tasks, loop)


def glide(target: Target, stack: ExitStack) -> Run:
    """Over TCP: it knows no unix sockets."""
    from glide_sync import Batch, GlideClient, GlideClientConfiguration, NodeAddress

    nodes = [NodeAddress(HOST, target.server.port)]
    client = GlideClient.create(GlideClientConfiguration(nodes))
    stack.callback(client.close)

    def load(key: str) -> object:
        batch = Batch(is_atomic=False)
        batch.get(key)
        batch.pttl(key)
        return client.exec(batch, raise_on_error=True)

    return waits(load, target.key)


def glide_in_tasks(
    target: Target, tasks: int, stack: ExitStack, loop: asyncio.AbstractEventLoop
) -> Run:
    from glide import Batch, GlideClient, GlideClientConfiguration, NodeAddress

    nodes = [NodeAddress(HOST, target.server.port)]
    client = loop.run_until_complete(GlideClient.create(GlideClientConfiguration(nodes)))
    stack.callback(lambda: loop.run_until_complete(client.close()))

    async def load(key: str) -> object:
        batch = Batch(is_atomic=False)
        batch.get(key)
        batch.pttl(key)
        return await client.exec(batch, raise_on_error=True)

    return in_tasks(load, target.key, tasks, loop)


def redis_benchmark(target: Target, clients: int) -> Run:
    """It pipelines only one command with itself, so a load is GET twice; and counts in whole ms."""
    benchmark = program("benchmark")

    def run(times: int) -> float:
        requests = 2 * times
        options = ["-c", str(clients), "-P", "2", "-n", str(requests), "--csv"]
        address = ["-h", HOST, "-p", str(target.server.port)]
        result = subprocess.run(
            [benchmark, *address, *options, "GET", target.key],
            check=True,
            capture_output=True,
            text=True,
        )
        (row,) = csv.DictReader(io.StringIO(result.stdout))
        return requests / float(row["rps"])

    return run
