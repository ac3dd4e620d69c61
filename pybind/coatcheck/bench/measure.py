"""
Times that can be compared: contenders take turns, so that they share whatever disturbs them.

What counts is the processor's time of this thread, not that in which others had the processor.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter, thread_time
from typing import Any

from .figures import Spread

# Does something so many times, and returns how many seconds that took.
Run = Callable[[int], float]

TURN_S = 0.0005
ROUNDS_MIN = 9


def calls(function: Callable[[Any], object], argument: object) -> Run:
    """
    Calls with the same argument, after one that does not count: it meets what the others have left
    in the processor's caches. Each result is freed before the next.
    """

    def run(times: int) -> float:
        function(argument)
        begin = thread_time()
        for value in repeat(argument, times):
            function(value)
        return thread_time() - begin

    return run


def calls_with_new(
    function: Callable[[Any], object], make: Callable[[], object], at_once: int
) -> Run:
    """
    Calls with an argument each that nobody has used yet. Making it does not count; at_once are
    made in a row, few enough that the processor still has them at hand.
    """

    def run(times: int) -> float:
        seconds = 0.0
        while times > 0:
            arguments = [make() for _ in range(min(times, at_once))]
            begin = thread_time()
            for value in arguments:
                function(value)
            seconds += thread_time() - begin
            times -= at_once
        return seconds

    return run


Ratio = Spread  # of a ratio the quartiles of the rounds


@dataclass(frozen=True)
class Length:
    """How long contenders take turns: so many seconds, or so many rounds."""

    seconds: float
    rounds: int | None = None

    def __truediv__(self, parts: float) -> Length:
        return Length(self.seconds / parts, self.rounds)

    def more(self, begin: float, rounds: int) -> bool:
        if self.rounds is not None:
            return rounds < self.rounds
        return rounds < ROUNDS_MIN or perf_counter() < begin + self.seconds


def _times_per_turn(run: Run, turn_s: float) -> int:
    run(1)  # the first one may have more to do, such as to connect
    times = 1
    while (seconds := run(times)) < turn_s / 4:
        times *= 2
    return max(1, round(times * turn_s / seconds))


def take_turns(
    runs: Mapping[str, Run], length: Length, turn_s: float = TURN_S
) -> dict[str, list[float]]:
    """
    For each contender, its seconds per call in each round. The first one changes by round. A turn
    takes about turn_s; with 0 it is one call.
    """
    times = {name: _times_per_turn(run, turn_s) for name, run in runs.items()}
    results: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    begin, rounds = perf_counter(), 0
    while length.more(begin, rounds):
        for name in order:
            results[name].append(runs[name](times[name]) / times[name])
        order.append(order.pop(0))
        rounds += 1
    return results


def quartiles(rounds: Iterable[float]) -> Spread:
    return Spread(*statistics.quantiles(rounds, n=4))


def ratio(theirs: list[float], ours: list[float]) -> Ratio:
    """How many times as long as ours theirs took, round by round."""
    return quartiles(a / b for a, b in zip(theirs, ours, strict=True))


def microseconds(seconds: Iterable[float]) -> Spread:
    return quartiles(each * 1e6 for each in seconds)
