"""Decides from a history alone whether the store kept its promises.

It knows nothing of coatcheck: only what was asked, what was answered, and when. `RULES` says what
is looked for. It errs on one side: what it reports cannot be, whatever happened in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from events import COUNTERS, LAST, REGISTERS, Event, Fields, gone, written_by
from history import History, Renewal, Session, landing_in
from registers import NOTHING, Counter, Register
from renewals import Ids

RULES = {
    "lost-update": "what a save wrote is no longer there, though nobody has overwritten it",
    "deletion-undone": "a field came back after it was deleted",
    "counted-twice": "a counter holds more than was counted",
    "half-save": "a reader saw a part of what was saved at once",
    "phantom": "a value was read that no save can have written: refused, or not begun yet",
    "used-after-logout": "a session was read or written after it had been ended",
    "dead-id": "an id worked after another one had taken its place",
    "outlived-grace": "an id worked after its grace, though the one that renewed it was in use",
    "refused-id": "an id did not work, though nothing had ended it: a login or a session is lost",
    "login-undone": "a slower response replaced the cookie of a login",
    "wrong-principal": "a session belongs to somebody whom no login gave it to",
    "cap-exceeded": "a principal had more sessions at once than may be",
    "not-listed": "a session that was there is missing from the list of its principal",
    "listed-dead": "the list names a session that had ended, or another principal's",
    "no-ttl": "a key without a TTL",
}


class Fault(NamedTuple):
    rule: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.what}"


def check(
    events: Iterable[Event], cap: int | None = None, renewal: Renewal | None = None
) -> list[Fault]:
    """All faults of a history; none if it is right. cap: on the sessions of a principal."""
    return list(faults(History(events, cap, renewal)))


def faults(history: History) -> Iterator[Fault]:
    for session in history.sessions.values():
        for rule in (_values, _counts, _whole_saves, _ended, _principals, _lists):
            for name, what in rule(session):
                yield Fault(name, f"session {session.name}", what)
        for name, what in _ids(session, Ids(session, history.renewal)):
            yield Fault(name, f"session {session.name}", what)
    yield from _caps(history)
    yield from _cookies(history)
    for event in history.keys:
        yield Fault("no-ttl", event["key"], "has no TTL after all had ended")


Found = Iterator[tuple[str, str]]


# ---- Values ---------------------------------------------------------------------------------


def _values(session: Session) -> Found:
    for name in REGISTERS:
        register = Register()
        for save in session.saves:
            _note_save(register, save, session, name)
        for load in session.loads:
            register.read(written_by(load["fields"], name), load["begin"], load["end"])
        for rule, what in [*_own_writes(session, name), *register.faults()]:
            yield rule, f"field {name}: {what}"


def _own_writes(session: Session, name: str) -> Found:
    """A save leaves what it wrote, unless others win."""
    for save in session.saves:
        if name in save["writes"] and save["saved_in"] == session.name and not save["yields"]:
            wrote, shown = save["writes"][name][0], written_by(save["fields"], name)
            if shown != wrote:
                yield "lost-update", f"save {save['token']} wrote {wrote!r} and left {shown!r}"


def _note_save(register: Register, save: Event, session: Session, name: str) -> None:
    begin, landing = save["begin"], landing_in(save, session.name)
    if landing is None:
        return
    written = save["writes"].get(name)
    if landing == inf:
        if written is not None:
            register.write(written[0], begin, inf, deletes=written[1])
        return
    shown = written_by(save["fields"], name)
    if save["session"] != session.name:
        # A new session: what it holds has been written now.
        if shown != NOTHING:
            register.write(shown, begin, landing, deletes=name not in save["fields"])
        return
    # Where others win, a write of which nothing is seen at once has not been made. The name of a
    # deletion may land without it, and show when another one takes the field away.
    if written is not None:
        name_alone = save["fields"].get(gone(name)) == written[0]
        if shown == written[0] or not save["yields"]:
            register.write(written[0], begin, landing, deletes=written[1])
        elif name_alone:
            register.write(written[0], begin, inf, deletes=written[1])
    register.read(shown, begin, landing)


def _counts(session: Session) -> Found:
    for name in COUNTERS:
        for counter in _counters(session, name):
            for rule, what in counter.faults():
                yield rule, f"field {name}: {what}"


def _counters(session: Session, name: str) -> Iterable[Counter]:
    """By epoch: a login that does not carry the counter begins another one."""
    counters: dict[str, Counter] = defaultdict(Counter)
    unclear = []

    def read(fields: Fields) -> tuple[Counter, int]:
        return counters[str(fields.get(gone(name), NOTHING))], int(fields.get(name, 0))

    for save in session.saves:
        begin, landing = save["begin"], landing_in(save, session.name)
        by = save["increments"].get(name, 0)
        if landing == inf:
            unclear.append((begin, by))
        elif landing is not None:
            counter, after = read(save["fields"])
            if save["session"] != session.name:
                by = after
            if by:
                counter.landed.append((begin, landing, by, after))
            else:
                counter.reads.append((begin, landing, after))
    for load in session.loads:
        counter, value = read(load["fields"])
        counter.reads.append((load["begin"], load["end"], value))
    for counter in counters.values():
        counter.unclear = unclear
    return counters.values()


def _whole_saves(session: Session) -> Found:
    """Who sees the token of a save as the last one sees the session as it left it."""
    saves = {
        save["token"]: save for save in session.saves if landing_in(save, session.name) is not None
    }
    for load in session.loads:
        save = saves.get(load["fields"].get(LAST))
        if save is None:
            continue
        known = landing_in(save, session.name) != inf
        if known and load["fields"] != save["fields"]:
            yield (
                "half-save",
                f"{load['fields']} was read after the save that left {save['fields']}",
            )
        for name, (wrote, _) in save["writes"].items():
            if written_by(load["fields"], name) != wrote:
                yield "half-save", f"field {name} was read without what save {save['token']} wrote"


# ---- Ids and ends ---------------------------------------------------------------------------


def _ended(session: Session) -> Found:
    dead = session.dead_since()
    for event in session.loads + session.saves:
        if _worked(event, session) and event["begin"] > dead:
            yield "used-after-logout", f"{event['op']} {_ago(event['begin'] - dead)} after its end"


def _ago(ns: float) -> str:
    return f"{ns / 1e6:.3f} ms"


def _ids(session: Session, ids: Ids) -> Found:
    for text, id in session.ids.items():
        replaced = [event for event in id.replaced if landing_in(event, session.name) != inf]
        for second in replaced[1:]:
            yield "dead-id", f"{text[:6]}... was replaced twice, by {second['token']} as well"
        dead, maybe = ids.dead_since(id), ids.perhaps_dead_since(text)
        for event in id.tried + id.saves + id.uses:
            if _worked(event, session):
                if event["begin"] > dead:
                    what = f"{event['op']} {_ago(event['begin'] - dead)} after it was replaced"
                    yield "dead-id", f"{text[:6]}...: {what}"
                elif ids.outlived(text, event):
                    yield "outlived-grace", f"{text[:6]}...: {event['op']}"
            elif id.born < inf and _failed(event):
                why = _reason(event)
                excuses = {"gone": session.perhaps_dead_since(), "replaced": maybe, "stale": maybe}
                excuse = excuses.get(why, min(excuses.values()))
                renewed_away = why != "gone" and ids.perhaps_renewed_away(text, event)
                if event["end"] < excuse and not renewed_away:
                    yield "refused-id", f"{text[:6]}...: {event['op']}: {event['result']}"


def _worked(event: Event, session: Session) -> bool:
    if event["op"] == "use":  # nothing need have been sent
        return False
    if event["op"] == "save":
        return bool(event["result"] == "saved" and event["saved_in"] == session.name)
    return event["result"] in ("found", "ended")


def _reason(event: Event) -> str:
    """A login for which the session was gone has made another one."""
    return "gone" if event["result"] == "saved" else str(event["result"])


def _failed(event: Event) -> bool:
    if event["op"] == "use":
        return event["result"] in ("gone", "replaced")
    return event["result"] in ("gone", "replaced", "stale", "none", "saved")


def _principals(session: Session) -> Found:
    login = session.login
    may: dict[str, float] = {}
    for event in session.logins:
        if landing_in(event, session.name) is not None:
            may[event["principal"]] = min(event["begin"], may.get(event["principal"], inf))
    for load in session.loads:
        who = load["principal"]
        if who is None:
            if login is not None and load["begin"] > login["end"]:
                yield "wrong-principal", f"nobody, after the login of {login['principal']}"
        elif load["end"] < may.get(who, inf):
            yield "wrong-principal", f"{who}, whom no login gave it to"


# ---- Principals -----------------------------------------------------------------------------


def _lists(session: Session) -> Found:
    dead, perhaps_dead, login = session.dead_since(), session.perhaps_dead_since(), session.login
    for event in session.listed:
        if event["result"] != "listed" or event["principal"] != session.owner():
            continue
        named = session.name in event["sessions"]
        if named and event["begin"] > dead:
            yield "listed-dead", f"{_ago(event['begin'] - dead)} after its end"
        if not named and login and login["end"] < event["begin"] and event["end"] < perhaps_dead:
            yield "not-listed", f"of {event['principal']}"


def _caps(history: History) -> Iterator[Fault]:
    if history.cap is None:
        return
    for principal, sessions in history.by_principal.items():
        changes = []
        for session in sessions:
            span = _surely_there(session)
            if span is not None and session.owner() == principal:
                changes += [(span[0], 1), (span[1], -1)]
        there = 0
        for _, change in sorted(changes):
            there += change
            if there > history.cap:
                what = f"{there} sessions at once, where {history.cap} may be"
                yield Fault("cap-exceeded", f"principal {principal}", what)
                break


def _surely_there(session: Session) -> tuple[float, float] | None:
    """From the answer to its login to the last moment before which it cannot have ended."""
    if session.login is None:
        return None
    uses = [load["begin"] for load in session.loads]
    uses += [save["begin"] for save in session.saves if _worked(save, session)]
    last = max(uses, default=-inf)
    return (session.login["end"], last) if last > session.login["end"] else None


# ---- Cookies --------------------------------------------------------------------------------


def _cookies(history: History) -> Iterator[Fault]:
    """A request whose id was replaced, or whose session ended under it, says nothing about the
    cookie, unless it logged in itself: its response may arrive after that of a login."""
    for cookie in history.cookies:
        events = history.visits[cookie["visit"]]
        over = any(
            event["result"] in ("stale", "replaced")
            or (event["op"] in ("save", "use") and event["result"] == "gone")
            for event in events
        )
        own = any(
            event["op"] == "save" and event["kind"] == "login" and event["result"] == "saved"
            for event in events
        )
        if over and not own:
            did = "cleared" if cookie["id"] is None else "set"
            yield Fault("login-undone", f"browser {cookie['browser']}", f"a late response {did} it")
