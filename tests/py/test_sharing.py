"""What stores share, and what changes while they live: connections, credentials, notices."""

from __future__ import annotations

import gc
import importlib
import itertools
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coatcheck import Store
from coatcheck.exceptions import ConfigError, StoreDenied, StoreUnavailable
from conftest import RedisServer, wait_for

#: No other store connects in such a way, so none has left a connection that could be found.
other_ways = itertools.count(1000)


def connections(server: RedisServer) -> set[str]:
    """The ids of those to it, but for the one that asks; those of other tests are still closing."""
    listed = (dict(item.split("=", 1) for item in line.split()) for line in client_list(server))
    return {client["id"] for client in listed if client["cmd"] != "client|list"}


def client_list(server: RedisServer) -> list[str]:
    return [line for line in server.cli("CLIENT", "LIST").decode().splitlines() if line.strip()]


@pytest.fixture
def user(redis_server: RedisServer) -> Iterator[str]:
    redis_server.cli("ACL", "SETUSER", "visitor", "on", ">first", "~*", "+@all")
    yield "visitor"
    redis_server.cli("ACL", "DELUSER", "visitor")


def change_password(server: RedisServer, password: str) -> None:
    """From now on, and for those who have connected, too."""
    server.cli("ACL", "SETUSER", "visitor", "resetpass", f">{password}")
    server.cli("CLIENT", "KILL", "USER", "visitor")


# ---- Connections -------------------------------------------------------------------------------


def test_stores_that_connect_in_the_same_way_share_connections(redis_server: RedisServer) -> None:
    before = connections(redis_server)
    way = next(other_ways)
    stores = [
        Store(redis_server.url, prefix=f"t{i}:", idle=600 + i, max_idle=way) for i in range(5)
    ]
    for store in stores:
        store.ping()
    assert len(connections(redis_server) - before) == 1


def test_stores_that_connect_in_another_way_do_not(redis_server: RedisServer) -> None:
    before = connections(redis_server)
    way = next(other_ways)
    ways: list[dict[str, int]] = [{}, {"max_connections": 2}, {"max_age": 100}, {"max_age": 200}]
    stores = [Store(redis_server.url, prefix="t:", max_idle=way, **other) for other in ways]  # type: ignore[arg-type]
    for store in stores:
        store.ping()
    assert len(connections(redis_server) - before) == 4


def test_a_store_that_comes_after_an_equal_one_finds_its_connections(
    redis_server: RedisServer,
) -> None:
    before = connections(redis_server)
    way = next(other_ways)
    for _ in range(3):
        with Store(redis_server.url, prefix="t:", max_idle=way) as store:
            store.ping()
    assert len(connections(redis_server) - before) == 1


def test_of_many_that_no_store_uses_the_latest_are_kept(redis_server: RedisServer) -> None:
    gc.collect()  # a store that another test left in a cycle would be among the latest
    ways = [next(other_ways) for _ in range(20)]

    def use(way: int) -> None:
        with Store(redis_server.url, prefix="t:", max_idle=way) as store:
            store.ping()

    for way in ways:
        use(way)
    before = connections(redis_server)
    for way in ways[12:]:
        use(way)
    assert not connections(redis_server) - before


def test_what_no_store_uses_any_more_is_closed_by_a_later_call(redis_server: RedisServer) -> None:
    before = connections(redis_server)
    with Store(redis_server.url, prefix="t:", max_idle=0.05) as store:
        store.ping()
    (unused,) = connections(redis_server) - before
    other = Store(redis_server.url, prefix="t:")

    def closed() -> bool:
        other.ping()
        return unused not in connections(redis_server)

    wait_for(closed, "closing")


@contextmanager
def no_leak(server: RedisServer, most: int) -> Iterator[None]:
    """The block leaves no descriptor, thread or connection behind, and `most` bytes at most."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def held() -> tuple[int, int, int]:
        files, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        return files, threads, len(connections(server))

    gc.collect()
    before, memory = held(), resident()
    yield
    gc.collect()
    assert all(now <= then for now, then in zip(held(), before, strict=True)), (before, held())
    assert resident() - memory < most


def test_ten_thousand_stores_leak_nothing(redis_server: RedisServer) -> None:
    def come_and_go(count: int) -> None:
        for i in range(count):
            store = Store(redis_server.url, prefix="t:")
            store.ping()
            if i % 2:
                store.close()
            del store

    come_and_go(200)
    with no_leak(redis_server, 4 << 20):
        come_and_go(10_000)


#: As under mod_wsgi, which runs a script anew when it has changed; test_interpreters.py has several
#: interpreters.
SCRIPT = """
from coatcheck import Session, Store
from coatcheck.wsgi import SessionMiddleware

class Visitor(Session):
    pass

class Shop(Store):
    session_type = Visitor

store = Shop({url!r}, prefix="t:")
visitor = store.new()
visitor["since"] = []
visitor.save()

