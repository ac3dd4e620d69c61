"""
The path to Redis: loading a session, beside what other clients need for the same commands.

Everybody reads the same record from the same server, over TCP unless another way is named. Nobody
looks at what was read; our load has checked and indexed it, though.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from time import thread_time

from coatcheck import Store

from . import redis_peers as peers
from .measure import Run, ratio, take_turns
from .payloads import GOALS as PAYLOADS
from .redis_peers import NOT_POLLING, POLLING, PREFIX, Target
from .redis_server import Server, a_server
from .report import Row
from .waiting import busy_thread

OURS, OURS_POLLING, OURS_IN_C = "load", "load, polling", "load by the C library"
C_HIREDIS = "C hiredis"
REDIS_PY, REDIS_PY_GET = "redis-py with hiredis", "redis-py with hiredis, GET alone"
REDIS_ASYNCIO = "redis.asyncio with hiredis"
GLIDE = "valkey-glide"
BENCHMARK = "redis-benchmark"
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


def _row(
    times: Times, quantity: str, case: str, ours: str, against: str, goal: float | None = None
) -> Row:
    """Not measured yet, where we cannot do it yet."""
    if ours not in times:
        return Row(quantity, case, against, None, goal)
    found = ratio(times[against], times[ours])
    return Row(quantity, case, against, found, goal, statistics.median(times[ours]) * 1e6)


def _target(server: Server, case: str) -> Target:
    """A new session with these fields."""
    with Store(server.tcp_url, prefix=PREFIX) as store:
        session = store.new()
        session.update(PAYLOADS[case]())
        return Target(server, str(session.save()))


# ---- What is compared ---------------------------------------------------------------------------


def _one_client(
    target: Target, case: str, seconds: float, goals: Mapping[tuple[str, str], float]
) -> list[Row]:
    with ExitStack() as stack:
        runs: dict[str, Run] = {
            OURS: peers.ours(target, stack, NOT_POLLING),
            OURS_POLLING: peers.ours(target, stack, POLLING),
        }
        others = {
            C_HIREDIS: peers.c_hiredis(target, stack),
            REDIS_PY: peers.redis_py(target, stack),
            REDIS_PY_GET: peers.redis_py_get(target, stack),
        }
        times = take_turns(runs | others, seconds, TURN_S)
    return [
        _row(times, ours, case, ours, other, goals.get((ours, other)))
        for ours in (OURS, OURS_POLLING)
        for other in others
    ]


def _processor_time(target: Target, seconds: float) -> list[Row]:
    """Of the client alone: what it costs beside the wait, and what neighbours hardly change."""
    with ExitStack() as stack:
        runs = {
            OURS: peers.ours(target, stack, NOT_POLLING, thread_time),
            C_HIREDIS: peers.c_hiredis(target, stack, thread_time),
            REDIS_PY: peers.redis_py(target, stack, thread_time),
        }
        times = take_turns(runs, seconds, TURN_S)
    quantity = "load, processor time of the client"
    return [_row(times, quantity, "1 client", OURS, other) for other in (C_HIREDIS, REDIS_PY)]


def _glide(target: Target, seconds: float) -> list[Row]:
    """Apart from the others: its threads keep waking up, also while others have their turns."""
    with ExitStack() as stack:
        runs = {OURS: peers.ours(target, stack, {}), GLIDE: peers.glide(target, stack)}
        times = take_turns(runs, seconds, TURN_S)
    return [_row(times, OURS, "1 client", OURS, GLIDE)]


def _in_threads(target: Target, seconds: float) -> list[Row]:
    with ExitStack() as stack:
        runs = {
            OURS: peers.ours_in_threads(target, THREADS, stack, {}),
            REDIS_PY: peers.redis_py_in_threads(target, THREADS, stack),
        }
        times = take_turns(runs, seconds, TURN_OF_MANY_S)
    return [_row(times, OURS, f"{THREADS} threads", OURS, REDIS_PY, IN_THREADS)]


def _beside_a_busy_thread(target: Target, seconds: float) -> list[Row]:
    """One call in a turn: what each call takes counts, not how many there are in a second."""
    case = "beside a busy thread"
    with ExitStack() as stack:
        runs = {OURS: peers.ours(target, stack, {}), REDIS_PY: peers.redis_py(target, stack)}
        stack.enter_context(busy_thread())
        times = take_turns(runs, seconds, 0)
    times[LATENCY] = [LATENCY_S] * len(times[OURS])
    return [
        _row(times, OURS, case, OURS, LATENCY, 1.0),
        _row(times, OURS, case, OURS, REDIS_PY),
    ]


def _in_tasks(target: Target, seconds: float) -> list[Row]:
    with closing(asyncio.new_event_loop()) as loop, ExitStack() as stack:
        runs = {
            REDIS_ASYNCIO: peers.redis_py_in_tasks(target, TASKS, stack, loop),
            GLIDE: peers.glide_in_tasks(target, TASKS, stack, loop),
        }
        if peers.has_aio():
            runs[OURS] = peers.ours_in_tasks(target, TASKS, stack, loop)
        times = take_turns(runs, seconds, TURN_OF_MANY_S)
    case = f"{TASKS} tasks"
    return [_row(times, OURS, case, OURS, other, goal) for other, goal in IN_TASKS.items()]


def _c_library(target: Target, seconds: float) -> list[Row]:
    with ExitStack() as stack:
        one = {
            OURS_IN_C: peers.c_library(target, 1, stack),
            C_HIREDIS: peers.c_hiredis(target, stack),
        }
        of_one = take_turns(one, seconds / 2, TURN_S)
    with ExitStack() as stack:
        many = {
            OURS_IN_C: peers.c_library(target, THREADS, stack),
            BENCHMARK: peers.redis_benchmark(target, THREADS),
        }
        of_many = take_turns(many, seconds, TURN_OF_MANY_S)
    return [
        _row(of_one, OURS_IN_C, "1 client", OURS_IN_C, C_HIREDIS),
        _row(of_many, OURS_IN_C, f"{THREADS} threads", OURS_IN_C, BENCHMARK, IN_C),
    ]


def compare(effort: float) -> list[Row]:
    seconds = 15.0 * effort
    rows = []
    with a_server() as server:
        target, medium = _target(server, "small"), _target(server, "medium")
        by_socket = replace(target, over_tcp=False)
        rows += _one_client(target, "1 client", seconds, ONE_CLIENT)
        rows += _processor_time(target, seconds / 2)
        rows += _glide(target, seconds / 2)
        rows += _one_client(by_socket, "1 client, unix socket", seconds, {})
        rows += _in_threads(target, seconds)
        rows += _beside_a_busy_thread(target, seconds)
        rows += _in_tasks(target, seconds)
        rows += _c_library(target, seconds)
        rows += _one_client(medium, "1 client, 2.2 KB", seconds, {})
    return rows
