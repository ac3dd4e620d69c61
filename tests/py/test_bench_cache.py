"""coatcheck.bench cache and stampede: what they measure works. Nothing here asserts a speed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from coatcheck.bench import cache, frame, stampede
from coatcheck.bench import cache_peers as peers
from coatcheck.bench.cache import GET_MANY, GOALS, MEMOIZED, call_of, check, entries, fill
from coatcheck.bench.frame import Asked
from coatcheck.bench.redis_server import Server, a_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


@pytest.mark.parametrize("what", GOALS)
def test_our_cache_does_what_is_measured(what: str, server: Server) -> None:
    with ExitStack() as stack:
        client = peers.ours(server, stack)
        values = entries("0.2 KB", "ours")
        call = call_of(client, what, lambda n: values.value)
        assert call is not None
        fill(client, values)
        check("ours", what, call(values), values)


@pytest.mark.parametrize("what", GOALS)
def test_our_awaited_cache_does_what_is_measured(what: str, server: Server) -> None:
    values = entries("0.2 KB", "ours, awaited")

    async def made(n: int) -> Any:
        return values.value

    async def main() -> None:
        client = peers.ours_aio(server, ExitStack())
        call = call_of(client, what, made)
        assert call is not None
        if what == GET_MANY:
            for key in values.keys:
                await client.set(type(values)(key, [key], values.value))
        elif what != MEMOIZED:
            await client.set(values)
        check("ours", what, await call(values), values)

    asyncio.run(main())


def test_who_returns_something_else_is_not_measured() -> None:
    values = entries("0.2 KB", "another")
    with pytest.raises(RuntimeError, match="another has returned something else"):
        check("another", GET_MANY, {}, values)


@pytest.mark.parametrize("contender", ["coatcheck", "coatcheck, asyncio"])
def test_a_stampede_is_seen_by_each_client(
    contender: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stampede, "PROCESSES", 2)
    seen = stampede.round_of(contender, server, 0.5)
    assert seen.wrong == 0 and seen.fills >= 1
    assert len(seen.waits) >= 2 * stampede.EACH


def test_every_cache_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "_importable", lambda module: False)
    asked = Asked(rounds=2, only=["threads"])
    (table,) = cache.measure(asked).tables
    assert {row[2] for row in table.rows} == {cache.WAY}
    assert stampede._contenders(asked) == []
    asked.only = ["blocking", "asyncio"]
    assert stampede._contenders(asked) == list(stampede.OURS)
    assert {"redis-py", "django-redis", "dogpile.cache", "cashews", "aiocache"} <= {*asked.missing}
    assert asked.missing["aiocache"] == "pip install aiocache redis hiredis"
