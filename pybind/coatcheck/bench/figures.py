"""Figures with their spread, in tables: for people, for pages and for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and their quartiles or ends: which of them, the table says."""

    low: float | None  # None: not kept, in a record that was written by hand
    median: float
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{short(self.median)} (?)"
        if self.low == self.high:
            return f"{short(self.median)} exact"
        return f"{short(self.median)} ({short(self.low)}-{short(self.high)})"


def exactly(number: float) -> Spread:
    """What is counted, and is the same in every round."""
    return Spread(number, number, number)


# An int is a name, such as a number of writers. What was measured or counted has its spread.
Cell = str | int | Spread | None

QUARTILES = "in parentheses the quartiles of the rounds"
ENDS = "in parentheses the lowest and the highest of the rounds"


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    name: str = ""  # by which a page refers to it
    spread: str = ENDS

    def column(self, name: str) -> int:
        if name not in self.columns:
            raise ValueError(f"the table {self.name} has no column {name!r}")
        return self.columns.index(name)


def spread(rounds: Iterable[float]) -> Spread:
    values = sorted(rounds)
    return Spread(values[0], statistics.median(values), values[-1])


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def short(number: float) -> str:
    """Three digits that count."""
    if number == 0 or abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


# ---- As text ------------------------------------------------------------------------------------


def text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def as_text(table: Table) -> str:
    cells = [table.columns, *(tuple(map(text, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([f"{table.title} ({table.spread})", "", *lines])


def as_markdown(table: Table) -> str:
    lines = [table.columns, ("---",) * len(table.columns)]
    lines += [tuple(map(text, row)) for row in table.rows]
    found = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([f"{table.title}; {table.spread}.", "", *found])


def turned(table: Table, keys: Sequence[str], value: str, by: str) -> Table:
    """A column for each of what stands in `by`, with what stands in `value` there."""
    heads: list[Cell] = []
    found: dict[tuple[Cell, ...], dict[Cell, Cell]] = {}
    for row in table.rows:
        head = row[table.column(by)]
        heads += [] if head in heads else [head]
        line = found.setdefault(tuple(row[table.column(key)] for key in keys), {})
        line[head] = row[table.column(value)]
    rows = [
        (*key, *(line.get(head) for head in heads))
        for key, line in found.items()
        if any(cell is not None for cell in line.values())
    ]
    columns = (*keys, *map(text, heads))
    return Table(f"{table.title}: {value}", columns, rows, table.name, table.spread)


# ---- For programs -------------------------------------------------------------------------------


def cell_to_json(cell: Cell) -> Any:
    return [cell.low, cell.median, cell.high] if isinstance(cell, Spread) else cell


def cell_from_json(value: Any) -> Cell:
    return Spread(*value) if isinstance(value, list) else value


def to_json(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "spread": table.spread,
        "columns": list(table.columns),
        "rows": [[cell_to_json(cell) for cell in row] for row in table.rows],
    }


def from_json(found: dict[str, Any]) -> Table:
    rows = [tuple(map(cell_from_json, row)) for row in found["rows"]]
    columns = tuple(found["columns"])
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"the table {found['name']} has a row that is not as long as its head")
    return Table(found["title"], columns, rows, found["name"], found["spread"])
