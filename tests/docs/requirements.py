#!/usr/bin/env python3
"""requirements.py [--short] LOGS: each security requirement, its tests, and their last results.

The requirements stand in docs/requirements.md; tests carry their numbers in their names. LOGS is
the folder where tests/run leaves what the tests said.
"""

from __future__ import annotations

import re
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pages import ROOT

PAGE = ROOT / "docs" / "requirements.md"
TESTS = ROOT / "tests"

# The worst of several results is that of them all.
RESULTS = ("failed", "not run", "skipped", "passed")
OPEN = "open"
MARGIN = " " * 14


@dataclass(frozen=True)
class NamedTest:
    """A test that is named for requirements, such as `test_req_25_31_what_it_shows`."""

    file: str  # in tests/, without its suffix: unit/test_sid
    name: str

    @property
    def numbers(self) -> list[str]:
        """None, if the name is not as it should be."""
        match = re.fullmatch(r"(?:test_)?req((?:_\d\d)+)_[a-z]\w*", self.name)
        return match[1].strip("_").split("_") if match else []


def requirements() -> dict[str, str]:
    """The text of each, by its number."""
    page = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"^\| (\d\d) \| (.+) \| [^|]+ \|$", page, re.MULTILINE))


def named_tests() -> list[NamedTest]:
    """The tests in C and Python that are named for a requirement, or seem to be."""
    functions = {
        "*/test_*.c": r"^(?:static )?void ((?:test_)?req_?\d\w*)\(",
        "py/test_*.py": r"^\s*(?:async )?def ((?:test_)?req_?\d\w*)\(",
    }
    return [
        NamedTest(file.relative_to(TESTS).with_suffix("").as_posix(), name)
        for pattern, function in functions.items()
        for file in sorted(TESTS.glob(pattern))
        for name in re.findall(function, file.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def outcome(failed: object, skipped: object) -> str:
    return "failed" if failed else "skipped" if skipped else "passed"


def tap_results(log: Path) -> Iterator[tuple[NamedTest, str]]:
    """What the C tests said in a log, each program after a line with its path.

    A program that failed as a whole is a test without a name.
    """
    file = ""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if program := re.match(r"(# |not ok - )\S*\btests/(\w+/test_\w+)\b", line):
            file = program[2]
            if program[1] == "not ok - ":
                yield NamedTest(file, ""), "failed"
        elif said := re.match(r"(?i)(not )?ok \d+ - (\w+)(.*# skip)?", line):
            yield NamedTest(file, said[2]), outcome(said[1], said[3])


def junit_results(log: Path) -> Iterator[tuple[NamedTest, str]]:
    """What pytest said in a log, each case of a test by itself."""
    for case in ElementTree.parse(log).iter("testcase"):
        module = re.search(r"\btest_\w+", case.get("classname", ""))
        said = {child.tag for child in case}
        test = NamedTest(f"py/{module and module[0]}", case.get("name", "").partition("[")[0])
        yield test, outcome(said & {"failure", "error"}, "skipped" in said)


def results(logs: Path) -> dict[NamedTest, str]:
    """The result of each test that ran, the worst if it ran more than once."""
    worst: dict[NamedTest, str] = {}
    for pattern, read in (("*.log", tap_results), ("*.xml", junit_results)):
        for log in sorted(logs.glob(pattern)):
            for test, result in read(log):
                worst[test] = worst_of([worst.get(test, result), result])
    return worst


def worst_of(these: Iterable[str]) -> str:
    return min(these, key=RESULTS.index, default=OPEN)


def main(arguments: list[str]) -> None:
    *options, logs = arguments
    last = results(Path(logs))
    counts: Counter[str] = Counter()
    known = {
        test: worst_of([last.get(test, "not run"), last.get(NamedTest(test.file, ""), "passed")])
        for test in named_tests()
    }
    for number, text in requirements().items():
        tests = {test: result for test, result in known.items() if number in test.numbers}
        whole = worst_of(tests.values())
        counts[whole] += 1
        if "--short" in options:
            continue
        lines = textwrap.wrap(f"{number}  {whole:9} {text}", 100, subsequent_indent=MARGIN)
        print(*lines, sep="\n")
        for test, result in tests.items():
            print(f"{MARGIN}{result}: {test.file}: {test.name}")
    shown = [f"{counts[result]} {result}" for result in (*RESULTS[::-1], OPEN) if counts[result]]
    print(f"requirements: {', '.join(shown)}")


if __name__ == "__main__":
    main(sys.argv[1:])
