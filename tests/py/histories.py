"""Histories written by hand, for the tests of the checker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "history"))

from checker import check
from events import Event, Fields
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
