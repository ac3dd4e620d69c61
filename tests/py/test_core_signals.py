"""Signals while the extension waits for a server that does not answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from coatcheck import Store, StoreTimeout
from conftest import RedisServer

LONG_S = 60.0


@contextmanager
def signals(number: int, handler: Any) -> Iterator[None]:
    """Send this process a signal every few milliseconds."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.02):
            os.kill(os.getpid(), number)

    before = signal.signal(number, handler)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        signal.signal(number, before)


def interrupted(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt


def waits(store: Store, session_id: str) -> list[Callable[[], Any]]:
    session = store.new()
    session["a"] = 1
    return [
        lambda: store.load(session_id),
        lambda: store.destroy(session_id),
        lambda: store.ping(timeout=LONG_S),
        lambda: len(store.session(session_id)),
        store.session(session_id).destroy,
        session.save,
    ]


@pytest.mark.parametrize("which", range(6))
def test_ctrl_c_ends_a_wait_for_a_stopped_server(redis_server: RedisServer, which: int) -> None:
    store = Store(redis_server.url, prefix="t:", timeout=LONG_S, connect_timeout=LONG_S)
    session = store.new()
    session["a"] = 1
    session_id = session.save()
    assert session_id is not None
    wait = waits(store, session_id)[which]
    redis_server.pause()
    began = time.monotonic()
    with signals(signal.SIGINT, interrupted), pytest.raises(KeyboardInterrupt):
        wait()
    assert time.monotonic() - began < LONG_S / 4
    redis_server.resume()
    store.ping(timeout=10)  # the interrupted connection is not used again


def test_ctrl_c_ends_a_wait_for_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        store = Store(
            f"redis://127.0.0.1:{port}", prefix="t:", timeout=LONG_S, connect_timeout=LONG_S
        )
        began = time.monotonic()
        with signals(signal.SIGINT, interrupted), pytest.raises(KeyboardInterrupt):
            store.ping()
        assert time.monotonic() - began < LONG_S / 4


def test_ctrl_c_is_not_given_to_on_error(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:", timeout=LONG_S)
    store.ping()
    redis_server.pause()
    asked: list[Exception] = []
    session = store.session("A" * 43, on_error=asked.append)
    with signals(signal.SIGINT, interrupted), pytest.raises(KeyboardInterrupt):
        len(session)
    assert asked == []
    redis_server.resume()
    assert len(session) == 0


def test_a_signal_that_raises_nothing_neither_ends_nor_prolongs_a_wait(
    redis_server: RedisServer,
) -> None:
    store = Store(redis_server.url, prefix="t:", timeout=0.5)
    store.ping()
    redis_server.pause()
    seen: list[int] = []
    began = time.monotonic()
    with (
        signals(signal.SIGUSR1, lambda number, frame: seen.append(number)),
        pytest.raises(StoreTimeout),
    ):
        store.ping()
    assert 0.49 <= time.monotonic() - began < 5  # milliseconds are counted whole
    assert len(seen) > 1
