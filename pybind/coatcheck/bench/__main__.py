"""python -m coatcheck.bench: the comparisons, and what sessions cost a server, as tables."""

import argparse
import sys
from collections.abc import Callable

from . import cache, codec, documents, figures, redis, requests, session, stampede
from .report import Row, as_json, as_table, failures

COMPARISONS: dict[str, Callable[[float], list[Row]]] = {
    "cache": cache.compare,
    "codec": lambda effort: codec.compare(effort) + documents.compare(effort),
    "redis": redis.compare,
    "requests": requests.compare,
}


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError("not as many as one")
    return numbers


def _options() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog="python -m coatcheck.bench",
        description="Compares coatcheck with other software; `session` says what sessions cost a "
        "Redis server, `stampede` what becomes of many who want one value of a cache. Ends with "
        "status 1 where a ratio is below its goal, and with 2 where something that is needed is "
        "not there.",
    )
    parser.add_argument("comparison", choices=[*sorted(COMPARISONS), *MEASURES])
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, less certain")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument(
        "--sessions",
        type=_numbers,
        metavar="N,...",
        help="session: among how many to measure; by default "
        + ",".join(map(str, session.SESSIONS)),
    )
    options = parser.parse_args()
    if options.sessions and options.comparison != "session":
        parser.error("--sessions is for session")
    return parser, options


def _compare(options: argparse.Namespace) -> tuple[str, int]:
    rows = COMPARISONS[options.comparison](0.1 if options.quick else 1.0)
    return as_json(rows) if options.json else as_table(rows), 1 if failures(rows) else 0


def _stampede(options: argparse.Namespace) -> tuple[str, int]:
    found = stampede.measure(0.34 if options.quick else 1.0)
    return figures.as_json(*found) if options.json else figures.as_text(*found), 0


def _measure(options: argparse.Namespace) -> tuple[str, int]:
    effort = session.QUICK if options.quick else session.FULL
    sessions = options.sessions or (session.SESSIONS[:2] if options.quick else session.SESSIONS)
    found = session.measure(effort, sessions)
    return figures.as_json(*found) if options.json else figures.as_text(*found), 0


MEASURES = {"session": _measure, "stampede": _stampede}


def main() -> int:
    parser, options = _options()
    try:
        text, status = MEASURES.get(options.comparison, _compare)(options)
    except ModuleNotFoundError as missing:
        name = missing.name
        print(f"{parser.prog}: {name} is missing: pip install {name}", file=sys.stderr)
        return 2
    except (FileNotFoundError, session.NotEnoughMemory) as missing:
        print(f"{parser.prog}: {missing}", file=sys.stderr)
        return 2
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
