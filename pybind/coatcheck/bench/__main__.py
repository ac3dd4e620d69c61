"""python -m coatcheck.bench: the comparisons, and what sessions cost a server, as tables."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coatcheck import __version__

from . import cache, codec, frame, page, record, redis, requests, session, stampede
from .frame import Asked
from .record import Found, Record

PROGRAM = "python -m coatcheck.bench"


@dataclass(frozen=True)
class Subject:
    """What can be measured: its parts, each by its name, and how."""

    parts: Sequence[str]
    measure: Callable[[Asked], Found]


SUBJECTS = {
    "cache": Subject(cache.PARTS, cache.measure),
    "codec": Subject(codec.PARTS, codec.measure),
    "redis": Subject(redis.PARTS, redis.measure),
    "requests": Subject(requests.PARTS, requests.measure),
    "session": Subject(session.PARTS, session.measure),
    "stampede": Subject(stampede.PARTS, stampede.measure),
}
ALL, REPORT = "all", "report"


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError("not as many as one")
    return numbers


def _rounds(text: str) -> int:
    (rounds,) = _numbers(text)
    if rounds < 2:
        raise ValueError("one round has no spread")
    return rounds


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Compares coatcheck with other software; `session` says what sessions cost a "
        "Redis server, `stampede` what becomes of many who want one value of a cache. Ends with "
        "status 1 where a ratio is below its goal, and with 2 where something that is needed is "
        "not there.",
    )
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for name in [*sorted(SUBJECTS), ALL]:
        _add_options(subjects.add_parser(name), name)
    report = subjects.add_parser(REPORT)
    report.add_argument("page", type=Path, help="where the tables belong")
    report.add_argument("records", type=Path, nargs="+", help="what --record kept; later ones win")
    return parser


def _add_options(parser: argparse.ArgumentParser, subject: str) -> None:
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, less certain")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep it there, too")
    parser.add_argument("--note", default="", help="what should be known of this run")
    parser.add_argument(
        "--rounds", type=_rounds, help="how often all take turns, whatever the time"
    )
    if subject != ALL:
        parts = SUBJECTS[subject].parts
        parser.add_argument(
            "--only", type=_names, default=[], metavar="PART,...", help="of " + ", ".join(parts)
        )
    if subject in ("session", ALL):
        parser.add_argument(
            "--sessions",
            type=_numbers,
            metavar="N,...",
            help="among how many to measure; by default " + ",".join(map(str, session.SESSIONS)),
        )


def _command(arguments: Sequence[str], subject: str) -> str:
    """As it is typed for this subject alone, but for where the record and the note go."""
    kept, skip = [], False
    for argument in arguments:
        if skip or argument in ("--record", "--note"):
            skip = not skip
        elif not argument.startswith(("--record=", "--note=")) and argument != "--json":
            kept.append(subject if argument == ALL else argument)
    return shlex.join(PROGRAM.split() + kept)


def _asked(options: argparse.Namespace) -> Asked:
    return Asked(
        0.1 if options.quick else 1.0,
        options.rounds,
        getattr(options, "only", ()),
        getattr(options, "sessions", None),
    )


def measured(subject: str, asked: Asked, command: str, note: str = "") -> Record:
    machine, date = record.machine(), record.today()
    found = SUBJECTS[subject].measure(asked)
    return Record(
        subject,
        date,
        command,
        machine,
        {"coatcheck": __version__, **found.versions, **asked.versions},
        {**found.missing, **asked.missing},
        found.tables,
        note,
    )


def _measure(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    subjects = list(SUBJECTS) if options.subject == ALL else [options.subject]
    records = []
    for subject in subjects:
        command = _command(arguments, subject)
        records.append(measured(subject, _asked(options), command, options.note))
        if options.record:
            record.keep(options.record, records[-1:])
        if not options.json:
            print(record.printed(records[-1]), flush=True)
    if options.json:
        print(record.as_json(records), end="")
    return 1 if any(one.below for one in records) else 0


def _report(options: argparse.Namespace) -> int:
    records: list[Record] = []
    for path in options.records:
        records = record.merged(records, record.read(path))
    print(page.filled(options.page.read_text(encoding="utf-8"), records), end="")
    return 0


def main() -> int:
    parser, arguments = _parser(), sys.argv[1:]
    options = parser.parse_args(arguments)
    if unknown := frame.unknown(
        getattr(options, "only", ()), getattr(SUBJECTS.get(options.subject), "parts", ())
    ):
        parser.error(f"--only: {options.subject} has no part {', '.join(unknown)}")
    try:
        return _report(options) if options.subject == REPORT else _measure(options, arguments)
    except ModuleNotFoundError as missing:
        name = missing.name
        print(f"{parser.prog}: {name} is missing: pip install {name}", file=sys.stderr)
    except (FileNotFoundError, ValueError, session.NotEnoughMemory) as wrong:
        print(f"{parser.prog}: {wrong}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
