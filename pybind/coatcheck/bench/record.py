"""
What was measured, where and with what: what is printed, kept as JSON, and made into a page.

A file is {"coatcheck-bench": 1, "runs": [run, ...]}, with one run for each subject. A run has
`subject`, `date`, `command`, `machine`, `versions` (name to version), `missing` (peers that were
not there: name to what would bring them), `note` and `tables`. A table has `name`, `title`,
`spread` (what the outer two of three numbers are), `columns` and `rows`. A cell is a text, a number
that is a name, null, or [low, median, high]; [null, median, null] is a figure whose spread was not
kept, which no run of the command makes. Whatever changes this gets another number.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import goals
from .figures import Table, as_text, from_json, to_json
from .report import BELOW

SCHEMA = "coatcheck-bench"
VERSION = 1


@dataclass(frozen=True)
class Record:
    subject: str
    date: str
    command: str
    machine: str
    versions: dict[str, str]
    missing: dict[str, str]
    tables: list[Table]
    note: str = ""

    @property
    def below(self) -> int:
        return sum(row[-1] == BELOW for table in self.tables for row in table.rows)

    def table(self, name: str) -> Table:
        for table in self.tables:
            if table.name == name:
                return table
        raise ValueError(f"the run of {self.subject} has no table {name!r}")


@dataclass
class Found:
    """What a subject measured; the frame adds the rest."""

    tables: list[Table]
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def today() -> str:
    return f"{datetime.now(timezone.utc):%Y-%m-%d}"


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
        f" ({model}), {len(os.sched_getaffinity(0))} of them in use,"
        f" load {os.getloadavg()[0]:.2f} at the start"
    )


# ---- For people ---------------------------------------------------------------------------------


def about(record: Record) -> list[str]:
    """Where, when, and with what; who was not there."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    lines = [f"Taken on {record.date} by `{record.command}`. {record.machine}.", f"{versions}."]
    lines += [f"Not compared: {name} is missing: {how}." for name, how in record.missing.items()]
    return [*lines, record.note] if record.note else lines


def verdict(record: Record) -> list[str]:
    if not any("goal" in table.columns for table in record.tables):
        return []
    return [f"{record.below} below its goal." if record.below else "Every goal is reached."]


def printed(record: Record) -> str:
    return "\n\n".join(
        ["\n".join(about(record)), *map(as_text, record.tables), *verdict(record)]
    ).rstrip()


# ---- For programs -------------------------------------------------------------------------------


def as_json(records: Sequence[Record]) -> str:
    runs = [{**vars(record), "tables": list(map(to_json, record.tables))} for record in records]
    found = json.dumps({SCHEMA: VERSION, "runs": runs}, indent=1)
    return _rows_in_a_line(found) + "\n"


def _rows_in_a_line(found: str) -> str:
    """Of the lists that stand within rows the breaks are left out, which are most of the lines."""
    lines: list[str] = []
    for line in found.split("\n"):
        depth = len(line) - len(line.lstrip(" "))
        if depth > 6 or (depth == 6 and line.strip() in ("]", "],")):
            tight = lines[-1].endswith("[") or line.strip().startswith("]")
            lines[-1] += ("" if tight else " ") + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines)


def of_json(text: str) -> list[Record]:
    found: dict[str, Any] = json.loads(text)
    if found.get(SCHEMA) != VERSION:
        raise ValueError(f"this is no record of {SCHEMA} {VERSION}, but of {found.get(SCHEMA)}")
    return [
        Record(**{**run, "tables": list(map(from_json, run["tables"]))}) for run in found["runs"]
    ]


def read(path: Path) -> list[Record]:
    try:
        return of_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def merged(old: Sequence[Record], new: Sequence[Record]) -> list[Record]:
    """The new ones take the places of those with the same subject."""
    those = {record.subject: record for record in [*old, *new]}
    return list(those.values())


def keep(path: Path, records: Sequence[Record]) -> None:
    old = read(path) if path.exists() else []
    path.write_text(as_json(merged(old, records)), encoding="utf-8")
