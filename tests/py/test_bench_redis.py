"""coatcheck.bench redis: its server, its contenders, its table. Nothing here asserts a speed."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import sleep, thread_time

import pytest
from coatcheck import Store
from coatcheck.bench import frame, redis, redis_peers
from coatcheck.bench.figures import Spread, as_text
from coatcheck.bench.frame import Asked
from coatcheck.bench.measure import Length, Ratio, take_turns
from coatcheck.bench.redis import GLIDE, OURS, OURS_POLLING, REDIS_PY
from coatcheck.bench.redis_peers import NOT_POLLING, PREFIX, Target
from coatcheck.bench.redis_server import Server, a_server, apart, program
from coatcheck.bench.report import Row, as_rows, failures
from coatcheck.bench.waiting import busy_thread, in_program, in_tasks, in_threads, waits
from conftest import RedisClient

NOT_YET = Row("load", "50 tasks", "other", None, 4.0)
MEASURED = Row("load", "1 client", "other", Ratio(1.4, 1.6, 1.7), 1.5, ours_us=Spread(20, 23.4, 30))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


@pytest.fixture
def target(server: Server) -> Target:
    return redis._target(server, "small")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_what_cannot_be_measured_yet_is_shown_and_missed_no_goal() -> None:
    table = as_text(as_rows([NOT_YET, MEASURED], "load", "Loading"))
    assert "4.00" in table and "not yet" in table
    assert failures([NOT_YET]) == []


def test_our_time_is_shown_with_its_spread() -> None:
    assert "23.4 (20.0-30.0)" in as_text(as_rows([NOT_YET, MEASURED], "load", "Loading"))


def test_a_row_compares_with_the_contender_it_names() -> None:
    times = {OURS: [2e-6, 2e-6, 2e-6], REDIS_PY: [5e-6, 5e-6, 5e-6], GLIDE: [1e-6, 1e-6, 1e-6]}
    row = redis._row(times, OURS, "1 client", OURS, REDIS_PY, 1.5)
    assert row.ratio and row.ratio.median == pytest.approx(2.5)
    assert row.ours_us and row.ours_us.median == pytest.approx(2.0)
    assert row.goal == 1.5 and row.reached
    assert redis._row(times, OURS_POLLING, "1 client", OURS_POLLING, REDIS_PY).ratio is None


def test_the_first_call_does_not_count() -> None:
    seen: list[int] = []

    def run(times: int) -> float:
        seen.append(times)
        return times * 1e-3 if len(seen) > 1 else 60.0

    times = take_turns({"slow to begin": run}, Length(0), turn_s=0.05)
    assert max(times["slow to begin"]) == pytest.approx(1e-3)
    assert 25 < seen[-1] < 100


def test_a_turn_can_be_a_single_call() -> None:
    seen: list[int] = []

    def run(times: int) -> float:
        seen.append(times)
        return 1e-3

    take_turns({"one": run}, Length(0), turn_s=0)
    assert set(seen) == {1}


def test_the_time_of_a_wait_counts() -> None:
    assert waits(sleep, 0.01)(2) >= 0.02


def test_the_processor_time_of_who_waits_can_be_had_instead(
    target: Target, stack: ExitStack
) -> None:
    assert waits(sleep, 0.01, thread_time)(2) < 0.02
    passed = redis_peers.c_hiredis(target, stack)
    processor = redis_peers.c_hiredis(target, stack, thread_time)
    assert 0 < processor(50) < 10 and 0 < passed(50) < 10


def test_threads_make_the_calls_together(stack: ExitStack) -> None:
    seen: list[object] = []
    assert in_threads(seen.append, "x", 4, stack)(12) > 0
    assert seen == ["x"] * 12


def test_tasks_make_the_calls_together() -> None:
    at_work, most = 0, 0

    async def call(_: object) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1

    loop = asyncio.new_event_loop()
    try:
        assert in_tasks(call, None, 5, loop)(10) > 0
    finally:
        loop.close()
    assert most == 5


def test_calls_that_cannot_be_shared_evenly_count_as_often_as_asked(stack: ExitStack) -> None:
    seen: list[object] = []
    run = in_threads(seen.append, "x", 4, stack)
    run(9)
    assert len(seen) == 12


def test_a_busy_thread_ends_with_its_block() -> None:
    threads = threading.active_count()
    with busy_thread():
        assert threading.active_count() == threads + 1
    assert threading.active_count() == threads


def test_the_server_ends_with_its_block() -> None:
    with a_server() as server, Store(server.tcp_url, prefix=PREFIX) as store:
        store.ping()
    assert not Path(f"/proc/{server.pid}").exists()
    assert not Path(server.path).parent.exists()


def test_the_server_can_have_a_processor_to_itself(server: Server) -> None:
    before = os.sched_getaffinity(0)
    with apart(server):
        its, ours = os.sched_getaffinity(server.pid), os.sched_getaffinity(0)
        assert len(its) == 1 and (len(before) == 1 or not its & ours)
    assert os.sched_getaffinity(0) == os.sched_getaffinity(server.pid) == before


def test_a_server_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="neither redis-server nor valkey-server"):
        program("server")


@pytest.mark.parametrize("over_tcp", [True, False])
def test_everybody_reads_the_same_record(
    server: Server, target: Target, stack: ExitStack, over_tcp: bool
) -> None:
    there = Target(server, target.id, over_tcp)
    assert redis_peers.ours(there, stack, NOT_POLLING)(3) > 0
    ask = RedisClient(server.path)
    assert ask("EXISTS", target.key) == 1
    ask.close()


def test_threads_of_ours_share_a_store(target: Target, stack: ExitStack) -> None:
    assert redis_peers.ours_in_threads(target, 3, stack, {})(9) > 0


@pytest.mark.parametrize("over_tcp", [True, False])
def test_plain_hiredis_takes_its_turns(
    server: Server, target: Target, stack: ExitStack, over_tcp: bool
) -> None:
    run = redis_peers.c_hiredis(Target(server, target.id, over_tcp), stack)
    assert 0 < run(1) < 10 and 0 < run(50) < 10


@pytest.mark.parametrize("threads", [1, 8])
def test_the_c_library_takes_its_turns(target: Target, stack: ExitStack, threads: int) -> None:
    run = redis_peers.c_library(target, threads, stack)
    assert 0 < run(1) < 10 and 0 < run(50) < 10


def test_a_program_that_finds_no_record_fails_the_comparison(
    server: Server, target: Target, stack: ExitStack
) -> None:
    arguments = [redis_peers.built("bare_load"), *target.address, "no such key"]
    with pytest.raises(RuntimeError, match="bare_load ended with status 1"):
        in_program(arguments, stack)(1)
    arguments = [redis_peers.built("store_load"), target.url, PREFIX, "A" * 43, "2"]
    with pytest.raises(RuntimeError, match="store_load ended with status 1"):
        in_program(arguments, stack)(1)


def test_redis_benchmark_takes_its_turns(target: Target) -> None:
    assert 0 < redis_peers.redis_benchmark(target, 2)(2000) < 10


def test_a_program_that_is_not_built_is_named(
    monkeypatch: pytest.MonkeyPatch, stack: ExitStack, target: Target
) -> None:
    monkeypatch.setattr(redis_peers, "PROGRAMS", Path("/nowhere"))
    asked = Asked(rounds=2)
    assert redis._c_library(asked, target, Length(0)) == []
    assert asked.missing == {redis.OURS_IN_C: "make bench-programs builds it"}
    with pytest.raises(FileNotFoundError, match="make bench-redis"):
        redis_peers.built("bare_load")


def test_every_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "_importable", lambda module: False)
    monkeypatch.setattr(redis_peers, "PROGRAMS", Path("/nowhere"))
    asked = Asked(rounds=2, only=["client", "glide", "tasks"])
    (table,) = redis.measure(asked).tables
    assert table.rows == []
    assert asked.missing == {
        redis.C_HIREDIS: "make bench-programs builds it",
        "redis-py": "pip install redis hiredis",
        "valkey-glide": "pip install valkey-glide",
        "valkey-glide-sync": "pip install valkey-glide-sync",
    }


def test_every_quantity_has_its_row_and_its_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for what is installed for the comparison alone."""
    for peer in (
        "redis_py",
        "redis_py_get",
        "redis_py_in_threads",
        "redis_py_in_tasks",
        "glide",
        "glide_in_tasks",
    ):
        monkeypatch.setattr(redis_peers, peer, lambda *_: lambda times: times * 1e-3)
    monkeypatch.setattr(redis, "TURN_S", 0.0005)
    monkeypatch.setattr(redis, "TURN_OF_MANY_S", 0.001)
    monkeypatch.setattr(Asked, "has", lambda *_: True)
    rows: list[Row] = []
    monkeypatch.setattr(redis, "as_rows", lambda those, *_: rows.extend(those))
    redis.measure(Asked(rounds=2))
    goals = {(row.quantity, row.case, row.against): row.goal for row in rows if row.goal}
    assert goals == {
        ("load", "1 client", "C hiredis"): pytest.approx(1 / 1.05),
        ("load, polling", "1 client", "C hiredis"): pytest.approx(1 / 0.75),
        ("load", "1 client", "redis-py with hiredis"): 1.5,
        ("load, polling", "1 client", "redis-py with hiredis"): 2.2,
        ("load", "8 threads", "redis-py with hiredis"): 5,
        ("load", "beside a busy thread", "100 us"): 1,
        ("load", "50 tasks", "redis.asyncio with hiredis"): 4,
        ("load", "50 tasks", "valkey-glide"): 2,
        ("load by the C library", "8 threads", "redis-benchmark"): 0.95,
    }
    missing = {
        row.quantity if row.case != "50 tasks" else row.case for row in rows if not row.ratio
    }
    expected = set()
    if not redis_peers.has_aio():
        expected.add("50 tasks")
    assert missing == expected
