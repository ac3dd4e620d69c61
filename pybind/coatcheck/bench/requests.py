"""
Requests: what a session adds to a request of a web application, beside what others' sessions add.

Only the sessions differ: the framework, the payload of 2.1 KB and the server are the same. What the
framework takes by itself is measured, too, and taken off. Nothing but the application is called: no
HTTP server is in the way. What a single PING adds is measured as well, since no session that is
looked up in Redis can add less.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from time import thread_time

from coatcheck import Store

from . import request_peers as peers
from .frame import Asked
from .measure import Length, Run, microseconds, ratio, take_turns
from .record import Found
from .redis_client import Client
from .redis_server import Server, a_server
from .report import Row, as_rows
from .request_peers import PREFIX, Ask, Contender, asks

READ, WRITE = "/read", "/write"
BARE, OURS, WAY = "bare", "ours", "a PING alone"

TURN_S = 0.01

# By framework: the application without sessions, with ours, and with those of others.
FRAMEWORKS: dict[str, tuple[Contender, Contender, dict[str, Contender]]] = {
    "Flask": (
        peers.flask_bare,
        peers.flask_ours,
        {
            "Flask-Session": peers.flask_session,
            "Flask-Session, no refresh": peers.flask_session_no_refresh,
        },
    ),
    "Django": (
        peers.django_bare,
        peers.django_ours,
        {"cache sessions": peers.django_cache, "django-redis": peers.django_redis},
    ),
    "Starlette": (
        peers.starlette_bare,
        peers.starlette_ours,
        {"starsessions": peers.starlette_starsessions},
    ),
    "WSGI": (peers.wsgi_bare, peers.wsgi_ours, {"Beaker": peers.wsgi_beaker}),
    "Pyramid": (
        peers.pyramid_bare,
        peers.pyramid_ours,
        {"pyramid_session_redis": peers.pyramid_session_redis},
    ),
}
PARTS = tuple(FRAMEWORKS)
NEEDS = {
    "Flask-Session, no refresh": "Flask-Session",
    "cache sessions": "Django's own cache",
}
GOAL = 3.0
GOALS = {
    ("Flask", READ, "Flask-Session"): 7.0,
    ("Flask", READ, "Flask-Session, no refresh"): 2.8,
}

# The processor's time of a request that reads, but for the way to Redis and back.
BESIDE_THE_WAY_S = 9e-6
BESIDE_THE_WAY = "9 us"


def _runs(
    what: str, contenders: Mapping[str, Contender], server: Server, stack: ExitStack
) -> dict[str, Run]:
    return {name: asks(make(server, stack), what) for name, make in contenders.items()}


def _and_a_ping(bare: Contender) -> Contender:
    def contender(server: Server, stack: ExitStack) -> Ask:
        store = stack.enter_context(Store(server.tcp_url, prefix=PREFIX))
        ask = bare(server, stack)

        def asking(path: str) -> bytes:
            store.ping()
            return ask(path)

        return asking

    return contender


def _present(asked: Asked, framework: str) -> dict[str, Contender]:
    """Of others' sessions those that are installed; none where the framework is not."""
    if framework != "WSGI" and not asked.has(framework):
        return {}
    others = FRAMEWORKS[framework][2]
    return {name: make for name, make in others.items() if asked.has(NEEDS.get(name, name))}


def _rows(
    framework: str, others: dict[str, Contender], what: str, server: Server, length: Length
) -> list[Row]:
    bare, ours, _ = FRAMEWORKS[framework]
    if what == READ:
        others = {**others, WAY: _and_a_ping(bare)}
    with ExitStack() as stack:
        contenders = {BARE: bare, OURS: ours, **others}
        times = take_turns(_runs(what, contenders, server, stack), length, TURN_S)
    added = {
        name: [with_it - without for with_it, without in zip(seen, times[BARE], strict=True)]
        for name, seen in times.items()
    }
    quantity = f"a session in {framework}, {what[1:]}"
    return [
        Row(
            quantity,
            "2.1 KB",
            name,
            ratio(added[name], added[OURS]),
            None if name == WAY else GOALS.get((framework, what, name), GOAL),
            microseconds(added[OURS]),
        )
        for name in others
    ]


def _beside_the_way(server: Server, length: Length) -> Row:
    """Bare WSGI, reading: all but what a PING takes."""
    with ExitStack() as stack:
        store = stack.enter_context(Store(server.tcp_url, prefix=PREFIX))

        def ping(path: str) -> bytes:
            store.ping()
            return b"hello"

        runs = {
            BARE: asks(peers.wsgi_bare(server, stack), READ, thread_time),
            OURS: asks(peers.wsgi_ours(server, stack), READ, thread_time),
            "ping": asks(ping, READ, thread_time),
        }
        times = take_turns(runs, length, TURN_S)
    beside = [
        ours - bare - way
        for ours, bare, way in zip(times[OURS], times[BARE], times["ping"], strict=True)
    ]
    found = ratio([BESIDE_THE_WAY_S] * len(beside), beside)
    quantity = "a session in WSGI, read: processor time but for a PING's"
    return Row(quantity, "2.1 KB", BESIDE_THE_WAY, found, 1.0, microseconds(beside))


def measure(asked: Asked) -> Found:
    length = asked.length(10.0)
    rows = []
    with a_server() as server, Client(server.port) as client:
        found = Found([], {"server": client.server()})
        for framework in filter(asked.wants, FRAMEWORKS):
            others = _present(asked, framework)
            for what in (READ, WRITE) if others else ():
                rows += _rows(framework, others, what, server, length)
        if asked.wants("WSGI"):
            rows.append(_beside_the_way(server, length))
    title = "What a session adds to a request, payload of 2.1 KB"
    found.tables.append(as_rows(rows, "added", title))
    return found
