"""dumps, loads and check: what may be stored, its bytes, and what a refusal says."""

from __future__ import annotations

import array
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from coatcheck import Corrupt, LimitExceeded, check, dumps, loads
from values import same

# ---- What is stored comes back -------------------------------------------------------------------


@pytest.mark.parametrize(
    "length", [0, 1, 15, 16, 17, 31, 32, 33, 253, 254, 255, 256, 257, 65533, 65535, 65536, 65540]
)
def test_every_length_comes_back(length: int) -> None:
    for value in (
        "x" * length,
        "é" * length,
        b"x" * length,
        [None] * length,
        (None,) * length,
        ((b"x" * length,),),
        {str(i): i for i in range(length)},
    ):
        assert same(loads(dumps(value)), value)


@pytest.mark.parametrize("bits", [*range(1, 70), 127, 128, 129, 1000])
def test_ints_at_every_power_of_two_come_back(bits: int) -> None:
    for value in (2**bits, 2**bits - 1, 2**bits + 1, -(2**bits), -(2**bits) - 1, -(2**bits) + 1):
        assert same(loads(dumps(value)), value)


def test_the_bits_of_a_nan_are_kept() -> None:
    for bits in (0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF):
        nan = struct.unpack(">d", struct.pack(">Q", bits))[0]
        assert dumps(nan) == b"\xcb" + struct.pack(">Q", bits)
        assert same(loads(dumps(nan)), nan)


@pytest.mark.parametrize(
    ("value", "hexadecimal"),
    [
        (None, "c0"),
        (False, "c2"),
        (True, "c3"),
        (127, "7f"),
        (128, "cc80"),
        (-32, "e0"),
        (-33, "d0df"),
        (2**64 - 1, "cfffffffffffffffff"),
        (2**64, "c70902010000000000000000"),
        (-(2**63) - 1, "c70902ff7fffffffffffffff"),
        (1.5, "cb3ff8000000000000"),
        ("", "a0"),
        ("aé", "a361c3a9"),
        (b"\x00", "c40100"),
        ([1, []], "920190"),
        ((), "d40190"),
        ((1, 2), "c703019201 02".replace(" ", "")),
        ((1, 2, 3), "d60193010203"),
        ({"a": 1, b"a": None}, "82a16101c40161c0"),
    ],
)
def test_the_bytes_are_the_smallest_msgpack(value: Any, hexadecimal: str) -> None:
    assert dumps(value).hex() == hexadecimal
    assert same(loads(bytes.fromhex(hexadecimal)), value)


class Bytes(bytes):
    pass


BUFFERS: list[Callable[[bytes], Any]] = [
    Bytes,
    bytearray,
    memoryview,
    lambda data: array.array("B", data),
    lambda data: memoryview(b"".join(bytes([byte, 0]) for byte in data))[::2],
]


@pytest.mark.parametrize("kind", BUFFERS)
def test_any_buffer_can_be_loaded(kind: Callable[[bytes], Any]) -> None:
    assert loads(kind(dumps([1, "two"]))) == [1, "two"]


def test_no_buffer_is_a_type_error() -> None:
    for data in ("text", 5, None, [1]):
        with pytest.raises(TypeError):
            loads(data)  # type: ignore[arg-type]


def test_text_that_python_keeps_in_two_and_four_bytes_comes_back() -> None:
    for text in ("カメラ", "😀", "a😀é", "\x00\uffff"):
        assert same(loads(dumps({text: text})), {text: text})


# ---- Limits --------------------------------------------------------------------------------------


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_req_53_57_depth_is_limited_in_both_directions() -> None:
    for wrap in (lambda v: [v], lambda v: (v,), lambda v: {"k": v}):
        value: Any = 1
        for _ in range(64):
            value = wrap(value)
        data = dumps(value)
        assert same(loads(data), value)
        with pytest.raises(LimitExceeded, match="max_depth of 64") as refusal:
            dumps(wrap(value))
        assert refusal.value.limit == "max_depth"
        with pytest.raises(LimitExceeded) as refusal:
            loads(dumps(wrap(value), max_depth=65))
        assert refusal.value.limit == "max_depth"
        assert same(loads(dumps(wrap(value), max_depth=65), max_depth=65), wrap(value))


