"""No memory is no crash on asyncio either: no call waits for ever, and nothing is lost or kept.

A driver with an event loop of C functions, so that each allocation that fails is one of ours.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from coatcheck import Uncertain, _core, aio
from conftest import RedisServer
from test_core_memory import failing_allocator as failing_allocator

PATIENCE_S = 5
MISSING = "A" * 43


class Driver(_core.Driver):
    """What it asks of a loop is done by C functions."""

    open: Any
    wake_in: Any


class Bench:
    """Calls of a store, or of a cache, with one step into C after another, one of which can be made
    to fail."""

    def __init__(self, store: aio.Store, cache: aio.Cache, path: str) -> None:
        self.store = store
        self.cache = cache
        self.path = path
        self.soon: list[Callable[[], None]] = []
        self.opened: list[_core.Channel] = []
        self.written: list[bytes] = []
        self.wakes: list[float] = []
        self.result: list[Any] = []
        self.channel: Any = None
        self.peer = socket.socket()
        future = SimpleNamespace(
            done=partial(bool, self.result),
            set_result=self.result.append,
            set_exception=self.result.append,
        )
        self.driver = Driver(self.soon.append, partial(getattr, SimpleNamespace(it=future), "it"))
        self.driver.open = self.opened.append
        self.driver.wake_in = self.wakes.append

    def close(self) -> None:
        if self.channel is not None:
            self.channel.drain()
        self.peer.close()

    def run(self, start: Callable[..., Any], step: Callable[..., Any]) -> Any:
        """What the call ends with. `step` makes each call into C."""
        self.result.clear()
        try:
            step(start)
        except MemoryError as error:
            return error
        while not self.result:
            self.go_on(step)
        (result,) = self.result
        return result

    def go_on(self, step: Callable[..., Any]) -> None:
        if self.opened:
            self.channel = self.opened.pop()
            self.connect()
            step(self.channel.greet, None)
        elif self.soon:
            step(self.soon.pop())
        elif self.written:
            self.peer.sendall(self.written.pop())
            step(self.driver.wake)
        else:
            step(self.channel.feed, self.peer.recv(1 << 16))  # or it waits in vain

    def connect(self) -> None:
        self.peer.close()
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.settimeout(PATIENCE_S)
        self.peer.connect(self.path)
        self.written.clear()
        self.channel.connection = SimpleNamespace(write=self.written.append, abort=self.peer.close)


# ---- Calls ---------------------------------------------------------------------------------------


def as_ever(call: Callable[..., Any], *args: Any) -> None:
    call(*args)


def saved(bench: Bench) -> Any:
    session = bench.store.new()
    session["a"] = [1]
    assert isinstance(bench.run(partial(bench.driver.save, session), as_ever), str)
    return session


def changed(bench: Bench) -> Any:
    session = saved(bench)
    session["a"].append(2)
    return session


keys = itertools.count()


def cached(bench: Bench) -> str:
    """The key of a new entry."""
    key = f"k{next(keys)}"
    assert bench.run(partial(bench.driver.on_cache, bench.cache, "set", key, [1]), as_ever) is True
    return key


def on_cache(method: str, *args: Any) -> Callable[[Bench], Callable[[], Any]]:
    return lambda b: partial(b.driver.on_cache, b.cache, method, cached(b), *args)


def on_new(method: str, *args: Any) -> Callable[[Bench], Callable[[], Any]]:
    return lambda b: partial(b.driver.on_cache, b.cache, method, f"new {next(keys)}", *args)


def fill(bench: Bench) -> _core.Fill:
    return _core.Fill(bench.cache, f"made {next(keys)}", 30)


def fetched(bench: Bench) -> _core.Fill:
    made = fill(bench)
    assert bench.run(partial(bench.driver.on_fill, made, "fetch"), as_ever) == 2  # ours to make
    return made


def scanned(bench: Bench, pattern: str | None) -> Callable[[], Any]:
    cached(bench)
    scan = _core.Scan(bench.cache, pattern)

    def call() -> None:
        if bench.driver.on_scan(scan) is None:  # the walk is over
            bench.result.append(None)

    return call


# The call, made afresh each time, and what is right to come of it.
CASES: dict[str, tuple[Callable[[Bench], Callable[[], Any]], Callable[[Any], bool]]] = {
    "ping": (lambda b: partial(b.driver.ping, b.store, None), lambda r: r is None),
    "load": (
        lambda b: partial(b.driver.load, b.store, saved(b).id),
        lambda r: isinstance(r, aio.Session) and r["a"] == [1],
    ),
    "load none": (lambda b: partial(b.driver.load, b.store, MISSING), lambda r: r is None),
    "save": (lambda b: partial(b.driver.save, changed(b)), lambda r: isinstance(r, str)),
    "destroy": (lambda b: partial(b.driver.destroy, saved(b)), lambda r: r is True),
    "destroy by id": (
        lambda b: partial(b.driver.destroy_id, b.store, saved(b).id),
        lambda r: r is True,
    ),
    "get": (on_cache("get"), lambda r: r == [1]),
    "get_many": (
        lambda b: partial(b.driver.on_cache, b.cache, "get_many", [cached(b), "none"]),
        lambda r: isinstance(r, dict) and list(r.values()) == [[1]],
    ),
    "set": (on_cache("set", {"a": (1,)}), lambda r: r is True),
    "set_many": (
        lambda b: partial(b.driver.on_cache, b.cache, "set_many", {"m": [1], "n": 2}),
        lambda r: r is None,
    ),
    # Of what is done once, the first try may have been the one.
    "add": (on_new("add", [1]), lambda r: r in (True, False)),
    "pop": (on_cache("pop"), lambda r: r in ([1], None)),
    "incr": (on_new("incr", 2), lambda r: r in (2, 4)),
    "get_versioned": (on_cache("get_versioned"), lambda r: isinstance(r, tuple) and r[0] == [1]),
    "fetch": (lambda b: partial(b.driver.on_fill, fill(b), "fetch"), lambda r: r in (0, 2)),
    "store": (
        lambda b: partial(b.driver.on_fill, fetched(b), "store", [1], 60, 0, 0.1),
        lambda r: r in (True, False),
    ),
    "keys": (
        lambda b: scanned(b, "*" + cached(b)),
        lambda r: r is None or isinstance(r, list),
    ),
    "clear": (
        lambda b: scanned(b, None),
        lambda r: r is None or isinstance(r, int),
    ),
}


class Failing:
    """A step whose nth allocation fails, among steps that do not."""

    def __init__(self, library: ctypes.PyDLL, step: int, nth: int) -> None:
        self.library = library
        self.left, self.nth = step, nth
        self.hit = False

    def __call__(self, call: Callable[..., Any], *args: Any) -> None:
        self.left -= 1
        if self.left >= 0 or self.left < -1:
            return call(*args)
        # What Python keeps for the next dict, list or float: these, too, are to be allocated.
        hoard = [({}, [], float(i)) for i in range(200)]
        try:
            self.library.fail_at(self.nth)
            call(*args)
        finally:
            self.hit = bool(self.library.fail_never())
            del hoard
        return None


def check_one(bench: Bench, failing: Failing, name: str, warm: bool) -> None:
    make, is_right = CASES[name]
    if warm:
        bench.run(partial(bench.driver.ping, bench.store, None), as_ever)
    call = make(bench)
    if not warm:
        bench.close()
        bench.channel = None
    result = bench.run(call, failing)
    assert is_right(result) or (failing.hit and isinstance(result, MemoryError | Uncertain)), (
        f"{result!r}"
    )
    assert bench.driver.calls == 0
    if isinstance(result, MemoryError):
        again = bench.run(call, as_ever)
        done = "destroy" in name and again is False  # what got lost was its result
        assert is_right(again) or done, f"again: {again!r}"
    assert is_right(bench.run(make(bench), as_ever))


def kept() -> int:
    gc.collect()
    kinds = (_core.Call, _core.Channel, _core.Driver, _core.Fill, _core.Scan, aio.Session)
    return sum(isinstance(one, kinds) for one in gc.get_objects())


def fail_each_allocation(library: str, name: str, url: str, warm: bool) -> None:
    store = aio.Store(url, prefix="t:", timeout=60)
    cache = aio.Cache(url, prefix="t:", timeout=60)
    path = url.removeprefix("unix:")
    lib = ctypes.PyDLL(library)
    before, users = kept(), (sys.getrefcount(store), sys.getrefcount(cache))
    gc.disable()
    failed = 0
    for step in itertools.count():
        for nth in itertools.count():
            bench, failing = Bench(store, cache, path), Failing(lib, step, nth)
            try:
                check_one(bench, failing, name, warm)
            except Exception as error:
                raise AssertionError(f"allocation {nth} of step {step}") from error
            finally:
                bench.close()
            failed += failing.hit
            if not failing.hit:
                break
        if failing.left >= 0:  # there is no such step
            break
    del bench, failing
    assert step > 2 and failed > 5
    assert kept() == before
    assert (sys.getrefcount(store), sys.getrefcount(cache)) == users


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from test_aio_memory import fail_each_allocation
fail_each_allocation({library!r}, {name!r}, {url!r}, {warm!r})
"""


@pytest.mark.parametrize("warm", [False, True], ids=["connecting", "connected"])
@pytest.mark.parametrize("name", CASES)
def test_any_allocation_of_a_driver_may_fail(
    failing_allocator: str,
    redis_server: RedisServer,
    name: str,
    warm: bool,
) -> None:
    script = SCRIPT.format(
        path=sys.path, library=failing_allocator, name=name, url=redis_server.url, warm=warm
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
