"""Storable values: when two are the same, random ones, and those in the files of tests/data."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

DATA = Path(__file__).resolve().parents[1] / "data"


def same(a: Any, b: Any) -> bool:
    """Equal, of identical types all the way down, float bits and the order of keys included."""
    if type(a) is not type(b):
        return False
    if type(a) is float:
        return struct.pack(">d", a) == struct.pack(">d", b)
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) is dict:
        return len(a) == len(b) and all(map(same, a.items(), b.items()))
    return a == b


# ---- Random values -------------------------------------------------------------------------------

ints = st.integers() | st.integers(-(2**66), 2**66) | st.integers(-(2**600), 2**600)
floats = st.floats() | st.integers(0, 2**64 - 1).map(
    lambda bits: struct.unpack(">d", struct.pack(">Q", bits))[0]
)
scalars = st.none() | st.booleans() | ints | floats | st.text() | st.binary()
keys = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=4,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=40,
)
fields = st.dictionaries(st.text(), values, max_size=8)


# ---- Files ---------------------------------------------------------------------------------------


def unhex(text: str) -> bytes:
    """The bytes of a cell: hexadecimal, `*N` repeats the byte before it, `.` is none."""
    parts = re.findall(r"([0-9a-f]{2})(?:\*(\d+))?", text)
    return b"".join(bytes.fromhex(byte) * int(count or 1) for byte, count in parts)


def rows(name: str) -> list[list[str]]:
    """The rows of a file, as cells."""
    lines = (DATA / name).read_text(encoding="ascii").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]
