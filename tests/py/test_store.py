"""A store: its options, its failures, threads and forks, and the private server."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import coatcheck
import pytest
from coatcheck import (
    ConfigError,
    Corrupt,
    LimitExceeded,
    Session,
    Store,
    StoreDenied,
    StoreTimeout,
    StoreUnavailable,
    UnknownFormat,
)
from conftest import RedisServer, in_thread, wait_for

NOWHERE = "unix:/nonexistent/redis.sock"


def saved(store: Store, **fields: Any) -> str:
    session = store.new()
    session.update(fields)
    session_id = session.save()
    assert session_id is not None
    return session_id


def ttl_s(server: RedisServer) -> float:
    (key,) = server.records()
    return float(server.cli("PTTL", key)) / 1000


# ---- Options -------------------------------------------------------------------------------


def test_making_a_store_does_not_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        Store(f"redis://127.0.0.1:{port}", prefix="test:").close()
        listener.setblocking(False)  # a connection would wait there, even one closed by now
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("idle", [90, 90.0, "90", timedelta(seconds=90)])
def test_a_time_is_seconds_or_a_timedelta(redis_server: RedisServer, idle: Any) -> None:
    with Store(redis_server.url, prefix="test:", idle=idle) as store:
        saved(store, a=1)
    assert 85 < ttl_s(redis_server) <= 90


def test_idle_none_lasts_until_the_deadline(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", idle=None, lifetime=5000) as store:
        saved(store, a=1)
    assert 4990 < ttl_s(redis_server) <= 5000


def test_the_default_times(store: Store, redis_server: RedisServer) -> None:
    session = store.new()
    session["a"] = 1
    session.save()
    assert 1795 < ttl_s(redis_server) <= 1800
    assert session.idle == 1800
    assert session.created is not None and session.deadline is not None
    assert session.deadline - session.created == timedelta(hours=12)


def test_none_leaves_an_option_out(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", username=None, password=None) as store:
        store.ping()


def test_limits_are_options_and_none_lifts_one(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", max_fields=2) as store:
        with pytest.raises(LimitExceeded, match="max_fields") as caught:
            saved(store, a=1, b=2, c=3)
        assert caught.value.limit == "max_fields"
    with Store(redis_server.url, prefix="test:", max_bytes=None, max_items=None) as store:
        session_id = saved(store, big=[0] * 300000, text="x" * (1 << 21))
        loaded = store.load(session_id)
        assert loaded is not None and len(loaded["text"]) == 1 << 21


BAD: list[tuple[dict[str, Any], str]] = [
    ({"url": ""}, "URL"),
    ({"url": "localhost:6379"}, "redis://"),
    ({"url": "http://localhost"}, "redis://"),
    ({"url": "redis://localhost:port"}, "port"),
    ({"url": "redis://localhost:99999"}, "port"),
    ({"url": "redis://localhost/zero"}, "database"),
    ({"url": "redis://localhost?idel=5"}, "idle"),
    ({"url": "redis://localhost?idle=soon"}, "idle"),
    ({"url": "unix:"}, "unix"),
    ({"prefix": None}, "prefix"),
    ({"prefix": "a{b}"}, "prefix"),
    ({"prefix": "a" * 65}, "64"),
    ({"prefx": "a:"}, "prefix"),
    ({"idle": -1}, "idle"),
    ({"idle": 0}, "idle"),
    ({"idle": 2**63}, "idle"),
    ({"idle": float("nan")}, "idle"),
    ({"idle": float("inf")}, "idle"),
    ({"idle": timedelta(days=-1)}, "idle"),
    ({"lifetime": 0}, "lifetime"),
    ({"lifetime": -5}, "lifetime"),
    ({"lifetime": 2**31 * 2**31}, "lifetime"),
    ({"timeout": 0}, "timeout"),
    ({"connect_timeout": -1}, "connect_timeout"),
    ({"max_connections": 0}, "max_connections"),
    ({"max_connections": 2.5}, "max_connections"),
    ({"touch_below": 1.5}, "touch_below"),
    ({"on_conflict": "ours"}, "on_conflict"),
    ({"max_depth": 5000}, "max_depth"),
    ({"idle": [1]}, "idle: list is not a setting"),
    ({"password": b"sesame"}, "password: bytes is not a setting"),
    ({"url": b"redis://localhost"}, "url: bytes is not a setting"),
    ({"url": "redis://local\0host"}, "url: its text holds a null character"),
    ({"username": "\ud800"}, "username: its text holds a null character or a lone surrogate"),
]


@pytest.mark.parametrize(("options", "text"), BAD, ids=[repr(o)[:50] for o, _ in BAD])
def test_a_wrong_option_is_a_config_error_that_names_it(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Store(**{"url": NOWHERE, "prefix": "test:", **options})


@pytest.mark.parametrize("seconds", [2**31 - 1, 2**31, 2**53, 2**63, 10**30])
def test_req_23_a_huge_time_is_an_error_or_right(redis_server: RedisServer, seconds: int) -> None:
    try:
        store = Store(redis_server.url, prefix="test:", idle=None, lifetime=seconds)
    except ConfigError as exc:
        assert "lifetime" in str(exc)
        return
    with store:
        saved(store, a=1)
        assert seconds - 5 < ttl_s(redis_server) <= seconds


def test_without_a_url_there_is_no_store() -> None:
    with pytest.raises(ConfigError, match="COATCHECK_URL"):
        Store(prefix="test:")


def test_a_missing_prefix_says_why() -> None:
    with pytest.raises(ConfigError, match="prefix"):
        Store(NOWHERE)


@pytest.mark.parametrize(
    "text", ["redis://user:sesame@host:x", "redis://u:sesame@h?password=sesame&x"]
)
def test_a_password_is_in_no_message(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Store(text, prefix="test:")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("password", ["sesame\0", "sesame\udc80"])
def test_a_password_that_cannot_be_one_is_in_no_exception(password: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Store(NOWHERE, prefix="test:", password=password)
    assert "sesame" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_a_url_given_twice_is_an_error() -> None:
    with pytest.raises(TypeError, match="url"):
        Store(NOWHERE, url=NOWHERE)  # type: ignore[misc]


def test_a_store_shows_no_secret() -> None:
    store = Store("unix:/nonexistent/s", prefix="test:", password="sesame")
    assert "sesame" not in repr(store)
    with pytest.raises(TypeError):
        pickle.dumps(store)


def test_a_store_says_where_it_is_and_whether_it_is_closed() -> None:
    store = Store("redis://user:sesame@host:7000/3?idle=60", prefix="tést:")
    assert repr(store) == "<Store redis://host:7000/3, prefix tést:>"
    store.close()
    assert repr(store) == "<Store redis://host:7000/3, prefix tést:, closed>"


@pytest.mark.parametrize("by", ["gevent._socket3", "eventlet.greenio.base"])
def test_a_patched_socket_module_is_warned_about(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    patched = type("socket", (socket.socket,), {"__module__": by})
    monkeypatch.setattr(socket, "socket", patched)
    with pytest.warns(RuntimeWarning, match=f"{by.partition('.')[0]} has patched"):
        Store(NOWHERE, prefix="test:").close()


def test_the_warning_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    patched = type("socket", (socket.socket,), {"__module__": "gevent._socket3"})
    monkeypatch.setattr(socket, "socket", patched)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            Store(NOWHERE, prefix="test:").close()
    assert len(seen) == 1


def test_a_store_may_have_sessions_of_a_type_of_its_own(redis_server: RedisServer) -> None:
    class Cart(Session):
        def total(self) -> int:
            return sum(self.values())

    class Shop(Store):
        session_type = Cart

    with Shop(redis_server.url, prefix="test:") as shop:
        session = shop.load(saved(shop, tea=2, cups=1))
        assert isinstance(session, Cart) and session.total() == 3


# ---- Loading and ending --------------------------------------------------------------------


def test_what_was_saved_is_loaded(store: Store) -> None:
    session = store.load(saved(store, cart=[("tea", 1)], n=2**70))
    assert session == {"cart": [("tea", 1)], "n": 2**70}


@pytest.mark.parametrize("bad", ["", "x", "A" * 42, "A" * 44, "A" * 42 + "B", "é" * 43, "\ud800"])
def test_req_03_a_malformed_id_opens_nothing_and_asks_nobody(bad: str) -> None:
    with Store(NOWHERE, prefix="test:") as store:
        assert store.load(bad) is None
        assert store.destroy(bad) is False
        assert store.stats()["coatcheck_malformed_ids_total"] == 2


def test_req_05_unknown_ids_are_counted(store: Store) -> None:
    assert store.load("A" * 43) is None
    assert store.destroy("A" * 43) is False
    assert store.stats()["coatcheck_unknown_ids_total"] == 2


@pytest.mark.parametrize("bad", [None, 5, b"A" * 43, ["A"]])
def test_an_id_that_is_no_text_is_a_type_error(store: Store, bad: Any) -> None:
    with pytest.raises(TypeError):
        store.load(bad)
    with pytest.raises(TypeError):
        store.destroy(bad)


def test_the_id_of_a_session_that_was_never_stored_is_refused_with_the_reason(store: Store) -> None:
    unsaved: Any = store.new().id
    with pytest.raises(TypeError, match="not NoneType: a session has an id once it is stored"):
        store.load(unsaved)


def test_destroy_ends_a_session_once(store: Store, redis_server: RedisServer) -> None:
    session_id = saved(store, a=1)
    assert store.destroy(session_id) is True
    assert store.destroy(session_id) is False
    assert store.load(session_id) is None
    assert redis_server.keys() == []


def test_update_refuses_a_coroutine_function_and_writes_nothing(store: Store) -> None:
    async def change(session: Session) -> None:
        session["a"] = 2

    session_id = saved(store, a=1)
    with pytest.raises(TypeError, match=r"coroutine function.*coatcheck\.aio\.Store"):
        store.update(session_id, change)
    assert store.load(session_id) == {"a": 1}


def test_sessions_of_another_prefix_are_not_opened(store: Store, redis_server: RedisServer) -> None:
    session_id = saved(store, a=1)
    with Store(redis_server.url, prefix="other:") as other:
        assert other.load(session_id) is None
        (key,) = redis_server.records()
        redis_server.cli("COPY", key, key.replace(b"test:", b"other:"))
        assert other.load(session_id) is None


@pytest.mark.parametrize(
    ("spoil", "exception"),
    [
        (lambda record: b"x", Corrupt),
        (lambda record: record[:-1], Corrupt),
        (lambda record: record[:1] + b"\x02" + record[2:], UnknownFormat),
    ],
)
def test_a_record_that_cannot_be_used_raises_and_is_left_alone(
    store: Store, redis_server: RedisServer, spoil: Any, exception: type[Exception]
) -> None:
    session_id = saved(store, a=1)
    (key,) = redis_server.records()
    record = spoil(redis_server.cli("GET", key))
    redis_server.cli("SET", key, record, "KEEPTTL")
    with pytest.raises(exception) as caught:
        store.load(session_id)
    assert session_id not in str(caught.value)
    assert redis_server.cli("GET", key) == record


def test_req_21_a_record_without_a_ttl_is_repaired(store: Store, redis_server: RedisServer) -> None:
    session_id = saved(store, a=1)
    (key,) = redis_server.records()
    redis_server.cli("PERSIST", key)
    assert store.load(session_id) == {"a": 1}
    assert 1795 < ttl_s(redis_server) <= 1800
    assert store.stats()["coatcheck_ttl_repaired_total"] == 1


def test_req_17_18_a_session_ends_by_itself(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", idle=None, lifetime=1) as store:
        session_id = saved(store, a=1)
        (key,) = redis_server.records()
        redis_server.cli("PERSIST", key)
        wait_for(lambda: store.load(session_id) is None, "the deadline")


# ---- A store that cannot be used -----------------------------------------------------------


def test_no_server_is_unavailable_with_a_reason(store: Store) -> None:
    with Store(NOWHERE, prefix="test:") as nowhere:
        with pytest.raises(StoreUnavailable, match=r"/nonexistent/redis\.sock"):
            nowhere.ping()
        with pytest.raises(StoreUnavailable) as caught:
            nowhere.load("A" * 43)
        assert caught.value.code != ""
        with pytest.raises(StoreUnavailable):
            saved(nowhere, a=1)


def test_req_71_a_server_that_stands_still_is_a_timeout_in_time(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", timeout=0.3) as store:
        session_id = saved(store, a=1)
        redis_server.pause()
        began = time.monotonic()
        with pytest.raises(StoreTimeout):
            store.load(session_id)
        assert 0.2 < time.monotonic() - began < 1.0
        redis_server.resume()
        assert store.load(session_id) == {"a": 1}


def test_ping_has_a_timeout_of_its_own(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", timeout=30) as store:
        store.ping()
        redis_server.pause()
        began = time.monotonic()
        with pytest.raises(StoreTimeout):
            store.ping(timeout=0.2)
        assert time.monotonic() - began < 1.0


def test_a_restarted_server_is_found_again(store: Store, redis_server: RedisServer) -> None:
    saved(store, a=1)
    redis_server.restart()
    assert store.load(saved(store, a=2)) == {"a": 2}


def test_a_wrong_password_is_denied_and_not_shown(redis_server: RedisServer) -> None:
    redis_server.cli("CONFIG", "SET", "requirepass", "right")
    try:
        with Store(redis_server.url, prefix="test:", password="wr0ng") as store:
            with pytest.raises(StoreDenied) as caught:
                store.ping()
            assert caught.value.code == "WRONGPASS"
            assert "wr0ng" not in str(caught.value)
        with Store(redis_server.url, prefix="test:") as store, pytest.raises(StoreDenied):
            store.ping()
        with Store(redis_server.url, prefix="test:", password="right") as store:
            store.ping()
    finally:
        redis_server.cli("CONFIG", "SET", "requirepass", "")


def test_a_full_server_refuses_new_sessions_and_keeps_the_others(
    store: Store, redis_server: RedisServer
) -> None:
    session_id = saved(store, a=1)
    redis_server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable) as caught:
            saved(store, a=2)
        assert caught.value.code == "OOM"
        assert store.load(session_id) == {"a": 1}
        assert store.destroy(session_id) is True
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", "0")


# ---- Closing, threads, forks ---------------------------------------------------------------


def test_a_closed_store_says_so(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:") as store:
        session_id = saved(store, a=1)
        session = store.load(session_id)
        assert session is not None
    for use in (store.ping, store.new, store.stats, lambda: store.load(session_id)):
        with pytest.raises(ValueError, match="closed"):
            use()
    with pytest.raises(ValueError, match="closed"):
        session["a"] = 2
    store.close()


def test_threads_share_a_store(store: Store) -> None:
    def work(number: int) -> None:
        session_id = saved(store, n=number)
        for _ in range(20):
            session = store.load(session_id)
            assert session is not None
            session["n"] += 1
            session.save()
        assert store.load(session_id) == {"n": number + 20}

    for answer in [in_thread(lambda number=number: work(number)) for number in range(16)]:
        answer()


def test_more_threads_than_connections_wait_their_turn(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", max_connections=1, timeout=10) as store:
        session_id = saved(store, a=1)
        answers = [in_thread(lambda: store.load(session_id)) for _ in range(8)]
        assert all(answer() == {"a": 1} for answer in answers)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12: a fork beside threads
def test_req_63_parent_and_child_both_go_on_after_a_fork(
    store: Store, redis_server: RedisServer
) -> None:
    session_id = saved(store, a=1)
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ids = [saved(store, who="child", turn=turn) for turn in range(20)]
            assert store.load(session_id) == {"a": 1}
            os.write(send, "\n".join(ids).encode())
        finally:
            os._exit(0)
    os.close(send)
    own = [saved(store, who="parent", turn=turn) for turn in range(20)]
    with os.fdopen(receive, "rb") as file:
        childs = file.read().decode().split()
    os.waitpid(pid, 0)
    assert len(set(own + childs)) == 40
    for who, ids in (("parent", own), ("child", childs)):
        for turn, each in enumerate(ids):
            assert store.load(each) == {"who": who, "turn": turn}


# ---- embedded: -----------------------------------------------------------------------------


@pytest.fixture
def directory() -> Iterator[Path]:
    # Short: the path of the server's socket has to stay under 108 bytes.
    with tempfile.TemporaryDirectory(prefix="coat-") as name:
        yield Path(name)


def embedded(directory: Path, **options: Any) -> Store:
    return Store(f"embedded:{directory}", allow_root=True, **options)


def test_embedded_starts_a_server_keeps_its_data_and_stops(directory: Path) -> None:
    with embedded(directory) as store:
        session_id = saved(store, cart=[("tea", 1)])
        store.stop_embedded()
        with pytest.raises(StoreUnavailable):
            store.ping()
    with embedded(directory) as store:
        assert store.load(session_id) == {"cart": [("tea", 1)]}
        store.stop_embedded()
    assert oct(directory.stat().st_mode)[-3:] == "700"


def test_embedded_is_shared_by_all_processes_that_name_the_directory(directory: Path) -> None:
    with embedded(directory) as store:
        try:
            session_id = saved(store, a=1)
            other = (
                "import sys, coatcheck\n"
                "store = coatcheck.Store(f'embedded:{sys.argv[1]}', allow_root=True)\n"
                "print(dict(store.load(sys.stdin.read())))\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", other, str(directory)],
                input=session_id,
                env={**os.environ, "PYTHONPATH": str(Path(coatcheck.__file__).parent.parent)},
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert done.stdout == "{'a': 1}\n", done.stderr
            assert store.load(session_id) == {"a": 1}
        finally:
            store.stop_embedded()


def test_stop_embedded_is_for_embedded_stores_only(store: Store) -> None:
    with pytest.raises(ValueError, match="embedded"):
        store.stop_embedded()
    store.ping()


def test_embedded_is_refused_under_mod_wsgi(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mod_wsgi", sys)
    with pytest.raises(ConfigError, match=r"mod_wsgi.*redis-server"):
        embedded(directory)
    monkeypatch.setenv("COATCHECK_URL", f"embedded:{directory}")
    with pytest.raises(ConfigError, match="mod_wsgi"):
        Store()
    assert list(directory.iterdir()) == []


def test_embedded_needs_allow_root_as_root_and_only_then(directory: Path) -> None:
    url = f"embedded:{directory}"
    if os.getuid() == 0:
        with pytest.raises(ConfigError, match="allow_root"):
            Store(url)
    else:
        with Store(url) as store:
            store.stop_embedded()


def test_embedded_without_an_installed_server_says_what_to_install(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises((ConfigError, StoreUnavailable), match="redis-server"):
        embedded(directory)


def test_embedded_in_a_directory_with_too_long_a_name_says_so(directory: Path) -> None:
    with pytest.raises(ConfigError, match="choose a shorter one"):
        embedded(directory / ("x" * 120))
