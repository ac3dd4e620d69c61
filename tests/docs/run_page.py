"""Runs the Python blocks of one page in order, in one namespace, as a reader would.

    python3 run_page.py PAGE

A block followed by a `text` block must print that, or end with the exception of its last line;
`...` stands for anything. Other blocks must not fail. Blocks that serve or are tests are run by
test_docs.py, each by itself.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import traceback
import types
from itertools import zip_longest
from pathlib import Path

from pages import Block, blocks


def run(block: Block, namespace: dict[str, object]) -> tuple[str, BaseException | None]:
    """What it printed, with the last line of the traceback if it raised."""
    # So that a traceback shows the line of the page.
    source = "\n" * (block.line - 1) + block.code
    output = io.StringIO()
    error = None
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(source, str(block.page), "exec"), namespace)
        except Exception as raised:
            error = raised
    if error is not None:
        output.write("".join(traceback.format_exception_only(error)))
    return output.getvalue(), error


def same(promised: str, seen: str) -> bool:
    parts = [re.escape(part) for part in promised.split("...")]
    return re.fullmatch(".*".join(parts), seen, re.DOTALL) is not None


def check(block: Block, promised: Block | None, namespace: dict[str, object]) -> bool:
    seen, error = run(block, namespace)
    if promised is None:
        if error is not None:
            traceback.print_exception(error)
            print(f"{block.place}: failed as above", file=sys.stderr)
        return error is None
    if same(promised.code, seen):
        return True
    print(f"{promised.place}: the page says\n{promised.code}but it is\n{seen}", file=sys.stderr)
    return False


def main() -> int:
    page = blocks(Path(sys.argv[1]).resolve())
    # A module like any other: frameworks look their caller up.
    module = sys.modules["page"] = types.ModuleType("page")
    namespace = vars(module)
    held = True
    for block, following in zip_longest(page, page[1:]):
        if block.language != "python" or block.is_server or block.is_test:
            continue
        promised = following if following is not None and following.language == "text" else None
        held = check(block, promised, namespace) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
