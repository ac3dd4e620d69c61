"""A history: what was asked of a store and what it answered, one JSON object a line.

Every event has `op`, `begin` and `end` (nanoseconds of the monotonic clock, which all processes of
a machine share) and `visit`, the request that it belongs to. A call has `wall` as well: what the
clock of its process showed before and after it, in milliseconds since 1970. That clock may be wrong
by a minute, but it is the one that the call went by. Sessions go by their public id, ids by their
text.

Events of the store, one a call:

load     id; result: found, none, stale, unclear. found: session, principal, fields
save     id, session (None: a new one); token; kind: save, rotate, login; principal; yields (where
         others have changed a field meanwhile, they win); writes: for each register the name of the
         write and whether it deletes; increments: of each counter; result:
         saved      now under `new_id`, in session `saved_in`, whose fields were then `fields`
         gone, replaced, refused
                    surely not landed
         unclear    may have landed, or may yet
         Of the kind "save", in a stored session, a `new_id` that is not `id` is an offer (renewal)
use      id, session: the end of a request that had nothing to save, which is a use of its id all
         the same; result: as that of a save, but nothing need have been sent
logout   id, session (None: not loaded); result: ended, none (it was gone), replaced, unclear
cookie   browser, id (None: cleared), from_id: what the request had come with; at `begin` it arrived
list     principal; result: listed, unclear. listed: sessions
destroy  principal, session: one of his sessions; result: ended, none, unclear
destroy-all
         principal, keep; result: ended, unclear. ended: listed, whether the one to keep was
key      a key of Redis, found by the harness after all had ended, that has no TTL

The fields of a session, as the programs use them:

a, b, c  text; each value is written once in a history
cart     a list, changed in place; its last item is a text that is written once
n        a counter, for `incr`
m, l     counters that are read, increased and written: by `update`, and under the lock
a.gone   names the deletion or the login after which `a` was not there; likewise for the others
last     the token of the last save (left out in every other history, so that there are saves that
         touch no field of each other)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from registers import NOTHING

Event = dict[str, Any]
Fields = dict[str, Any]

REGISTERS = ("a", "b", "c", "cart")
COUNTERS = ("n", "m", "l")
LAST = "last"

NO_CALLS = ("cookie", "use", "key")  # these do not count as operations


def gone(name: str) -> str:
    """The field that says what became of another one."""
    return f"{name}.gone"


def written_by(fields: Fields, name: str) -> str:
    """The name of the write that a register shows."""
    value = fields.get(name)
    if value is None:
        return str(fields.get(gone(name), NOTHING))
    return str(value[-1] if isinstance(value, list) else value)


def write(path: Path, events: Iterable[Event]) -> None:
    with open(path, "w", encoding="ascii") as file:
        for event in events:
            file.write(json.dumps(event, separators=(",", ":")) + "\n")


def read(paths: Iterable[Path]) -> Iterator[Event]:
    for path in paths:
        with open(path, encoding="ascii") as file:
            yield from map(json.loads, file)
