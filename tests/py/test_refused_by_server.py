"""What comes of each error that a server may answer: from a real server where it can be provoked,
otherwise from one that says nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from coatcheck import Corrupt, Session, Store, StoreDenied, StoreUnavailable
from conftest import RedisClient, RedisError, RedisServer, a_redis_server, in_thread, wait_for


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """One that a test may make a replica or end."""
    with a_redis_server() as server:
        yield server


@pytest.fixture
def own_store(own_server: RedisServer) -> Iterator[Store]:
    with Store(own_server.url, prefix="test:", touch_below=1) as store:
        yield store


def saved(store: Store, **fields: Any) -> Session:
    session = store.new()
    session.update(fields)
    session.save()
    return session


def loaded(store: Store, session_id: str | None) -> Session:
    session = store.load(session_id or "")
    assert session is not None
    return session


def change(store: Store, session: Session) -> None:
    session["a"] = 2
    session.save()


def rotate(store: Store, session: Session) -> None:
    session.rotate()
    session.save()


def login(store: Store, session: Session) -> None:
    session.login("user:42", carry="all")
    session.save()


WRITES: list[Callable[[Store, Session], object]] = [
    change,
    rotate,
    login,
    lambda store, session: saved(store, a=1),
]
ENDS: list[Callable[[Store, Session], object]] = [
    lambda store, session: session.destroy(),
    lambda store, session: store.destroy(session.id or ""),
]
READS: list[Callable[[Store, Session], object]] = [
    lambda store, session: store.load(session.id or "")
]


def refusals(
    store: Store, session: Session, calls: list[Callable[[Store, Session], object]]
) -> set[str]:
    """The codes with which these calls fail; each must."""
    codes = set()
    for call in calls:
        with pytest.raises(StoreUnavailable) as caught:
            call(store, session)
        assert session.id is None or session.id not in str(caught.value)
        codes.add(caught.value.code)
    return codes


# ---- Real servers ---------------------------------------------------------------------------


def test_oom_fails_what_writes_and_spares_reads_and_logouts(
    own_store: Store, own_server: RedisServer
) -> None:
    sessions = [saved(own_store, a=1) for _ in WRITES]
    own_server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
    own_server.cli("CONFIG", "SET", "maxmemory", "1")
    for write, session in zip(WRITES, sessions, strict=True):
        assert refusals(own_store, session, [write]) == {"OOM"}
        assert loaded(own_store, session.id) == {"a": 1}
    for end, session in zip(ENDS, sessions, strict=False):
        assert end(own_store, session) is True
    own_server.cli("CONFIG", "SET", "maxmemory", "0")
    change(own_store, loaded(own_store, sessions[-1].id))


def test_readonly_a_replica_serves_reads_only(own_store: Store, own_server: RedisServer) -> None:
    session = saved(own_store, a=1)
    own_server.cli("REPLICAOF", "127.0.0.1", "1")
    assert loaded(own_store, session.id) == {"a": 1}
    assert refusals(own_store, session, WRITES + ENDS) == {"READONLY"}
    own_server.cli("REPLICAOF", "NO", "ONE")
    assert loaded(own_store, session.id) == {"a": 1}
    assert own_store.destroy(session.id or "") is True


def test_masterdown_is_never_no_session(own_store: Store, own_server: RedisServer) -> None:
    session = saved(own_store, a=1)
    own_server.cli("CONFIG", "SET", "replica-serve-stale-data", "no")
    own_server.cli("REPLICAOF", "127.0.0.1", "1")
    assert refusals(own_store, session, READS + WRITES + ENDS) <= {"MASTERDOWN", "READONLY"}
    assert refusals(own_store, session, READS) == {"MASTERDOWN"}
    own_server.cli("REPLICAOF", "NO", "ONE")
    assert loaded(own_store, session.id) == {"a": 1}


def test_loading_is_never_no_session(own_server: RedisServer) -> None:
    with Store(own_server.url, prefix="test:") as store:
        session = saved(store, a=1)
        for _ in range(300):  # a server looks at its clients after every 2 MB
            saved(store, text="x" * 60_000)
        own_server.cli("CONFIG", "SET", "rdbcompression", "no")
        own_server.cli("SAVE")
        own_server.stop()
        own_server.options += ("--key-load-delay", "10000")
        own_server.start()
        assert wait_for(lambda: loading(store, session), "the server to load") == "LOADING"
        with suppress(RedisError):  # Redis 6.2 does not listen now
            own_server.cli("CONFIG", "SET", "key-load-delay", "0")
        wait_for(lambda: loading(store, session) == "", "the server to have loaded")
        assert loaded(store, session.id) == {"a": 1}


def loading(store: Store, session: Session) -> str | None:
    """The code with which a load fails, "" if it does not; None if it waits for too long."""
    try:
        assert store.load(session.id or "") is not None
    except StoreUnavailable as exc:
        return None if exc.code == "timeout" else exc.code
    return ""


def test_busy_with_the_script_of_another(own_store: Store, own_server: RedisServer) -> None:
    session = saved(own_store, a=1)
    own_server.cli("CONFIG", "SET", "lua-time-limit", "10")
    other = RedisClient(own_server.path)

    def spin() -> None:
        with suppress(RedisError):
            other("EVAL", "while true do end", "0")

    def busy() -> bool:
        try:
            own_server.cli("PING")
        except RedisError as exc:
            return str(exc).startswith("BUSY")
        return False

    ended = in_thread(spin)
    wait_for(busy, "the script to keep the server busy")
    assert refusals(own_store, session, READS + WRITES + ENDS) == {"BUSY"}
    own_server.cli("SCRIPT", "KILL")
    ended()
    other.close()
    assert loaded(own_store, session.id) == {"a": 1}


def test_noscript_the_text_is_sent(store: Store, redis_server: RedisServer) -> None:
    session = saved(store, a=1)
    redis_server.cli("SCRIPT", "FLUSH")
    with redis_server.monitor() as seen:
        change(store, session)
        assert session.destroy() is True
    assert [command[0] for command in seen] == ["EVALSHA", "EVAL", "EVALSHA", "EVAL"]


def test_noauth_and_wrongpass_are_denied(redis_server: RedisServer) -> None:
    redis_server.cli("CONFIG", "SET", "requirepass", "sesame")
    try:
        for password, code in ((None, "NOAUTH"), ("wrong", "WRONGPASS")):
            with Store(redis_server.url, prefix="test:", password=password) as store:
                for call in (store.ping, lambda store=store: store.load("A" * 43)):
                    with pytest.raises(StoreDenied) as caught:
                        call()
                    assert caught.value.code == code
    finally:
        redis_server.cli("CONFIG", "SET", "requirepass", "")


def test_wrongtype_is_corrupt_and_left_alone(store: Store, redis_server: RedisServer) -> None:
    session = saved(store, a=1)
    (key,) = redis_server.records()
    redis_server.cli("DEL", key)
    redis_server.cli("RPUSH", key, "not ours")
    calls: list[Callable[[], object]] = [
        lambda: store.load(session.id or ""),
        lambda: change(store, session),
        lambda: store.destroy(session.id or ""),
    ]
    for call in calls:
        with pytest.raises(Corrupt):
            call()
    assert redis_server.cli("LRANGE", key, 0, -1) == [b"not ours"]


# ---- Errors of a cluster, and others that one server does not say ---------------------------


@contextmanager
def says_only(error: str) -> Iterator[str]:
    """A server that answers each command with this error; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    reply = f"-{error}\r\n".encode()

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as commands, suppress(OSError):
            while line := commands.readline():
                for _ in range(int(line[1:])):
                    commands.read(int(commands.readline()[1:]) + 2)
                connection.sendall(reply)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize(
    "error",
    [
        "MOVED 3999 127.0.0.1:6381",
        "MOVED 3999 :6381",
        "ASK 3999 127.0.0.1:6381",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN Hash slot not served",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
        "NOREPLICAS Not enough good replicas to write.",
        "ERR something that nobody has heard of",
    ],
)
def test_req_69_other_errors_are_unavailable_with_their_word(error: str) -> None:
    with says_only(error) as url, Store(url, prefix="test:", timeout=0.5) as store:
        calls: list[Callable[[], object]] = [
            lambda: store.load("A" * 43),
            lambda: store.destroy("A" * 43),
            lambda: saved(store, a=1),
            store.ping,
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert caught.value.code == error.split()[0]
