"""The option credentials with asyncio: asked for, awaited, cancelled, wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from coatcheck import StoreDenied, StoreUnavailable, aio
from conftest import RedisServer
from loops import nobody_else as nobody_else
from loops import run as run


@pytest.fixture
def guarded(redis_server: RedisServer) -> Iterator[RedisServer]:
    redis_server.cli("ACL", "SETUSER", "app", "on", ">right", "~*", "&*", "+@all")
    yield redis_server
    redis_server.cli("ACL", "DELUSER", "app")


def test_credentials_are_asked_for_and_awaited(run: Any, guarded: RedisServer) -> None:
    async def main() -> None:
        asked = []

        async def credentials() -> tuple[str, str]:
            await asyncio.sleep(0)
            asked.append(1)
            return "app", "right"

        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            await store.ping()
            assert asked == [1]

    run(main())


@pytest.mark.parametrize("awaited", [True, False])
def test_refused_credentials_are_asked_for_once_more(
    run: Any, guarded: RedisServer, awaited: bool
) -> None:
    async def main() -> None:
        answers = ["wrong", "right"]

        def plain() -> tuple[str, str]:
            return "app", answers.pop(0)

        async def awaitable() -> tuple[str, str]:
            return plain()

        credentials: Any = awaitable if awaited else plain
        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            await store.ping()
            assert answers == []

    run(main())


def test_refused_twice_is_denied(run: Any, guarded: RedisServer) -> None:
    async def main() -> None:
        asked = []

        def credentials() -> tuple[str, str]:
            asked.append(1)
            return "app", "wrong"

        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert caught.value.code == "WRONGPASS" and len(asked) == 2

    run(main())


@pytest.mark.parametrize("answer", [None, ("app",), ("app", b"right"), ZeroDivisionError()])
def test_no_credentials_are_an_error(run: Any, guarded: RedisServer, answer: Any) -> None:
    def credentials() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> None:
        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert caught.value.code == "credentials"

    run(main())


@pytest.mark.parametrize("awaited", [True, False])
def test_what_the_credentials_raised_is_the_cause(
    run: Any, guarded: RedisServer, awaited: bool
) -> None:
    trouble = ZeroDivisionError("no vault")

    def plain() -> tuple[str, str]:
        raise trouble

    async def awaitable() -> tuple[str, str]:
        return plain()

    async def main() -> None:
        credentials: Any = awaitable if awaited else plain
        async with aio.Store(guarded.url, prefix="test:", credentials=credentials) as store:
            calls = (store.ping(), store.load("A" * 43))
            for failure in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(failure, StoreDenied) and failure.__cause__ is trouble
                assert "vault" not in str(failure)

    run(main())


def test_credentials_that_are_cancelled_end_the_call_at_once(
    run: Any, guarded: RedisServer
) -> None:
    async def credentials() -> tuple[str, str]:
        raise asyncio.CancelledError

    async def main() -> None:
        url = guarded.url
        async with aio.Store(url, prefix="test:", credentials=credentials, timeout=30) as store:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="cancelled"):
                await store.ping()
            assert time.monotonic() - began < 5
        async with aio.Store(url, prefix="test:", username="app", password="right") as store:
            await store.ping()  # the server was not blamed

    run(main())


def test_what_is_wrong_with_the_credentials_is_the_cause(run: Any, guarded: RedisServer) -> None:
    async def main() -> None:
        answer: Any = ("app", b"right")
        async with aio.Store(guarded.url, prefix="test:", credentials=lambda: answer) as store:
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert isinstance(caught.value.__cause__, TypeError)
            answer = ("app", "wrong")
            with pytest.raises(StoreDenied) as caught:
                await store.ping()
            assert caught.value.__cause__ is None
            answer = ("app", "right")
            await store.ping()

    run(main())
