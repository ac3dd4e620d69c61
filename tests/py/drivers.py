"""One face for every driver of the store, so that a test of the path to Redis holds for each.

A driver opens clients; a client makes the calls that a request makes, and fails with the package's
exceptions.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import coatcheck
from coatcheck import Session, SessionInfo, Store, aio, dumps, exceptions, loads

Run = Callable[[Coroutine[Any, Any, Any]], Any]

#: Ids that opened nothing are counted so, by the C library in this order.
COUNTS = ("unknown", "malformed", "dead")


class Held(Protocol):
    """A session that was loaded or made. `note` is its one field."""

    id: str | None
    public_id: str | None
    stale: bool
    note: str

    def save(self) -> str | None: ...
    def login(self, principal: str) -> None: ...
    def rotate(self) -> None: ...
    def destroy(self) -> bool: ...


class Client(Protocol):
    def new(self) -> Held: ...
    def load(self, session_id: str) -> Held | None: ...
    def visit(self, session_id: str) -> Held:
        """What a request with this id works on, if need be a new one."""

    def lock(self, session_id: str) -> AbstractContextManager[Held | None]: ...
    def destroy(self, session_id: str) -> bool: ...
    def destroy_one(self, principal: str, public_id: str) -> bool: ...
    def destroy_all(self, principal: str, keep: str | None = None) -> int: ...
    def sessions(self, principal: str) -> list[SessionInfo]: ...
    def counts(self) -> dict[str, int]: ...
    def ping(self) -> None: ...
    def close(self) -> None: ...


# ---- Python, blocking -----------------------------------------------------------------------


class PythonHeld:
    def __init__(self, session: Session) -> None:
        self._session: Session | aio.Session = session
        self.save = session.save
        self.rotate = session.rotate
        self.destroy = session.destroy

    @property
    def id(self) -> str | None:
        return self._session.id

    @property
    def public_id(self) -> str | None:
        return self._session.public_id

    @property
    def stale(self) -> bool:
        return self._session.stale

    @property
    def note(self) -> str:
        value: str = self._session["note"]
        return value

    @note.setter
    def note(self, value: str) -> None:
        self._session["note"] = value

    def login(self, principal: str) -> None:
        self._session.login(principal, carry="all")


class PythonClient:
    def __init__(self, url: str, **options: str) -> None:
        self.store = Store(url, **options)  # type: ignore[arg-type]
        self.destroy = self.store.destroy
        self.destroy_one = self.store.destroy_one
        self.sessions = self.store.sessions
        self.close = self.store.close

    def new(self) -> PythonHeld:
        return PythonHeld(self.store.new())

    def load(self, session_id: str) -> PythonHeld | None:
        session = self.store.load(session_id)
        return None if session is None else PythonHeld(session)

    def visit(self, session_id: str) -> PythonHeld:
        return PythonHeld(self.store.session(session_id))

    @contextmanager
    def lock(self, session_id: str) -> Iterator[PythonHeld | None]:
        with self.store.lock(session_id) as session:
            yield None if session is None else PythonHeld(session)

    def destroy_all(self, principal: str, keep: str | None = None) -> int:
        return self.store.destroy_all(principal, keep=keep)[0]

    def counts(self) -> dict[str, int]:
        return _counts(self.store)

    def ping(self) -> None:
        self.store.ping()


def _counts(store: Store | aio.Store) -> dict[str, int]:
    stats = store.stats()
    return {name: int(stats[f"coatcheck_{name}_ids_total"]) for name in COUNTS}


# ---- Python, asyncio ------------------------------------------------------------------------


class AioHeld(PythonHeld):
    """Calls of a session, each to its end."""

    def __init__(self, run: Run, session: aio.Session) -> None:
        self._session = session
        self.save = lambda: run(session.save())
        self.rotate = session.rotate
        self.destroy = lambda: run(session.destroy())


class AioClient:
    """Calls from any thread, in an event loop that runs in one of its own."""

    def __init__(self, url: str, **options: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.store = aio.Store(url, **options)  # type: ignore[arg-type]
        self._thread.start()

    def _run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def new(self) -> AioHeld:
        return AioHeld(self._run, self.store.new())

    def load(self, session_id: str) -> AioHeld | None:
        session = self._run(self.store.load(session_id))
        return None if session is None else AioHeld(self._run, session)

    def visit(self, session_id: str) -> AioHeld:
        session = self.store.session(session_id)
        self._run(session.load())
        return AioHeld(self._run, session)

    @contextmanager
    def lock(self, session_id: str) -> Iterator[AioHeld | None]:
        lock = self.store.lock(session_id)
        session = self._run(_entered(lock))
        try:
            yield None if session is None else AioHeld(self._run, session)
        finally:
            self._run(_left(lock))

    def destroy(self, session_id: str) -> bool:
        ended: bool = self._run(self.store.destroy(session_id))
        return ended

    def destroy_one(self, principal: str, public_id: str) -> bool:
        ended: bool = self._run(self.store.destroy_one(principal, public_id))
        return ended

    def destroy_all(self, principal: str, keep: str | None = None) -> int:
        ended: int = self._run(self.store.destroy_all(principal, keep=keep))[0]
        return ended

    def sessions(self, principal: str) -> list[SessionInfo]:
        listed: list[SessionInfo] = self._run(self.store.sessions(principal))
        return listed

    def counts(self) -> dict[str, int]:
        return _counts(self.store)

    def ping(self) -> None:
        self._run(self.store.ping())

    def close(self) -> None:
        self._run(self.store.close())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _entered(lock: AbstractAsyncContextManager[Any]) -> Any:
    return await lock.__aenter__()


async def _left(lock: AbstractAsyncContextManager[Any]) -> None:
    await lock.__aexit__(None, None, None)


# ---- C, blocking ----------------------------------------------------------------------------


class _CInfo(ctypes.Structure):
    _fields_ = (
        ("public_id", ctypes.c_char * 13),
        ("created_ms", ctypes.c_int64),
        ("deadline_ms", ctypes.c_int64),
        ("shown", c_void_p),
    )


class _CError(ctypes.Structure):
    _fields_ = (
        ("code", c_int),
        ("offset", c_size_t),
        ("path", ctypes.c_char * 192),
        ("reason", ctypes.c_char * 24),
        ("text", ctypes.c_char * 320),
        ("reserved", c_void_p * 4),
    )


# As pybind/core/errors.c has it, for the codes that calls to a server end with.
_EXCEPTIONS: dict[int, type[Exception]] = {
    -1: MemoryError,
    -2: ValueError,
    -5: exceptions.Corrupt,
    -6: exceptions.UnknownFormat,
    -7: exceptions.ConfigError,
    -8: exceptions.StoreDenied,
    -9: exceptions.StoreUnavailable,
    -10: exceptions.StoreTimeout,
    -11: exceptions.ForeignReply,
    -12: exceptions.Uncertain,
    -13: exceptions.SessionGone,
    -14: exceptions.SessionGone,
    -15: exceptions.Conflict,
    -17: exceptions.TooManySessions,
    -18: exceptions.Busy,
    -19: exceptions.LockLost,
}

_FUNCTIONS: dict[str, list[Any]] = {
    "coat_options_new": [POINTER(c_void_p)],
    "coat_options_set": [c_void_p, c_char_p, c_char_p],
    "coat_store_open": [POINTER(c_void_p), c_void_p],
    "coat_store_ping": [c_void_p],
    "coat_store_load": [c_void_p, c_char_p, POINTER(c_void_p)],
    "coat_store_lock": [c_void_p, c_char_p, POINTER(c_void_p)],
    "coat_store_sessions": [c_void_p, c_char_p, POINTER(c_void_p)],
    "coat_store_destroy": [c_void_p, c_char_p],
    "coat_store_destroy_one": [c_void_p, c_char_p, c_char_p],
    "coat_store_destroy_all": [c_void_p, c_char_p, c_char_p, POINTER(c_int)],
    "coat_session_new": [c_void_p, POINTER(c_void_p)],
    "coat_session_save": [c_void_p],
    "coat_session_login": [c_void_p, c_char_p, c_void_p, c_size_t],
    "coat_session_rotate": [c_void_p],
    "coat_session_destroy": [c_void_p],
    "coat_session_unlock": [c_void_p],
    "coat_doc_set": [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t],
}


class _Library:
    """The shared library that was built beside the package, by its public functions."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL(str(Path(coatcheck.__file__).parents[2] / "libcoatcheck.so"))
        for name, arguments in _FUNCTIONS.items():
            getattr(self.c, name).argtypes = [*arguments, POINTER(_CError)]
        for name in ("options_free", "store_close", "session_close", "session_list_free"):
            getattr(self.c, f"coat_{name}").argtypes = [c_void_p]
        for name in ("coat_session_id", "coat_session_public_id"):
            getattr(self.c, name).argtypes = [c_void_p]
            getattr(self.c, name).restype = c_char_p
        self.c.coat_session_list_count.argtypes = [c_void_p]
        self.c.coat_session_list_count.restype = c_size_t
        self.c.coat_session_list_get.argtypes = [c_void_p, c_size_t]
        self.c.coat_session_list_get.restype = POINTER(_CInfo)
        self.c.coat_store_count.argtypes = [c_void_p, c_int]
        self.c.coat_store_count.restype = c_uint64
        self.c.coat_session_stale.argtypes = [c_void_p]
        self.c.coat_session_doc.argtypes = [c_void_p]
        self.c.coat_session_doc.restype = c_void_p
        self.c.coat_doc_get.argtypes = [
            c_void_p,
            c_char_p,
            c_size_t,
            POINTER(c_void_p),
            POINTER(c_size_t),
        ]

    def __call__(self, name: str, *arguments: Any) -> int:
        err = _CError()
        rc: int = getattr(self.c, name)(*arguments, byref(err))
        if rc >= 0:
            return rc
        failure = _EXCEPTIONS[rc](err.text.decode())
        failure.code = err.reason.decode()  # type: ignore[attr-defined]
        raise failure

    def fields(self, doc: int | None) -> dict[str, Any]:
        """Of a document that has at most a note."""
        value, size = c_void_p(), c_size_t()
        if doc is None or self.c.coat_doc_get(doc, b"note", 4, byref(value), byref(size)) != 1:
            return {}
        return {"note": loads(ctypes.string_at(value, size.value))}


