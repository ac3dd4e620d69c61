"""What holds for every storable value: it comes back as it was, its bytes are its only ones, and
they are what msgpack-python makes of it, as far as plain msgpack goes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgpack
from coatcheck import Corrupt, LimitExceeded, Store, check, dumps, loads
from hypothesis import given, settings
from hypothesis import strategies as st
from values import fields, floats, keys, same, scalars, values

# ---- It comes back as it was ---------------------------------------------------------------------


@given(values)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(loads(dumps(value)), value)


@given(values)
def test_a_storable_value_passes_the_check(value: Any) -> None:
    assert check(value) == []


@given(fields)
@settings(max_examples=50)
def test_another_session_object_reads_what_was_saved(store: Store, content: dict[str, Any]) -> None:
    session = store.new()
    session.update(content)
    session["saved"] = True
    again = store.load(session.save() or "")
    assert again is not None
    assert same(again.copy(), {**content, "saved": True})


@given(
    st.dictionaries(keys, scalars, min_size=1).flatmap(lambda d: st.permutations(list(d.items())))
)
def test_keys_keep_the_order_in_which_they_came(pairs: list[tuple[Any, Any]]) -> None:
    value = {"outer": [dict(pairs)]}
    assert same(list(loads(dumps(value))["outer"][0].items()), pairs)


@given(values)
def test_a_container_that_is_held_twice_comes_back_as_two(value: Any) -> None:
    inner = [value]
    assert dumps([inner, inner]) == dumps([[value], [value]])
    first, second = loads(dumps([inner, inner]))
    assert first is not second


# ---- One value, one encoding ---------------------------------------------------------------------

# Many that Python calls equal, and that are not the same.
alike = st.recursive(
    st.sampled_from(
        [0, False, 0.0, -0.0, 1, True, 1.0, 2**64, float(2**64), None, "", b"", "a", b"a"]
    ),
    lambda inner: st.lists(inner, max_size=2)
    | st.lists(inner, max_size=2).map(tuple)
    | st.dictionaries(st.sampled_from([0, False, 0.0, -0.0, "", b"", None, ()]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(alike, alike)
@settings(max_examples=300)
def test_values_are_the_same_if_and_only_if_their_bytes_are(one: Any, other: Any) -> None:
    assert (dumps(one) == dumps(other)) == same(one, other)


@given(st.binary(max_size=80))
@settings(max_examples=300)
def test_what_loads_is_the_one_encoding_of_its_value(data: bytes) -> None:
    try:
        value = loads(data)
    except (Corrupt, LimitExceeded):
        return
    assert dumps(value) == data


@given(values, st.data())
def test_damaged_bytes_raise_or_are_another_value(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(dumps(value))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    try:
        other = loads(damaged)
    except (Corrupt, LimitExceeded):
        return
    assert dumps(other) == damaged
    assert not same(other, value)


Choose = Callable[[list[bytes]], bytes]

INT_FORMS = [
    (0xCC, ">B"), (0xCD, ">H"), (0xCE, ">I"), (0xCF, ">Q"),
    (0xD0, ">b"), (0xD1, ">h"), (0xD2, ">i"), (0xD3, ">q"),
]  # fmt: skip


def sized(fix: range, forms: dict[int, str], size: int) -> list[bytes]:
    """All heads of msgpack for this length or count."""
    heads = [bytes([fix.start + size])] if size < len(fix) else []
    for first, form in forms.items():
        if size < 1 << 8 * struct.calcsize(form):
            heads.append(bytes([first]) + struct.pack(form, size))
    return heads


def exts(kind: int, content: bytes) -> list[bytes]:
    heads = sized(range(0), {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}, len(content))
    if len(content) in (1, 2, 4, 8, 16):
        heads.insert(0, bytes([0xD4 + (1, 2, 4, 8, 16).index(len(content))]))
    return [head + bytes([kind]) + content for head in heads]


def ints(number: int) -> list[bytes]:
    forms = [struct.pack("b", number)] if -32 <= number <= 127 else []
    for first, form in INT_FORMS:
        bits = 8 * struct.calcsize(form)
        least = -(1 << bits - 1) if first >= 0xD0 else 0
        if least <= number < least + (1 << bits):
            forms.append(bytes([first]) + struct.pack(form, number))
    shortest = number.bit_length() // 8 + 1
    for size in (shortest, shortest + 1, shortest + 8):
        forms += exts(2, number.to_bytes(size, "big", signed=True))
    return forms


def encode(value: Any, choose: Choose) -> bytes:
    """The value in forms that are chosen among all that a lenient reader would take for it; of
    those that `choose` is given, the first is the right one."""
    if value is None:
        return b"\xc0"
    if type(value) is bool:
        return b"\xc3" if value else b"\xc2"
    if type(value) is int:
        return choose(ints(value))
    if type(value) is float:
        return b"\xcb" + struct.pack(">d", value)
    if type(value) is str:
        text = value.encode()
        heads = sized(range(0xA0, 0xC0), {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}, len(text))
        return choose(heads) + text
    if type(value) is bytes:
        return choose(sized(range(0), {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}, len(value))) + value
    if type(value) is dict:
        head = choose(sized(range(0x80, 0x90), {0xDE: ">H", 0xDF: ">I"}, len(value)))
        return head + b"".join(encode(part, choose) for pair in value.items() for part in pair)
    head = choose(sized(range(0x90, 0xA0), {0xDC: ">H", 0xDD: ">I"}, len(value)))
    members = head + b"".join(encode(member, choose) for member in value)
    return members if type(value) is list else choose(exts(1, members))


def first(forms: list[bytes]) -> bytes:
    return forms[0]


@given(values)
def test_the_encoding_takes_the_first_form_that_holds_a_value(value: Any) -> None:
    assert encode(value, first) == dumps(value)


@given(values, st.data())
@settings(max_examples=200)
def test_every_other_form_is_refused(value: Any, data: st.DataObject) -> None:
    # Mostly the first, so that what is wrong may be a single form deep inside.
    encoding = encode(
        value,
        lambda forms: data.draw(st.sampled_from(forms)) if data.draw(st.booleans()) else forms[0],
    )
    try:
        loaded = loads(encoding)
    except Corrupt:
        assert encoding != dumps(value)
        return
    assert encoding == dumps(value)
    assert same(loaded, value)


@given(values)
def test_what_is_behind_the_value_is_refused(value: Any) -> None:
    data = dumps(value)
    for more in (b"\xc0", b"\x00", data):
        try:
            loads(data + more)
        except Corrupt as error:
            assert error.offset == len(data)
        else:
            raise AssertionError("accepted")


@given(values)
def test_no_beginning_of_a_value_is_a_value(value: Any) -> None:
    data = dumps(value)
    for length in range(len(data)):
        try:
            loads(data[:length])
        except Corrupt:
            continue
        raise AssertionError(f"accepted {length} bytes")


# ---- Limits --------------------------------------------------------------------------------------


def fits(call: Callable[[], object]) -> bool:
    try:
        call()
    except LimitExceeded:
        return False
    return True


@given(values, st.sampled_from(["max_depth", "max_bytes", "max_items"]), st.integers(0, 40))
@settings(max_examples=200)
def test_what_may_be_written_may_be_read(value: Any, limit: str, most: int) -> None:
    data = dumps(value)
    written = fits(lambda: dumps(value, **{limit: most}))
    assert written == fits(lambda: loads(data, **{limit: most}))
    problems = check(value, **{limit: most})
    assert [problem.limit for problem in problems if isinstance(problem, LimitExceeded)] == (
        [] if written else [limit]
    )


# ---- msgpack-python as an oracle -----------------------------------------------------------------

plain_keys = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-70000, 70000)
    | floats
    | st.text()
    | st.binary()
    | st.sampled_from([31, 32, 255, 256, 65535, 65536]).flatmap(
        lambda size: st.sampled_from(["x" * size, b"x" * size])
    ),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(plain_keys, inner, max_size=20),
    max_leaves=30,
)


@given(plain)
@settings(max_examples=200)
def test_plain_msgpack_is_written_as_msgpack_python_writes_it(value: Any) -> None:
    assert dumps(value) == msgpack.packb(value)


@given(plain)
@settings(max_examples=200)
def test_plain_msgpack_is_read_as_msgpack_python_reads_it(value: Any) -> None:
    data = dumps(value)
    assert same(msgpack.unpackb(data, strict_map_key=False), value)
    assert same(loads(msgpack.packb(value)), value)


@given(values)
def test_msgpack_python_splits_a_stream_of_values_where_we_do(value: Any) -> None:
    data = dumps(value)
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(data * 3)
    ends = []
    for _ in range(3):
        unpacker.skip()
        ends.append(unpacker.tell())
    assert ends == [len(data), 2 * len(data), 3 * len(data)]
