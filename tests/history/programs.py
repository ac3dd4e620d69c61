"""Random programs: what browsers ask for, several requests at a time, drawn from a seed.

A request is a generator that stops wherever another one may come between: before it loads, before
it saves, and, as a slow response does, before its cookie arrives. A `Player` has several of them
under way and draws which one goes on. One player alone, in one thread, plays the same game each
time; many of them, in threads and processes, race as well.

An operation is a function of a visit, entered in `OPERATIONS` with how often it is drawn.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from backends import Backend, Loaded, Request, Saved
from browsers import KEPT, Jars
from events import COUNTERS, LAST, NO_CALLS, REGISTERS, Event, gone

PRINCIPALS = 6
SLOWEST = 12  # turns for which a response may be under way

PAUSE = 0.02  # seconds, after the store could not be reached: all calls may fail for a while


class Moment(NamedTuple):
    mono: int  # nanoseconds of the clock that all processes share
    wall: int  # milliseconds of this process's own, which may be wrong


def now() -> Moment:
    return Moment(time.monotonic_ns(), time.time_ns() // 1_000_000)


@dataclass
class Visit:
    """A request under way, and what it is going to save."""

    name: str
    token: str
    browser: int
    id: str | None
    request: Request
    random: random.Random
    record: Callable[[Event], None]
    backend: Backend
    loaded: bool = False
    named: bool = True  # saves have their name in `last`
    yields: bool = False
    base: dict[str, Any] = field(default_factory=dict)  # what was loaded
    base_principal: str | None = None
    session: str | None = None
    kind: str = "save"
    principal: str | None = None
    writes: dict[str, tuple[str, bool]] = field(default_factory=dict)
    increments: dict[str, int] = field(default_factory=dict)
    over: bool = False  # a logout has ended it
    failed: bool = False  # an operation raised: nothing is saved

    def changes(self) -> bool:
        return bool(self.writes or self.increments or self.kind != "save")

    def write(self, name: str, value: Any, wrote: str) -> None:
        self.request.fields[name] = value
        self.writes[name] = (wrote, False)

    def value(self, name: str) -> str:
        return f"{self.token}{name}"

    def delete(self, name: str, wrote: str) -> None:
        """Says in the same save what became of the field."""
        self.request.fields.pop(name, None)
        self.request.fields[gone(name)] = wrote
        self.writes[name] = (wrote, True)

    def note(self, op: str, begin: Moment, **what: Any) -> None:
        end = now()
        times = {"begin": begin.mono, "end": end.mono, "wall": [begin.wall, end.wall]}
        self.record({"op": op, **times, "visit": self.name, **what})

    def used(self, begin: Moment, result: str) -> None:
        self.note("use", begin, id=self.id, session=self.session, result=result)

    def saved(self, begin: Moment, saved: Saved, *, yields: bool) -> None:
        self.note(
            "save",
            begin,
            id=self.id if self.session else None,
            session=self.session,
            token=self.token,
            kind=self.kind,
            principal=self.principal,
            yields=yields,
            writes=self.writes,
            increments=self.increments,
            result=saved.result,
            new_id=saved.id,
            saved_in=saved.session,
            fields=saved.fields,
        )


# ---- Operations -----------------------------------------------------------------------------


def set_field(visit: Visit) -> None:
    name = visit.random.choice("abc")
    visit.write(name, visit.value(name), visit.value(name))


def delete_field(visit: Visit) -> None:
    """Of what was there: what only this request has set would be no deletion for others."""
    name = visit.random.choice(REGISTERS)
    if name in visit.base and name in visit.request.fields:
        visit.delete(name, visit.value(name))


def change_nested(visit: Visit) -> None:
    """In place, without an assignment, where there is a list already."""
    wrote = visit.value("cart")
    cart = visit.request.fields.get("cart")
    if cart is None:
        visit.write("cart", [wrote], wrote)
        return
    del cart[: len(cart) - 2]
    cart.append(wrote)
    visit.writes["cart"] = (wrote, False)


def increment(visit: Visit) -> None:
    by = visit.random.choice((1, 1, 2, 5))
    visit.request.increment("n", by)
    visit.increments["n"] = visit.increments.get("n", 0) + by


def rotate(visit: Visit) -> None:
    if visit.session is not None and visit.kind == "save":
        visit.request.rotate()
        visit.kind = "rotate"


def login(visit: Visit) -> None:
    if visit.kind == "login":
        return
    draw = visit.random
    who = visit.principal or f"user{draw.randrange(PRINCIPALS)}"
    carry = [name for name in (*REGISTERS, *COUNTERS) if draw.random() < 0.6]
    everything = draw.random() < 0.3
    kept = [text for name in carry for text in (name, gone(name))]
    visit.request.login(who, "all" if everything else kept)
    visit.principal, visit.kind = who, "login"
    if everything:
        return
    for name in REGISTERS:
        if name not in carry:
            visit.delete(name, visit.token)
    for name in COUNTERS:
        if name not in carry:
            visit.increments.pop(name, None)
            visit.request.fields[gone(name)] = visit.token


def logout(visit: Visit) -> None:
    if visit.id is None or (visit.loaded and visit.session is None):
        return
    begin = now()
    result = visit.request.logout()
    visit.note("logout", begin, id=visit.id, session=visit.session, result=result)
    again = result == "ended" and visit.loaded and visit.random.random() < 0.3
    visit.over = not again
    visit.failed = result in ("replaced", "unclear")
    if again:  # the next one at the same browser
        visit.session, visit.id, visit.principal, visit.kind = None, None, None, "save"
        visit.base, visit.base_principal = {}, None
        visit.writes, visit.increments = {}, {}
        login(visit)


def update(visit: Visit) -> None:
    """Without a request: the store calls a function until nobody else has saved meanwhile."""
    read_change_write(visit, "m", visit.backend.update)


def locked(visit: Visit) -> None:
    """Without a request, under the lock of the session."""
    read_change_write(visit, "l", visit.backend.locked)


def read_change_write(
    visit: Visit, counter: str, save: Callable[[str, Callable[[Any], None]], Saved]
) -> None:
    assert visit.id is not None

    def change(session: Any) -> None:
        session[counter] = session.get(counter, 0) + 1
        if visit.named:
            session[LAST] = visit.token

    begin = now()
    result, session, id, fields = save(visit.id, change)
    if result == "none":
        visit.note("load", begin, id=visit.id, result="none", session=None, fields={})
        return
    visit.increments, visit.session = {counter: 1}, session
    saved_in = session if result == "saved" else None
    visit.saved(begin, Saved(result, saved_in, id, fields), yields=False)


def logout_unseen(visit: Visit) -> None:
    """By a request that looks at nothing."""
    logout(visit)


# ---- Of a principal -------------------------------------------------------------------------


def list_sessions(visit: Visit) -> None:
    who = somebody(visit)
    begin = now()
    sessions = visit.backend.sessions(who)
    result = "unclear" if sessions is None else "listed"
    visit.note("list", begin, principal=who, result=result, sessions=sessions)


def destroy_one(visit: Visit) -> None:
    who = somebody(visit)
    begin = now()
    sessions = visit.backend.sessions(who)
    result = "unclear" if sessions is None else "listed"
    visit.note("list", begin, principal=who, result=result, sessions=sessions)
    if sessions:
        one = visit.random.choice(sorted(sessions))
        begin = now()
        result = visit.backend.destroy_one(who, one)
        visit.note("destroy", begin, principal=who, session=one, result=result)


def destroy_all(visit: Visit) -> None:
    """But the own one, perhaps."""
    who = somebody(visit)
    mine = visit.session if who == visit.base_principal else None
    keep = mine if visit.random.random() < 0.6 else None
    begin = now()
    listed = visit.backend.destroy_all(who, keep)
    result = "unclear" if listed is None else "ended"
    visit.note("destroy-all", begin, principal=who, keep=keep, listed=listed, result=result)


def somebody(visit: Visit) -> str:
    return visit.base_principal or f"user{visit.random.randrange(PRINCIPALS)}"


class Operation(NamedTuple):
    weight: int
    run: Callable[[Visit], None]


#: Within a request, when it has loaded its session.
OPERATIONS = {
    "set": Operation(30, set_field),
    "delete": Operation(12, delete_field),
    "nested": Operation(15, change_nested),
    "increment": Operation(12, increment),
    "rotate": Operation(4, rotate),
    "login": Operation(6, login),
    "logout": Operation(3, logout),
    "list": Operation(2, list_sessions),
    "destroy-one": Operation(1, destroy_one),
    "destroy-all": Operation(1, destroy_all),
}

#: In place of all that, with an id alone.
CALLS = {
    "logout-unseen": Operation(1, logout_unseen),
    "update": Operation(3, update),
    "locked": Operation(3, locked),
}
CALLED = 0.08  # of all requests


# ---- Players --------------------------------------------------------------------------------


class Player:
    """Plays requests of all browsers, `together` at a time."""

    def __init__(
        self,
        name: str,
        seed: str,
        backend: Backend,
        jars: Jars,
        *,
        together: int,
        named: bool = True,
        yields: bool = False,
        disturb: Callable[[random.Random], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.events: list[Event] = []
        self.operations = 0
        self._random = random.Random(seed)
        self._backend = backend
        self._jars = jars
        self._together = together
        self._named = named
        self._yields = yields
        self._disturb = disturb
        self._visits = 0
        chosen = [(op, name) for name, op in OPERATIONS.items() if name in backend.offers]
        self._operations = [op for op, _ in chosen]
        self._calls = [op for name, op in CALLS.items() if name in backend.offers]
        self._weights = [op.weight for op in self._operations]

    def play(self, operations: int) -> None:
        """At least so many operations, and whatever they have begun to its end."""
        under_way: list[Iterator[None]] = []
        while under_way or self.operations < operations:
            if self.operations < operations and len(under_way) < self._together:
                under_way.append(self._visit())
            at = self._random.randrange(len(under_way))
            if next(under_way[at], self) is self:
                under_way.pop(at)

    def look_at_all(self, ids: set[str]) -> None:
        """After all others have ended: what each id leads to."""
        for id in sorted(ids):
            visit = self.begin(0, id)
            self.load(visit)

    def _record(self, event: Event) -> None:
        self.events.append(event)
        self.operations += event["op"] not in NO_CALLS

    def begin(self, browser: int, id: str | None) -> Visit:
        self._visits += 1
        name = f"{self.name}.{self._visits}"
        request = self._backend.request(id)
        return Visit(
            name,
            name,
            browser,
            id,
            request,
            self._random,
            self._record,
            self._backend,
            named=self._named,
            yields=self._yields,
        )

    def _visit(self) -> Iterator[None]:
        draw = self._random
        browser = draw.randrange(self._jars.count)
        # Now and then somebody comes with an id that the browser had before.
        age = draw.randrange(1, KEPT) if draw.random() < 0.06 else 0
        visit = self.begin(browser, self._jars.get(browser, age))
        yield
        self._disturb(draw)
        if visit.id is not None and self._calls and draw.random() < CALLED:
            draw.choices(self._calls, [call.weight for call in self._calls])[0].run(visit)
        elif visit.id is None or self.load(visit):
            yield
            self._change(visit)
            yield
        if visit.loaded or visit.id is None or visit.over:
            self.save(visit)
        changes, id = visit.request.answer()
        for _ in range(draw.randrange(SLOWEST) if changes else 0):
            yield
        if changes and not age:
            self._jars.put(browser, id)
            visit.note("cookie", now(), browser=browser, id=id, from_id=visit.id)

    def load(self, visit: Visit) -> bool:
        """False: the request ends here."""
        begin = now()
        loaded: Loaded = visit.request.load()
        visit.note(
            "load",
            begin,
            id=visit.id,
            result=loaded.result,
            session=loaded.session,
            principal=loaded.principal,
            fields=loaded.fields,
        )
        visit.session, visit.principal = loaded.session, loaded.principal
        visit.base, visit.base_principal = loaded.fields, loaded.principal
        if loaded.result == "unclear":
            time.sleep(PAUSE)
            return False
        visit.loaded = True
        return True

    def _change(self, visit: Visit) -> None:
        for _ in range(self._random.choice((0, 1, 1, 2, 3))):
            (operation,) = self._random.choices(self._operations, self._weights)
            operation.run(visit)
            if visit.over:
                return
        if visit.named and visit.changes():
            visit.request.fields[LAST] = visit.token

    def save(self, visit: Visit) -> None:
        if visit.failed:
            return
        if visit.changes():
            self._disturb(self._random)
        begin = now()
        saved = visit.request.save()
        if visit.over or saved.result == "nothing":
            return
        if visit.changes() or (saved.result == "saved" and saved.id != visit.id):
            visit.saved(begin, saved, yields=visit.yields)
        elif visit.session is not None:
            visit.used(begin, saved.result)
