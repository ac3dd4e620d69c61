"""dumps, loads and check: what may be stored, its bytes, and what a refusal says."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import struct
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from coatcheck import Corrupt, LimitExceeded, NotStorable, check, dumps, loads
from hypothesis import given
from hypothesis import strategies as st
from values import same, scalars

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


# ---- What is refused -----------------------------------------------------------------------------


class Plain:
    pass


class Colour(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    pass


class Mapping(dict):  # type: ignore[type-arg]
    pass


Point = collections.namedtuple("Point", "x y")


def a_function() -> None:
    pass


HERE = __name__
DEFAULT = "store its plain data, for example a dict of its fields"
NAMED = "store a name and look it up"

REFUSED = [
    (Plain(), f"{HERE}.Plain", DEFAULT),
    (object(), "object", DEFAULT),
    (Colour.RED, f"{HERE}.Colour", "store value.value"),
    (Number.ONE, f"{HERE}.Number", "store value.value"),
    (Text("t"), f"{HERE}.Text", "store str(value)"),
    (Mapping(), f"{HERE}.Mapping", "store dict(value)"),
    (Point(1, 2), f"{HERE}.Point", "store tuple(value)"),
    (type("I", (int,), {})(5), f"{HERE}.I", "store int(value)"),
    (type("F", (float,), {})(5), f"{HERE}.F", "store float(value)"),
    (type("B", (bytes,), {})(), f"{HERE}.B", "store bytes(value)"),
    (type("L", (list,), {})(), f"{HERE}.L", "store list(value)"),
    (datetime.datetime(2026, 1, 1), "datetime.datetime", "store value.isoformat()"),
    (datetime.date(2026, 1, 1), "datetime.date", "store value.isoformat()"),
    (datetime.time(1), "datetime.time", "store value.isoformat()"),
    (datetime.timedelta(1), "datetime.timedelta", "store value.total_seconds()"),
    (decimal.Decimal("1.5"), "decimal.Decimal", "store str(value)"),
    (fractions.Fraction(1, 3), "fractions.Fraction", "store str(value)"),
    (uuid.UUID(int=1), "uuid.UUID", "store str(value)"),
    (pathlib.PurePosixPath("/a"), type(pathlib.PurePosixPath("/a")).__module__ + ".PurePosixPath",
     "store str(value)"),
    ({1}, "set", "store sorted(value) or list(value)"),
    (frozenset(), "frozenset", "store sorted(value) or list(value)"),
    (bytearray(b"x"), "bytearray", "store bytes(value)"),
    (memoryview(b"x"), "memoryview", "store bytes(value)"),
    (array.array("i"), "array.array", "store value.tolist()"),
    (collections.OrderedDict(), "collections.OrderedDict", "store dict(value)"),
    (collections.defaultdict(), "collections.defaultdict", "store dict(value)"),
    (collections.deque(), "collections.deque", "store list(value)"),
    (1j, "complex", "store (value.real, value.imag)"),
    (range(3), "range", "store list(value)"),
    ({}.keys(), "dict_keys", "store list(value)"),
    (Plain, "type", f"a class is code: {NAMED}"),
    (a_function, "function", f"a function is code: {NAMED}"),
    ([].append, "builtin_function_or_method", f"a function is code: {NAMED}"),
    (sys, "module", "a module is code: store its name"),
    (NotImplemented, "NotImplementedType", DEFAULT),
    (..., "ellipsis", DEFAULT),
]  # fmt: skip


@pytest.mark.parametrize(("value", "name", "advice"), REFUSED, ids=[r[1] for r in REFUSED])
def test_a_refusal_names_place_type_and_remedy(value: Any, name: str, advice: str) -> None:
    for held, path in (
        (value, "value"),
        ({"cart": [0, (1, value)]}, "value['cart'][1][1]"),
        (
            {("a", 1): {None: {b"k": {1.5: {True: value}}}}},
            "value[('a', 1)][None][b'k'][1.5][True]",
        ),
        ({(): {("é",): value}}, "value[()][('é',)]"),
    ):
        with pytest.raises(NotStorable) as refusal:
            dumps(held)
        assert refusal.value.path == path
        assert refusal.value.type == name
        assert str(refusal.value) == f"{path}: {name} is not storable ({advice})"


@pytest.mark.parametrize(
    ("key", "name", "why"),
    [
        (math.nan, "float", "only a finite one can; use repr(key)"),
        (-math.inf, "float", "only a finite one can; use repr(key)"),
        (2**64, "int", "it has more than 64 bits; use str(key)"),
        (-(2**63) - 1, "int", "it has more than 64 bits; use str(key)"),
        (2**5000, "int", "it has more than 64 bits; use str(key)"),
        (Point(1, 2), f"{HERE}.Point", "keys are str, bytes, bool, None, int of 64 bits, finite "
         "float, or tuples of these"),
        (frozenset(), "frozenset", "keys are str, bytes, bool, None, int of 64 bits, finite "
         "float, or tuples of these"),
        ("\ud800", "str", "it has a lone surrogate, so it is not UTF-8"),
    ],
)  # fmt: skip
def test_a_refused_key_is_named_with_its_dict(key: Any, name: str, why: str) -> None:
    for refused in (key, (1, key), ((key,),)):
        with pytest.raises(NotStorable) as refusal:
            dumps({"a": {refused: 1}})
        assert refusal.value.path == "value['a']"
        assert refusal.value.type == name
        assert str(refusal.value) == f"value['a']: {name} cannot be a key ({why})"


@pytest.mark.parametrize("key", [2**63, 2**64 - 1, -(2**63), 0, -0.0, True, None, b"", ()])
def test_keys_at_the_edge_are_stored(key: Any) -> None:
    assert same(loads(dumps({key: 1})), {key: 1})


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "é\ud83d", "😀\udc00", "\udcff" * 50])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(NotStorable, match="surrogate") as refusal:
        dumps([text])
    assert refusal.value.path == "value[0]"


def test_a_long_key_is_shown_shortened() -> None:
    with pytest.raises(NotStorable) as refusal:
        dumps({"k" * 5000: {1}})
    assert refusal.value.path == "value['" + "k" * 128 + "'...]"


def test_a_refused_value_leaves_the_codec_fit_for_use() -> None:
    for _ in range(3):
        with pytest.raises(NotStorable):
            dumps(["x" * 1000, {1}])
        with pytest.raises(Corrupt):
            loads(b"\x92\x01")
        assert loads(dumps([1, 2])) == [1, 2]


def test_check_finds_all_offending_paths_at_once() -> None:
    problems = check({"a": Plain(), "b": [1, {2}, "\ud800", (1j,)], math.inf: 1, "c": {"d": len}})
    assert [problem.path for problem in problems] == [
        "value['a']",
        "value['b'][1]",
        "value['b'][2]",
        "value['b'][3][0]",
        "value",
        "value['c']['d']",
    ]
    assert all(type(problem) is NotStorable for problem in problems)


def test_check_ends_with_the_first_limit() -> None:
    problems = check([{1}, [[[]]], {2}], max_depth=2)
    assert [type(problem) for problem in problems] == [NotStorable, LimitExceeded]
    assert [problem.path for problem in problems] == ["value[0]", "value[1][0]"]


offenders = st.sampled_from([row[0] for row in REFUSED])


@given(
    st.recursive(scalars | offenders, lambda inner: st.lists(inner) | st.lists(inner).map(tuple))
)
def test_check_and_dumps_agree(value: Any) -> None:
    problems = check(value)
    if not problems:
        assert same(loads(dumps(value)), value)
        return
    with pytest.raises(NotStorable) as refusal:
        dumps(value)
    assert str(refusal.value) == str(problems[0])


# ---- No code of the value's own runs -------------------------------------------------------------


def trap(*_: Any, **__: Any) -> Any:
    raise AssertionError("code of the value's own was run")


SPECIAL = [
    "__repr__", "__str__", "__hash__", "__eq__", "__len__", "__iter__", "__getattribute__",
    "__getattr__", "__int__", "__index__", "__float__", "__bool__", "__bytes__", "__contains__",
    "__getitem__", "__reduce__", "__reduce_ex__", "__getstate__", "__format__", "__sizeof__",
    "__dir__", "__call__", "__instancecheck__", "__subclasscheck__", "__lt__", "__next__",
    "__buffer__", "__fspath__", "__class_getitem__", "__get__", "__set__",
]  # fmt: skip


def hostile(*bases: type) -> type:
    """A class whose special methods, and whose metaclass's, all raise."""
    meta = type("Meta", (type,), {name: trap for name in SPECIAL})
    namespace = {name: trap for name in SPECIAL}
    namespace["__class__"] = property(trap)
    return type.__new__(meta, "Hostile", bases, {**namespace, "__module__": "shop.models"})


