"""
What each operation costs the server, and what a session takes there, by the size of its fields.

Everybody who is measured works alone, over TCP, one call after the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from coatcheck import Session, Store, dumps

from .figures import Spread, Table, exactly, spread
from .payloads import login
from .redis_client import Client
from .redis_peers import PREFIX, Target
from .redis_server import Server
from .server_cost import Cost, Meter, Sends, sends, used_memory

SIZES = {"200 B": 200, "1 KB": 1024, "8 KB": 8192}
PLAIN_GET, PLAIN_SET = PLAIN = ("plain GET", "plain SET with PX")
_USER = "user:%06d"


def fields_of(size: int) -> dict[str, Any]:
    """A login's, with as much else as makes so many bytes of them."""
    fields = {**login(), "rest": ""}
    del fields["_auth_user_backend"]  # or they were more than 200 B
    while (short := size - len(dumps(fields))) > 0:
        fields["rest"] += "x" * max(1, short - 2)
    return fields


# ---- What is measured ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """Makes ready for a number of calls, which does not count, and then does one with each."""

    prepare: Callable[[int], list[Any]]
    run: Callable[[Any], object]


class Operations:
    """Of sessions with these fields."""

    def __init__(self, server: Server, client: Client, fields: dict[str, Any], stack: ExitStack):
        self._server, self._client, self._fields = server, client, fields
        self._store = stack.enter_context(Store(server.tcp_url, prefix=PREFIX))
        self._touching = stack.enter_context(Store(server.tcp_url, prefix=PREFIX, touch_below=1.0))

    def all(self) -> dict[str, Operation]:
        store, save, destroy = self._store, Session.save, Session.destroy
        return {
            "read": Operation(self._ids, store.load),
            "touch": Operation(self._idle, save),
            "touch, with a principal": Operation(self._idle_members, save),
            "change": Operation(self._changed, save),
            "create": Operation(self._new, save),
            "login, with a session": Operation(self._logging_in, save),
            "login, without": Operation(self._logging_in_anew, save),
            "rotate": Operation(self._rotating, save),
            "logout": Operation(self._loaded, destroy),
            "logout, with a principal": Operation(self._members, destroy),
            "the same, by the id alone": Operation(self._member_ids, store.destroy),
            "list, 1 session": Operation(self._users, store.sessions),
            "destroy all, 1 session": Operation(self._users, store.destroy_all),
            PLAIN_GET: Operation(self._keys, lambda key: self._client("GET", key)),
            PLAIN_SET: Operation(self._records, self._set),
        }

    def _new(self, n: int) -> list[Session]:
        sessions = [self._store.new() for _ in range(n)]
        for session in sessions:
            session.update(self._fields)
        return sessions

    def _logging_in_anew(self, n: int) -> list[Session]:
        sessions = self._new(n)
        for i, session in enumerate(sessions):
            session.login(_USER % i, carry="all")
        return sessions

    def _ids(self, n: int) -> list[str]:
        return [str(session.save()) for session in self._new(n)]

    def _member_ids(self, n: int) -> list[str]:
        return [str(session.save()) for session in self._logging_in_anew(n)]

    def _load(self, store: Store, ids: list[str]) -> list[Session]:
        time.sleep(0.002)  # by when the idle time of the newest is no longer whole
        sessions = [store.load(id) for id in ids]
        return [session for session in sessions if session is not None]

    def _loaded(self, n: int) -> list[Session]:
        return self._load(self._store, self._ids(n))

    def _members(self, n: int) -> list[Session]:
        return self._load(self._store, self._member_ids(n))

    def _idle(self, n: int) -> list[Session]:
        return self._load(self._touching, self._ids(n))

    def _idle_members(self, n: int) -> list[Session]:
        return self._load(self._touching, self._member_ids(n))

    def _changed(self, n: int) -> list[Session]:
        sessions = self._loaded(n)
        for session in sessions:
            session["visits"] += 1
        return sessions

    def _logging_in(self, n: int) -> list[Session]:
        sessions = self._loaded(n)
        for i, session in enumerate(sessions):
            session.login(_USER % i, carry="all")
        return sessions

    def _rotating(self, n: int) -> list[Session]:
        sessions = self._loaded(n)
        for session in sessions:
            session.rotate()
        return sessions

    def _users(self, n: int) -> list[str]:
        self._member_ids(n)
        return [_USER % i for i in range(n)]

    def _keys(self, n: int) -> list[str]:
        return [Target(self._server, id).key for id in self._ids(n)]

    def _records(self, n: int) -> list[tuple[str, bytes]]:
        return [(key, self._client("GET", key)) for key in self._keys(n)]

    def _set(self, pair: tuple[str, bytes]) -> object:
        return self._client("SET", *pair, "PX", 1_800_000)


