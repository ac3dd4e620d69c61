"""schema/FORMAT.md: what it says is so, for a reader written from it alone, for coatcheck, and, as
far as that goes, for any reader of msgpack. Whether they agree is tried on the files of tests/data,
on random values, on damaged bytes, and on the records of a real store."""

from __future__ import annotations

import base64
import hashlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgpack
import plain_reader
import pytest
from coatcheck import Corrupt, LimitExceeded, Store, UnknownFormat, dumps, loads
from conftest import RedisServer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_reader import Fault
from values import fields, rows, same, unhex, values

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "schema" / "FORMAT.md"
sys.path.insert(0, str(ROOT / "tests" / "docs"))

from pages import blocks, prose, table  # noqa: E402

# A reader, and how it says that it refuses: the code and the offset (None where it names none).
Verdict = tuple[str, int | None]


def plain_verdict(data: bytes, **limits: int) -> Verdict | None:
    try:
        plain_reader.read(data, **limits)
    except Fault as fault:
        return fault.code, fault.offset
    return None


def our_verdict(data: bytes, **limits: int) -> Verdict | None:
    try:
        loads(data, **limits)
    except Corrupt as error:
        return "COAT_ECORRUPT", error.offset
    except LimitExceeded:
        return "COAT_ELIMIT", None
    return None


def agree(plain: Verdict | None, ours: Verdict | None) -> bool:
    if plain is None or ours is None:
        return plain == ours
    return plain[0] == ours[0] and ours[1] in (plain[1], None)


def find_the_same_fault(data: bytes) -> bool:
    """Or, where there are equal keys, which may be looked for at the end, any fault."""
    try:
        plain_reader.read(data)
    except Fault as fault:
        ours = our_verdict(data)
        if fault.why == plain_reader.EQUAL_KEY:
            return ours is not None
        return agree((fault.code, fault.offset), ours)
    return our_verdict(data) is None


def value_of(cell: str) -> Any:
    return eval(cell, {"nan": math.nan, "inf": math.inf})


readers = pytest.mark.parametrize("read", [plain_reader.read, loads], ids=["plain", "coatcheck"])
verdicts = pytest.mark.parametrize(
    "verdict", [plain_verdict, our_verdict], ids=["plain", "coatcheck"]
)

# ---- The page ------------------------------------------------------------------------------------


def examples() -> list[list[str]]:
    """The rows of all tables of the page that show bytes and a value."""
    lines = [line for line in prose(PAGE) if line.startswith("|")]
    shown: list[list[str]] = []
    inside = False
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if "---" in cells[0]:
            continue
        if not cells[0].startswith("`"):
            inside = cells == ["bytes", "value"]
        elif inside:
            shown.append([cell.strip("`") for cell in cells])
    return shown


def test_the_examples_of_the_page_are_right() -> None:
    assert len(examples()) > 10
    for text, shown in examples():
        data, value = bytes.fromhex(text), value_of(shown)
        assert same(plain_reader.read(data), value), text
        assert dumps(value) == data, text


def test_the_limits_of_the_page_are_those_of_the_plain_reader() -> None:
    limits = {row[0].strip("`"): int(row[1]) for row in table(PAGE, "limit")}
    assert limits == plain_reader.DEFAULTS


