"""Bytes from somebody who means harm: nothing but plain values comes of them, at a bounded cost,
and what they broke off leaves everything as good as before."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bombs import ERRORS, VALUES, Cost
from coatcheck import Corrupt, LimitExceeded, Store, dumps, loads
from values import same

HERE = Path(__file__).parent
MIB = 1 << 20
KINDS = {type(None), bool, int, float, str, bytes, list, tuple, dict}
VALUE: dict[Any, Any] = {
    "rows": [{"sku": f"tea {n}", "price": n / 4, "left": None} for n in range(6)],
    "who": "Zoë",
    ("a", 1): [True, 2**70, (b"bytes", {"x": ()})],
}


def kinds_in(value: Any) -> set[type]:
    members: list[Any] = []
    if type(value) in (list, tuple):
        members = list(value)
    elif type(value) is dict:
        members = [*value, *value.values()]
    return {type(value)}.union(*map(kinds_in, members))


def attempt(data: bytes) -> Any:
    """What it decodes to, or None if it is refused."""
    try:
        return loads(data)
    except (Corrupt, LimitExceeded):
        return None


# ---- Kinds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b"\x00", b"a", b"\x90", b"\xa1a\xc0"])
def test_req_52_every_first_byte_leads_to_one_of_nine_kinds_or_to_none(tail: bytes) -> None:
    for first in range(256):
        for second in range(256):
            for times in (0, 1, 8):
                value = attempt(bytes([first, second]) + tail * times)
                assert kinds_in(value) <= KINDS


def test_req_52_a_pickle_is_no_value() -> None:
    class Run:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("exit 1",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for content in ({"a": 1}, [1], "text", Run()):
            with pytest.raises(Corrupt):
                loads(pickle.dumps(content, protocol))


WATCH = """
import sys
from bombs import ERRORS
from coatcheck import Corrupt, LimitExceeded, loads
from values import rows, unhex
files = ("good.txt", "bad.txt", "long.txt", "equal_keys.txt")
data = [unhex(row[0]) for file in files for row in rows(file)]
data += ERRORS.values()
watching, seen = True, set()
sys.addaudithook(lambda event, arguments: seen.add(event) if watching else None)
for each in data:
    try:
        loads(each)
    except (Corrupt, LimitExceeded):
        pass
watching = False
print(len(data), sorted(seen))
"""


def python(*arguments: str) -> str:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *arguments],
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True,
        check=True,
        text=True,
        timeout=300,
    ).stdout


def test_req_52_decoding_does_nothing_that_python_audits() -> None:
    count, seen = python("-c", WATCH).split(maxsplit=1)
    assert int(count) > 400
    assert seen.strip() == "[]"


# ---- Bombs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    said = json.loads(python(str(HERE / "bombs.py")))
    return {name: Cost(**cost) for name, cost in said.items()}


@pytest.mark.parametrize("name", ERRORS)
def test_req_53_54_a_bomb_is_an_error(costs: dict[str, Cost], name: str) -> None:
    for limits in ("limited", "unlimited"):
        assert costs[f"{name}, {limits}"].outcome in ("Corrupt", "LimitExceeded")


@pytest.mark.parametrize(
    "name", ["lists", "dicts", "tuples", "colliding keys", "long colliding keys", "int keys"]
)
def test_req_53_54_depth_and_odd_keys_have_limits_that_cannot_be_lifted(
    costs: dict[str, Cost], name: str
) -> None:
    assert costs[f"{name}, unlimited"].outcome == "LimitExceeded"


@pytest.mark.parametrize("name", VALUES)
def test_values_that_cost_much_are_values(costs: dict[str, Cost], name: str) -> None:
    assert costs[f"{name}, limited"].outcome == "value"


def test_req_54_decoding_needs_at_most_100_times_the_bytes(costs: dict[str, Cost]) -> None:
    for name, cost in costs.items():
        assert cost.objects < 100 * cost.size + 10_000, name
        assert cost.memory < 100 * cost.size + 4 * MIB, name


def test_req_54_decoding_takes_seconds_at_most(costs: dict[str, Cost]) -> None:
    for name, cost in costs.items():
        assert cost.seconds < 0.5 + 6 * cost.size / MIB, name


# ---- Afterwards ----------------------------------------------------------------------------------


def test_req_56_a_value_that_is_cut_off_anywhere_leaves_no_trace() -> None:
    data = dumps(VALUE)
    for end in range(len(data)):
        with pytest.raises(Corrupt):
            loads(data[:end])
        assert same(loads(data), VALUE)


def test_req_56_a_value_with_any_byte_changed_leaves_no_trace() -> None:
    data = dumps(VALUE)
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            attempt(bytes(changed))
        assert same(loads(data), VALUE)
    assert dumps(VALUE) == data


@pytest.mark.parametrize("name", ERRORS)
def test_req_56_after_a_bomb_decoding_goes_on(name: str) -> None:
    assert attempt(ERRORS[name]) is None
    assert same(loads(dumps(VALUE)), VALUE)


def test_req_56_a_session_with_a_field_that_cannot_be_decoded_is_good_to_use(
    store: Store, redis_server: Any
) -> None:
    session = store.new()
    session.update(good=[1], bad={"aa": 1, "bb": 2})
    session_id = session.save()
    (key,) = redis_server.records()
    record = redis_server.cli("GET", key).replace(b"\xa2bb", b"\xa2aa")
    redis_server.cli("SET", key, record, "KEEPTTL")

    session = store.load(session_id or "")
    assert session is not None
    for _ in range(3):
        with pytest.raises(Corrupt):
            session["bad"]
    session["good"].append(2)
    session["more"] = VALUE
    session.save()
    session["bad"] = "mended"
    session.save()
    again = store.load(session_id or "")
    assert again is not None
    assert same(again.copy(), {"good": [1, 2], "bad": "mended", "more": VALUE})


@pytest.mark.parametrize("name", [name for name in ERRORS if len(ERRORS[name]) < MIB])
def test_req_54_56_a_bomb_in_redis_ends_its_own_load_and_nothing_else(
    store: Store, redis_server: Any, name: str
) -> None:
    session = store.new()
    session["a"] = 1
    session_id = session.save() or ""
    (key,) = redis_server.records()
    record = redis_server.cli("GET", key)
    assert record.endswith(b"\x81\xa1a\x01")
    for fields in (b"\x81\xa1a" + ERRORS[name], ERRORS[name]):
        redis_server.cli("SET", key, record[:-4] + fields, "KEEPTTL")
        try:
            spoilt = store.load(session_id)
            assert spoilt is not None
            spoilt["a"]
        except (Corrupt, LimitExceeded):
            pass
        else:
            raise AssertionError("it was read")
        redis_server.cli("SET", key, record, "KEEPTTL")
        assert store.load(session_id) == {"a": 1}