# ---- Processor time -----------------------------------------------------------------------------


def _one_round(client: Client, operation: Operation, sent: Sends, batch: int) -> Cost:
    client.flush()
    things, run = operation.prepare(batch), operation.run
    meter = Meter(client)
    for thing in things:
        run(thing)
    return meter.cost(batch, sent.commands)


def _sent(client: Client, operation: Operation) -> Sends:
    """The second time it is done: the first one has more to do, such as to bring the script."""
    client.flush()
    first, second = operation.prepare(2)
    operation.run(first)
    return sends(client, lambda: operation.run(second))


def _row(size: str, name: str, sent: Sends, costs: list[Cost]) -> tuple[Any, ...]:
    return (
        size,
        name,
        str(sent),
        spread(cost.round_trips for cost in costs),
        spread(cost.in_commands_us for cost in costs),
        # How soon the next command comes decides much of it, and the plain client is slower.
        None if name in PLAIN else spread(cost.processor_us for cost in costs),
    )


def processor_time(server: Server, client: Client, rounds: int, batch: int) -> Table:
    with ExitStack() as stack:
        operations = {
            (size, name): operation
            for size, bytes_of_fields in SIZES.items()
            for name, operation in Operations(server, client, fields_of(bytes_of_fields), stack)
            .all()
            .items()
        }
        sent = {which: _sent(client, operation) for which, operation in operations.items()}
        costs: dict[tuple[str, str], list[Cost]] = {which: [] for which in operations}
        for _ in range(rounds):
            for which, operation in operations.items():
                costs[which].append(_one_round(client, operation, sent[which], batch))
    return Table(
        f"Server time of one operation: {rounds} rounds of {batch} each, in turns",
        ("fields", "operation", "sends", "round trips", "in commands, us", "of the process, us"),
        [_row(*which, sent[which], costs[which]) for which in operations],
        "operations",
    )


# ---- Memory -------------------------------------------------------------------------------------


def _usage(client: Client, keys: list[str]) -> Spread:
    asked: list[tuple[str, ...]] = [("MEMORY", "USAGE", key, "SAMPLES", "0") for key in keys]
    return spread(client.pipeline(asked))


def _keys_like(client: Client, pattern: str) -> list[str]:
    """For a server that holds little, and nobody else's."""
    return sorted(key.decode() for key in client("KEYS", pattern))


def _growth(client: Client, fill: Callable[[], object], n: int, rounds: int) -> Spread:
    """Bytes for each of n, with their share of the tables that hold the keys."""
    grown = []
    for _ in range(rounds):
        client.flush()
        before = used_memory(client)
        fill()
        grown.append((used_memory(client) - before) / n)
    return spread(grown)


def _plain(client: Client, n: int, fields: dict[str, Any]) -> None:
    """A store that does only that: the same fields under a random id of the same length."""
    value = dumps(fields)
    client.pipeline(
        ("SET", f"{PREFIX}{os.urandom(22).hex()[:43]}", value, "PX", 1_800_000) for _ in range(n)
    )


def _of_one_size(server: Server, client: Client, size: str, rounds: int, n: int) -> tuple[Any, ...]:
    fields = fields_of(SIZES[size])
    with ExitStack() as stack:
        operations = Operations(server, client, fields, stack)
        operations._ids(1)  # connects
        anonymous = _growth(client, lambda: operations._ids(n), n, rounds)
        records = _keys_like(client, PREFIX + "s:*")
        length = spread(client.pipeline([("STRLEN", key) for key in records]))
        record = _usage(client, records)
        members = _growth(client, lambda: operations._member_ids(n), n, rounds)
        index = _usage(client, _keys_like(client, PREFIX + "p:*"))
        plain = _growth(client, lambda: _plain(client, n, fields), n, rounds)
        lock = _lock(server, client, stack)
    return (
        size,
        exactly(len(dumps(fields))),
        length,
        record,
        index,
        lock,
        anonymous,
        members,
        plain,
    )


def _lock(server: Server, client: Client, stack: ExitStack) -> Spread:
    store = stack.enter_context(Store(server.tcp_url, prefix=PREFIX))
    session = store.new()
    session["a"] = 1
    with store.lock(str(session.save())):
        return _usage(client, _keys_like(client, PREFIX + "l:*"))


def memory(server: Server, client: Client, rounds: int, n: int) -> Table:
    return Table(
        f"Bytes in Redis: MEMORY USAGE of the keys, and growth of used_memory by {n} sessions,"
        " for each",
        (
            "fields",
            "fields, B",
            "record, B",
            "its key",
            "index of 1",
            "lock",
            "growth",
            "with a principal",
            "plain SET of the fields",
        ),
        [_of_one_size(server, client, size, rounds, n) for size in SIZES],
        "bytes",
    )
