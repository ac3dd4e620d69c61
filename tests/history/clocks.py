"""The wall clocks of a run: time goes by faster than it does, and clocks are wrong.

So that renewals, which take seconds, happen in a history that takes one, all clocks leap together
now and then. Beside that the clock of each process may be wrong by up to a minute: as much as the
protocol takes clocks to differ from true time. Redis goes by its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Value
from typing import Any

import shifted_clock

BOUND_S = 60
LEAPS = 0.03  # how often they leap, by a second


@dataclass
class Clocks:
    """To be made before the processes that share it."""

    seed: int
    leap: bool = False
    skewed: bool = False
    _leapt: Any = field(default_factory=lambda: Value("q", 0))

    def __post_init__(self) -> None:
        if (self.leap or self.skewed) and not shifted_clock.can_shift():
            raise RuntimeError("this process has no clock that can be shifted; run.py sees to it")

    def error(self, process: int) -> int:
        """By how much the clock of a process is wrong. The first one is as wrong as may be."""
        draw = random.Random(f"clock {self.seed} {process}")
        bound = draw.choice((-BOUND_S, BOUND_S))
        return (bound if process == 0 else draw.randint(-BOUND_S, BOUND_S)) if self.skewed else 0

    @contextmanager
    def of(self, process: int | None) -> Iterator[None]:
        """Meanwhile this process has the clock of that number; None: a right one."""
        self._error = 0 if process is None else self.error(process)
        self._show()
        try:
            yield
        finally:
            if self.leap or self.skewed:
                shifted_clock.shift(0)

    def tick(self, draw: random.Random) -> None:
        if self.leap:
            leaps = draw.random() < LEAPS
            with self._leapt:
                self._leapt.value += leaps
                self._show()  # no other thread may show an earlier time afterwards

    def _show(self) -> None:
        if self.leap or self.skewed:
            shifted_clock.shift(self._leapt.value + self._error)
