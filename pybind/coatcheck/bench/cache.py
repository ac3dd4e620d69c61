"""
Caches: a value that is read, written, read with a hundred others, and made by a function whose
results are kept; by one caller, by eight threads, and in an event loop.

All have the same server and the same values. What a PING takes on the way of ours is measured as
well, since nothing that is asked of Redis can take less, and of a hundred values what it takes to
decode them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from coatcheck import Cache, aio, dumps, loads

from . import cache_peers as peers
from .cache_peers import PREFIX, Client, Entries, Make
from .frame import Asked
from .measure import Length, Run, microseconds, ratio, take_turns
from .payloads import GOALS as PAYLOADS
from .record import Found
from .redis_client import Client as Asking
from .redis_server import Server, a_server
from .report import Row, as_rows
from .waiting import in_tasks, in_threads, waits

TURN_S = 0.01
THREADS = 8
MANY = 100
OURS, WAY, DECODING = "ours", "a PING alone", "decoding them alone"

SIZES = {"0.2 KB": "small", "2.2 KB": "medium"}
GET, SET, GET_MANY, MEMOIZED = "get", "set", f"get_many({MANY})", "a memoized call"

# As the design sets them; the table names what is below.
GOALS = {GET: 1.5, SET: 1.5, GET_MANY: 10.0, MEMOIZED: 1.5}
GOAL_OF_THREADS = 5.0

Call = Callable[[Any], Any]


def entries(size: str, whose: str) -> Entries:
    """Those of one contender: all have the same server."""
    keys = [f"{whose}:{number}" for number in range(MANY)]
    return Entries(keys[0], keys, PAYLOADS[SIZES[size]]())


def call_of(client: Client, what: str, made: Callable[[int], Any]) -> Call | None:
    """What a contender does; None: it has no such thing."""
    if what == MEMOIZED:
        if client.memoize is None:
            return None
        memoized = client.memoize(made)
        return lambda _: memoized(7)
    calls: dict[str, Call] = {GET: client.get, SET: client.set, GET_MANY: client.get_many}
    return calls[what]


NEEDS = {"Django's": "Django's own cache"}


def _present(asked: Asked, makes: Mapping[str, Make]) -> dict[str, Make]:
    """Those that are installed."""
    return {name: make for name, make in makes.items() if asked.has(NEEDS.get(name, name))}


# ---- Blocking ------------------------------------------------------------------------------------


def fill(client: Client, values: Entries) -> None:
    """All of its keys, by its own hand."""
    for key in values.keys:
        client.set(Entries(key, [key], values.value))


def _calls(
    makes: Mapping[str, Make], what: str, size: str, server: Server, stack: ExitStack
) -> dict[str, Call]:
    calls: dict[str, Call] = {}
    for name, make in makes.items():
        client = make(server, stack)
        values = entries(size, name)
        call = call_of(client, what, lambda n: PAYLOADS[SIZES[size]]())
        if call is None:
            continue
        fill(client, values)
        check(name, what, call(values), values)  # what is memoized is made by that
        calls[name] = partial(_with, call, values)
    return calls


def check(name: str, what: str, found: Any, values: Entries) -> None:
    """Who does not return what was stored is not measured."""
    expected: Any = values.value
    if what == GET_MANY:
        expected = dict.fromkeys(values.keys, values.value)
    if what != SET and found != expected:
        raise RuntimeError(f"{name} has returned something else: {what}")


def _with(call: Call, values: Entries, _: None) -> Any:
    return call(values)


def _pings(server: Server, stack: ExitStack) -> Call:
    cache = stack.enter_context(Cache(server.tcp_url, prefix=PREFIX))
    return lambda _: cache.ping()


def _decoding(size: str) -> Call:
    encoded = dumps(entries(size, OURS).value)
    return lambda _: [loads(encoded) for _ in range(MANY)]


def _blocking(
    asked: Asked, what: str, size: str, server: Server, length: Length, threads: int = 1
) -> list[Row]:
    with ExitStack() as stack:
        calls = _calls(
            {OURS: peers.ours, **_present(asked, peers.BLOCKING)}, what, size, server, stack
        )
        calls |= {DECODING: _decoding(size)} if what == GET_MANY else {WAY: _pings(server, stack)}
        runs = {
            name: in_threads(call, None, threads, stack) if threads > 1 else waits(call, None)
            for name, call in calls.items()
        }
        times = take_turns(runs, length, TURN_S)
    goal = GOAL_OF_THREADS if threads > 1 else GOALS[what]
    return _rows(what + (f", {threads} threads" if threads > 1 else ""), size, times, goal)


# ---- asyncio -------------------------------------------------------------------------------------


def _awaited(asked: Asked, what: str, size: str, server: Server, length: Length) -> list[Row]:
    async def made(n: int) -> Any:
        return PAYLOADS[SIZES[size]]()

    with ExitStack() as stack:
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        runs: dict[str, Run] = {}
        for name, make in {OURS: peers.ours_aio, **_present(asked, peers.AWAITED)}.items():
            client = make(server, stack)
            values = entries(size, name)
            call = call_of(client, what, made)
            if call is not None:
                loop.run_until_complete(_fill(client, values))
                check(name, what, loop.run_until_complete(_once(call, values)), values)
                runs[name] = in_tasks(call, values, 1, loop)
        way = aio.Cache(server.tcp_url, prefix=PREFIX)
        if what != GET_MANY:
            runs[WAY] = in_tasks(partial(_ping, way), None, 1, loop)
        times = take_turns(runs, length, TURN_S)
        loop.run_until_complete(way.close())
    return _rows(f"{what}, asyncio", size, times, GOALS[what])


async def _fill(client: Client, values: Entries) -> None:
    for key in values.keys:
        await client.set(Entries(key, [key], values.value))


async def _once(call: Callable[[Entries], Awaitable[Any]], values: Entries) -> Any:
    return await call(values)


async def _ping(cache: aio.Cache, _: None) -> None:
    await cache.ping()


# ---- All of it -----------------------------------------------------------------------------------


def _rows(what: str, size: str, times: Mapping[str, list[float]], goal: float) -> list[Row]:
    ours_us = microseconds(times[OURS])
    return [
        Row(
            what,
            size,
            name,
            ratio(seen, times[OURS]),
            None if name in (WAY, DECODING) else goal,
            ours_us,
        )
        for name, seen in times.items()
        if name != OURS
    ]


BLOCKING, IN_THREADS, AWAITED = "blocking", "threads", "asyncio"
PARTS = (BLOCKING, IN_THREADS, AWAITED)


def _of_server(asked: Asked, server: Server) -> list[Row]:
    length = asked.length(4.0)
    rows: list[Row] = []
    for what in GOALS if asked.wants(BLOCKING) else ():
        for size in SIZES if what != MEMOIZED else ("0.2 KB",):
            rows += _blocking(asked, what, size, server, length)
    for what in (GET, SET) if asked.wants(IN_THREADS) else ():
        rows += _blocking(asked, what, "0.2 KB", server, length, THREADS)
    for what in GOALS if asked.wants(AWAITED) else ():
        rows += _awaited(asked, what, "0.2 KB", server, length)
    return rows


def measure(asked: Asked) -> Found:
    with a_server() as server, Asking(server.port) as client:
        rows = _of_server(asked, server)
        versions = {"server": client.server()}
    return Found([as_rows(rows, "calls", "A call of a cache")], versions)