def test_a_tuple_as_a_key_counts_for_the_depth() -> None:
    assert loads(dumps({((),): 1}, max_depth=3), max_depth=3) == {((),): 1}
    with pytest.raises(LimitExceeded):
        dumps({((),): 1}, max_depth=2)
    with pytest.raises(LimitExceeded):
        loads(dumps({((),): 1}), max_depth=2)


def test_no_limit_on_depth_means_1024() -> None:
    value = nested(1024)
    data = dumps(value, max_depth=None)
    assert data == b"\x91" * 1023 + b"\x90"
    assert dumps(loads(data, max_depth=None), max_depth=None) == data
    with pytest.raises(LimitExceeded):
        dumps([value], max_depth=None)


def test_the_deepest_value_fits_the_stack_of_a_thread() -> None:
    value: Any = 1
    for i in range(1024):
        value = (value,) if i % 2 else {"k": value}
    data = dumps(value, max_depth=None)
    outcome: list[bytes] = []

    def run() -> None:
        outcome.append(dumps(loads(data, max_depth=None), max_depth=None))

    size = threading.stack_size(4 << 20)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(size)
    thread.join(10)
    assert outcome == [data]


def test_a_cycle_ends_at_the_limit() -> None:
    cycle: list[Any] = []
    cycle.append({"self": cycle})
    for limit in (64, None):
        with pytest.raises(LimitExceeded, match="does one contain itself") as refusal:
            dumps(cycle, max_depth=limit)
        assert refusal.value.path.startswith("value[0]['self'][0]['self']")


def test_req_57_bytes_are_limited_in_both_directions() -> None:
    for value in ("x" * 50, b"x" * 50, [1] * 50, 2**400, {"k": "x" * 45}, ("x" * 45, 1)):
        size = len(dumps(value))
        assert same(loads(dumps(value, max_bytes=size), max_bytes=size), value)
        with pytest.raises(LimitExceeded, match=f"max_bytes of {size - 1}") as refusal:
            dumps(value, max_bytes=size - 1)
        assert (refusal.value.limit, refusal.value.path) == ("max_bytes", "value")
        with pytest.raises(LimitExceeded) as refusal:
            loads(dumps(value), max_bytes=size - 1)
        assert refusal.value.limit == "max_bytes"


def test_a_mebibyte_is_the_default_limit() -> None:
    most = b"x" * (2**20 - 5)
    assert loads(dumps(most)) == most
    with pytest.raises(LimitExceeded):
        dumps(most + b"x")
    assert len(dumps(most * 3, max_bytes=None)) > 3_000_000


def test_req_57_items_are_limited_in_both_directions() -> None:
    for value, items in ((1, 1), ([], 1), ([1, 2], 3), ({"a": 1}, 3), ({(1, 2): (3,)}, 6)):
        data = dumps(value, max_items=items)
        assert same(loads(data, max_items=items), value)
        with pytest.raises(LimitExceeded, match=f"max_items of {items - 1}") as refusal:
            dumps(value, max_items=items - 1)
        assert refusal.value.limit == "max_items"
        with pytest.raises(LimitExceeded) as refusal:
            loads(data, max_items=items - 1)
        assert refusal.value.limit == "max_items"


def test_req_54_no_value_decodes_to_more_objects_than_items() -> None:
    with pytest.raises(LimitExceeded):
        loads(b"\xdd\x00\x0f\xff\xf0" + b"\x90" * 0xFFFF0)
    value = [[]] * 262143
    assert len(loads(dumps(value))) == 262143
    with pytest.raises(LimitExceeded):
        dumps([*value, 1])


