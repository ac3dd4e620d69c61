"""Which ids of a session work, as far as a history says.

A login or a rotation ends all ids that were given before it, offered ones and those in their grace
included. A renewal only offers an id; the first request that is saved under it takes the place of
the one before, which then goes on working for the time of grace. When that is over is told by the
clock of whoever asks, so the clocks are part of the history.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

from events import Event
from history import Id, Renewal, Session, landing_in


class Taken(NamedTuple):
    """By when an offered id had taken the place of the one before; and the latest time that the
    clock of whoever did it may have shown. Of several uses at once it may be any."""

    end: float
    wall: int


class Ids:
    """Those of one session."""

    def __init__(self, session: Session, renewal: Renewal | None) -> None:
        self._session = session
        self._renewal = renewal
        self._replacing = [
            save
            for save in session.saves
            if save["kind"] != "save" and save["session"] == session.name
        ]
        if renewal is not None:
            self._offered = {text: id for text, id in session.ids.items() if id.offered}
            self._taken = {text: _taken(id, session) for text, id in self._offered.items()}

    # What must be over.

    def dead_since(self, id: Id) -> float:
        """When a login or a rotation that came after it, or by it, had returned another one."""
        ends = [float(save["end"]) for save in self._replacing if self._surely_ends(save, id)]
        return min(ends, default=inf)

    def _surely_ends(self, save: Event, id: Id) -> bool:
        if landing_in(save, self._session.name) in (None, inf):
            return False
        later = id.giver is not None and id.giver["end"] < save["begin"]
        return later or any(save is by_it for by_it in id.replaced)

    def outlived(self, text: str, event: Event) -> bool:
        """Whether this load or logout came after the id's grace, by the clock that it went by."""
        if self._renewal is None or event["op"] not in ("load", "logout"):
            return False
        giver = self._session.ids[text].giver
        return any(
            giver is not None
            and use is not None
            and _given(giver)["end"] < _given(self._offered[newer].giver)["begin"]
            and use.end < event["begin"]
            and event["wall"][0] >= use.wall + self._renewal.grace
            for newer, use in self._taken.items()
            if newer != text
        )

    # What may be over.

    def perhaps_dead_since(self, text: str) -> float:
        """When a login or a rotation that may have ended it began."""
        id = self._session.ids[text]
        begins = [float(save["begin"]) for save in self._replacing if self._may_end(save, text, id)]
        return min(begins, default=inf)

    def _may_end(self, save: Event, text: str, id: Id) -> bool:
        landing = landing_in(save, self._session.name)
        if save is id.giver or landing is None or landing <= id.born:
            return False
        # Of two ids only an offered one works beside one that was given before it.
        by = self._session.ids[save["id"]]
        return id.offered or save["id"] == text or by.born >= id.born

    def perhaps_renewed_away(self, text: str, event: Event) -> bool:
        """Whether renewals may have ended it before the end of this event."""
        if self._renewal is None:
            return False
        graces = [use["wall"][0] + self._renewal.grace for use in self._newer_uses(text, event)]
        if any(event["wall"][1] >= end for end in graces):
            return True
        return any(
            offer["wall"][1] >= since + self._renewal.period
            for offer in self._perhaps_offers(text, event)
            for since in [*graces, *self._offered_at(text, offer)]
        )

    def _offered_at(self, text: str, other: Event) -> list[int]:
        """When it was offered, if nobody had used it before the other offer: that could have taken
        its place, a period later by the clock of whoever made it."""
        id, use = self._session.ids[text], self._taken.get(text)
        in_use = use is not None and use.end < other["begin"]
        return [_given(id.giver)["wall"][0]] if id.offered and not in_use else []

    def _newer_uses(self, text: str, event: Event) -> Iterator[Event]:
        born = self._session.ids[text].born
        for newer, id in self._offered.items():
            if newer != text and _given(id.giver)["end"] > born:
                for use in id.saves + id.uses:
                    if _may_have_landed(use) and use["begin"] < event["end"]:
                        yield use

    def _perhaps_offers(self, text: str, event: Event) -> Iterator[Event]:
        """Those that may have taken the place of another id; without an answer nobody knows."""
        for newer, id in self._offered.items():
            offer = _given(id.giver)
            if newer != text and offer["begin"] < event["end"]:
                yield offer
        for id in self._session.ids.values():
            for save in id.saves + id.uses:
                lost = save["result"] in ("unclear", "gone")
                if lost and save["begin"] < event["end"]:
                    yield save


def _given(giver: Event | None) -> Event:
    assert giver is not None
    return giver


def _taken(id: Id, session: Session) -> Taken | None:
    """None: nobody is known to have used it."""
    uses = [use for use in id.saves + id.uses if _may_have_landed(use)]
    known = [
        float(use["end"])
        for use in uses
        if use["result"] == "saved" and use.get("saved_in", session.name) == session.name
    ]
    if not known:
        return None
    by = min(known)
    return Taken(by, max(use["wall"][1] for use in uses if use["begin"] < by))


def _may_have_landed(use: Event) -> bool:
    return use["result"] in ("saved", "unclear", "gone")
