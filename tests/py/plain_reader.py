"""A reader of the format in plain Python, written from schema/FORMAT.md and nothing else.

It shows that the page is enough, and is what the real readers are compared with. So it imports
nothing of coatcheck's, and follows the page step by step rather than being quick.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

DEFAULTS = {
    "max_bytes": 1048576,
    "max_depth": 64,
    "max_items": 262144,
    "max_fields": 16384,
    "max_odd_keys": 4096,
}


EQUAL_KEY = "equals an earlier key"


class Fault(Exception):
    """These bytes are refused: the code as in C, and where."""

    def __init__(self, code: str, offset: int, why: str) -> None:
        super().__init__(f"{code} at byte {offset}: {why}")
        self.code = code
        self.offset = offset
        self.why = why


def corrupt(offset: int, why: str) -> Fault:
    return Fault("COAT_ECORRUPT", offset, why)


# ---- Values --------------------------------------------------------------------------------------

# The first byte of what has a length or a count: its kind, how wide that is, and the least that
# no smaller form holds.
SIZED = {
    0xD9: ("text", 1, 32), 0xDA: ("text", 2, 1 << 8), 0xDB: ("text", 4, 1 << 16),
    0xC4: ("bytes", 1, 0), 0xC5: ("bytes", 2, 1 << 8), 0xC6: ("bytes", 4, 1 << 16),
    0xDC: ("list", 2, 16), 0xDD: ("list", 4, 1 << 16),
    0xDE: ("dict", 2, 16), 0xDF: ("dict", 4, 1 << 16),
    0xC7: ("ext", 1, 0), 0xC8: ("ext", 2, 1 << 8), 0xC9: ("ext", 4, 1 << 16),
}  # fmt: skip
FIXEXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
# Ints: how they are unpacked, and what they are between.
INTS = {
    0xCC: (">B", 1 << 7, (1 << 8) - 1), 0xCD: (">H", 1 << 8, (1 << 16) - 1),
    0xCE: (">I", 1 << 16, (1 << 32) - 1), 0xCF: (">Q", 1 << 32, (1 << 64) - 1),
    0xD0: (">b", -(1 << 7), -33), 0xD1: (">h", -(1 << 15), -(1 << 7) - 1),
    0xD2: (">i", -(1 << 31), -(1 << 15) - 1), 0xD3: (">q", -(1 << 63), -(1 << 31) - 1),
}  # fmt: skip
LEAST_MEMBER = {"text": 1, "bytes": 1, "list": 1, "dict": 2}


@dataclass
class Head:
    """What stands at the beginning of a value. `at` is the byte after it."""

    kind: str
    at: int
    value: Any = None  # of a scalar without content
    size: int = 0  # bytes of content, members, or pairs
    end: int = 0  # where the content of a tuple ends


class Reader:
    def __init__(self, data: bytes, limits: dict[str, int], *, fields: bool = False) -> None:
        self.data = data
        self.limits = {**DEFAULTS, **limits}
        self.fields = fields  # it is a dict whose keys are all text
        self.items = 0
        self.odd: list[int] = []  # of each open dict: values in keys neither text nor bytes

    def read(self) -> Any:
        if len(self.data) > self.limits["max_bytes"]:
            raise Fault("COAT_ELIMIT", 0, "max_bytes")
        if self.fields:
            self.fields_head(self.head(0))
        value, end = self.value(0)
        if end < len(self.data):
            raise corrupt(end, "behind the value")
        return value

    def fields_head(self, head: Head) -> None:
        if head.kind != "dict":
            raise corrupt(0, "the fields are no dict")
        if head.size > self.limits["max_fields"]:
            raise Fault("COAT_ELIMIT", 0, "max_fields")

    # -- Heads: steps 1 and 2 --

    def number(self, at: int, width: int, start: int, end: int) -> int:
        if end - at < width:
            raise corrupt(start, "cut off")
        return int.from_bytes(self.data[at : at + width], "big")

    def head(self, start: int) -> Head:
        head = self.any_head(start, len(self.data))
        if head.kind == "ext":
            return self.ext(start, head)
        return head

    def any_head(self, start: int, end: int) -> Head:
        if start >= end:
            raise corrupt(start, "cut off")
        first, at = self.data[start], start + 1
        if first < 0x80:
            return Head("int", at, first)
        if first >= 0xE0:
            return Head("int", at, first - 256)
        if first < 0x90:
            return self.backed(Head("dict", at, size=first & 15), start, end)
        if first < 0xA0:
            return self.backed(Head("list", at, size=first & 15), start, end)
        if first < 0xC0:
            return self.backed(Head("text", at, size=first & 31), start, end)
        if first == 0xC0:
            return Head("nil", at)
        if first in (0xC2, 0xC3):
            return Head("bool", at, first == 0xC3)
        if first == 0xCB:
            self.number(at, 8, start, end)
            return Head("float", at + 8, struct.unpack_from(">d", self.data, at)[0])
        if first in INTS:
            return self.int_head(first, start, end)
        if first in FIXEXT:
            return Head("ext", at, size=FIXEXT[first])
        if first in SIZED:
            return self.sized_head(first, start, end)
        raise corrupt(start, "not in the format")

    def int_head(self, first: int, start: int, end: int) -> Head:
        form, least, most = INTS[first]
        width = struct.calcsize(form)
        self.number(start + 1, width, start, end)
        value = struct.unpack_from(form, self.data, start + 1)[0]
        if not least <= value <= most:
            raise corrupt(start, "not the smallest form")
        return Head("int", start + 1 + width, value)

    def sized_head(self, first: int, start: int, end: int) -> Head:
        kind, width, least = SIZED[first]
        size = self.number(start + 1, width, start, end)
        if size < least or (first == 0xC7 and size in FIXEXT.values()):
            raise corrupt(start, "not the smallest form")
        head = Head(kind, start + 1 + width, size=size)
        return head if kind == "ext" else self.backed(head, start, end)

    def backed(self, head: Head, start: int, end: int) -> Head:
        if head.size * LEAST_MEMBER[head.kind] > end - head.at:
            raise corrupt(start, "cut off")
        return head

    def ext(self, start: int, head: Head) -> Head:
        content = head.at + 1
        end = content + head.size
        if end > len(self.data):
            raise corrupt(start, "cut off")
        kind = self.data[head.at]
        if kind == 1:
            return self.tuple_head(start, content, end)
        if kind != 2:
            raise corrupt(start, "an ext type that is not in the format")
        value = int.from_bytes(self.data[content:end], "big", signed=True)
        shortest = value.bit_length() // 8 + 1 if value >= 0 else (~value).bit_length() // 8 + 1
        if head.size != shortest or -(1 << 63) <= value < 1 << 64:
            raise corrupt(start, "not the smallest form")
        return Head("big int", end, value)

    def tuple_head(self, start: int, content: int, end: int) -> Head:
        try:
            head = self.any_head(content, end)
        except Fault:
            raise corrupt(start, "a tuple whose content is no list") from None
        if head.kind != "list":
            raise corrupt(start, "a tuple whose content is no list")
        return Head("tuple", head.at, size=head.size, end=end)

    # -- Values: steps 3 to 6 --

    def value(self, start: int, depth: int = 0, key: str = "") -> tuple[Any, int]:
        """The value, and where it ends. `key`: it is a key ("is") or in one ("in")."""
        head = self.head(start)
        self.items += 1
        if self.items > self.limits["max_items"]:
            raise Fault("COAT_ELIMIT", start, "max_items")
        if key and (
            head.kind in ("list", "dict", "big int")
            or (head.kind == "float" and not math.isfinite(head.value))
        ):
            raise corrupt(start, f"a {head.kind} cannot be a key")
        if key == "in" or (key == "is" and head.kind not in ("text", "bytes")):
            self.odd[-1] += 1
            if self.odd[-1] > self.limits["max_odd_keys"]:
                raise Fault("COAT_ELIMIT", start, "max_odd_keys")
        if head.kind in ("text", "bytes"):
            return self.content(head)
        if head.kind not in ("list", "tuple", "dict"):
            return head.value, head.at
        if depth == self.limits["max_depth"]:
            raise Fault("COAT_ELIMIT", start, "max_depth")
        if head.kind == "dict":
            return self.dict(head, depth + 1)
        members, at = [], head.at
        for _ in range(head.size):
            member, at = self.value(at, depth + 1, "in" if key else "")
            members.append(member)
        if head.kind == "list":
            return members, at
        if at != head.end:
            raise corrupt(start, "a tuple that is not as long as its list")
        return tuple(members), at

    def content(self, head: Head) -> tuple[str | bytes, int]:
        end = head.at + head.size
        content = self.data[head.at : end]
        if head.kind == "bytes":
            return content, end
        try:
            return content.decode("utf-8"), end
        except UnicodeDecodeError as error:
            raise corrupt(head.at + error.start, "not UTF-8") from None

    def dict(self, head: Head, depth: int) -> tuple[dict[Any, Any], int]:
        pairs: dict[Any, Any] = {}
        seen: set[Any] = set()
        twin = None
        at = head.at
        self.odd.append(0)
        for _ in range(head.size):
            start = at
            key, at = self.value(start, depth, "is")
            if self.fields and depth == 1 and not isinstance(key, str):
                raise corrupt(start, "the name of a field is not text")
            if twin is None and identity(key) in seen:
                twin = start
            seen.add(identity(key))
            pairs[key], at = self.value(at, depth)
        self.odd.pop()
        if twin is not None:
            raise corrupt(twin, EQUAL_KEY)
        return pairs, at


def identity(key: Any) -> Any:
    """Equal for equal keys, by the rules of the page and not by Python's."""
    if isinstance(key, tuple):
        return ("tuple", *map(identity, key))
    if isinstance(key, (bool, int, float)):
        return ("number", Fraction(key))
    return (type(key).__name__, key)


