"""What the tests of the middleware share: views, and what befalls their sessions meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coatcheck import Session, Store
from conftest import Browser, RedisServer, in_thread

NAME = "__Host-session"
Serve = Callable[..., Browser]


def put(session: Session, path: str) -> str:
    """/name/value stores; any other path shows what is stored."""
    _, name, *value = path.split("/")
    if value:
        session[name] = value[0]
    return repr(dict(session))


def logged_in_elsewhere(session: Session) -> str:
    session.login("user:1", carry="all")
    return "hello"


class Slow:
    """A view of which one request waits, after it has read its session, until it may go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, session: Session, path: str) -> Any:
        if path == "/slow":
            session.get("color")
            self.reached.set()
            assert self.go_on.wait(10)
            session["late"] = True
        if path == "/logout":
            session.destroy()
        if path == "/login":
            logged_in_elsewhere(session)
        return put(session, path) if path.startswith("/color") else dict(session)

    __code__ = __call__.__code__


def overtaken(browser: Browser, view: Slow, by: str) -> Any:
    """The response to a slow request that another, quick one overtakes."""
    slow = Browser(browser.app)
    slow.jar = dict(browser.jar)
    answer = in_thread(lambda: slow.get("/slow"))
    assert view.reached.wait(10)
    browser.get(by)
    view.go_on.set()
    return answer()


def nowhere(folder: Path) -> Store:
    """A store without a server."""
    return Store(f"unix:{folder}/none", prefix="test:", timeout=0.2)


class Oops(Exception):
    pass


def spoil(redis_server: RedisServer, change: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    (key,) = redis_server.records()
    spoiled = change(redis_server.cli("GET", key))
    redis_server.cli("SET", key, spoiled, "KEEPTTL")
    return key, spoiled
