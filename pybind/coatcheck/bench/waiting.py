"""
Runs that wait for somebody else, so that the time that passes counts: of one caller, of threads, of
tasks, and of programs that take turns with us.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import repeat
from time import perf_counter, thread_time
from typing import Any

from .measure import Run

# What passes, or the processor time of who waits: perf_counter, thread_time.
Clock = Callable[[], float]


def waits(function: Callable[[Any], object], argument: object, clock: Clock = perf_counter) -> Run:
    """Calls with the same argument, one after the other."""

    def run(times: int) -> float:
        begin = clock()
        for value in repeat(argument, times):
            function(value)
        return clock() - begin

    return run


def _in_shares(shares: int, all_of_them: Callable[[int], float]) -> Run:
    """What takes a number of calls for each share becomes what takes a number of calls in all."""

    def run(times: int) -> float:
        each = -(-times // shares)
        return all_of_them(each) * times / (each * shares)

    return run


def in_threads(
    function: Callable[[Any], object], argument: object, threads: int, stack: ExitStack
) -> Run:
    """So many threads, which begin together."""
    pool = stack.enter_context(ThreadPoolExecutor(threads))
    begin = threading.Barrier(threads + 1)
    share = waits(function, argument)

    def work(times: int) -> float:
        begin.wait()
        return share(times)

    def run(each: int) -> float:
        results = [pool.submit(work, each) for _ in range(threads)]
        begin.wait()
        start = perf_counter()
        for result in results:
            result.result()
        return perf_counter() - start

    return _in_shares(threads, run)


def in_tasks(
    function: Callable[[Any], Awaitable[object]],
    argument: object,
    tasks: int,
    loop: asyncio.AbstractEventLoop,
) -> Run:
    """So many tasks in an event loop, each of which makes one call after the other."""

    async def work(times: int) -> None:
        for _ in range(times):
            await function(argument)

    async def work_of_all(each: int) -> None:
        await asyncio.gather(*(work(each) for _ in range(tasks)))

    def run(each: int) -> float:
        start = perf_counter()
        loop.run_until_complete(work_of_all(each))
        return perf_counter() - start

    return _in_shares(tasks, run)


def in_program(arguments: list[str], stack: ExitStack, clock: Clock = perf_counter) -> Run:
    """
    A program that reads how many calls to make, a number on each line, and answers with the
    nanoseconds that passed and those of its processor time. It keeps its connections between its
    turns.
    """
    process = stack.enter_context(
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert process.stdin is not None and process.stdout is not None
    orders, answers = process.stdin, process.stdout

    def run(times: int) -> float:
        orders.write(f"{times}\n")
        orders.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"{arguments[0]} ended with status {process.wait()}")
        passed, processor = map(int, answer.split())
        return (processor if clock is thread_time else passed) / 1e9

    return run


@contextmanager
def busy_thread() -> Iterator[None]:
    """Beside a thread that runs Python code all the time."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