def read(data: bytes, **limits: int) -> Any:
    """The value of these bytes, or a Fault."""
    return Reader(data, limits).read()


# ---- Records -------------------------------------------------------------------------------------

LATEST_TIME = (1 << 53) - 1
# The heads of the items: their offset and their bytes.
ITEMS = [
    (0, b"\x99"), (2, b"\xc4\x28"), (44, b"\xc4\x28"), (86, b"\xcf"), (95, b"\xcf"),
    (104, b"\xc4\x08"), (114, b"\xce"),
]  # fmt: skip
STATES = {0: "until", 2: "dead since", 3: "offered since"}


def time_at(data: bytes, offset: int, bits: int = 64) -> int:
    time = int.from_bytes(data[offset : offset + 8], "big") & ((1 << bits) - 1)
    if time > LATEST_TIME:
        raise corrupt(offset, "a time out of range")
    return time


def revisions_of(data: bytes) -> list[bytes]:
    revisions = [data[at : at + 8] for at in range(4, 44, 8)]
    if not any(revisions[0]):
        raise corrupt(4, "no revision")
    return [revision for revision in revisions if any(revision)]


def other_of(data: bytes) -> tuple[bytes, str, int] | None:
    if not any(data[78:86]):
        return None
    state = STATES.get(data[78] >> 6)
    if state is None:
        raise corrupt(78, "a state that no record has")
    return data[62:78], state, time_at(data, 78, 62)


