"""The decoder in one pass: what it makes of bytes that are nearly right, and of dicts alike."""

from __future__ import annotations

import gc
import random
import sys
import tracemalloc
from typing import Any

import pytest
from coatcheck import Corrupt, LimitExceeded, NotStorable, dumps, loads
from hypothesis import example, given
from hypothesis import strategies as st

SCALARS = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False)
NAMES = st.sampled_from(["a", "b", "id", "name", "ключ", "a name of more than thirty-two bytes"])
KEYS = st.integers(-(2**63), 2**64 - 1) | st.tuples(st.text(max_size=3))
VALUES = st.recursive(
    SCALARS | st.text(max_size=12) | st.binary(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(NAMES, inner, max_size=5)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)


def damaged(data: bytes, choices: random.Random) -> bytes:
    bytes_ = bytearray(data)
    for _ in range(choices.randint(1, 3)):
        at = choices.randrange(len(bytes_))
        match choices.randrange(4):
            case 0:
                bytes_[at] = choices.randrange(256)
            case 1:
                bytes_[at] ^= 1 << choices.randrange(8)
            case 2:
                del bytes_[at:]
                bytes_.append(choices.randrange(256))
            case _:
                bytes_.insert(at, choices.choice(b"\x80\x90\xa1\xc4\xc7\xd9\xdc\xde\xff\x01"))
    return bytes(bytes_)


@given(VALUES, st.randoms(use_true_random=False))
def test_bytes_that_load_are_the_ones_that_their_value_has(
    value: object, choices: random.Random
) -> None:
    data = damaged(dumps(value), choices)
    try:
        loaded = loads(data)
    except (Corrupt, LimitExceeded):
        return
    assert dumps(loaded) == data


@given(st.lists(st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=6)))
@example([{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"a": 1, "id": 2}, {"a": 1, "b": [3]}])
def test_dicts_that_are_nearly_alike_come_back_as_they_were(rows: list[dict[str, Any]]) -> None:
    twice = loads(dumps(rows + rows))
    assert twice == rows + rows
    assert [list(row) for row in twice] == [list(row) for row in rows + rows]


def test_dicts_of_one_shape_share_nothing_but_their_keys() -> None:
    first, second = loads(dumps([{"a": 1, "b": []}] * 2))
    first["c"] = 3
    first["b"].append(1)
    del first["a"]
    assert second == {"a": 1, "b": []}
    assert loads(dumps([{"a": 1, "b": []}] * 2)) == [{"a": 1, "b": []}] * 2


def test_a_second_equal_key_is_found_in_dicts_of_a_known_shape() -> None:
    good = dumps([{"a": 1, "b": 2}] * 2)
    assert loads(good)
    with pytest.raises(Corrupt) as refusal:
        loads(good[:-2] + b"a" + good[-1:])
    assert refusal.value.offset == len(good) - 3


def test_a_container_in_a_dict_of_a_known_shape_can_be_collected() -> None:
    class Witness:
        pass

    for _ in range(3):
        row = loads(dumps([{"a": 1, "b": []}] * 3))[-1]
    assert gc.is_tracked(row)
    row["b"].append(row)
    row["witness"] = Witness()
    del row
    gc.collect()
    assert not [o for o in gc.get_objects() if type(o) is Witness]


def test_rows_with_names_of_their_own_leave_nothing_behind() -> None:
    def some() -> None:
        for i in range(2000):
            rows = [{f"name {i} {n}": n, "b": None} for n in range(5)]
            assert loads(dumps(rows)) == rows

    some()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    some()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 200_000


def test_references_to_none_stay_what_they_are() -> None:
    data = dumps([{"a": None, "b": 1}] * 20)
    loads(data)
    before = sys.getrefcount(None)
    for _ in range(1000):
        loads(data)
    assert abs(sys.getrefcount(None) - before) < 50


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc9"])
def test_req_54_the_same_bytes_do_not_back_every_header(head: bytes) -> None:
    tail = b"\xc0" * 900_000
    if head == b"\xc9":
        nested = b"".join(
            b"\xc9" + (len(tail) + 5 + 11 * n).to_bytes(4, "big") + b"\x01\xdd"
            + len(tail).to_bytes(4, "big") for n in range(59, -1, -1)
        )  # fmt: skip
    else:
        count = len(tail) if head == b"\xdd" else len(tail) // 2
        nested = (head + count.to_bytes(4, "big")) * 60
    tracemalloc.start()
    with pytest.raises((Corrupt, LimitExceeded)):
        loads(nested + tail, max_items=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(tail)


@pytest.mark.parametrize("key", [b"", b"\x81"], ids=["value", "key"])
@pytest.mark.parametrize(
    "data", [b"\xc7\x03\x01\x91\xc0\xc0", b"\xd5\x01\x91\xa1a", b"\xd6\x01\x92\xc0\xa2abc"]
)
def test_a_tuple_ends_where_its_list_ends(data: bytes, key: bytes) -> None:
    with pytest.raises(Corrupt) as refusal:
        loads(key + data + b"\xc0" * len(key))
    assert refusal.value.offset == len(key)


@pytest.mark.parametrize("text", ["\ud800", "ж\udfff", "\U0001f600\udc80", "long enough \udbff"])
def test_a_lone_surrogate_is_refused_whatever_is_beside_it(text: str) -> None:
    for value in (text, [text], {text: 1}, {"a": text}):
        with pytest.raises(NotStorable):
            dumps(value)


@given(st.text())
@example("Привет, мир")
@example("a\u0100")
@example("\xff\x80")
@example("\ud7ff\ue000")
@example("\U0001f600 and ASCII beside it, for some length")
@example("é")
@example("\U0010ffff\uffff\u07ff\x7f")
def test_a_text_has_the_utf8_that_python_gives_it(text: str) -> None:
    data = dumps([text])
    assert data.endswith(text.encode())
    (back,) = loads(data)
    assert back == text and sys.getsizeof(back) <= sys.getsizeof(text)
    assert hash(back) == hash(text)
