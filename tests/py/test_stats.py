"""Store.stats, and the same for Prometheus."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from coatcheck import Store, StoreTimeout, StoreUnavailable, aio
from coatcheck.prometheus import Collector
from conftest import RedisServer, in_thread, wait_for
from prometheus_client import CollectorRegistry, generate_latest

LOADS = 'coatcheck_operations_total{op="load",result="%s"}'


def operations(store: Store | aio.Store) -> dict[str, float]:
    """How often each operation ended how, as in {"load ok": 1}."""
    found = {}
    for name, value in store.stats().items():
        match = re.fullmatch(r'coatcheck_operations_total{op="(\w+)",result="(\w+)"}', name)
        if match:
            found[" ".join(match.groups())] = value
    return found


def test_each_operation_is_counted_with_its_result(store: Store) -> None:
    session = store.new()
    session["a"] = 1
    id = session.save()
    assert id is not None
    store.load(id)
    store.load(id[:-1] + ("A" if id[-1] != "A" else "E"))
    store.ping()
    assert store.destroy(id)
    assert not store.destroy(id)
    assert operations(store) == {
        "save ok": 1,
        "load ok": 1,
        "load none": 1,
        "ping ok": 1,
        "destroy ok": 1,
        "destroy none": 1,
    }


def test_a_failure_has_its_name_as_its_result(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", timeout=0.2) as store:
        redis_server.pause()
        with pytest.raises(StoreTimeout):
            store.ping()
        redis_server.resume()
        assert operations(store) == {"ping timeout": 1}
    with Store("unix:/nowhere/at/all", prefix="t:") as store:
        with pytest.raises(StoreUnavailable):
            store.ping()
        assert operations(store) == {"ping unavailable": 1}


def test_how_long_operations_took_and_how_large_records_were(store: Store) -> None:
    session = store.new()
    session["a"] = "x" * 1000
    id = session.save()
    assert id is not None
    for _ in range(3):
        store.load(id)
    figures = store.stats()
    assert figures['coatcheck_operation_duration_seconds_count{op="load"}'] == 3
    assert 0 < figures['coatcheck_operation_duration_seconds_sum{op="load"}'] < 10
    assert figures['coatcheck_record_bytes_bucket{le="512",op="load"}'] == 0
    assert figures['coatcheck_record_bytes_bucket{le="2048",op="load"}'] == 3
    assert 1000 < figures['coatcheck_record_bytes_sum{op="save"}'] < 1200


def test_a_call_is_one_round_trip(store: Store) -> None:
    def round_trips(call: Callable[[], object]) -> float:
        before = store.stats()["coatcheck_round_trips_total"]
        call()
        return store.stats()["coatcheck_round_trips_total"] - before

    session = store.new()
    session["a"] = 1
    assert round_trips(session.save) == 1
    id = session.save()
    assert id is not None
    assert round_trips(lambda: store.load(id)) == 1
    assert round_trips(session.save) == 0  # nothing was changed


def test_connections_by_what_they_do(redis_server: RedisServer) -> None:
    def connections(store: Store) -> tuple[float, ...]:
        figures = store.stats()
        states = ("idle", "busy", "connecting")
        return tuple(figures[f'coatcheck_connections{{state="{state}"}}'] for state in states)

    with Store(redis_server.url, prefix="t:", timeout=30, max_connections=3) as store:
        assert connections(store) == (0, 0, 0)
        store.ping()
        assert connections(store) == (1, 0, 0)
        redis_server.pause()
        ping = in_thread(store.ping)
        wait_for(lambda: connections(store) == (0, 1, 0), "the ping")
        redis_server.resume()
        ping()
        assert connections(store) == (1, 0, 0)


def test_how_long_calls_wait_for_a_connection(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", timeout=30, max_connections=1) as store:
        store.ping()
        redis_server.pause()
        pings = [in_thread(store.ping) for _ in range(3)]
        wait_for(lambda: store.stats()['coatcheck_connections{state="busy"}'] == 1, "a ping")
        redis_server.resume()
        for ping in pings:
            ping()
        figures = store.stats()
        assert figures["coatcheck_pool_wait_seconds_count"] == 4
        assert figures["coatcheck_pool_wait_seconds_sum"] > 0


def test_asyncio_is_counted_alike(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="t:") as store:
            session = store.new()
            session["a"] = 1
            id = await session.save()
            assert id is not None
            await store.load(id)
            await session.destroy()
            assert operations(store) == {"save ok": 1, "load ok": 1, "destroy ok": 1}

    asyncio.run(main())


def test_a_cancelled_call_counts_as_abandoned(redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="t:", timeout=30) as store:
            await store.ping()
            redis_server.pause()
            task = asyncio.ensure_future(store.ping())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            redis_server.resume()
            await store.ping()
            assert operations(store) == {"ping ok": 2, "ping abandoned": 1}

    asyncio.run(main())


# ---- Prometheus ---------------------------------------------------------------------------------


def test_an_exporter_shows_the_same_names_and_values(store: Store) -> None:
    session = store.new()
    session["a"] = 1
    session.save()
    registry = CollectorRegistry()
    registry.register(Collector(store))
    lines = generate_latest(registry).decode().splitlines()
    shown = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert {name: float(value) for name, value in shown.items()} == store.stats()
    assert "# TYPE coatcheck_operations_total counter" in lines
    assert "# TYPE coatcheck_record_bytes histogram" in lines
    assert "# TYPE coatcheck_connections gauge" in lines


def test_two_stores_in_one_registry_are_told_apart_by_a_label(store: Store) -> None:
    collector = Collector(store, labels={"store": "carts"})
    collector.add(store, labels={"store": "admin"})
    registry = CollectorRegistry(auto_describe=True)  # as the client library's own one has it
    registry.register(collector)
    text = generate_latest(registry).decode()
    for name in ("carts", "admin"):
        assert f'coatcheck_conflicts_total{{store="{name}"}} 0.0' in text
    assert text.count("# TYPE coatcheck_conflicts_total counter") == 1


def test_two_stores_with_the_same_labels_are_refused(store: Store) -> None:
    collector = Collector(store)
    with pytest.raises(ValueError, match="give each its own"):
        collector.add(store)