def test_the_record_of_the_page_is_one() -> None:
    [block] = [block for block in blocks(PAGE) if block.code.startswith("99 01")]
    data = unhex(" ".join(line[:58] for line in block.code.splitlines()))
    record = plain_reader.read_record(data)
    assert len(data) == 131
    assert f"whole record of {len(data)} bytes" in PAGE.read_text(encoding="utf-8")
    assert time.gmtime(record["created"] // 1000)[:6] == (2023, 11, 14, 22, 13, 20)
    assert record["deadline"] - record["created"] == 12 * 3600 * 1000
    assert record["revisions"] == [b"revision"]
    assert record["current"] == b"current-current-"
    assert record["tag"] == b"tagtagta"
    assert record["idle"] == 1800
    assert record["principal"] == "user:42"
    assert record["fields"] == {"a": 1}


# ---- The files -----------------------------------------------------------------------------------


@readers
@pytest.mark.parametrize("name", ["good.txt", "long.txt"])
def test_every_good_value_is_read_as_what_it_is(read: Callable[[bytes], Any], name: str) -> None:
    for text, shown in rows(name):
        got, value = read(unhex(text)), value_of(shown)
        nan = type(value) is float and math.isnan(value) and math.isnan(got)
        assert nan or same(got, value), text


@pytest.mark.parametrize("name", ["good.txt", "long.txt"])
def test_every_good_value_has_these_bytes(name: str) -> None:
    for text, shown in rows(name):
        assert dumps(loads(unhex(text))) == unhex(text), text
        if shown != "nan":
            assert dumps(value_of(shown)) == unhex(text), text


def dict_of(keys: Sequence[Any]) -> bytes:
    pairs = (dumps(key) + b"\xc0" for key in keys)
    return b"\xde" + len(keys).to_bytes(2, "big") + b"".join(pairs)


@verdicts
def test_every_bad_value_is_refused_at_its_fault(verdict: Callable[..., Verdict | None]) -> None:
    for text, code, offset in rows("bad.txt"):
        assert agree((code, int(offset)), verdict(unhex(text))), text


@verdicts
def test_equal_keys_are_refused_at_the_second(verdict: Callable[..., Verdict | None]) -> None:
    for text, offset in rows("equal_keys.txt"):
        wanted = None if offset == "-" else ("COAT_ECORRUPT", int(offset))
        assert verdict(unhex(text)) == wanted, text


@verdicts
def test_every_limit_holds_to_the_last_one(verdict: Callable[..., Verdict | None]) -> None:
    for text, limit, least, offset in rows("limits.txt"):
        assert verdict(unhex(text), **{limit: int(least)}) is None, text
        small = verdict(unhex(text), **{limit: int(least) - 1})
        assert agree(("COAT_ELIMIT", int(offset)), small), text


@verdicts
def test_4096_keys_that_are_neither_text_nor_bytes_are_the_most(
    verdict: Callable[..., Verdict | None],
) -> None:
    assert verdict(dict_of(range(4096))) is None
    assert agree(("COAT_ELIMIT", len(dict_of(range(4096)))), verdict(dict_of(range(4097))))


@verdicts
def test_each_member_of_such_a_key_counts_as_one_more(
    verdict: Callable[..., Verdict | None],
) -> None:
    keys = [(i,) for i in range(2049)]
    assert verdict(dict_of(keys[:2048])) is None
    assert agree(("COAT_ELIMIT", len(dict_of(keys[:2048]))), verdict(dict_of(keys)))
    for more in (0, "text", b"bytes", ()):
        keys = [f"text {i}" for i in range(15)] + [(*range(4000), (*range(94),))]
        assert verdict(dict_of(keys)) is None
        keys[-1] = (*range(4000), (*range(94), more))
        at = len(dict_of(keys)) - len(dumps(more)) - len(b"\xc0")
        assert agree(("COAT_ELIMIT", at), verdict(dict_of(keys)))


def test_every_good_record_is_read_as_what_it_is() -> None:
    for text, shown in rows("good_records.txt"):
        assert same(plain_reader.read_record(unhex(text)), value_of(shown)), text


def test_every_bad_record_is_refused_at_its_fault() -> None:
    for text, code, offset in rows("bad_records.txt"):
        with pytest.raises(Fault) as fault:
            plain_reader.read_record(unhex(text))
        assert (fault.value.code, fault.value.offset) == (code, int(offset)), text


def test_a_record_with_more_fields_than_the_limit_is_refused() -> None:
    data = unhex(rows("good_records.txt")[0][0])[:-1] + dumps({"a": 1, "b": 2})
    assert plain_reader.read_record(data, max_fields=2)["fields"] == {"a": 1, "b": 2}
    with pytest.raises(Fault) as fault:
        plain_reader.read_record(data, max_fields=1)
    assert fault.value.code == "COAT_ELIMIT"


# ---- Random values and damaged bytes -------------------------------------------------------------


@given(values)
def test_the_plain_reader_reads_what_was_dumped(value: Any) -> None:
    assert same(plain_reader.read(dumps(value)), value)


@pytest.mark.parametrize("length", [15, 16, 31, 32, 255, 256, 65535, 65536])
def test_the_plain_reader_reads_dicts_of_every_length(length: int) -> None:
    value = {f"{i:x}": i for i in range(length)}
    assert same(plain_reader.read(dumps(value)), value)


@given(values, st.data())
@settings(max_examples=300)
def test_both_readers_find_the_same_fault_in_damaged_bytes(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(dumps(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    damaged = damaged[: len(damaged) - cut] if data.draw(st.booleans()) else damaged + b"\xc0" * cut
    assert find_the_same_fault(bytes(damaged)), damaged.hex()


@given(st.binary(max_size=80))
@settings(max_examples=300)
def test_both_readers_find_the_same_fault_in_random_bytes(data: bytes) -> None:
    assert find_the_same_fault(data)


# ---- Records of a real store ---------------------------------------------------------------------


def derived(session_id: str, prefix: str = "test:") -> tuple[str, bytes, bytes]:
    """Key, tag and hash of the verifier, as docs/protocol.md has them."""
    sid = base64.urlsafe_b64decode(session_id + "=")
    digest = hashlib.sha256(prefix.encode() + b"\0" + sid[:16]).digest()
    name = base64.urlsafe_b64encode(digest[:18]).decode()
    return f"{prefix}s:{{{name}}}", digest[18:26], hashlib.sha256(b"v" + sid[16:]).digest()[:16]


def stored(server: RedisServer, session_id: str) -> bytes:
    record: bytes = server.cli("GET", derived(session_id)[0])
    return record


# The store is one for all examples, which do not meet: each has a session of its own.
on_a_store = settings(max_examples=60)


@given(fields, st.none() | st.text(min_size=1, max_size=60).filter(lambda name: "\0" not in name))
@example({"cart": [("sku-1", 2)], "big": 2**70}, "user:42")
@on_a_store
def test_the_plain_reader_reads_what_a_store_wrote(
    store: Store, redis_server: RedisServer, content: dict[str, Any], principal: str | None
) -> None:
    before = time.time_ns() // 1_000_000
    session = store.new()
    session.update(content)
    session["saved"] = True
    if principal is not None:
        session.login(principal, carry="all")
    session_id = session.save()
    assert session_id is not None
    record = plain_reader.read_record(stored(redis_server, session_id))
    _, tag, current = derived(session_id)
    assert same(record["fields"], {**content, "saved": True})
    assert (record["tag"], record["current"], record["other"]) == (tag, current, None)
    assert record["principal"] == principal
    assert before <= record["created"] <= time.time_ns() // 1_000_000
    assert record["deadline"] - record["created"] == 43200 * 1000
    assert record["idle"] == 1800
    assert len(record["revisions"]) == 1


def test_a_rotation_and_saves_leave_their_marks_in_the_record(
    store: Store, redis_server: RedisServer
) -> None:
    session = store.new()
    session["n"] = 0
    first = session.save() or ""
    before = plain_reader.read_record(stored(redis_server, first))
    session.rotate()
    second = session.save() or ""
    after = plain_reader.read_record(stored(redis_server, second))
    assert derived(first)[0] == derived(second)[0]
    assert after["current"] == derived(second)[2]
    other, state, since = after["other"]
    assert (other, state) == (derived(first)[2], "dead since")
    assert before["created"] <= since <= time.time_ns() // 1_000_000
    assert after["revisions"][1:] == before["revisions"]
    for n in range(1, 7):
        session["n"] = n
        session.save()
    last = plain_reader.read_record(stored(redis_server, second))
    assert len(set(last["revisions"])) == 5
    assert last["fields"] == {"n": 6}


def test_a_store_refuses_every_bad_record_at_its_fault(
    store: Store, redis_server: RedisServer
) -> None:
    session = store.new()
    session["a"] = 1
    session_id = session.save() or ""
    key, tag, current = derived(session_id)
    for text, code, offset in rows("bad_records.txt"):
        data = bytearray(unhex(text))
        # Of this session, and not over yet, unless that is the fault.
        for at, part in ((46, current), (96, (1 << 52).to_bytes(8, "big")), (106, tag)):
            if len(data) >= 119 and at != int(offset):
                data[at : at + len(part)] = part
        redis_server.cli("SET", key, bytes(data), "PX", 60000)
        with pytest.raises((Corrupt, LimitExceeded)) as refusal:
            store.load(session_id)
        if code == "COAT_EFORMAT":
            assert type(refusal.value) is UnknownFormat, text
        elif code == "COAT_ECORRUPT":
            assert type(refusal.value) is Corrupt, text
            assert refusal.value.offset == int(offset), (text, refusal.value)
        else:
            assert type(refusal.value) is LimitExceeded, text
        assert redis_server.cli("GET", key) == bytes(data)


# ---- Any msgpack reader --------------------------------------------------------------------------


def stock(data: bytes) -> Any:
    """A reader that knows nothing of the format but its two ext types."""

    def extension(kind: int, content: bytes) -> Any:
        if kind == 1:
            return tuple(stock(content))
        assert kind == 2
        return int.from_bytes(content, "big", signed=True)

    return msgpack.unpackb(data, ext_hook=extension, strict_map_key=False)


def test_a_stock_reader_reads_every_good_value() -> None:
    for name in ("good.txt", "long.txt"):
        for text, _ in rows(name):
            assert same(stock(unhex(text)), plain_reader.read(unhex(text))), text


def test_a_stock_reader_sees_a_tuple_as_ext_type_1() -> None:
    [seen] = msgpack.unpackb(dumps([("sku-1", 2)]))
    assert type(seen) is msgpack.ExtType
    assert (seen.code, msgpack.unpackb(seen.data)) == (1, ["sku-1", 2])


def test_a_stock_reader_sees_the_parts_of_every_good_record() -> None:
    for text, _ in rows("good_records.txt"):
        record = plain_reader.read_record(unhex(text))
        form, revisions, ids, created, deadline, tag, idle, principal, kept = stock(unhex(text))
        assert form == 1
        assert (len(revisions), len(ids), len(tag)) == (40, 40, 8)
        assert revisions.startswith(b"".join(record["revisions"]))
        assert ids[:16] == record["current"]
        for part, seen in (
            ("created", created), ("deadline", deadline), ("tag", tag), ("idle", idle),
            ("principal", principal), ("fields", kept),
        ):  # fmt: skip
            assert same(seen, record[part])


@given(content=fields)
@on_a_store
def test_a_stock_reader_reads_what_a_store_wrote(
    store: Store, redis_server: RedisServer, content: dict[str, Any]
) -> None:
    session = store.new()
    session.update(content)
    session["saved"] = True
    record = stock(stored(redis_server, session.save() or ""))
    assert same(record[8], {**content, "saved": True})
