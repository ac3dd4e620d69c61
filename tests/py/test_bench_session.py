"""coatcheck.bench session: its figures agree with each other. Nothing here asserts a speed."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from coatcheck import Store
from coatcheck.bench import __main__, session, session_conflict, session_scale
from coatcheck.bench.figures import Spread, Table, as_text, percentile, spread
from coatcheck.bench.frame import Asked
from coatcheck.bench.minted import AT_ONCE, fill
from coatcheck.bench.record import Found
from coatcheck.bench.redis_client import Client, ServerError
from coatcheck.bench.redis_peers import PREFIX, Target
from coatcheck.bench.redis_server import Server, a_server
from coatcheck.bench.server_cost import Meter, sends
from coatcheck.bench.session_operations import SIZES, fields_of

BRIEF = session.Effort(rounds=2, batch=10, among_many=20, grown=100, saves=32)
SESSIONS = (300, 1500)

# As protocol.md has them, without the load before them.
SENDS = {
    "read": ("GET, PTTL", 1),
    "touch": ("PEXPIRE", 1),
    "touch, with a principal": ("PEXPIRE, EVALSHA", 2),
    "change": ("EVALSHA", 1),
    "create": ("SET", 1),
    "login, with a session": ("2 EVALSHA", 2),
    "login, without": ("SET, EVALSHA", 2),
    "rotate": ("EVALSHA", 1),
    "logout": ("EVALSHA", 1),
    "logout, with a principal": ("EVALSHA", 1),
    "the same, by the id alone": ("EVALSHA, ZREM", 2),
    "list, 1 session": ("ZRANGE, GETRANGE", 2),
    "destroy all, 1 session": ("ZRANGE, EVALSHA, ZREM", 3),
    "plain GET": ("GET", 1),
    "plain SET with PX": ("SET", 1),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.port) as client:
        client.flush()
        yield client


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    with Store(server.tcp_url, prefix=PREFIX, timeout=10) as store:
        yield store


# ---- A whole run --------------------------------------------------------------------------------

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def tables() -> list[Rows]:
    found = session.measured(Asked(), BRIEF, SESSIONS)

    def of_row(table: Table, row: tuple[Any, ...]) -> dict[str, Any]:
        cells = (asdict(cell) if isinstance(cell, Spread) else cell for cell in row)
        return dict(zip(table.columns, cells, strict=True))

    return [[of_row(table, row) for row in table.rows] for table in found.tables]


def test_each_operation_sends_what_the_protocol_says(tables: list[Rows]) -> None:
    for size in SIZES:
        rows = {row["operation"]: row for row in tables[0] if row["fields"] == size}
        assert {name: row["sends"] for name, row in rows.items()} == {
            name: commands for name, (commands, _) in SENDS.items()
        }
        for name, (_, round_trips) in SENDS.items():
            # One that somebody else's connection ends with may be among them.
            assert rows[name]["round trips"]["low"] == pytest.approx(round_trips, abs=0.3)


def test_scripts_take_time_and_so_does_the_process(tables: list[Rows]) -> None:
    for row in tables[0]:
        if "EVALSHA" in row["sends"]:
            assert row["in commands, us"]["high"] > 0
        assert (row["of the process, us"] is None) == row["operation"].startswith("plain")
    of_process = [row["of the process, us"] for row in [*tables[0], *tables[3]]]
    assert sum(cell["median"] for cell in of_process if cell) > 0


def test_the_bytes_in_redis_add_up(tables: list[Rows]) -> None:
    assert [row["fields, B"]["median"] for row in tables[1]] == list(SIZES.values())
    for row in tables[1]:
        record, key, growth = (row[name]["median"] for name in ("record, B", "its key", "growth"))
        fields = row["fields, B"]["median"]
        assert fields < record <= fields + 376
        assert record < key < growth + record / 2
        listed = row["with a principal"]["median"] - growth
        assert 0 < row["index of 1"]["median"] < listed + 200
        assert row["plain SET of the fields"]["median"] > fields


def test_more_sessions_take_more_memory(tables: list[Rows]) -> None:
    few, many = tables[2]
    assert (few["sessions"], many["sessions"]) == SESSIONS
    assert few["used_memory, MB"]["high"] < many["used_memory, MB"]["low"]
    assert many["bytes each"]["low"] > 200


def test_each_operation_is_measured_among_each_number_of_sessions(tables: list[Rows]) -> None:
    several = [f"{what}, {n}" for n in ("1 session", "10 sessions", "1000 sessions")
               for what in ("list", "destroy all")]  # fmt: skip
    assert [(row["sessions"], row["operation"]) for row in tables[3]] == [
        (n, name) for n in SESSIONS for name in ["read", "change", *several]
    ]
    for row in tables[3]:
        if row["p99, us"] is not None:
            assert row["median, us"]["low"] <= row["p99, us"]["high"]


def test_of_those_that_write_at_once_nobody_loses_an_update(tables: list[Rows]) -> None:
    rows = {(row["writers"], row["each changes"]): row for row in tables[4]}
    assert list(rows) == [(n, way) for n in (2, 8, 32) for way in session_conflict.WAYS]
    for (_, way), row in rows.items():
        if way == "one field, mine wins":
            assert row["lost"] == "by intention"
        elif way != session_conflict.PLAIN:
            assert row["lost"]["high"] == 0 and row["conflicts"]["high"] == 0


def test_whoever_meets_others_makes_more_round_trips(tables: list[Rows]) -> None:
    """A load, and a save for each time that somebody else was faster."""
    for row in tables[4]:
        if row["each changes"] in ("a field of its own", "incr of one field"):
            assert row["round trips"]["high"] >= row["scripts"]["low"] + 0.7
            assert row["scripts"]["low"] >= 1


def test_every_spread_is_in_order(tables: list[Rows]) -> None:
    spreads = [cell for rows in tables for row in rows for cell in row.values()
               if isinstance(cell, dict)]  # fmt: skip
    assert spreads
    assert all(cell["low"] <= cell["median"] <= cell["high"] for cell in spreads)


# ---- The command --------------------------------------------------------------------------------


def _bench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    return __main__.main()


def test_the_command_prints_where_and_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def measured(_: Asked, effort: object, sessions: object) -> Found:
        asked.append((effort, sessions))
        return Found([Table("a title", ("n", "us"), [(1, Spread(1.0, 2.0, 3.5))])])

    monkeypatch.setattr(session, "measured", measured)
    assert _bench(monkeypatch, "session") == 0
    assert "CPython" in capsys.readouterr().out
    assert _bench(monkeypatch, "session", "--quick", "--json", "--sessions", "10,20") == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["command"].endswith("session --quick --sessions 10,20")
    assert run["tables"][0]["rows"] == [[1, [1, 2, 3.5]]]
    assert asked == [(session.FULL, session.SESSIONS), (session.QUICK, [10, 20])]


def test_what_does_not_fit_in_memory_is_refused_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session_scale, "_free", lambda: 1 << 20)
    assert _bench(monkeypatch, "session", "--quick") == 2
    assert "101000 sessions need about 100 MB, and 1 MB are free" in capsys.readouterr().err


def test_this_machine_has_free_memory() -> None:
    assert 0 < session_scale._free() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "arguments",
    [
        ("session", "--sessions", "0"),
        ("session", "--sessions", "many"),
        ("codec", "--sessions", "10"),
    ],
)
def test_a_number_of_sessions_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        _bench(monkeypatch, *arguments)
    assert ended.value.code == 2


# ---- What it is made of -------------------------------------------------------------------------


def test_a_spread_is_the_median_between_the_lowest_and_the_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(1.0, 2.0, 3.0)
    assert str(spread([0.123, 12.34, 1234.5])) == "12.3 (0.12-1234)"
    assert str(spread([2, 2])) == "2.00 exact"


def test_a_percentile_is_one_of_the_values() -> None:
    hundred = [float(n) for n in range(100, 0, -1)]
    assert percentile(hundred, 0.99) == 100
    assert percentile(hundred, 0.5) == 51
    assert percentile([7.0], 0.99) == 7


def test_a_table_leaves_room_for_its_widest_cell() -> None:
    text = as_text(Table("a title", ("a", "b"), [("wide", None), (1, "x")]))
    assert text.splitlines()[-3:] == ["a     b", "wide", "1     x"]


@pytest.mark.parametrize("size", SIZES.values())
def test_fields_are_as_long_as_they_are_said_to_be(store: Store, size: int) -> None:
    new = store.new()
    new.update(fields_of(size))
    new.save()
    assert store.stats()['coatcheck_record_bytes_sum{op="save"}'] > size


def test_a_minted_session_is_as_good_as_one_that_a_store_has_made(
    server: Server, client: Client, store: Store
) -> None:
    first = store.new()
    first.update(fields_of(200))
    first_id = str(first.save())
    ids = fill(client, PREFIX, Target(server, first_id).key, 3, keep=3)
    assert client("DBSIZE") == 4 and len({first_id, *ids}) == 4
    for id in ids:
        minted = store.load(id)
        assert minted is not None and minted.copy() == first.copy()
        minted["visits"] += 1
        minted.save()
        assert minted.destroy()
    assert client("DBSIZE") == 1


def test_of_many_minted_sessions_some_ids_are_kept(
    server: Server, client: Client, store: Store
) -> None:
    first = store.new()
    first["a"] = 1
    key = Target(server, str(first.save())).key
    ids = fill(client, PREFIX, key, AT_ONCE + 500, keep=10)
    assert client("DBSIZE") == AT_ONCE + 501
    assert len(set(ids)) == 10
    assert all(store.load(id) for id in ids)


CALLS_SET = "for i = 1, 500 do redis.call('SET', KEYS[1], i) end"


def test_what_is_sent_is_told_from_what_scripts_call(client: Client) -> None:
    found = sends(client, lambda: client("EVAL", CALLS_SET, 1, "k"))
    assert found.commands == Counter({"EVAL": 1})
    assert found.by_scripts == Counter({"SET": 500})


def test_a_command_that_is_both_is_refused(client: Client) -> None:
    def both() -> None:
        client("SET", "k", 1)
        client("EVAL", CALLS_SET, 1, "k")

    with pytest.raises(RuntimeError, match="SET"):
        sends(client, both)


def test_the_time_of_a_script_counts_once(client: Client) -> None:
    meter = Meter(client)
    for _ in range(10):
        client("EVAL", CALLS_SET, 1, "k")
    script, within = meter.cost(10, ["EVAL"]), meter.cost(10, ["SET"])
    assert (script.commands, script.round_trips) == (1, 1)
    assert within.commands == 500
    assert script.in_commands_us >= within.in_commands_us > 0


def test_an_error_of_the_server_is_raised_and_the_connection_goes_on(client: Client) -> None:
    with pytest.raises(ServerError, match="unknown command"):
        client.pipeline([("NONSENSE",), ("PING",)])
    assert client("PING") == "PONG"
    assert client("GET", "nothing there") is None


def test_an_update_that_is_lost_ends_the_measurement(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = session_conflict.WAYS[session_conflict.PLAIN]
    monkeypatch.setitem(session_conflict.WAYS, "in vain", (lambda _: lambda _: None, plain[1]))
    with pytest.raises(RuntimeError, match="8 of 8 updates were lost: 2 of in vain"):
        session_conflict._round(server, client, "in vain", 2, 8)
