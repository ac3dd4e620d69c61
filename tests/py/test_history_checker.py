"""The checker on histories written by hand: right ones pass, and each kind of fault is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_history_renewal import WRONG as OF_RENEWAL

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "history"))

from checker import RULES, check
from events import Event, gone
from histories import (
    ID,
    NEW,
    NEWER,
    S,
    change,
    create,
    ends_all,
    event,
    lists,
    load,
    login,
    logout,
    no_load,
    rules,
    save,
)

X, Y = {"a": "x"}, {"a": "y"}

RIGHT: dict[str, list[Event]] = {
    "nothing": [],
    "a read while a save is under way sees either": [
        create(X),
        change(10, 20, "a", {"a": "a10"}),
        load(11, 12, X),
        load(13, 14, {"a": "a10"}),
    ],
    "of two saves at once either may be the last": [
        create(),
        change(10, 20, "a", {"a": "a10"}),
        change(11, 19, "a", {"a": "a11"}),
        load(30, 31, {"a": "a10"}),
    ],
    "an unclear save may have landed": [
        create(X),
        change(10, 11, "a", {"a": "a10"}, result="unclear"),
        load(20, 21, {"a": "a10"}),
    ],
    "or not": [
        create(X),
        change(10, 11, "a", {"a": "a10"}, result="unclear"),
        load(20, 21, X),
    ],
    "or late": [
        create(X),
        change(10, 11, "a", {"a": "a10"}, result="unclear"),
        load(20, 21, X),
        load(30, 31, {"a": "a10"}),
    ],
    "one that found the session gone may have landed before": [
        create(X),
        change(10, 20, "a", {"a": "a10"}, result="gone"),
        load(12, 13, {"a": "a10"}),
        logout(14, 15),
    ],
    "a deletion, and a new value after it": [
        create(X),
        change(10, 11, "a", {gone("a"): "a10"}),
        load(20, 21, {gone("a"): "a10"}),
        change(30, 31, "a", {"a": "a30", gone("a"): "a10"}),
        load(40, 41, {"a": "a30", gone("a"): "a10"}),
    ],
    "a value that gave way to that of another": [
        create(X),
        change(10, 11, "a", {"a": "a10"}),
        change(20, 21, "a", {"a": "a10"}, yields=True),
        load(30, 31, {"a": "a10"}),
    ],
    "a deletion that gave way but for its name, and one that gave way but for the deletion": [
        create(X),
        change(10, 20, "a", {"a": "a11", gone("a"): "a10"}, yields=True)
        | {"writes": {"a": ("a10", True)}},
        change(11, 19, "a", {"a": "a11"}),
        change(30, 31, "a", {gone("a"): "a10"}, yields=True),
        load(40, 41, {gone("a"): "a10"}),
    ],
    "a counter": [
        create(),
        save(10, 20, increments={"n": 1}, fields={"n": 3}),
        save(11, 21, increments={"n": 2}, fields={"n": 2}),
        load(30, 31, {"n": 3}),
    ],
    "an increment that may have landed": [
        create(),
        save(10, 11, increments={"n": 1}, result="unclear"),
        load(20, 21, {"n": 0}),
        load(30, 31, {"n": 1}),
    ],
    "a read that overlaps a logout": [create(X), load(10, 20, X), logout(11, 12)],
    "a logout that nobody answered": [create(X), logout(10, 11, "unclear"), load(20, 21, X)],
    "and may have been": [create(), logout(10, 11, "unclear"), no_load(20, 21, "none")],
    "one by an id that was replaced": [
        create(),
        login(10, 11),
        logout(20, 21, "replaced"),
        load(30, 31, id=NEW, principal="ann"),
    ],
    "an old id while the new one is on its way": [create(), login(10, 20), load(11, 12)],
    "an old id afterwards": [create(), login(10, 20), no_load(30, 31, "stale")],
    "a login for a session that was gone": [
        create(),
        logout(5, 6),
        login(10, 20, saved_in="other"),
        load(30, 31, id=NEW, session="other", principal="ann"),
    ],
    "a cookie by a login of its own": [
        create(),
        login(10, 11),
        {**no_load(20, 21, "stale"), "visit": "late"},
        login(22, 23, "bob", id=None, session=None, saved_in="other", new_id=NEWER, visit="late"),
        event("cookie", 30, 30, browser=1, id=NEWER, from_id=ID) | {"visit": "late"},
    ],
    "all ended, while a login was under way": [
        create(),
        login(10, 20),
        ends_all(15, 30),
        load(40, 41, id=NEW, principal="ann"),
    ],
    "one ended from the list by a call whose first reply was lost": [
        create(),
        login(10, 11),
        event("destroy", 20, 21, principal="ann", session=S, result="none"),
        no_load(30, 31, "none", id=NEW),
    ],
    "a dead session may still be in the index, though on no list": [
        create(),
        login(10, 11),
        logout(20, 21, id=NEW),
        ends_all(30, 31, keep=S, listed=True),
    ],
    "a list before and after": [create(), lists(2, 3, []), login(10, 11), lists(20, 21, [S])],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT.keys())
def test_what_can_be_is_accepted(history: list[Event]) -> None:
    assert check(history) == []


WRONG: list[tuple[str, str, list[Event]]] = [
    (
        "lost-update",
        "a save that nobody sees",
        [create(X), change(10, 11, "a", {"a": "a10"}), load(20, 21, X)],
    ),
    (
        "lost-update",
        "a save of another field that has not seen it",
        [
            create({**X, "b": "0"}),
            change(10, 11, "a", {"a": "a10", "b": "0"}),
            change(20, 21, "b", {"a": "x", "b": "b20"}),
        ],
    ),
    (
        "lost-update",
        "two values that take turns",
        [
            create(X),
            change(10, 40, "a", {"a": "a10"}),
            change(11, 41, "a", {"a": "a11"}),
            load(20, 21, {"a": "a10"}),
            load(22, 23, {"a": "a11"}),
            load(24, 25, {"a": "a10"}),
        ],
    ),
    (
        "lost-update",
        "its own value is not in what it left",
        [create(X), change(10, 11, "a", {"a": "x"})],
    ),
    (
        "lost-update",
        "an increment that is missing",
        [
            create(),
            save(10, 11, increments={"n": 1}, fields={"n": 1}),
            load(20, 21, {"n": 0}),
        ],
    ),
    (
        "lost-update",
        "two increments that made one",
        [
            create(),
            save(10, 20, increments={"n": 1}, fields={"n": 1}),
            save(11, 21, increments={"n": 1}, fields={"n": 1}),
        ],
    ),
    (
        "counted-twice",
        "an increment that was repeated",
        [create(), save(10, 11, increments={"n": 1}, fields={"n": 1}), load(20, 21, {"n": 2})],
    ),
    (
        "deletion-undone",
        "the value that was deleted is back",
        [
            create(X),
            change(10, 11, "a", {gone("a"): "a10"}),
            load(20, 21, {**X, gone("a"): "a10"}),
        ],
    ),
    (
        "deletion-undone",
        "a login dropped it",
        [
            create(X),
            login(10, 11, writes={"a": ("save 10", True)}, fields={gone("a"): "save 10"}),
            load(20, 21, {**X, gone("a"): "save 10"}, id=NEW, principal="ann"),
        ],
    ),
    (
        "half-save",
        "one of two fields",
        [
            create({**X, "b": "0"}),
            save(
                10,
                20,
                writes={"a": ("1", False), "b": ("2", False)},
                fields={"a": "1", "b": "2", "last": "save 10"},
            ),
            load(12, 13, {"a": "1", "b": "0", "last": "save 10"}),
        ],
    ),
    (
        "phantom",
        "a save that was refused",
        [
            create(X),
            change(10, 11, "a", {"a": "a10"}, result="refused"),
            load(20, 21, {"a": "a10"}),
        ],
    ),
    (
        "phantom",
        "one whose id had been replaced",
        [
            create(X),
            login(5, 6, fields=X),
            change(10, 11, "a", {"a": "a10"}, result="replaced"),
            load(20, 21, {"a": "a10"}, id=NEW, principal="ann"),
        ],
    ),
    ("phantom", "a value from the future", [create(X), load(2, 3, Y), save(10, 11, fields=Y)]),
    ("phantom", "a value from nowhere", [create(X), load(2, 3, Y)]),
    ("used-after-logout", "a load", [create(X), logout(10, 11), load(20, 21, X)]),
    ("used-after-logout", "a save", [create(X), logout(10, 11), save(20, 21, fields=X)]),
    (
        "used-after-logout",
        "by an id that came later",
        [create(), login(10, 11), logout(20, 21, id=NEW), load(30, 31, id=NEW, principal="ann")],
    ),
    (
        "used-after-logout",
        "all had been ended",
        [create(), login(10, 11), ends_all(20, 21), load(30, 31, id=NEW, principal="ann")],
    ),
    (
        "used-after-logout",
        "it had been ended from the list",
        [
            create(),
            login(10, 11),
            event("destroy", 20, 21, principal="ann", session=S, result="ended"),
            load(30, 31, id=NEW, principal="ann"),
        ],
    ),
    (
        "dead-id",
        "a load by the id of before the login",
        [create(X), login(10, 11, fields=X), load(20, 21, X, principal="ann")],
    ),
    (
        "dead-id",
        "a save by it",
        [create(X), login(10, 11, fields=X), save(20, 21, fields=X)],
    ),
    (
        "dead-id",
        "two rotations of one id",
        [
            create(),
            save(10, 20, kind="rotate", new_id=NEW),
            save(11, 21, kind="rotate", new_id=NEWER),
        ],
    ),
    ("refused-id", "no logout at all", [create(), no_load(10, 11, "none")]),
    (
        "refused-id",
        "the id of a login",
        [create(), login(10, 11), no_load(20, 21, "none", id=NEW)],
    ),
    (
        "refused-id",
        "stale, but nobody has replaced it",
        [create(), no_load(10, 11, "stale")],
    ),
    (
        "refused-id",
        "gone, but only later",
        [create(), save(10, 11, result="gone"), logout(20, 21)],
    ),
    (
        "refused-id",
        "kept, when all others were ended",
        [create(), login(10, 11), ends_all(20, 21, keep=S), no_load(30, 31, "none", id=NEW)],
    ),
    (
        "login-undone",
        "a stale request sets a cookie",
        [
            create(),
            login(10, 11),
            {**no_load(20, 21, "stale"), "visit": "late"},
            event("cookie", 30, 30, browser=1, id=ID, from_id=ID) | {"visit": "late"},
        ],
    ),
    (
        "login-undone",
        "a request that saved too late clears it",
        [
            create(),
            login(10, 11),
            {**save(12, 13, result="replaced"), "visit": "late"},
            event("cookie", 30, 30, browser=1, id=None, from_id=ID) | {"visit": "late"},
        ],
    ),
    (
        "login-undone",
        "a request whose session had ended clears it",
        [
            create(),
            logout(10, 11),
            {**save(12, 13, result="gone"), "visit": "late"},
            event("cookie", 30, 30, browser=1, id=None, from_id=ID) | {"visit": "late"},
        ],
    ),
    (
        "wrong-principal",
        "somebody else",
        [create(), login(10, 11), load(20, 21, id=NEW, principal="bob")],
    ),
    ("wrong-principal", "nobody", [create(), login(10, 11), load(20, 21, id=NEW)]),
    ("wrong-principal", "too early", [create(), load(2, 3, principal="ann"), login(10, 11)]),
    ("not-listed", "a live session", [create(), login(10, 11), lists(20, 21, [])]),
    (
        "not-listed",
        "the one to be kept",
        [create(), login(10, 11), ends_all(20, 21, keep=S, listed=False)],
    ),
    (
        "listed-dead",
        "after its logout",
        [create(), login(10, 11), logout(20, 21, id=NEW), lists(30, 31, [S])],
    ),
    ("no-ttl", "a key", [event("key", 1, 1, key="s:{x}")]),
]


@pytest.mark.parametrize(
    ("rule", "history"),
    [(rule, history) for rule, _, history in WRONG],
    ids=[f"{rule}: {what}" for rule, what, _ in WRONG],
)
def test_what_cannot_be_is_found_by_its_rule(rule: str, history: list[Event]) -> None:
    assert rules(*history) == {rule}


# ---- Principals -----------------------------------------------------------------------------


def user_with(sessions: int) -> list[Event]:
    """As many logins of one user, one after another, each of which is seen at 100 again."""
    history = []
    for n in range(sessions):
        there = {"session": f"s{n}", "principal": "ann"}
        own = {"id": None, "session": None, "saved_in": f"s{n}", "new_id": f"id{n}"}
        history.append(login(10 * n, 10 * n + 1, **own))
        history.append(load(100 + n, 101 + n, id=f"id{n}", **there))
    return history


def test_as_many_sessions_as_may_be_are_accepted() -> None:
    assert rules(*user_with(2), cap=2) == set()


def test_one_session_more_is_found() -> None:
    assert rules(*user_with(3), cap=2) == {"cap-exceeded"}


def test_an_eviction_is_an_end_that_needs_no_call() -> None:
    first, *others = user_with(3)
    others[0] = no_load(100, 101, "none", id="id0")
    assert rules(first, *others, cap=2) == set()
    assert rules(first, *others) == {"refused-id"}


def test_every_rule_has_a_history_that_breaks_it() -> None:
    broken = {rule for rule, _, _ in WRONG + OF_RENEWAL}
    assert broken | {"cap-exceeded"} == RULES.keys()


def test_a_fault_says_where_and_what() -> None:
    (fault,) = check([create(X), logout(10, 11), load(20, 21, X)])
    assert str(fault) == "used-after-logout: session session: load 0.000 ms after its end"
