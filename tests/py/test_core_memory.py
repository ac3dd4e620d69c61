"""No reference is lost or kept, and no memory is no crash."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import itertools
import logging
import os
import subprocess
import sys
import sysconfig
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from coatcheck import (
    Cache,
    ConfigError,
    Corrupt,
    Event,
    LimitExceeded,
    NotStorable,
    Session,
    SessionGone,
    Store,
    StoreUnavailable,
    _core,
    check,
    dumps,
    loads,
)
from conftest import RedisServer

# ---- References ----------------------------------------------------------------------------------

VALUE: dict[Any, Any] = {
    "text": "Bücher",
    "list": [1, 2**70, -(2**70), 1.5, None, True, b"bytes"],
    ("a", 1): ({"x": ()}, ["y" * 40]),
}
BAD: dict[Any, Any] = {"a": [1, (2, {3})], "b": object()}
EQUAL_KEYS = bytes.fromhex("8201c0c3c0")
ROWS = dumps([{"id": n, "name": "n", "tags": [n], "é": None} for n in range(3)] + [{"id": 1.5}])
DOCUMENT = dumps({"a": [1], "b": VALUE})
AWAY = Store("unix:/nonexistent/socket", prefix="t:")


def session_with(**fields: Any) -> Session:
    session = AWAY.new()
    session.update(fields)
    return session


def refused(kind: type[Exception], call: Callable[[], Any]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def use_the_codec() -> None:
    loads(dumps(VALUE))
    loads(bytearray(dumps(VALUE)))
    check(VALUE)
    check(BAD)
    refused(NotStorable, lambda: dumps(BAD))
    refused(NotStorable, lambda: dumps({2**70: 1}))
    refused(NotStorable, lambda: dumps(["\ud800"]))
    refused(LimitExceeded, lambda: dumps(VALUE, max_items=3))
    refused(LimitExceeded, lambda: dumps(VALUE, max_bytes=3))
    refused(LimitExceeded, lambda: loads(dumps(VALUE), max_depth=2))
    refused(Corrupt, lambda: loads(b"\x92\x01"))
    refused(Corrupt, lambda: loads(b"\x91" + EQUAL_KEYS))
    refused(TypeError, lambda: dumps(VALUE, max_what=1))  # type: ignore[call-arg]


def use_a_session(store: Store) -> None:
    session = store.new()
    session["cart"] = [1]
    session["cart"].append({"k": (1, 2)})
    refused(NotStorable, lambda: session.__setitem__("bad", BAD))
    refused(NotStorable, lambda: session.__setitem__(5, 1))  # type: ignore[arg-type]
    refused(KeyError, lambda: session["none"])
    session["cart"].append({1})
    refused(NotStorable, session.save)
    session["cart"].pop()
    session_id = session.save() or ""
    assert list(session) == ["cart"] and len(session) == 1 and "cart" in session
    names = iter(session)
    other = store.load(session_id)
    assert other is not None
    other["theirs"] = [1]
    other.save()
    session["mine"] = 5
    session.save()
    refused(RuntimeError, lambda: next(names)) if session["theirs"] else None
    session.login("user:42", carry=["cart"])
    session.rotate()
    session.idle = 60
    assert (session.principal, session.idle, session.new) == ("user:42", 60, False)
    new_id = session.save()
    assert session.id == new_id and session.public_id and session.created_ms
    refused(SessionGone, lambda: other.__setitem__("a", 1) or other.save())
    lazy = store.session(new_id, on_error=lambda exc: False)
    assert lazy["cart"]
    assert lazy.destroy() and not lazy
    assert store.load(new_id or "") is None
    assert not store.destroy("malformed")


def use_a_store(url: str) -> None:
    with Store(url, prefix="t:") as store:
        store.ping()
        store.stats()
        store.new()
    refused(ValueError, store.ping)
    refused(ConfigError, lambda: Store(url, prefix="t:", idle="soon"))  # type: ignore[arg-type]
    away = Store("unix:/nonexistent/socket", prefix="t:")
    refused(StoreUnavailable, away.ping)
    session = away.session("A" * 43, on_error=lambda exc: True)
    refused(StoreUnavailable, lambda: session.__setitem__("a", 1))


def use_a_cache(url: str) -> None:
    with Cache(url, prefix="t:") as cache:
        cache.set("a", VALUE)
        cache.set_many({"b": [1], "c": 5})
        assert cache.get_many(["a", "b", "none"])["a"] == VALUE == cache.get("a")
        assert cache.incr("c") == 6 and cache.pop("c") == 6 and cache.get("c", "none") == "none"
        assert cache.get_or_set("d", lambda: [1]) == [1] and cache.delete_many(["d", "e"]) == 1
        assert len(list(cache.keys("?"))) == 2 and cache.clear() == 2
        cache.stats()
        refused(NotStorable, lambda: cache.set("a", BAD))
        refused(NotStorable, lambda: cache.set_many({"a": [1], "b": BAD}))
        refused(ValueError, lambda: cache.get_many(["a", ""]))
        refused(KeyError, lambda: cache.incr("n", initial=None))
        refused(TypeError, lambda: cache.set("a", 1, "soon"))  # type: ignore[arg-type]
        space = cache.namespace("n")
        assert space.get("a") is None and space.set("a", VALUE) and space.get("a") == VALUE
        assert space.get_or_set("d", lambda: [1]) == [1] and list(space.tagged("t").keys()) == []
        assert sorted(space.keys()) == ["a", "d"] and space.namespace("m").incr("i") == 1
        assert cache.invalidate("n", "m") == 1 and space.invalidate() == 0
        refused(ValueError, lambda: space.namespace(""))
        cache.clear()
        walk = cache.keys()
    refused(ValueError, lambda: next(walk))
    refused(ConfigError, lambda: Cache(url, prefix="t:", ttl=-1))


def blocks_kept(use: Callable[[], None], times: int) -> int:
    for _ in range(30):
        use()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        use()
    gc.collect()
    return sys.getallocatedblocks() - before


def assert_keeps_nothing(use: Callable[[], None], times: int) -> None:
    kept = [sys.getrefcount(one) for one in (VALUE, BAD, NotStorable, Corrupt, Store, "user:42")]
    assert blocks_kept(use, times) < times / 4
    after = [sys.getrefcount(one) for one in (VALUE, BAD, NotStorable, Corrupt, Store, "user:42")]
    assert [abs(a - b) < times / 4 for a, b in zip(after, kept, strict=True)] == [True] * len(kept)


def test_the_codec_keeps_no_reference() -> None:
    assert_keeps_nothing(use_the_codec, 500)


def test_sessions_keep_no_reference(store: Store) -> None:
    assert_keeps_nothing(lambda: use_a_session(store), 100)


def test_stores_keep_no_reference(redis_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "coatcheck")  # what is logged is kept by pytest
    assert_keeps_nothing(lambda: use_a_store(redis_server.url), 100)


def test_caches_keep_no_reference(redis_server: Any) -> None:
    assert_keeps_nothing(lambda: use_a_cache(redis_server.url), 100)


def use_a_listener(url: str) -> None:
    def listen(event: Event) -> None:
        events.append(event)
        raise LookupError

    events: list[Event] = []
    with Store(url, prefix="t:", on_event=listen) as store:
        session = store.new()
        session.login("user:42", carry=())
        session.save()
        session.destroy()
    assert len(events) == 3


def test_listeners_keep_no_reference(redis_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "coatcheck")  # what is logged is kept by pytest
    assert_keeps_nothing(lambda: use_a_listener(redis_server.url), 100)


def test_a_store_that_its_listener_knows_is_collected() -> None:
    def listener() -> weakref.ref[Any]:
        def listen(_: Event) -> None:
            store.close()

        store = Store("unix:/nonexistent/socket", prefix="t:", on_event=listen)
        return weakref.ref(listen)

    known = listener()
    gc.collect()
    assert known() is None


def test_constants_keep_their_count() -> None:
    constants = (None, True, False, (), "", b"", 5)
    value = [*constants] * 100
    data = dumps(value)
    before = [sys.getrefcount(one) for one in constants]
    for _ in range(100):
        loads(data)
        dumps(value)
    after = [sys.getrefcount(one) for one in constants]
    assert all(abs(a - b) < 100 for a, b in zip(after, before, strict=True))


# Over the network fewer, except in the long run.
OPERATIONS = 100_000
CALLS = 100_000 if os.environ.get("mode") == "long" else 2000  # noqa: SIM112


def ignoring(kind: type[Exception], call: Callable[[], Any]) -> Callable[[], None]:
    return lambda: refused(kind, call)


def codec_operations() -> dict[str, Callable[[], object]]:
    data, value, cut_rows = dumps(VALUE), VALUE, ROWS[:-1]
    return {
        "dumps": lambda: dumps(value),
        "loads": lambda: loads(data),
        "loads rows": lambda: loads(ROWS),
        "check": lambda: check(value),
        "check finds": lambda: check(BAD),
        "value refused": ignoring(NotStorable, lambda: dumps(BAD)),
        "key refused": ignoring(NotStorable, lambda: dumps({(1, 2**70): 1})),
        "limit": ignoring(LimitExceeded, lambda: dumps(value, max_items=3)),
        "corrupt": ignoring(Corrupt, lambda: loads(cut_rows)),
        "equal keys": ignoring(Corrupt, lambda: loads(EQUAL_KEYS)),
        "wrong argument": ignoring(TypeError, lambda: loads(5)),  # type: ignore[arg-type]
    }


def session_operations() -> dict[str, Callable[[], object]]:
    session = session_with(a=[1])
    document = _core._Document(DOCUMENT)
    return {
        "set and delete": lambda: (session.__setitem__("b", [1]), session.__delitem__("b")),
        "set again": lambda: session.__setitem__("a", [1, {"b": 2}]),
        "set refused": ignoring(NotStorable, lambda: session.__setitem__("a", BAD)),
        "get": lambda: session["a"],
        "get none": ignoring(KeyError, lambda: session["none"]),
        "delete none": ignoring(KeyError, lambda: session.__delitem__("none")),
        "walk": lambda: list(session),
        "modified": lambda: session.modified,
        "login": lambda: _core.Session.login(session, "user:42", carry=["a"]),
        "idle": lambda: setattr(session, "idle", 60),
        "idle refused": ignoring(ValueError, lambda: setattr(session, "idle", 2**70)),
        "new": lambda: AWAY.new(),
        "document": lambda: _core._Document(DOCUMENT).get("b"),
        "document set": lambda: document.set("a", [1, {"b": 2}]),
        "document save": lambda: document.save(),
        "field of": lambda: _core._Document.field_of((DOCUMENT, "b")),
        "document refused": ignoring(Corrupt, lambda: _core._Document(b"\xc1")),
    }


def live_operations(store: Store) -> dict[str, Callable[[], object]]:
    session = store.new()
    session["a"] = [1]
    session_id = session.save() or ""

    def change() -> None:
        session["a"].append(1)
        session.save()
        session["a"].pop()
        session.save()

    def end() -> None:
        other = store.new()
        other["a"] = [1]
        other.save()
        other.rotate()
        other.save()
        other.destroy()

    def save_refused() -> None:
        session["a"].append(BAD)
        refused(NotStorable, session.save)
        session["a"].pop()

    return {
        "load": lambda: store.load(session_id),
        "load and get": lambda: (store.load(session_id) or {})["a"],
        "load none": lambda: store.load("A" * 43),
        "save": change,
        "save refused": save_refused,
        "rotate and destroy": end,
        "unavailable": ignoring(StoreUnavailable, lambda: AWAY.load("A" * 43)),
    }


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def assert_flat(operation: Callable[[], object], times: int) -> None:
    """No count differs by more than the noise of measuring, far below one for each call."""
    kinds = [one for one in gc.get_objects() if issubclass(type(one), type)]
    kinds += [int, str, bytes, float, bool, list, tuple, dict, type(None)]
    constants = [None, True, False, (), "", b"", 1, "a", "user:42", VALUE, BAD]

    def counts() -> list[int]:
        gc.collect()
        counts = [sys.getrefcount(one) for one in kinds]
        counts += [sys.getrefcount(one) for one in constants]
        return [*counts, len(gc.get_objects()), sys.getallocatedblocks()]

    for _ in range(times // 50):
        operation()
    counts()
    before, resident = counts(), resident_kib()
    for _ in range(times):
        operation()
    grown = resident_kib() - resident
    changes = [abs(a - b) for a, b in zip(counts(), before, strict=True)]
    assert max(changes) < 200
    assert grown < 2048 + times // 100  # KiB


@pytest.mark.parametrize("name", codec_operations())
def test_the_codec_leaves_every_count_as_it_was(name: str) -> None:
    assert_flat(codec_operations()[name], OPERATIONS)


@pytest.mark.parametrize("name", session_operations())
def test_a_session_leaves_every_count_as_it_was(name: str) -> None:
    assert_flat(session_operations()[name], OPERATIONS)


LIVE = ("load", "load and get", "load none", "save", "save refused", "rotate and destroy",
        "unavailable")  # fmt: skip


@pytest.mark.parametrize("name", LIVE)
def test_a_store_leaves_every_count_as_it_was(store: Store, name: str) -> None:
    assert_flat(live_operations(store)[name], CALLS)


# ---- The collector -------------------------------------------------------------------------------


def test_the_collector_is_left_as_it_was() -> None:
    data, equal = dumps([[] for _ in range(2000)]), b"\x91" + EQUAL_KEYS
    for setting in (gc.enable, gc.disable):
        try:
            setting()
            before = gc.isenabled()
            loads(data)
            refused(Corrupt, lambda: loads(equal))
            assert gc.isenabled() is before
        finally:
            gc.enable()


def test_what_was_decoded_is_known_to_the_collector() -> None:
    value = loads(dumps([[], {}, ([],), {"a": []}]))
    assert gc.is_tracked(value)
    assert gc.is_tracked(value[2])
    value[0].append(value)
    value[3]["b"] = value
    del value
    assert gc.collect() >= 3


# ---- No memory -----------------------------------------------------------------------------------

FAIL = Path(__file__).with_name("failing_allocator.c")
DATA = dumps(VALUE)


def changed() -> Session:
    session = session_with(a=[1])
    session["a"].append(VALUE)
    return session


def walk() -> Callable[[], Any]:
    return partial(list, session_with(a=1, b=2))


@functools.cache
def cached() -> Cache:
    """With the entries that the calls find."""
    cache = Cache(os.environ["COAT_TEST_URL"], prefix="t:", ttl_jitter=0)
    cache.set_many({"a": VALUE, "n": 5})
    return cache


@functools.cache
def live() -> Store:
    return Store(os.environ["COAT_TEST_URL"], prefix="t:")


def stored(**fields: Any) -> Session:
    """Not decoded yet."""
    session = live().new()
    session.update(fields)
    again = live().load(session.save() or "")
    assert again is not None
    return again


def merging() -> Session:
    """Its save finds what another request has saved meanwhile."""
    session = stored(a=[1], b=[1])
    other = live().load(session.id or "")
    assert other is not None
    other["a"].append(2)
    other.save()
    assert session["a"] == [1]
    session["b"].append(2)
    return session


def logging_in() -> Session:
    session = stored(a=[1], b=[1])
    session["a"].append(2)
    assert session["b"] == [1]
    return session


def new_rows() -> bytes:
    """Of a shape that no dict before had."""
    names = [f"name {next(COUNTER)}" for _ in range(3)]
    return dumps([{name: [] for name in names}] * 3)


COUNTER = itertools.count()


def presented(on_error: Callable[[Exception], Any]) -> Session:
    return AWAY.session("A" * 43, on_error=on_error)


# What is called, made afresh each time, and what it raises with enough memory. Calls from C to C:
# without memory for a frame, some versions of CPython raise SystemError on their own.
CASES: dict[str, tuple[Callable[[], Callable[[], Any]], type[Exception] | None]] = {
    "dumps": (lambda: partial(dumps, VALUE), None),
    "loads": (lambda: partial(loads, DATA), None),
    "loads a buffer": (lambda: partial(loads, bytearray(DATA)), None),
    "loads rows": (lambda: partial(loads, ROWS), None),
    "loads new rows": (lambda: partial(loads, new_rows()), None),
    "check": (lambda: partial(check, BAD), None),
    "document": (lambda: partial(_core._Document, DOCUMENT), None),
    "field of": (lambda: partial(_core._Document.field_of, (DOCUMENT, "b")), None),
    "document get": (lambda: partial(_core._Document(DOCUMENT).get, "b"), None),
    "document set": (lambda: partial(_core._Document(DOCUMENT).set, "b", VALUE), None),
    "document save": (lambda: _core._Document(DOCUMENT).save, None),
    "refused value": (lambda: partial(dumps, BAD), NotStorable),
    "refused key": (lambda: partial(dumps, {("k", 2**70): 1}), NotStorable),
    "refused text": (lambda: partial(dumps, ["\ud800"]), NotStorable),
    "limit": (lambda: partial(dumps, VALUE, max_items=3), LimitExceeded),
    "equal keys": (lambda: partial(loads, EQUAL_KEYS), Corrupt),
    "bad bytes": (lambda: partial(loads, b"\x92"), Corrupt),
    "store": (
        lambda: partial(_core.Store, [("url", "redis://h"), ("prefix", "t:")], True, Session),
        None,
    ),
    "bad option": (lambda: partial(_core.Store, [("url", "?")], False, Session), ConfigError),
    "stats": (lambda: AWAY.stats, None),
    "new": (lambda: AWAY.new, None),
    "session": (lambda: partial(AWAY.session, "A" * 43, on_error=len), None),
    "load": (lambda: partial(AWAY.load, "A" * 43), StoreUnavailable),
    "destroy": (lambda: partial(AWAY.destroy, "A" * 43), StoreUnavailable),
    "set": (lambda: partial(session_with(a=[1]).__setitem__, "a", VALUE), None),
    "set new": (lambda: partial(session_with(a=[1]).__setitem__, "b", VALUE), None),
    "set refused": (lambda: partial(session_with(a=[1]).__setitem__, "a", BAD), NotStorable),
    "set no name": (lambda: partial(session_with().__setitem__, 5, 1), NotStorable),
    "get": (lambda: partial(session_with(a=VALUE).__getitem__, "a"), None),
    "get none": (lambda: partial(session_with().__getitem__, "a"), KeyError),
    "delete": (lambda: partial(session_with(a=[1]).__delitem__, "a"), None),
    "walk": (walk, None),
    "modified": (lambda: partial(getattr, changed(), "modified"), None),
    "save": (lambda: partial(_core.Session.save, changed()), StoreUnavailable),
    "end": (lambda: partial(_core.Session.destroy, changed()), None),
    "login": (lambda: partial(_core.Session.login, changed(), "u", carry=["a"]), None),
    "look": (lambda: partial(len, presented({}.get)), None),
    "live load": (lambda: partial(live().load, stored(a=VALUE).id or ""), None),
    "live get": (lambda: partial(stored(a=VALUE).__getitem__, "a"), None),
    "live delete": (lambda: partial(stored(a=VALUE).__delitem__, "a"), None),
    "live save": (lambda: partial(_core.Session.save, logging_in()), None),
    "live merge": (lambda: partial(_core.Session.save, merging()), None),
    "live login": (lambda: partial(_core.Session.login, logging_in(), "u", carry=["a"]), None),
    "live login, all": (
        lambda: partial(_core.Session.login, logging_in(), "u", carry="all"),
        None,
    ),
    "live rotate": (lambda: partial(_core.Session.rotate, logging_in()), None),
    "live idle": (lambda: partial(setattr, logging_in(), "idle", 60), None),
    "live destroy": (lambda: partial(_core.Session.destroy, logging_in()), None),
    "cache": (
        lambda: partial(
            _core.Cache, [("url", "redis://h"), ("prefix", "t:")], 60.0, 0.1, False, None
        ),
        None,
    ),
    "cache get": (lambda: partial(cached().get, "a"), None),
    "cache get many": (lambda: partial(cached().get_many, ["a", "b", "n"]), None),
    "cache set": (lambda: partial(cached().set, "b", VALUE, 5), None),
    "cache set many": (lambda: partial(cached().set_many, {"c": VALUE, "d": 5}), None),
    "cache set refused": (lambda: partial(cached().set, "b", BAD), NotStorable),
    "cache incr none": (lambda: partial(cached().incr, "m", initial=None), KeyError),
    "cache touch": (lambda: partial(cached().touch, "a", 60), None),
    "cache ttl": (lambda: partial(cached().ttl, "a"), None),
    "cache keys": (lambda: _core.Scan(cached(), "*").more, None),
    "cache namespace": (lambda: partial(cached().namespace, "n"), None),
    "cache namespace refused": (lambda: partial(cached().tagged, "n", ""), ValueError),
    "cache namespace get": (lambda: partial(cached().namespace("n").get, "a"), None),
    "cache namespace set": (lambda: partial(cached().tagged("n", "m").set, "b", VALUE, 5), None),
    "cache namespace keys": (lambda: _core.Scan(cached().namespace("n"), "*").more, None),
    "cache namespace end": (lambda: cached().namespace("n").invalidate, None),
    "cache key refused": (lambda: partial(cached().get, ""), ValueError),
    "look, read-only": (lambda: partial(getattr, presented(bool), "id"), None),
}


def subject_of(call: Any) -> Session | None:
    """The session that a call is about."""
    first = call.args[0] if isinstance(call, partial) and call.args else None
    bound = getattr(getattr(call, "func", call), "__self__", None)
    return next((one for one in (bound, first) if isinstance(one, Session)), None)


def state_of(session: Session | None) -> Any:
    """What may differ between before and after a call; what the objects and what the bytes say."""
    if session is None:
        return None
    fields = [dumps(session.get(name)) for name in ("a", "b", "bad")]
    return session.modified, session.principal, session.new, session.idle, fields, session.copy()


def fail_each_allocation(library: str, name: str) -> None:
    """The call fails and all is as before, and then the call can be made; or it has worked."""
    lib = ctypes.PyDLL(library)
    make, kind = CASES[name]
    expected = (kind,) if kind else ()
    caught = (MemoryError, *expected)
    gc.disable()

    def with_memory(call: Callable[[], Any]) -> Any:
        with contextlib.suppress(*expected):
            call()
            assert not expected
        return state_of(subject_of(call))

    before, after = state_of(subject_of(make())), with_memory(make())
    for _ in range(3):
        with_memory(make())
    with contextlib.suppress(MemoryError):
        raise MemoryError
    for n in range(100_000):
        call = make()
        hit = True
        # What Python keeps for the next dict, list or float: these, too, are to be allocated.
        hoard = [({}, [], float(i)) for i in range(200)]
        try:
            lib.fail_at(n)
            call()
        except caught:
            pass
        try:  # noqa: SIM105
            hit = lib.fail_never()
        except MemoryError:
            pass
        del hoard
        state = state_of(subject_of(call))
        assert state in (before, after), f"allocation {n}: {state}"
        if state == before:
            assert with_memory(call) == after, f"allocation {n}"
        if not hit:
            break
    assert n > 0
    with_memory(make())


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from test_core_memory import fail_each_allocation
fail_each_allocation({library!r}, {name!r})
"""


@pytest.fixture(scope="module")
def failing_allocator(tmp_path_factory: pytest.TempPathFactory) -> str:
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    include = sysconfig.get_paths()["include"]
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run(
        [compiler, "-shared", "-fPIC", f"-I{include}", str(FAIL), "-o", str(library)], check=True
    )
    return str(library)


@pytest.mark.parametrize("name", CASES)
def test_any_allocation_may_fail(
    failing_allocator: str, redis_server: RedisServer, name: str
) -> None:
    script = SCRIPT.format(path=sys.path, library=failing_allocator, name=name)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COAT_TEST_URL": redis_server.url},
    )
    assert done.returncode == 0, done.stderr[-3000:]
