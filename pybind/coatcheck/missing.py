"""What a function for ``on_conflict`` is given, and may return, in place of a value."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class Missing(Enum):
    """The type of `MISSING`, which is its only value."""

    MISSING = "MISSING"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "MISSING"


#: There is no such field, or it was deleted. False where a truth is asked for.
MISSING: Final = Missing.MISSING
