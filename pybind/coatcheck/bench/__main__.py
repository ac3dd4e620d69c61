"""python -m coatcheck.bench: the comparisons, as tables."""

import argparse
import sys
from collections.abc import Callable

from . import codec, documents, redis
from .report import Row, as_json, as_table, failures

COMPARISONS: dict[str, Callable[[float], list[Row]]] = {
    "codec": lambda effort: codec.compare(effort) + documents.compare(effort),
    "redis": redis.compare,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m coatcheck.bench",
        description="Compares coatcheck with other software. Ends with status 1 where a ratio is "
        "below its goal, and with 2 where something to compare with is not installed.",
    )
    parser.add_argument("comparison", choices=sorted(COMPARISONS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, less certain")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    try:
        rows = COMPARISONS[options.comparison](0.1 if options.quick else 1.0)
    except ModuleNotFoundError as missing:
        name = missing.name
        print(f"{parser.prog}: {name} is missing: pip install {name}", file=sys.stderr)
        return 2
    except FileNotFoundError as missing:
        print(f"{parser.prog}: {missing}", file=sys.stderr)
        return 2
    print(as_json(rows) if options.json else as_table(rows))
    return 1 if failures(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
