"""What each kind of request costs: its commands, as MONITOR shows them, and its round trips, as a
proxy counts them. A new operation gets its row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from coatcheck import Session, Store
from conftest import Browser, RedisServer
from faults import Loop, Proxy

COOKIE = "__Host-session"
LOAD = ["GET", "PTTL"]

Work = Callable[[Session], object]


@pytest.fixture
def proxy(redis_server: RedisServer, loop: Loop) -> Iterator[Proxy]:
    proxy = Proxy(loop, redis_server.path)
    yield proxy
    proxy.close()


def nothing(session: Session) -> None:
    pass


def read(session: Session) -> None:
    session.get("a")


def change(session: Session) -> None:
    session["a"] = 2


def login(session: Session) -> None:
    session.login("user:1", carry="all")


def read_and_destroy(session: Session) -> None:
    session.get("a")
    session.destroy()


@dataclass(frozen=True)
class Row:
    """A kind of request: what it does with its session, what that sends, and how often it waits."""

    name: str
    work: Work
    commands: list[str]
    round_trips: int
    cookie: str = "good"  # or none, malformed, unknown
    before: Callable[[Store, RedisServer, Session], object] = lambda store, server, session: None
    meanwhile: bool = False  # somebody else saves between its load and its save


def log_in(store: Store, server: RedisServer, session: Session) -> None:
    session.login("user:1", carry="all")
    session.save()


def forget_scripts(store: Store, server: RedisServer, session: Session) -> None:
    server.cli("SCRIPT", "FLUSH")


def let_time_pass(store: Store, server: RedisServer, session: Session) -> None:
    server.cli("PEXPIRE", *server.records(), 60_000)  # of half an hour


def idle_user(store: Store, server: RedisServer, session: Session) -> None:
    log_in(store, server, session)
    let_time_pass(store, server, session)


def take_ttl_away(store: Store, server: RedisServer, session: Session) -> None:
    server.cli("PERSIST", *server.records())


ROWS = [
    Row("no cookie, not touched", nothing, [], 0, "none"),
    Row("no cookie, read", read, [], 0, "none"),
    Row("malformed cookie, read", read, [], 0, "malformed"),
    Row("not touched", nothing, [], 0),
    Row("unknown id, read", read, LOAD, 1, "unknown"),
    Row("read", read, LOAD, 1),
    Row("read, idle clock due", read, [*LOAD, "PEXPIRE"], 2, before=let_time_pass),
    Row("read, logged in", read, LOAD, 1, before=log_in),
    Row("read, no TTL", read, [*LOAD, "PEXPIRE"], 2, before=take_ttl_away),
    Row("changed", change, [*LOAD, "EVALSHA"], 2),
    Row("changed meanwhile", change, [*LOAD, "EVALSHA", "EVALSHA"], 3, meanwhile=True),
    Row("changed, script unknown", change, [*LOAD, "EVALSHA", "EVAL"], 3, before=forget_scripts),
    Row("new session", change, ["SET"], 1, "none"),
    Row(
        "read, logged in, idle clock due", read, [*LOAD, "PEXPIRE", "EVALSHA"], 3, before=idle_user
    ),
    Row(
        "changed, logged in, idle clock due",
        change,
        [*LOAD, "EVALSHA", "EVALSHA"],
        3,
        before=idle_user,
    ),
    Row("changed, logged in", change, [*LOAD, "EVALSHA"], 2, before=log_in),
    Row("login with a session", login, [*LOAD, "EVALSHA", "EVALSHA"], 3),
    Row("login again", login, [*LOAD, "EVALSHA", "EVALSHA"], 3, before=log_in),
    Row("login without a session", login, ["SET", "EVALSHA"], 2, "none"),
    Row("rotation", lambda s: s.rotate(), [*LOAD, "EVALSHA"], 2),
    Row("logout", lambda s: s.destroy(), ["EVALSHA"], 1),
    Row("logout, loaded", read_and_destroy, [*LOAD, "EVALSHA"], 2),
    Row("logout, logged in", lambda s: s.destroy(), ["EVALSHA", "ZREM"], 2, before=log_in),
    Row("logout, logged in, loaded", read_and_destroy, [*LOAD, "EVALSHA"], 2, before=log_in),
]


@dataclass(frozen=True)
class Call:
    """A call on the sessions of a principal, who has two: what it sends, how often it waits."""

    name: str
    call: Callable[[Store], object]
    commands: list[str]
    round_trips: int
    before: Callable[[RedisServer], object] = lambda server: None


def forget_one(server: RedisServer) -> None:
    server.cli("DEL", server.records()[0])


def log_in_afresh(store: Store) -> None:
    session = store.new()
    session.login("user:1", carry="all")
    session.save()


TWICE = ["GETRANGE", "GETRANGE"]
PROBED = ["SET", "EVALSHA", *TWICE]

CALLS = [
    Call("list", lambda s: s.sessions("user:1"), ["ZRANGE", *TWICE], 2),
    Call(
        "list, one missing",
        lambda s: s.sessions("user:1"),
        ["ZRANGE", *TWICE, "ZREM"],
        3,
        forget_one,
    ),
    Call("list of nobody", lambda s: s.sessions("user:2"), ["ZRANGE"], 1),
    Call(
        "destroy one",
        lambda s: s.destroy_one("user:1", s.sessions("user:1")[0].public_id),
        ["ZRANGE", *TWICE, "ZRANGE", "EVALSHA", "ZREM"],
        5,  # two of them to list
    ),
    Call("destroy one, unknown", lambda s: s.destroy_one("user:1", "A" * 12), ["ZRANGE"], 1),
    Call("destroy one, malformed", lambda s: s.destroy_one("user:1", "../.."), [], 0),
    Call(
        "destroy all",
        lambda s: s.destroy_all("user:1"),
        ["ZRANGE", "EVALSHA", "EVALSHA", "ZREM"],
        3,
    ),
    Call("login at the cap, one missing", log_in_afresh, [*PROBED, "EVALSHA"], 4, forget_one),
    Call("login at the cap", log_in_afresh, [*PROBED, "EVALSHA", "EVALSHA"], 5),
]


@pytest.mark.parametrize("row", CALLS, ids=[row.name for row in CALLS])
def test_what_a_call_on_a_principal_costs(
    redis_server: RedisServer, proxy: Proxy, row: Call
) -> None:
    with Store(proxy.url(), prefix="test:", max_sessions=2) as store:
        teach_scripts(store)
        log_in_afresh(store)
        log_in_afresh(store)
        row.before(redis_server)
        proxy.arm(None)
        with redis_server.monitor() as seen:
            row.call(store)
        assert [command[0].upper() for command in seen] == row.commands
        assert proxy.round_trips == row.round_trips


def through_store(store: Store, cookie: str | None, work: Work) -> None:
    session = store.session(cookie)
    work(session)
    session.save()


def through_wsgi(serve: Any) -> Callable[[Store, str | None, Work], None]:
    def request(store: Store, cookie: str | None, work: Work) -> None:
        browser: Browser = serve(lambda session: str(work(session)), store=store)
        if cookie is not None:
            browser.jar[COOKIE] = cookie
        assert browser.get().status == 200

    return request


@pytest.mark.parametrize("path", ["Store", "WSGI"])
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_a_request_costs(
    redis_server: RedisServer, proxy: Proxy, serve: Any, row: Row, path: str
) -> None:
    request = through_store if path == "Store" else through_wsgi(serve)
    with Store(proxy.url(), prefix="test:") as store:
        teach_scripts(store)
        session = store.new()
        session["a"] = 1
        session.save()
        row.before(store, redis_server, session)
        cookies = {"good": session.id, "none": None, "malformed": "x", "unknown": "A" * 43}

        def work(session: Session) -> None:
            row.work(session)
            if row.meanwhile:  # a revision that this request has not seen
                redis_server.cli("SETRANGE", redis_server.records()[0], 4, "other sv")

        proxy.arm(None)
        with redis_server.monitor() as seen:
            request(store, cookies[row.cookie], work)
        ours = [command[0].upper() for command in seen]
        assert [name for name in ours if name not in ("KEYS", "SETRANGE")] == row.commands
        assert proxy.round_trips == row.round_trips


# ---- What is checked and then acted on ------------------------------------------------------

READS = {"GET", "PTTL", "GETRANGE", "ZRANGE"}
SCRIPTS = {"EVALSHA", "EVAL"}
# A TTL that is set by mistake ends a session early at most, and a member is taken out of an index
# only when its record can never be a session again.
HARMLESS = {"PEXPIRE", "ZREM"}


def under_lock(store: Store, id: str) -> None:
    with store.lock(id) as held:
        assert held is not None
        held["a"] = 2
        held.save()


def in_requests(store: Store, id: str) -> None:
    for row in ROWS:
        session = store.new()
        log_in_afresh(store)
        session["a"] = 1
        session.save()
        through_store(store, session.id, row.work)
    through_store(store, id, change)


@pytest.mark.parametrize("before", [log_in, idle_user, take_ttl_away, forget_scripts])
@pytest.mark.parametrize(
    "act",
    [
        in_requests,
        under_lock,
        lambda store, id: store.update(id, change),
        lambda store, id: [call.call(store) for call in CALLS],
    ],
    ids=["requests", "lock", "update", "calls"],
)
def test_req_64_what_depends_on_a_check_is_in_a_script_or_one_command_with_it(
    redis_server: RedisServer, act: Callable[[Store, str], object], before: Any
) -> None:
    with Store(redis_server.url, prefix="test:", max_sessions=2, renew=3600) as store:
        session = store.new()
        session["a"] = 1
        session.save()
        before(store, redis_server, session)
        log_in_afresh(store)
        with redis_server.monitor() as seen:
            act(store, session.id or "")
    writes = [command for command in seen if command[0].upper() not in READS | HARMLESS]
    assert writes
    alone = [command for command in writes if command[0].upper() not in SCRIPTS]
    assert not [command for command in alone if command[0] != "SET" or "NX" not in command[3:]]


def teach_scripts(store: Store) -> None:
    session = store.new()
    session["a"] = 1
    session.save()
    session["a"] = 2
    session.save()
    session.login("user:0", carry="all")
    session.save()
    store.destroy_all("user:0")
    session.destroy()
