"""The right store of `doubles.py` with renewal of ids, and three that make mistakes in that."""

from __future__ import annotations

import time

from doubles import Record, Right
from history import Renewal

#: Milliseconds, so that all of it happens in a short game.
RENEWAL = Renewal(period=5, grace=2)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Renewing(Right):
    """`other` is an id that is `offered` since `since`, or one whose grace ends then."""

    def first_ids(self, id: str) -> Record:
        return {"verifier": id, "other": None, "offered": False, "since": now_ms()}

    def opens(self, record: Record, id: str) -> bool:
        if record["other"] == id:
            return bool(record["offered"] or now_ms() < record["since"])
        return super().opens(record, id)

    def next_ids(self, record: Record, id: str, new_id: str, *, replaces: bool) -> Record:
        if replaces:
            return self.replaced_by(new_id)
        if record["offered"] and record["other"] == id:
            end = now_ms() + RENEWAL.grace
            return {"verifier": id, "other": record["verifier"], "offered": False, "since": end}
        if now_ms() - record["since"] >= RENEWAL.period:
            return self.renewed_by(new_id)
        return {}

    def replaced_by(self, new_id: str) -> Record:
        return self.first_ids(new_id)

    def renewed_by(self, new_id: str) -> Record:
        return {"other": new_id, "offered": True, "since": now_ms()}


class RenewalThatReplaces(Renewing):
    """The id before is dead at once, whether or not the answer arrives."""

    def renewed_by(self, new_id: str) -> Record:
        return self.replaced_by(new_id)


class RotationThatKeepsTheOffer(Renewing):
    """Only the id that the request came with is replaced."""

    def replaced_by(self, new_id: str) -> Record:
        return {"verifier": new_id}


class GraceWithoutEnd(Renewing):
    """Whoever has the id before keeps the session."""

    # In a short game little but the grace may end an id, or the mistake would hardly show.
    offers = frozenset(["set", "delete", "nested"])

    def opens(self, record: Record, id: str) -> bool:
        return id in (record["verifier"], record["other"])
