"""coatcheck.bench: what it says of times, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from coatcheck import dumps, loads
from coatcheck._core import _Document, cpython_internals
from coatcheck.bench import __main__
from coatcheck.bench.figures import as_text
from coatcheck.bench.goals import MSGSPEC, Place
from coatcheck.bench.measure import Length, Ratio, calls, calls_with_new, ratio, take_turns
from coatcheck.bench.payloads import GOALS, OTHERS, jsonable
from coatcheck.bench.record import Found, machine
from coatcheck.bench.report import Row, as_rows, failures

SLOW = Row("encode", "small", "other", Ratio(0.8, 0.9, 1.1), 1.0)
FAST = Row("encode", "small", "other", Ratio(1.8, 1.9, 2.1), 1.0)
UNTOLD = Row("encode", "odd", "other", Ratio(0.1, 0.2, 0.3))


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Ratio(2.0, 2.0, 2.0)


def test_every_contender_has_its_turn_in_every_round() -> None:
    times = take_turns({"a": lambda n: n * 1e-3, "b": lambda n: n * 2e-3}, Length(0))
    assert len(times["a"]) == len(times["b"]) > 1
    assert ratio(times["b"], times["a"]).median == pytest.approx(2)


def test_as_many_calls_are_made_as_are_asked_for_and_one_before() -> None:
    seen: list[object] = []
    calls(seen.append, "x")(5)
    assert seen == ["x"] * 6


def test_each_new_argument_is_used_once() -> None:
    seen: list[object] = []
    calls_with_new(seen.append, object, 3)(8)
    assert len({id(argument) for argument in seen}) == 8


def test_a_number_of_rounds_is_kept_whatever_the_time() -> None:
    times = take_turns({"a": lambda n: n * 1e-3}, Length(60.0, 4))
    assert len(times["a"]) == 4


def test_what_is_below_its_goal_is_named() -> None:
    assert failures([SLOW, FAST, UNTOLD]) == [SLOW]
    assert as_text(as_rows([SLOW, FAST, UNTOLD], "values", "Values")).count("BELOW") == 1


def test_a_record_names_the_layout_that_is_in_use() -> None:
    known = "with its private layout in use"
    assert (known in machine()) == cpython_internals
    assert known in str(Place((3, 11), internals=True))
    assert "0.9 of those of 3.11" in str(Place((3, 13), internals=True))
    assert "public API only" in str(Place((3, 11), internals=False))


@pytest.mark.parametrize(
    ("place", "peer", "goal"),
    [
        (Place((3, 11), internals=True), "msgspec", 2.0),
        (Place((3, 12), internals=True), "msgspec", 1.8),
        (Place((3, 11), internals=False), "msgspec", 1.0),
        (Place((3, 14), internals=False), "msgspec", 1.0),
        (Place((3, 13), internals=True), "marshal", 1.0),
    ],
)
def test_each_python_has_its_goals(place: Place, peer: str, goal: float) -> None:
    assert place.codec("encode", "medium", peer) == pytest.approx(goal)


def test_no_goal_of_the_codec_is_less_than_being_ahead() -> None:
    for quantity, goals in MSGSPEC.items():
        for case in goals:
            assert (Place((3, 13), internals=True).codec(quantity, case, "msgspec") or 0) >= 1


def test_what_has_no_goal_is_never_below_it() -> None:
    place = Place((3, 11), internals=True)
    assert place.codec("encode", "form", "msgspec") is None
    assert place.document(None) is None
    assert UNTOLD.reached


def test_the_status_says_whether_every_goal_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "codec"])
    for rows, status in ([FAST, UNTOLD], 0), ([FAST, SLOW], 1):
        subject = __main__.Subject((), lambda _, rows=rows: Found([as_rows(rows, "values", "")]))
        monkeypatch.setitem(__main__.SUBJECTS, "codec", subject)
        assert __main__.main() == status


@pytest.mark.parametrize("name", [*GOALS, *OTHERS])
def test_a_payload_is_the_same_in_every_run_and_comes_back(name: str) -> None:
    make = {**GOALS, **OTHERS}[name]
    assert loads(dumps(make())) == make()


@pytest.mark.parametrize("name", [*GOALS, "form", "visits"])
def test_a_payload_can_be_said_in_json(name: str) -> None:
    json.dumps(jsonable({**GOALS, **OTHERS}[name]()))


def test_a_peer_that_is_missing_is_named_and_the_others_are_measured() -> None:
    code = (
        "import runpy, sys; sys.modules['msgspec'] = None;"
        "sys.argv[1:] = ['codec', '--only', 'small', '--rounds', '3'];"
        "runpy.run_module('coatcheck.bench', run_name='__main__')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "Not compared: msgspec is missing: pip install msgspec." in run.stdout
    assert "pickle" in run.stdout


def test_a_document_gives_and_takes_fields() -> None:
    document = _Document(dumps({"a": 1, "b": [2]}))
    assert document.get("b") == [2]
    document.set("a", (3,))
    assert document.get("a") == (3,)
    assert document.save() == len(dumps({"a": (3,), "b": [2]}))
    assert _Document.field_of((dumps({"a": 1, "b": [2]}), "b")) == [2]
    with pytest.raises(KeyError):
        document.get("c")
