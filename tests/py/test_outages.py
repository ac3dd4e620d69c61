"""Servers that die, stand still, come back or are not there: an error in time, and recovery."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from coatcheck import Store, StoreTimeout, StoreUnavailable
from conftest import RedisError, RedisServer, in_thread, wait_for
from drivers import DRIVERS, Client

Open = Callable[..., Client]

TIMEOUT_S = 0.4
MARGIN_S = 0.25
TRIES = 3  # a machine that is busy elsewhere is late now and then


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Open:
    return DRIVERS[request.param]


@contextmanager
def running(*options: str) -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="coat-") as directory:
        server = RedisServer(directory, *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with running("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@contextmanager
def opened(driver: Open, url: str, **options: str) -> Iterator[Client]:
    client = driver(url, prefix="test:", **{"timeout": str(TIMEOUT_S), **options})
    try:
        yield client
    finally:
        client.close()


def store_one(client: Client, note: str = "kept") -> str:
    held = client.new()
    held.note = note
    session_id = held.save()
    assert session_id is not None
    return session_id


def fails_in_time(call: Callable[[], object], timeout: float = TIMEOUT_S) -> StoreUnavailable:
    """How it fails; that it takes no longer than it may."""
    late = []
    for _ in range(TRIES):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            call()
        late.append(time.monotonic() - began - timeout - max(MARGIN_S, timeout / 10))
        if late[-1] <= 0:
            return caught.value
    raise AssertionError(f"{late} s late")


def recovers(client: Client, session_id: str) -> None:
    def note() -> str | None:
        try:
            held = client.load(session_id)
        except StoreUnavailable:
            return None
        assert held is not None, "it is said not to be there"
        return held.note

    assert wait_for(note, "the store to recover") == "kept"


def has_loaded(server: RedisServer) -> bool:
    try:
        return server.cli("PING") == "PONG"
    except RedisError:
        return False


def each_call(client: Client, session_id: str) -> list[Callable[[], Any]]:
    return [
        client.ping,
        lambda: client.load(session_id),
        lambda: client.destroy(session_id),
        lambda: store_one(client),
    ]


def test_req_69_a_server_that_was_killed_is_unavailable_until_it_is_back(
    own_server: RedisServer, driver: Open
) -> None:
    with opened(driver, own_server.url) as client:
        session_id = store_one(client)
        own_server.kill()
        for call in each_call(client, session_id):
            fails_in_time(call)
        own_server.start()
        recovers(client, session_id)


def test_a_server_that_restarts_between_two_calls_is_not_noticed(
    own_server: RedisServer, driver: Open
) -> None:
    with opened(driver, own_server.url, timeout="5") as client:
        session_id = store_one(client)
        own_server.restart()
        wait_for(lambda: has_loaded(own_server), "the server to have loaded")
        held = client.load(session_id)
        assert held is not None and held.note == "kept"


def test_req_69_71_a_server_that_stands_still_ends_each_call_in_time(
    own_server: RedisServer, driver: Open
) -> None:
    with opened(driver, own_server.url) as client:
        session_id = store_one(client)
        own_server.pause()
        # Not a logout: it would be done when the server goes on.
        calls = [call for i, call in enumerate(each_call(client, session_id)) if i != 2]
        for call in calls:
            fails_in_time(call)
        own_server.resume()
        recovers(client, session_id)


def test_a_server_that_pauses_briefly_is_waited_for(own_server: RedisServer, driver: Open) -> None:
    with opened(driver, own_server.url, timeout="8") as client:
        session_id = store_one(client)
        own_server.pause()
        answer = in_thread(lambda: client.load(session_id))
        time.sleep(0.05)
        own_server.resume()
        held = answer()
        assert held is not None and held.note == "kept"


@contextmanager
def black_hole(backlog: int = 16) -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def full_backlog() -> Iterator[str]:
    """A port that takes no further connection, and does not refuse one either."""
    with black_hole(0) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        waiting = [socket.socket() for _ in range(4)]
        for s in waiting:
            s.setblocking(False)
            s.connect_ex(address)
        try:
            yield url
        finally:
            for s in waiting:
                s.close()


@pytest.mark.parametrize("where", [black_hole, full_backlog])
@pytest.mark.parametrize("credentials", ["", "app:sesame@"])
def test_req_71_a_port_that_never_answers_ends_each_call_in_time(
    driver: Open, where: Any, credentials: str
) -> None:
    with where() as url, opened(driver, url.replace("//", f"//{credentials}")) as client:
        for call in each_call(client, "A" * 43):
            fails_in_time(call)


def test_a_port_on_which_nobody_listens_fails_at_once(driver: Open) -> None:
    with black_hole() as url:
        pass
    with opened(driver, url, timeout="30") as client:
        for call in each_call(client, "A" * 43):
            assert not isinstance(fails_in_time(call, 1.0), StoreTimeout)


def test_req_69_a_host_without_an_address_is_unavailable(driver: Open) -> None:
    """One that hangs is in tests/live/test_names.c, and in test_aio_names.py."""
    with opened(driver, "redis://no-such-host.invalid", timeout="5") as client:
        for call in each_call(client, "A" * 43):
            assert fails_in_time(call, 5.0).code in ("resolve", "timeout")


def test_a_server_that_is_gone_for_good_costs_no_connection(driver: Open) -> None:
    with black_hole() as url, opened(driver, url, timeout="0.05") as client:
        before = open_sockets(url)
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                client.ping()
        assert open_sockets(url) <= before + 1


def open_sockets(url: str) -> int:
    """How many connections to this port this host has open at our end."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    with open("/proc/self/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    established = "01"
    return sum(row[2].endswith(port) and row[3] == established for row in rows)


# ---- A server with as many clients as it allows ---------------------------------------------


def test_threads_share_the_few_connections_that_a_full_server_has_for_them() -> None:
    """One of its three is this test's own."""
    done = threading.Event()
    with (
        running("--maxclients", "3") as server,
        Store(server.url, prefix="test:", timeout=60, max_connections=8, spin_us=0) as store,
        ThreadPoolExecutor(8) as threads,
    ):

        def ping_on() -> None:
            while not done.is_set():
                store.ping()

        def has_refused() -> bool:
            return b"rejected_connections:0\r" not in server.cli("INFO", "stats")

        pinging = [threads.submit(ping_on) for _ in range(8)]
        try:
            wait_for(has_refused, "the server to refuse a connection")
        finally:
            done.set()
        for each in pinging:
            each.result()
