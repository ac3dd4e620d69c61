"""Stores that make the mistakes which sessions are known for, and one that makes none.

Small ones in Python on a real server; each differs from `Right` in one function, so what the
checker says of it is due to that.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from typing import Any, cast

from backends import BASIC, Answer, Change, Fields, Loaded, Request, Saved, snapshot
from conftest import RedisClient

Record = dict[str, Any]

# Whole records are compared: each has a revision of its own.
SAVE = """
local there = redis.call('GET', KEYS[1])
if not there then return 0 end
if there ~= ARGV[1] then return there end
redis.call('SET', KEYS[1], ARGV[2], 'PX', 3600000)
return 1
"""

SAVE_THAT_CREATES = SAVE.replace(
    "if not there then return 0 end\nif there ~= ARGV[1]", "if there and there ~= ARGV[1]"
)

DELETE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class Right:
    """Compare-and-set on the record that was read; on conflict a merge with the base."""

    offers = BASIC
    save_script = SAVE

    def __init__(self, path: str) -> None:
        self.redis = RedisClient(path)

    def close(self) -> None:
        self.redis.close()

    def request(self, id: str | None) -> Request:
        return cast(Request, DoubleRequest(self, id))

    def update(self, id: str, change: Change) -> Saved:
        raise NotImplementedError

    def locked(self, id: str, change: Change) -> Saved:
        raise NotImplementedError

    def sessions(self, principal: str) -> list[str] | None:
        raise NotImplementedError

    def destroy_one(self, principal: str, session: str) -> str:
        raise NotImplementedError

    def destroy_all(self, principal: str, keep: str | None) -> bool | None:
        raise NotImplementedError

    def get(self, selector: str) -> bytes | None:
        return cast("bytes | None", self.redis("GET", f"double:{selector}"))

    def put(self, selector: str, base: bytes, record: bytes) -> Any:
        """1: done, 0: gone, or the record of somebody else."""
        return self.redis("EVAL", self.save_script, 1, f"double:{selector}", base, record)

    def delete(self, selector: str, record: bytes) -> bool:
        """False: it has changed meanwhile."""
        return bool(self.redis("EVAL", DELETE, 1, f"double:{selector}", record))

    def first_ids(self, id: str) -> Record:
        return {"verifier": id}

    def opens(self, record: Record, id: str) -> bool:
        return bool(record["verifier"] == id)

    def next_ids(self, record: Record, id: str, new_id: str, *, replaces: bool) -> Record:
        """What a save by this id changes of them."""
        return {"verifier": new_id} if replaces else {}

    def merge(self, base: Fields, mine: Fields, theirs: Fields) -> Fields:
        changed = {k: v for k, v in mine.items() if base.get(k) != v}
        return {k: v for k, v in theirs.items() if k in mine or k not in base} | changed


class PlainSet(Right):
    """Whoever saves last has written everything."""

    def put(self, selector: str, base: bytes, record: bytes) -> Any:
        if self.get(selector) is None:
            return 0
        self.redis("SET", f"double:{selector}", record, "PX", 3600000)
        return 1


class TwoWayMerge(Right):
    """Without the base, what somebody else has deleted looks like what is new here."""

    def merge(self, base: Fields, mine: Fields, theirs: Fields) -> Fields:
        changed = super().merge(base, mine, theirs)
        return mine | changed


class SaveThatCreates(Right):
    """What is missing has not been changed by anybody."""

    save_script = SAVE_THAT_CREATES


class DoubleRequest:
    def __init__(self, store: Right, id: str | None) -> None:
        self.store = store
        self.id = id
        self.fields: Fields = {}
        self._text: bytes = b""  # of the record that was read
        self._record: Record = {}
        self._login: tuple[str, Iterable[str] | str] | None = None
        self._rotate = False
        self._answer = Answer(False)
        self._stale = False

    def load(self) -> Loaded:
        assert self.id is not None
        text = self.store.get(self.id[:21])
        if text is None:
            return Loaded("none")
        record = json.loads(text)
        if not self.store.opens(record, self.id):
            self._stale = True
            return Loaded("stale")
        self._text, self._record = text, record
        self.fields = json.loads(text)["fields"]
        return Loaded("found", self.id[:21], record["principal"], snapshot(record["fields"]))

    def rotate(self) -> None:
        self._rotate = True

    def login(self, principal: str, carry: Iterable[str] | str) -> None:
        self._login = (principal, carry)
        self.fields = _carried(self.fields, carry)

    def logout(self) -> str:
        assert self.id is not None
        self._text, self._record, self.fields = b"", {}, {}
        while (text := self.store.get(self.id[:21])) is not None:
            if not self.store.opens(json.loads(text), self.id):
                return "replaced"
            if self.store.delete(self.id[:21], text):
                self._answer = Answer(True, None)
                return "ended"
        self._answer = Answer(True, None)
        return "none"

    def save(self) -> Saved:
        if not self._text:
            return self._create() if self.fields and (self._login or not self._stale) else _NOTHING
        assert self.id is not None
        changed = self._login or self._rotate or self.fields != self._record["fields"]
        renews = self.store.next_ids(self._record, self.id, "", replaces=False)
        return self._replace() if changed or renews else _NOTHING

    def _create(self) -> Saved:
        id = secrets.token_hex(22)[:43]
        principal = self._login[0] if self._login else None
        record = {**self.store.first_ids(id), "principal": principal, "fields": self.fields}
        text = self._encoded(record)
        assert self.store.redis("SET", f"double:{id[:21]}", text, "NX", "PX", 3600000) == "OK"
        self._answer = Answer(True, id)
        return Saved("saved", id[:21], id, snapshot(self.fields))

    def _replace(self) -> Saved:
        assert self.id is not None
        base, theirs, mine = self._record["fields"], self._record, self.fields
        new_id = self.id[:21] + secrets.token_hex(11)
        while True:
            fields = self.store.merge(base, mine, self._their_fields(theirs))
            replaces = self._rotate or self._login is not None
            ids = self.store.next_ids(theirs, self.id, new_id, replaces=replaces)
            record = {**theirs, **ids, "fields": fields}
            if self._login:
                record["principal"] = self._login[0]
            result = self.store.put(self.id[:21], self._text, self._encoded(record))
            if result == 1:
                return self._saved(new_id if new_id in ids.values() else self.id, record)
            if result == 0:
                return self._create() if self._login else Saved("gone")
            self._text, theirs = result, json.loads(result)
            if not self.store.opens(theirs, self.id):
                return Saved("replaced")

    def _their_fields(self, theirs: Record) -> Fields:
        fields: Fields = theirs["fields"]
        return _carried(fields, self._login[1]) if self._login else fields

    def _saved(self, id: str, record: Record) -> Saved:
        if id != self.id:
            self._answer = Answer(True, id)
        return Saved("saved", id[:21], id, snapshot(record["fields"]))

    def _encoded(self, record: Record) -> bytes:
        return json.dumps({**record, "revision": secrets.token_hex(8)}).encode()

    def answer(self) -> Answer:
        return self._answer


_NOTHING = Saved("nothing")


def _carried(fields: Fields, carry: Iterable[str] | str) -> Fields:
    return dict(fields) if carry == "all" else {k: v for k, v in fields.items() if k in carry}
