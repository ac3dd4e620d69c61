"""The pages of the documentation, taken apart for the tests that run what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page for folder in (".", "docs", "schema") for page in (ROOT / folder).glob("*.md"))

_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>.*)$")
_LINK = re.compile(r"(?<!\!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"#{1,6} +(?P<text>.+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block of code; `line` is where its first line of code stands."""

    page: Path
    line: int
    language: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_server(self) -> bool:
        return self.language == "python" and "serve_forever()" in self.code

    @property
    def is_test(self) -> bool:
        return self.language == "python" and "def test_" in self.code


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order."""
    found = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        code = []
        for _, line in lines:
            if line.strip() == opening["fence"]:
                break
            code.append(line[len(opening["indent"]) :])
        else:
            raise ValueError(f"{page}:{number}: a block that does not end")
        text = "".join(f"{line}\n" for line in code)
        found.append(Block(page, number + 1, opening["language"].strip(), text))
    return found


def all_blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def table(page: Path, heading: str) -> list[list[str]]:
    """The rows of the first table with this first heading, without the heading and the rule."""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def prose(page: Path) -> Iterator[str]:
    """The lines of a page that are not in a block."""
    fence = None
    for line in page.read_text(encoding="utf-8").splitlines():
        mark = _FENCE.match(line)
        if fence is None and mark:
            fence = mark["fence"]
        elif fence is None:
            yield line
        elif line.strip() == fence:
            fence = None


def links(page: Path) -> list[str]:
    return [link["target"] for line in prose(page) for link in _LINK.finditer(line)]


def anchors(page: Path) -> set[str]:
    """What a link can name after its #, as the usual hosts make it from the headings."""
    headings = [match["text"] for line in prose(page) if (match := _HEADING.match(line))]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