def view(environ, start_response):
    start_response("200 OK", [])
    return [str(environ["coatcheck.session"]["since"]).encode()]

application = SessionMiddleware(view, store)
"""


def test_a_script_that_is_reloaded_a_thousand_times_leaks_nothing(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reloaded_script.py").write_text(SCRIPT.format(url=redis_server.url))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    script = importlib.import_module("reloaded_script")

    def visit() -> bytes:
        cookie = f"__Host-session={script.visitor.id}"
        environ = {"wsgi.url_scheme": "https", "HTTP_COOKIE": cookie}
        return b"".join(script.application(environ, lambda *_: None))

    def reload(times: int) -> None:
        for _ in range(times):
            importlib.reload(script)
            assert visit() == b"[]"

    try:
        reload(100)
        with no_leak(redis_server, 1 << 20):
            reload(1000)
    finally:
        del sys.modules["reloaded_script"]


def test_req_63_a_child_has_connections_of_its_own(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:")
    store.ping()
    before = connections(redis_server)
    go, leave = os.pipe()
    child = os.fork()
    if child == 0:
        store.ping()
        os.close(leave)
        os.read(go, 1)
        os._exit(0)
    os.close(go)
    try:
        wait_for(lambda: len(connections(redis_server) - before) == 1, "the child's connection")
        store.ping()
    finally:
        os.close(leave)
        os.waitpid(child, 0)


# ---- Credentials -------------------------------------------------------------------------------


def test_a_password_file_is_read_at_each_connect(
    redis_server: RedisServer, user: str, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text("first\n")
    store = Store(redis_server.url, prefix="t:", username=user, password_file=str(path))
    store.ping()
    change_password(redis_server, "second")
    with pytest.raises(StoreDenied):
        store.ping()
    path.write_text("second")
    store.ping()


def test_fresh_credentials_are_asked_for_once_more(redis_server: RedisServer, user: str) -> None:
    asked = []

    def credentials() -> tuple[str, str]:
        asked.append(threading.get_ident())
        return user, "first" if len(asked) < 3 else "second"

    store = Store(redis_server.url, prefix="t:", credentials=credentials)
    store.ping()
    assert len(asked) == 1
    change_password(redis_server, "second")
    store.ping()
    assert asked == [threading.get_ident()] * 3


def test_credentials_that_stay_wrong_are_asked_for_twice(
    redis_server: RedisServer, user: str
) -> None:
    asked = []

    def credentials() -> tuple[str, str]:
        asked.append(1)
        return user, "wr0ng"

    with pytest.raises(StoreDenied) as caught:
        Store(redis_server.url, prefix="t:", credentials=credentials).ping()
    assert len(asked) == 2
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize("answer", [None, ("a",), (1, "b"), ("a", None), ("a", "\ud800")])
def test_credentials_that_are_none_are_a_denial_that_says_why(
    redis_server: RedisServer, answer: object
) -> None:
    store = Store(redis_server.url, prefix="t:", credentials=lambda: answer)  # type: ignore
    with pytest.raises(StoreDenied) as caught:
        store.ping()
    assert isinstance(caught.value.__cause__, (TypeError, ValueError))


@pytest.mark.parametrize("end", ["\ud800", "\0", "\0x"])
def test_credentials_that_cannot_be_sent_are_refused_and_in_no_exception(
    redis_server: RedisServer, end: str
) -> None:
    store = Store(redis_server.url, prefix="t:", credentials=lambda: (None, "s3cret" + end))
    with pytest.raises(StoreDenied) as caught:
        store.ping()
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError) and "null character" in str(cause)
    assert "s3cret" not in repr(cause) + repr(vars(cause)) + repr(cause.__context__)
    assert not hasattr(cause, "object")


def test_an_exception_of_the_callable_is_the_cause(redis_server: RedisServer) -> None:
    def credentials() -> tuple[str, str]:
        raise LookupError("no token")

    with pytest.raises(StoreDenied) as caught:
        Store(redis_server.url, prefix="t:", credentials=credentials).ping()
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_interrupt_in_the_callable_stays_one(redis_server: RedisServer) -> None:
    def credentials() -> tuple[str, str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(redis_server.url, prefix="t:", credentials=credentials).ping()


def test_credentials_must_be_callable(redis_server: RedisServer) -> None:
    with pytest.raises((TypeError, ConfigError)):
        Store(redis_server.url, prefix="t:", credentials="user")  # type: ignore[arg-type]


# ---- Notices -----------------------------------------------------------------------------------


def test_a_server_that_goes_and_comes_back_is_logged_once_each(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(redis_server.url, prefix="t:")
    store.ping()
    redis_server.stop()
    with caplog.at_level(logging.WARNING, "coatcheck"):
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                store.ping()
        redis_server.start()

        def answers() -> bool:
            try:
                store.ping()
            except StoreUnavailable:
                return False
            return True

        wait_for(answers, "the server")
    assert len(caplog.records) == 2