class CHeld:
    def __init__(self, library: _Library, session: c_void_p) -> None:
        self._library = library
        self._session = session

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        self._library.c.coat_session_close(self._session)
        self._session = c_void_p()

    @property
    def id(self) -> str | None:
        text: bytes | None = self._library.c.coat_session_id(self._session)
        return None if text is None else text.decode()

    @property
    def public_id(self) -> str | None:
        text: bytes | None = self._library.c.coat_session_public_id(self._session)
        return None if text is None else text.decode()

    @property
    def stale(self) -> bool:
        return bool(self._library.c.coat_session_stale(self._session))

    @property
    def note(self) -> str:
        doc = self._library.c.coat_session_doc(self._session)
        text: str = self._library.fields(doc)["note"]
        return text

    @note.setter
    def note(self, value: str) -> None:
        data = dumps(value)
        doc = self._library.c.coat_session_doc(self._session)
        self._library("coat_doc_set", doc, b"note", 4, data, len(data))

    def save(self) -> str | None:
        self._library("coat_session_save", self._session)
        return self.id

    def login(self, principal: str) -> None:
        carried = (c_char_p * 1)(b"note")
        self._library("coat_session_login", self._session, principal.encode(), carried, 1)

    def rotate(self) -> None:
        self._library("coat_session_rotate", self._session)

    def destroy(self) -> bool:
        return bool(self._library("coat_session_destroy", self._session))

    def unlock(self) -> None:
        self._library("coat_session_unlock", self._session)