def principal_of(data: bytes) -> tuple[str | None, int]:
    """The principal, and where the fields begin."""
    first = data[119] if len(data) > 119 else 0
    if first == 0xC0:
        return None, 120
    if 0xA0 <= first < 0xC0:
        end = 120 + (first & 31)
    elif first == 0xD9 and len(data) > 120:
        end = 121 + data[120]
    else:
        raise corrupt(119, "the principal is neither nil nor a short text")
    if end > len(data):
        raise corrupt(len(data), "it ends within its principal")
    try:
        principal = Reader(data[119:end], {}).read()
    except Fault:
        raise corrupt(119, "the principal is not as it should be") from None
    if not principal or "\0" in principal:
        raise corrupt(119, "the principal is empty or has a NUL")
    return principal, end


def fields_of(data: bytes, start: int, limits: dict[str, int]) -> Any:
    try:
        return Reader(data[start:], limits, fields=True).read()
    except Fault as fault:
        raise Fault(fault.code, start + fault.offset, "in the fields") from fault


def read_record(data: bytes, **limits: int) -> dict[str, Any]:
    """What is in a record, or a Fault."""
    if len(data) < 2 or data[0] & 0xF0 != 0x90 or not 1 <= data[1] <= 127:
        raise corrupt(0, "no record")
    if data[1] > 1:
        raise Fault("COAT_EFORMAT", 0, "a newer format")
    if len(data) < 119:
        raise corrupt(len(data), "it ends within its head")
    for offset, item in ITEMS:
        if data[offset : offset + len(item)] != item:
            raise corrupt(offset, "an item of another kind or length")
    record = {
        "revisions": revisions_of(data),
        "current": data[46:62],
        "other": other_of(data),
        "created": time_at(data, 87),
        "deadline": time_at(data, 96),
        "tag": data[106:114],
        "idle": int.from_bytes(data[115:119], "big"),
    }
    record["principal"], start = principal_of(data)
    record["fields"] = fields_of(data, start, limits)
    return record