@pytest.mark.parametrize("base", [object, int, str, float, bytes, tuple, list, dict])
def test_no_code_of_a_refused_value_runs(base: type) -> None:
    value = base.__new__(hostile(base))
    for held in (value, [value], (value,), {"k": value}):
        with pytest.raises(NotStorable) as refusal:
            dumps(held)
        assert refusal.value.type == "shop.models.Hostile"
        assert [problem.type for problem in check(held)] == ["shop.models.Hostile"]
    with pytest.raises(NotStorable):
        dumps(type(value))


class Name(str):
    armed = False

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return trap() if Name.armed else str.__eq__(self, other)


@pytest.mark.parametrize("module", [5, None, Name("evil")])
def test_a_module_that_is_no_text_is_left_out(module: Any) -> None:
    value = type("Odd", (), {"__module__": module})()
    with pytest.raises(NotStorable) as refusal:
        dumps(value)
    assert refusal.value.type == "Odd"


def test_the_namespace_of_a_class_is_read_without_its_keys_own_code() -> None:
    value = type("Odd", (), {Name("__module__"): "evil"})()
    Name.armed = True
    try:
        with pytest.raises(NotStorable) as refusal:
            dumps(value)
    finally:
        Name.armed = False
    assert refusal.value.type == "Odd"


