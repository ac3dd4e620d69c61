"""The checker on histories written by hand: right ones pass, and each kind of fault is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "history"))

from checker import RULES, check
from events import Event, Fields, gone
from history import Renewal

#: A session, its id, and the ids that take its place.
S, ID, NEW, NEWER = "session", "id-1", "id-2", "id-3"


def event(op: str, begin: float, end: float, **what: Any) -> Event:
    """By a clock that is right, unless said otherwise."""
    times = {"begin": begin, "end": end, "wall": [begin, end]}
    return {"op": op, **times, "visit": f"visit {begin}", **what}


def save(begin: float, end: float, **what: Any) -> Event:
    """Into the session, of nothing, unless said otherwise. Named by its begin."""
    saved: Event = {
        "id": ID,
        "session": S,
        "token": f"save {begin}",
        "kind": "save",
        "principal": None,
        "yields": False,
        "writes": {},
        "increments": {},
        "result": "saved",
        "fields": {},
    }
    saved |= what
    there = saved["result"] == "saved"
    saved.setdefault("saved_in", S if there else None)
    saved.setdefault("new_id", saved["id"] if there else None)
    return event("save", begin, end, **saved)


def create(fields: Fields | None = None, **what: Any) -> Event:
    """At 0 to 1."""
    return save(0, 1, session=None, id=None, new_id=ID, fields=fields or {}, **what)


def change(begin: float, end: float, name: str, fields: Fields, **what: Any) -> Event:
    """A save of one field, by the name of what it wrote; fields: what the save left."""
    deletes = name not in fields
    wrote = f"{name}{begin}"
    return save(begin, end, writes={name: (wrote, deletes)}, fields=fields, **what)


def login(begin: float, end: float, who: str = "ann", **what: Any) -> Event:
    return save(begin, end, **{"kind": "login", "principal": who, "new_id": NEW, **what})


def load(begin: float, end: float, fields: Fields | None = None, **what: Any) -> Event:
    found = {"id": ID, "result": "found", "session": S, "principal": None, "fields": fields or {}}
    return event("load", begin, end, **{**found, **what})


def no_load(begin: float, end: float, result: str, id: str = ID) -> Event:
    return load(begin, end, id=id, result=result, session=None)


def logout(begin: float, end: float, result: str = "ended", id: str = ID) -> Event:
    return event("logout", begin, end, id=id, session=S, result=result)


def ends_all(begin: float, end: float, **what: Any) -> Event:
    asked = {"principal": "ann", "keep": None, "result": "ended", "listed": True}
    return event("destroy-all", begin, end, **{**asked, **what})


def lists(begin: float, end: float, sessions: list[str]) -> Event:
    return event("list", begin, end, principal="ann", result="listed", sessions=sessions)


def use(begin: float, end: float, id: str, result: str = "saved") -> Event:
    return event("use", begin, end, id=id, session=S, result=result)


def offer(begin: float, end: float, **what: Any) -> Event:
    """A save that renews the id."""
    return save(begin, end, **{"new_id": NEW, **what})


def rules(*history: Event, cap: int | None = None, renewal: Renewal | None = None) -> set[str]:
    return {fault.rule for fault in check(history, cap, renewal)}


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


# ---- Renewal --------------------------------------------------------------------------------

RENEWAL = Renewal(period=100, grace=50)

RENEWED_RIGHT: dict[str, list[Event]] = {
    "both ids work while nobody has used the new one": [
        create(),
        offer(110, 111),
        load(900, 901, id=NEW),
        load(910, 911),
    ],
    "the old one in its grace, and not afterwards": [
        create(),
        offer(110, 111),
        use(120, 121, NEW),
        load(165, 166),
        no_load(180, 181, "stale"),
    ],
    "when the grace ends is told by two clocks": [
        create(),
        offer(110, 111),
        use(120, 121, NEW) | {"wall": [60120, 60121]},
        load(900, 901) | {"wall": [60169, 60170]},
        no_load(910, 911, "stale") | {"wall": [60170, 60171]},
    ],
    "of two uses at once either may have begun the grace": [
        create(),
        offer(110, 111),
        use(120, 131, NEW) | {"wall": [60120, 60131]},
        use(121, 130, NEW),
        load(190, 191),
    ],
    "a use that nobody answered may have begun the grace, or not": [
        create(),
        offer(110, 111),
        use(120, 121, NEW, "unclear"),
        load(300, 301),
        no_load(302, 303, "none"),
    ],
    "an offer that nobody used gives way to another one, a period later": [
        create(),
        offer(110, 111),
        offer(215, 216, new_id=NEWER),
        no_load(220, 221, "none", id=NEW),
        load(230, 231, id=NEWER),
    ],
    "or to one that nobody knows of": [
        create(),
        offer(110, 111),
        save(215, 216, result="unclear"),
        no_load(220, 221, "none", id=NEW),
    ],
    "a login ends the one that was offered": [
        create(),
        offer(110, 111),
        login(120, 121, new_id=NEWER),
        no_load(130, 131, "none", id=NEW),
        no_load(132, 133, "stale"),
    ],
    "a login by the new one ends the old one": [
        create(),
        offer(110, 111),
        login(120, 121, id=NEW, new_id=NEWER),
        no_load(130, 131, "none"),
    ],
    "an offer that came after a rotation that was slow": [
        create(),
        save(110, 130, kind="rotate", new_id=NEW),
        offer(120, 121, id=NEW, new_id=NEWER),
        load(140, 141, id=NEWER),
    ],
    "a save in the grace that ended meanwhile": [
        create(),
        offer(110, 111),
        use(120, 121, NEW),
        save(180, 181),
    ],
    "a request without changes after a logout, for which nothing was sent": [
        create(),
        logout(110, 111),
        use(120, 121, ID),
    ],
}


@pytest.mark.parametrize("history", RENEWED_RIGHT.values(), ids=RENEWED_RIGHT.keys())
def test_what_renewal_may_do_is_accepted(history: list[Event]) -> None:
    assert check(history, renewal=RENEWAL) == []


RENEWED_WRONG: list[tuple[str, str, list[Event]]] = [
    (
        "refused-id",
        "the old one, though nobody has used the new one",
        [create(), offer(110, 111), no_load(120, 121, "stale")],
    ),
    (
        "refused-id",
        "the old one, in its grace",
        [create(), offer(110, 111), use(120, 121, NEW), no_load(165, 166, "stale")],
    ),
    (
        "refused-id",
        "the same, by clocks that are wrong",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW) | {"wall": [60120, 60121]},
            no_load(900, 901, "stale") | {"wall": [60160, 60161]},
        ],
    ),
    (
        "refused-id",
        "the new one",
        [create(), offer(110, 111), no_load(120, 121, "none", id=NEW)],
    ),
    (
        "refused-id",
        "the new one, to which another was offered too early",
        [
            create(),
            offer(110, 111),
            offer(150, 151, new_id=NEWER),
            no_load(160, 161, "none", id=NEW),
        ],
    ),
    (
        "refused-id",
        "one that was in use when another was offered",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW),
            offer(400, 401, id=NEW, new_id=NEWER),
            no_load(410, 411, "none", id=NEW),
        ],
    ),
    (
        "refused-id",
        "after a use that found the session gone",
        [create(), use(110, 111, ID, "gone"), logout(120, 121)],
    ),
    (
        "outlived-grace",
        "a load",
        [create(), offer(110, 111), use(120, 121, NEW), load(171, 172)],
    ),
    (
        "outlived-grace",
        "a logout, after a save by the new one",
        [create(), offer(110, 111), save(120, 121, id=NEW), logout(171, 172)],
    ),
    (
        "outlived-grace",
        "by a clock that is ahead",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW),
            load(130, 131) | {"wall": [60130, 60131]},
        ],
    ),
    (
        "dead-id",
        "one that was offered before a rotation",
        [
            create(),
            offer(110, 111),
            save(120, 121, kind="rotate", new_id=NEWER),
            load(130, 131, id=NEW),
        ],
    ),
    (
        "dead-id",
        "one that was in its grace before a login",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW),
            login(130, 131, id=NEW, new_id=NEWER),
            load(140, 141, principal="ann"),
        ],
    ),
    (
        "used-after-logout",
        "one that had been offered",
        [create(), offer(110, 111), logout(120, 121), load(130, 131, id=NEW)],
    ),
]


@pytest.mark.parametrize(
    ("rule", "history"),
    [(rule, history) for rule, _, history in RENEWED_WRONG],
    ids=[f"{rule}: {what}" for rule, what, _ in RENEWED_WRONG],
)
def test_what_no_renewal_may_do_is_found_by_its_rule(rule: str, history: list[Event]) -> None:
    assert rules(*history, renewal=RENEWAL) == {rule}


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
    broken = {rule for rule, _, _ in WRONG + RENEWED_WRONG}
    assert broken | {"cap-exceeded"} == RULES.keys()


def test_a_fault_says_where_and_what() -> None:
    (fault,) = check([create(X), logout(10, 11), load(20, 21, X)])
    assert str(fault) == "used-after-logout: session session: load 0.000 ms after its end"
