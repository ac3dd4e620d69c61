"""
The goals: the least ratios that we want to see, and what becomes of them on other Pythons.

They are set for CPython 3.11 with its private layout in use. Other versions may lag a little.
With the public API only, the goal of the codec is to be ahead of everybody.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from coatcheck._core import cpython_internals

AHEAD = 1.0
SET_FOR = (3, 11)
ELSEWHERE = 0.9

ENCODE, DECODE = "encode", "decode"
ENCODE_DECODED = "encode what was decoded"  # always the same object, which our decoder made

# By quantity and case, against msgspec. Against the others the goal is to be ahead.
MSGSPEC = {
    ENCODE: {"small": 2.5, "medium": 2.0, "large": 1.6},
    ENCODE_DECODED: {"small": 2.0, "medium": 1.9, "large": 1.5},
    DECODE: {"small": 1.8, "medium": 1.6, "large": 1.3},
}

# By case, against decoding and encoding all.
FIRST_FIELD = {"medium": 2.2, "large": 3.0}
SAVE = {"medium": 3.0, "large": 10.0}
LOOKUP = 0.5


@dataclass(frozen=True)
class Place:
    """A Python, and whether the extension reads its private layout."""

    version: tuple[int, int]
    internals: bool

    @property
    def share(self) -> float:
        return 1.0 if self.version == SET_FOR else ELSEWHERE

    def codec(self, quantity: str, case: str, peer: str) -> float | None:
        """None: no goal is set."""
        if case not in MSGSPEC.get(quantity, ()):
            return None
        if peer != "msgspec" or not self.internals:
            return AHEAD
        return max(AHEAD, MSGSPEC[quantity][case] * self.share)

    def document(self, goal: float | None) -> float | None:
        return None if goal is None else goal * self.share

    def __str__(self) -> str:
        if not self.internals:
            return "by the public API only, so the codec's goal is to be ahead"
        if self.version == SET_FOR:
            return "with its private layout in use"
        return f"with its private layout in use; the goals are {self.share} of those of 3.11"


HERE = Place(sys.version_info[:2], cpython_internals)
PYTHON = f"CPython {platform.python_version()}, {HERE}"