# ---- Limits --------------------------------------------------------------------------------------


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_depth_is_limited_in_both_directions() -> None:
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


def test_bytes_are_limited_in_both_directions() -> None:
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


def test_items_are_limited_in_both_directions() -> None:
    for value, items in ((1, 1), ([], 1), ([1, 2], 3), ({"a": 1}, 3), ({(1, 2): (3,)}, 6)):
        data = dumps(value, max_items=items)
        assert same(loads(data, max_items=items), value)
        with pytest.raises(LimitExceeded, match=f"max_items of {items - 1}") as refusal:
            dumps(value, max_items=items - 1)
        assert refusal.value.limit == "max_items"
        with pytest.raises(LimitExceeded) as refusal:
            loads(data, max_items=items - 1)
        assert refusal.value.limit == "max_items"


def test_no_value_decodes_to_more_objects_than_items() -> None:
    with pytest.raises(LimitExceeded):
        loads(b"\xdd\x00\x0f\xff\xf0" + b"\x90" * 0xFFFF0)
    value = [[]] * 262143
    assert len(loads(dumps(value))) == 262143
    with pytest.raises(LimitExceeded):
        dumps([*value, 1])


def test_many_keys_that_are_neither_text_nor_bytes_are_refused() -> None:
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


def test_a_million_nested_lists_are_an_error() -> None:
    for limit in (64, None):
        with pytest.raises(LimitExceeded):
            loads(b"\x91" * 1_000_000 + b"\xc0", max_depth=limit)


def test_a_count_that_the_bytes_cannot_back_allocates_nothing() -> None:
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
