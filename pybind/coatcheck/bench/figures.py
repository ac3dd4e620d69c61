"""Figures of ours alone, each with its spread, as tables for people and for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path

from . import goals


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, the lowest and the highest."""

    low: float
    median: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return _short(self.median)
        return f"{_short(self.median)} ({_short(self.low)}-{_short(self.high)})"


Cell = str | int | Spread | None


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


def spread(rounds: Iterable[float]) -> Spread:
    values = sorted(rounds)
    return Spread(values[0], statistics.median(values), values[-1])


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def _short(number: float) -> str:
    """Three digits that count."""
    if number == 0 or abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def _lines(table: Table) -> list[str]:
    cells = [table.columns, *(tuple(map(_text, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [table.title, "", *lines, ""]


def as_text(where: str, tables: Sequence[Table]) -> str:
    lines = [line for table in tables for line in _lines(table)]
    explained = "The median of the rounds, and in parentheses the lowest and the highest."
    return "\n".join([where, explained, "", *lines]).rstrip()


def as_json(where: str, tables: Sequence[Table]) -> str:
    def cell(value: Cell) -> object:
        return asdict(value) if is_dataclass(value) else value

    found = [
        {
            "title": table.title,
            "rows": [
                {name: cell(value) for name, value in zip(table.columns, row, strict=True)}
                for row in table.rows
            ],
        }
        for table in tables
    ]
    return json.dumps({"where": where, "tables": found}, indent=1)


def machine() -> str:
    """The Python, the system, the processors, and what else they had to do as it began."""
    model = platform.machine()
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return (
        f"{goals.PYTHON}; {platform.system()} {platform.release()}, {os.cpu_count()} processors"
        f" ({model}), load {os.getloadavg()[0]:.2f} at the start"
    )
