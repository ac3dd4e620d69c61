"""What a comparison found: ratios, their goals, and whether these are reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .figures import QUARTILES, Cell, Spread, Table
from .measure import Ratio

COLUMNS = ("quantity", "case", "against", "their time / ours", "goal", "ours, us", "")
BELOW, NOT_YET = "BELOW ITS GOAL", "not yet"


@dataclass(frozen=True)
class Row:
    quantity: str
    case: str
    against: str
    ratio: Ratio | None  # None: cannot be measured yet, for want of what it measures
    goal: float | None = None  # None: only for information
    ours_us: Spread | None = None  # our time, for orientation

    @property
    def reached(self) -> bool:
        return self.goal is None or self.ratio is None or self.ratio.median >= self.goal


def failures(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if not row.reached]


def _cells(row: Row) -> tuple[Cell, ...]:
    verdict = "" if row.reached else BELOW
    return (
        row.quantity,
        row.case,
        row.against,
        row.ratio,
        None if row.goal is None else f"{row.goal:.2f}",
        row.ours_us,
        verdict if row.ratio else NOT_YET,
    )


def as_rows(rows: Sequence[Row], name: str, title: str) -> Table:
    return Table(title, COLUMNS, [_cells(row) for row in rows], name, QUARTILES)


def behind(table: Table) -> Table:
    """Of a comparison the lines in which a goal is missed, or somebody is faster than we are."""
    verdict, found = table.column(""), table.column("their time / ours")

    def is_behind(row: tuple[Cell, ...]) -> bool:
        ratio = row[found]
        return row[verdict] == BELOW or (isinstance(ratio, Spread) and ratio.median < 1)

    return Table(
        table.title, table.columns, list(filter(is_behind, table.rows)), table.name, table.spread
    )
