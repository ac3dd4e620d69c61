"""What a comparison found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from .goals import PYTHON
from .measure import Ratio


@dataclass(frozen=True)
class Row:
    quantity: str
    case: str
    against: str
    ratio: Ratio | None  # None: cannot be measured yet, for want of what it measures
    goal: float | None = None  # None: only for information
    ours_us: float | None = None  # our time, for orientation

    @property
    def reached(self) -> bool:
        return self.goal is None or self.ratio is None or self.ratio.median >= self.goal


def failures(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if not row.reached]


def as_json(rows: Sequence[Row]) -> str:
    results = [{**asdict(row), "reached": row.reached} for row in rows]
    return json.dumps({"python": PYTHON, "rows": results}, indent=1)


def _cells(row: Row) -> tuple[str, ...]:
    verdict = "" if row.reached else "BELOW ITS GOAL"
    return (
        row.quantity,
        row.case,
        row.against,
        f"{row.ratio.median:.2f}" if row.ratio else "",
        f"{row.ratio.low:.2f}-{row.ratio.high:.2f}" if row.ratio else "",
        "" if row.goal is None else f"{row.goal:.2f}",
        "" if row.ours_us is None else f"{row.ours_us:.1f} us",
        verdict if row.ratio else "not yet",
    )


def as_table(rows: Sequence[Row]) -> str:
    head = ("quantity", "case", "against", "ratio", "quartiles", "goal", "ours", "")
    table = [head, *map(_cells, rows)]
    if all(row.ours_us is None for row in rows):
        table = [line[:6] + line[7:] for line in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]
    below = len(failures(rows))
    lines += [
        "",
        f"Ratios are their time / ours, on {PYTHON}.",
        f"{below} below its goal." if below else "Every goal is reached.",
    ]
    return "\n".join(lines)
