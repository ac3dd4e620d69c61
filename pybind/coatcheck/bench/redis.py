"""
The path to Redis: loading a session, beside what other clients need for the same commands.

Everybody reads the same record from the same server, over TCP unless another way is named. Nobody
looks at what was read; our load has checked and indexed it, though.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from time import thread_time

from coatcheck import Store

from . import redis_peers as peers
from .frame import Asked
from .measure import Length, Run, microseconds, ratio, take_turns
from .payloads import GOALS as PAYLOADS
from .record import Found
from .redis_client import Client
from .redis_peers import NOT_POLLING, POLLING, PREFIX, Target
from .redis_server import Server, a_server
from .report import Row, as_rows
from .waiting import busy_thread

OURS, OURS_POLLING, OURS_IN_C = "load", "load, polling", "load by the C library"
C_HIREDIS = "C hiredis"
REDIS_PY, REDIS_PY_GET = "redis-py with hiredis", "redis-py with hiredis, GET alone"
REDIS_ASYNCIO = "redis.asyncio with hiredis"
GLIDE = "valkey-glide"
BENCHMARK = "redis-benchmark"
NEEDS = {REDIS_PY: "redis-py", REDIS_PY_GET: "redis-py", REDIS_ASYNCIO: "redis-py"}
PROGRAMS = {C_HIREDIS: "bare_load", OURS_IN_C: "store_load"}
LATENCY_S = 100e-6
LATENCY = "100 us"

THREADS = 8
TASKS = 50

# By who is meant and against whom, for one client; 1.05 and 0.75 of the time of C hiredis.
ONE_CLIENT = {
    (OURS, C_HIREDIS): 1 / 1.05,
    (OURS_POLLING, C_HIREDIS): 1 / 0.75,
    (OURS, REDIS_PY): 1.5,
    (OURS_POLLING, REDIS_PY): 2.2,
}
IN_THREADS = 5.0
IN_TASKS = {REDIS_ASYNCIO: 4.0, GLIDE: 2.0}
IN_C = 0.95

TURN_S = 0.005
TURN_OF_MANY_S = 0.1  # enough for all of them to get going

Times = dict[str, list[float]]


Contender = Callable[[], Run]


def _present(asked: Asked, others: Mapping[str, Contender]) -> dict[str, Run]:
    """Those that are installed or built, made ready."""
    return {name: make() for name, make in others.items() if _has(asked, name)}


def _has(asked: Asked, name: str) -> bool:
    if name in NEEDS:
        return asked.has(NEEDS[name])
    program = PROGRAMS.get(name)
    if program and not peers.is_built(program):
        asked.missing[name] = "make bench-programs builds it"
        return False
    return True


def _row(
    times: Times, quantity: str, case: str, ours: str, against: str, goal: float | None = None
) -> Row:
    """Not measured yet, where we cannot do it yet."""
    if ours not in times:
        return Row(quantity, case, against, None, goal)
    found = ratio(times[against], times[ours])
    return Row(quantity, case, against, found, goal, microseconds(times[ours]))


def _target(server: Server, case: str) -> Target:
    """A new session with these fields."""
    with Store(server.tcp_url, prefix=PREFIX) as store:
        session = store.new()
        session.update(PAYLOADS[case]())
        return Target(server, str(session.save()))


# ---- What is compared ---------------------------------------------------------------------------


def _one_client(
    asked: Asked, target: Target, case: str, length: Length, goals: Mapping[tuple[str, str], float]
) -> list[Row]:
    with ExitStack() as stack:
        runs: dict[str, Run] = {
            OURS: peers.ours(target, stack, NOT_POLLING),
            OURS_POLLING: peers.ours(target, stack, POLLING),
        }
        others = _present(
            asked,
            {
                C_HIREDIS: lambda: peers.c_hiredis(target, stack),
                REDIS_PY: lambda: peers.redis_py(target, stack),
                REDIS_PY_GET: lambda: peers.redis_py_get(target, stack),
            },
        )
        times = take_turns(runs | others, length, TURN_S)
    return [
        _row(times, ours, case, ours, other, goals.get((ours, other)))
        for ours in (OURS, OURS_POLLING)
        for other in others
    ]


def _processor_time(asked: Asked, target: Target, length: Length) -> list[Row]:
    """Of the client alone: what it costs beside the wait, and what neighbours hardly change."""
    with ExitStack() as stack:
        others = _present(
            asked,
            {
                C_HIREDIS: lambda: peers.c_hiredis(target, stack, thread_time),
                REDIS_PY: lambda: peers.redis_py(target, stack, thread_time),
            },
        )
        ours = {OURS: peers.ours(target, stack, NOT_POLLING, thread_time)}
        times = take_turns(ours | others, length, TURN_S)
    quantity = "load, processor time of the client"
    return [_row(times, quantity, "1 client", OURS, other) for other in others]


def _glide(asked: Asked, target: Target, length: Length) -> list[Row]:
    """Apart from the others: its threads keep waking up, also while others have their turns."""
    if not asked.has("valkey-glide-sync"):
        return []
    with ExitStack() as stack:
        runs = {OURS: peers.ours(target, stack, {}), GLIDE: peers.glide(target, stack)}
        times = take_turns(runs, length, TURN_S)
    return [_row(times, OURS, "1 client", OURS, GLIDE)]


def _in_threads(asked: Asked, target: Target, length: Length) -> list[Row]:
    if not asked.has("redis-py"):
        return []
    with ExitStack() as stack:
        runs = {
            OURS: peers.ours_in_threads(target, THREADS, stack, {}),
            REDIS_PY: peers.redis_py_in_threads(target, THREADS, stack),
        }
        times = take_turns(runs, length, TURN_OF_MANY_S)
    return [_row(times, OURS, f"{THREADS} threads", OURS, REDIS_PY, IN_THREADS)]


def _beside_a_busy_thread(asked: Asked, target: Target, length: Length) -> list[Row]:
    """One call in a turn: what each call takes counts, not how many there are in a second."""
    case = "beside a busy thread"
    with ExitStack() as stack:
        others = _present(asked, {REDIS_PY: lambda: peers.redis_py(target, stack)})
        runs = {OURS: peers.ours(target, stack, {}), **others}
        stack.enter_context(busy_thread())
        times = take_turns(runs, length, 0)
    times[LATENCY] = [LATENCY_S] * len(times[OURS])
    rows = [_row(times, OURS, case, OURS, LATENCY, 1.0)]
    return rows + [_row(times, OURS, case, OURS, other) for other in others]


def _in_tasks(asked: Asked, target: Target, length: Length) -> list[Row]:
    with closing(asyncio.new_event_loop()) as loop, ExitStack() as stack:
        runs = {}
        if asked.has("redis-py"):
            runs[REDIS_ASYNCIO] = peers.redis_py_in_tasks(target, TASKS, stack, loop)
        if asked.has("valkey-glide"):
            runs[GLIDE] = peers.glide_in_tasks(target, TASKS, stack, loop)
        others = list(runs)
        if not others:
            return []
        if peers.has_aio():
            runs[OURS] = peers.ours_in_tasks(target, TASKS, stack, loop)
        times = take_turns(runs, length, TURN_OF_MANY_S)
    case = f"{TASKS} tasks"
    return [_row(times, OURS, case, OURS, other, IN_TASKS[other]) for other in others]


def _c_library(asked: Asked, target: Target, length: Length) -> list[Row]:
    if not _has(asked, OURS_IN_C) or not _has(asked, C_HIREDIS):
        return []
    with ExitStack() as stack:
        one = {
            OURS_IN_C: peers.c_library(target, 1, stack),
            C_HIREDIS: peers.c_hiredis(target, stack),
        }
        of_one = take_turns(one, length / 2, TURN_S)
    with ExitStack() as stack:
        many = {
            OURS_IN_C: peers.c_library(target, THREADS, stack),
            BENCHMARK: peers.redis_benchmark(target, THREADS),
        }
        of_many = take_turns(many, length, TURN_OF_MANY_S)
    return [
        _row(of_one, OURS_IN_C, "1 client", OURS_IN_C, C_HIREDIS),
        _row(of_many, OURS_IN_C, f"{THREADS} threads", OURS_IN_C, BENCHMARK, IN_C),
    ]


# By name: what measures it, and in how many seconds.
_OF_A_TARGET: dict[str, tuple[Callable[[Asked, Target, Length], list[Row]], float]] = {
    "client": (lambda a, t, n: _one_client(a, t, "1 client", n, ONE_CLIENT), 15.0),
    "processor": (_processor_time, 7.5),
    "glide": (_glide, 7.5),
    "socket": (
        lambda a, t, n: _one_client(a, replace(t, over_tcp=False), "1 client, unix socket", n, {}),
        15.0,
    ),
    "threads": (_in_threads, 15.0),
    "busy": (_beside_a_busy_thread, 15.0),
    "tasks": (_in_tasks, 15.0),
    "c": (_c_library, 15.0),
}
MEDIUM = "medium"
PARTS = (*_OF_A_TARGET, MEDIUM)


def measure(asked: Asked) -> Found:
    rows = []
    with a_server() as server, Client(server.port) as client:
        found = Found([], {"server": client.server()})
        target = _target(server, "small")
        for part, (compare, seconds) in _OF_A_TARGET.items():
            if asked.wants(part):
                rows += compare(asked, target, asked.length(seconds))
        if asked.wants(MEDIUM):
            medium = _target(server, "medium")
            rows += _one_client(asked, medium, "1 client, 2.2 KB", asked.length(15.0), {})
    found.tables.append(as_rows(rows, "load", "Loading a session"))
    return found