def test_req_54_many_keys_that_are_neither_text_nor_bytes_are_refused() -> None:
    assert len(loads(dumps({i: None for i in range(4096)}))) == 4096
    too_many = {i: None for i in range(4097)}
    with pytest.raises(LimitExceeded) as refusal:
        dumps(too_many)
    assert refusal.value.limit == "max_odd_keys"
    data = b"\xde\x10\x01" + b"".join(dumps(i) + b"\xc0" for i in too_many)
    with pytest.raises(LimitExceeded) as refusal:
        loads(data)
    assert refusal.value.limit == "max_odd_keys"
    assert len(loads(dumps({str(i): None for i in range(5000)}))) == 5000


def test_req_54_members_of_keys_are_counted_with_the_keys() -> None:
    pairs = {(i, "text"): None for i in range(1365)}
    assert len(loads(dumps(pairs))) == 1365
    with pytest.raises(LimitExceeded) as refusal:
        dumps({**pairs, (): None, None: None})
    assert refusal.value.limit == "max_odd_keys"


@pytest.mark.parametrize("call", [dumps, loads, check])
def test_limits_are_ints_from_0_or_none(call: Callable[..., Any]) -> None:
    for limits in ({"max_depth": 1025}, {"max_items": -1}, {"max_bytes": 2**70}):
        with pytest.raises(ValueError, match=next(iter(limits))):
            call(b"\xc0", **limits)
    for limits in ({"max_depth": 1.0}, {"max_items": True}, {"max_bytes": "1"}, {"max_fields": 1}):
        with pytest.raises(TypeError, match=next(iter(limits))):
            call(b"\xc0", **limits)
    for arguments in ((), (1, 2)):
        with pytest.raises(TypeError):
            call(*arguments)


# ---- Bytes from outside --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        ("", 0),
        ("c1", 0),
        ("c0c0", 1),
        ("92c0", 0),
        ("cc7f", 0),
        ("cd00ff", 0),
        ("d0ff", 0),
        ("ca00000000", 0),
        ("cb0000", 0),
        ("d9024142", 0),
        ("a2c328", 1),
        ("a3eda080", 1),
        ("dcffff90", 0),
        ("df0fffffff", 0),
        ("d40091", 0),
        ("c70201", 0),
        ("d40180", 0),
        ("d5019191", 3),
        ("c7080200ffffffffffffffff", 0),
        ("819101c0", 1),
        ("81cb7ff8000000000000c0", 1),
        ("82a161c0a161c0", 4),
        ("8201c0c3c0", 3),
        ("8201c0cb3ff0000000000000c0", 3),
        ("82cb0000000000000000c0cb8000000000000000c0", 11),
        ("9281a0c082a161c0a161c0", 8),
    ],
)
def test_bytes_that_are_not_ours_are_corrupt(data: str, offset: int) -> None:
    with pytest.raises(Corrupt) as refusal:
        loads(bytes.fromhex(data))
    assert refusal.value.offset == offset, refusal.value


def test_req_53_a_million_nested_lists_are_an_error() -> None:
    for limit in (64, None):
        with pytest.raises(LimitExceeded):
            loads(b"\x91" * 1_000_000 + b"\xc0", max_depth=limit)


def test_req_54_a_count_that_the_bytes_cannot_back_allocates_nothing() -> None:
    for head in ("dd7fffffff", "df7fffffff", "db7fffffff", "c67fffffff", "c97fffffff01"):
        with pytest.raises(Corrupt):
            loads(bytes.fromhex(head) + b"\x00" * 100, max_bytes=None, max_items=None)


def test_a_key_in_the_cache_is_compared_and_not_trusted() -> None:
    ends_alike = [f"the-same-{middle}-the-same" for middle in ("", *"abc", "ab", "ba", "abcd")]
    short = [f"{a}{b}{c}" for a in "abcdefgh" for b in "0123456789" for c in "uvwxyz"]
    lengths = ["x" * n for n in range(70)]
    for _ in range(2):
        value = {name: i for i, name in enumerate(ends_alike + short + lengths)}
        assert same(loads(dumps(value)), value)