class CClient:
    def __init__(self, url: str, **options: str) -> None:
        self._library = _Library()
        self._store = c_void_p()
        o = c_void_p()
        self._library("coat_options_new", byref(o))
        try:
            for name, value in {"url": url, **options}.items():
                self._library("coat_options_set", o, name.encode(), str(value).encode())
            self._library("coat_store_open", byref(self._store), o)
        finally:
            self._library.c.coat_options_free(o)

    def close(self) -> None:
        self._library.c.coat_store_close(self._store)
        self._store = c_void_p()

    def new(self) -> CHeld:
        session = c_void_p()
        self._library("coat_session_new", self._store, byref(session))
        return CHeld(self._library, session)

    def load(self, session_id: str) -> CHeld | None:
        return self._opened("coat_store_load", session_id)

    def _opened(self, call: str, session_id: str) -> CHeld | None:
        session = c_void_p()
        found = self._library(call, self._store, session_id.encode(), byref(session))
        return CHeld(self._library, session) if found else None

    def visit(self, session_id: str) -> CHeld:
        return self.load(session_id) or self.new()

    @contextmanager
    def lock(self, session_id: str) -> Iterator[CHeld | None]:
        held = self._opened("coat_store_lock", session_id)
        try:
            yield held
        finally:
            if held is not None:
                held.unlock()

    def destroy(self, session_id: str) -> bool:
        return bool(self._library("coat_store_destroy", self._store, session_id.encode()))

    def destroy_one(self, principal: str, public_id: str) -> bool:
        arguments = (principal.encode(), public_id.encode())
        return bool(self._library("coat_store_destroy_one", self._store, *arguments))

    def destroy_all(self, principal: str, keep: str | None = None) -> int:
        arguments = (principal.encode(), None if keep is None else keep.encode(), None)
        return self._library("coat_store_destroy_all", self._store, *arguments)

    def sessions(self, principal: str) -> list[SessionInfo]:
        found, c = c_void_p(), self._library.c
        self._library("coat_store_sessions", self._store, principal.encode(), byref(found))
        try:
            count = c.coat_session_list_count(found)
            infos = [c.coat_session_list_get(found, n).contents for n in range(count)]
            return [
                SessionInfo(
                    info.public_id.decode(),
                    datetime.fromtimestamp(info.created_ms / 1000, timezone.utc),
                    datetime.fromtimestamp(info.deadline_ms / 1000, timezone.utc),
                    self._library.fields(info.shown),
                )
                for info in infos
            ]
        finally:
            c.coat_session_list_free(found)

    def counts(self) -> dict[str, int]:
        count = self._library.c.coat_store_count
        return {name: count(self._store, n) for n, name in enumerate(COUNTS)}

    def ping(self) -> None:
        self._library("coat_store_ping", self._store)


#: Each opens a client: url, **options.
DRIVERS: dict[str, Callable[..., Client]] = {
    "Python": PythonClient,
    "asyncio": AioClient,
    "C": CClient,
}

#: Those whose calls that overlap are on connections of their own.
POOLED = ["Python", "C"]
