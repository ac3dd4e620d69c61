"""Signals while the extension waits for a server that does not answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from coatcheck import Store, StoreTimeout
from conftest import RedisServer
from faults import Fault, Loop, Proxy

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


def test_interrupted_behind_its_merge_a_save_undoes_nothing_later(
    redis_server: RedisServer, loop: Loop
) -> None:
    def interrupted_there(number: int, frame: object) -> None:
        if proxy.hits:
            interrupted(number, frame)

    with (
        closing(Proxy(loop, redis_server.path)) as proxy,
        Store(proxy.url(), prefix="test:", touch_below=1, timeout=LONG_S) as store,
    ):
        session = store.new()
        session.login("user:42", carry=[])
        session["cart"] = [1]
        session_id = session.save() or ""
        (record,) = redis_server.records()
        redis_server.cli("PEXPIRE", record, 60_000)  # a save enters the index then
        mine, theirs = store.load(session_id), store.load(session_id)
        assert mine is not None and theirs is not None
        assert mine["cart"] == [1]
        theirs["cart"].append(2)
        theirs.save()
        mine["seen"] = 1
        size = redis_server.cli("STRLEN", record)
        # Behind their record, and the 1 that says that the merged one was written.
        proxy.arm(Fault("stall", at=len(f"${size}\r\n") + size + 2 + len(":1\r\n")))
        with signals(signal.SIGUSR1, interrupted_there), pytest.raises(KeyboardInterrupt):
            mine.save()
        proxy.disarm()
        mine["seen"] = 2
        mine.save()
        found = store.load(session_id)
        assert found is not None
        assert dict(found) == {"cart": [1, 2], "seen": 2}
