"""Bytes made to hurt, and what decoding each of them costs: run it, and it says so in JSON."""

from __future__ import annotations

import json
import os
import resource
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from coatcheck import Corrupt, LimitExceeded, dumps, loads

UNLIMITED: dict[str, Any] = {"max_depth": None, "max_bytes": None, "max_items": None}


def list_head(count: int) -> bytes:
    return dumps([None] * count, **UNLIMITED)[:-count]


def tuple_head(size: int) -> bytes:
    """Of a tuple whose list has so many bytes."""
    if size in (1, 2, 4, 8, 16):
        return bytes([0xD4 + size.bit_length() - 1, 1])
    for first, width in ((0xC7, 1), (0xC8, 2)):
        if size < 1 << 8 * width:
            return bytes([first]) + size.to_bytes(width, "big") + b"\x01"
    return b"\xc9" + size.to_bytes(4, "big") + b"\x01"


def tuples_around(tail: bytes, depth: int) -> bytes:
    """Tuples within each other, each of as many members as the tail has bytes."""
    head, size, parts = list_head(len(tail)), len(tail), [tail]
    for _ in range(depth):
        size += len(head)
        parts.append(tuple_head(size) + head)
        size += len(tuple_head(size))
    return b"".join(reversed(parts))


def equal_hashes() -> Iterator[tuple[Any, ...]]:
    """Tuples of one hash: that of an int is what is left of it modulo a prime."""
    ints = [k * (2**61 - 1) for k in range(-3, 4)]
    return product(ints, repeat=5)


def dict_of(keys: list[Any]) -> bytes:
    assert len(keys) > 15
    head = b"\xde" + len(keys).to_bytes(2, "big")
    return head + b"".join(dumps(key) + b"\xc0" for key in keys)


def list_of(member: bytes, count: int) -> bytes:
    return list_head(count) + member * count


COLLIDING = list(islice(equal_hashes(), 5000))

ERRORS = {
    "lists": b"\x91" * 1_000_000 + b"\xc0",
    "dicts": b"\x81\xa0" * 500_000 + b"\xc0",
    "tuples": tuples_around(b"\xc0", 100_000),
    "list of 2^32-1": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1_000_000,
    "dict of 2^32-1": b"\xdf\xff\xff\xff\xff" + b"\xa0" * 1_000_000,
    "text of 2^32-1": b"\xdb\xff\xff\xff\xff" + b"a" * 1_000_000,
    "bytes of 2^32-1": b"\xc6\xff\xff\xff\xff" + b"a" * 1_000_000,
    "tuple of 2^32-1": b"\xc9\xff\xff\xff\xff\x01\xdd\xff\xff\xff\xff" + b"\xc0" * 1_000_000,
    "int of 2^32-1": b"\xc9\xff\xff\xff\xff\x02" + b"\x7f" * 1_000_000,
    "lists of 2^32-1": b"\xdd\xff\xff\xff\xff" * 200_000,
    "dicts of 2^32-1": b"\xdf\xff\xff\xff\xff\xa0" * 160_000,
    "small lists of 2^32-1": b"\xdd\xff\xff\xff\xff" * 60,
    "one tail for lists": b"\xdd\x00\x0f\x00\x00" * 63 + b"\xc0" * 0xF0000,
    "one short tail for lists": b"\xdd\x00\x03\xf0\x00" * 63 + b"\xc0" * 0x3F000,
    "one tail for dicts": b"\xdf\x00\x07\x00\x00\xa0" * 63 + b"\xc0" * 0xF0000,
    "one tail for tuples": tuples_around(b"\xc0" * 0xF0000, 63),
    "one short tail for tuples": tuples_around(b"\xc0" * 0x3F000, 63),
    "dicts of one shape": list_of(dumps({f"name {i:03}": None for i in range(30)}), 300)
    + b"\xde\x00\x1e\xa8name 000\x91" * 60,
    "colliding keys": dict_of(COLLIDING),
    "long colliding keys": dict_of([(*[257] * 50, *key) for key in COLLIDING[:4096]]),
    "one long key": dict_of([*map(str, range(15)), (257,) * 250_000]),
    "int keys": dict_of(list(range(5000))),
    "a key twice": dict_of([*map(str, range(60_000)), "59999"]),
}  # fmt: skip

VALUES = {
    "empty lists": list_of(b"\x90", 262_143),
    "empty dicts": list_of(b"\x80", 262_143),
    "empty tuples": list_of(b"\xd4\x01\x90", 262_143),
    "dicts of one": list_of(b"\x81\xa0\xc0", 87_381),
    "dicts of one int key": list_of(b"\x81\x01\xc0", 87_381),
    "tuples as keys": list_of(b"\x81\xd4\x01\x90\xc0", 87_381),
    "short texts": list_of(dumps("\N{LATIN SMALL LETTER A WITH MACRON}"), 262_143),
    "one wide character": b"\xdb\x00\x0f\xff\x00" + b"a" * 0xFFEFC + "😀".encode(),
    "ints": list_of(b"\xcd\x01\x00", 262_143),
    "colliding keys that are few enough": dict_of(COLLIDING[:682]),
    "dicts of colliding keys": list_of(dict_of(COLLIDING[:682]), 30),
    "dicts of int keys": list_of(dict_of(list(range(4096))), 25),
}


@dataclass
class Cost:
    size: int
    outcome: str  # the exception, or "value"
    seconds: float  # of the processor
    objects: int  # bytes that Python asked for
    memory: int  # bytes by which the process grew


def outcome(data: bytes, limits: dict[str, Any]) -> str:
    try:
        loads(data, **limits)
    except (Corrupt, LimitExceeded) as error:
        return type(error).__name__
    return "value"


def cost_of(data: bytes, limits: dict[str, Any]) -> Cost:
    """In this process, which has to be a fresh copy: its memory is never less than it once was."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    what = outcome(data, limits)
    seconds = time.process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    tracemalloc.start()
    outcome(data, limits)
    objects = tracemalloc.get_traced_memory()[1]
    return Cost(len(data), what, seconds, objects, memory * 1024)


def in_a_copy(measure: Callable[[], Cost]) -> Cost:
    """What it returns in a child of this process."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException), open(writable, "w") as out:
            json.dump(vars(measure()), out)
        os._exit(0)
    os.close(writable)
    with open(readable) as result:
        text = result.read()
    os.waitpid(child, 0)
    return Cost(**json.loads(text))


def costs() -> dict[str, Cost]:
    """Of each with the usual limits, and of what ends in an error without any, too."""
    todo = {f"{name}, limited": (data, {}) for name, data in {**ERRORS, **VALUES}.items()}
    todo |= {f"{name}, unlimited": (data, UNLIMITED) for name, data in ERRORS.items()}
    return {name: in_a_copy(lambda what=what: cost_of(*what)) for name, what in todo.items()}


if __name__ == "__main__":
    print(json.dumps({name: vars(cost) for name, cost in costs().items()}))
