"""A store: where the sessions of one application live."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypedDict, cast
from urllib.parse import parse_qs

from . import _core
from .events import Event, log_event, teller
from .exceptions import ConfigError, StoreUnavailable
from .session import Session, SessionInfo, listed, public_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime, timedelta

    from typing_extensions import Self, Unpack

#: Who we are: the user, None for the default one, and the password.
Credentials: TypeAlias = "tuple[str | None, str]"

#: Who wins a field that two requests changed; or a function that is given the value that this
#: request first read, its own and the one that is stored now, and returns what is to be stored.
#: Where there is no such field, a value is MISSING; to return that deletes it.
ConflictPolicy: TypeAlias = "Literal['mine', 'theirs', 'raise'] | Callable[[Any, Any, Any], Any]"

#: A time: seconds or a timedelta.
Seconds: TypeAlias = "float | timedelta"

# Options for which None is a setting of its own: no such limit.
_NONE_LIFTS = frozenset(
    {
        "anonymous_idle",
        "idle",
        "max_sessions",
        "max_bytes",
        "max_depth",
        "max_fields",
        "max_items",
        "max_idle",
        "max_age",
        "not_before",
        "on_event",
        "renew",
    }
)

# What no C string of UTF-8 can hold.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class CommonOptions(TypedDict, total=False):
    """What stores and caches of all kinds take."""

    prefix: str | None
    timeout: Seconds
    connect_timeout: Seconds
    max_connections: int
    max_bytes: int | None
    max_depth: int | None
    max_items: int | None
    username: str | None
    password: str | None
    password_file: str | None
    max_idle: Seconds | None
    max_age: Seconds | None
    sentinel_username: str | None
    sentinel_password: str | None
    node_map: str | None
    spin_us: int
    verify: bool
    tls_ca_file: str | None
    tls_ca_dir: str | None
    tls_cert_file: str | None
    tls_key_file: str | None
    tls_key_password: str | None
    tls_server_name: str | None
    tls_min_version: Literal["1.2", "1.3"]
    allow_root: bool


class _Options(CommonOptions, total=False):
    """What the stores of both kinds take."""

    idle: Seconds | None
    lifetime: Seconds
    anonymous_idle: Seconds | None
    preset: Literal["aal1", "aal2", "aal3"] | None
    not_before: float | datetime | None
    renew: Seconds | None
    grace: Seconds
    lock_ttl: Seconds
    touch_below: float
    stale: Seconds
    on_conflict: ConflictPolicy | Mapping[str, ConflictPolicy]
    max_sessions: int | None
    on_max: Literal["evict", "refuse"]
    confirm: int
    on_event: Literal["log"] | Callable[[Event], object] | None
    show: Iterable[str]
    max_fields: int | None


class StoreOptions(_Options, total=False):
    """The options of a `Store`, which middleware takes too; `Store` says what they mean."""

    credentials: Callable[[], Credentials] | None


class AsyncStoreOptions(_Options, total=False):
    """The options of a `coatcheck.aio.Store`."""

    credentials: Callable[[], Credentials | Awaitable[Credentials]] | None


class Store(_core.Store):
    """Where the sessions of one application live.

    ``url`` is ``redis://[user:pass@]host[:port][/db]``, ``unix:/path[?db=n]``,
    ``redis+sentinel://[user:pass@]host1[:port],host2.../service[/db]``,
    ``redis+cluster://[user:pass@]host1[:port],host2...``, each with TLS as ``rediss...``, or, for
    development, ``embedded:[/directory]``, a private server that is started if it is not running.
    Making a store does not connect, except to that.

    Options, times in seconds or as timedelta:

    ==================  ==========================================================================
    prefix              names the application in Redis, ``"shop:"``; required, except for embedded:
    idle                time without a request after which a session ends; None: not before its
                        deadline (1800)
    lifetime            time after creation or login at which a session ends, at most 400 days;
                        each ends, and None is the default (43200)
    anonymous_idle      idle, until somebody logs in (None: no difference)
    preset              idle and lifetime where they are not given, by NIST's assurance levels:
                        ``"aal1"`` (None, 30 days), ``"aal2"`` (1 h, 24 h) or ``"aal3"`` (15 min,
                        12 h)
    not_before          seconds since 1970, or an aware datetime: what was created earlier is over,
                        as after an incident or a restored backup (None)
    renew               how often an id is renewed (None: never)
    grace               for how long the old id works beside the new one, once that is used (10)
    lock_ttl            the lock of a session ends by itself after that (30)
    timeout             for a whole call, connecting and retries included (1.0)
    connect_timeout     for connecting, out of these (half of timeout, at most 0.5)
    max_connections     to the server, from this process (8)
    touch_below         the idle clock is renewed when less than this part of it is left (0.9)
    stale               for how long an id that was just replaced is told from an unknown one (30)
    on_conflict         when another request changed the same field: ``"mine"``, ``"theirs"``,
                        ``"raise"``, a function of (base, mine, theirs), or a dict of these by
                        field, ``{"cart": merge_carts, "*": "mine"}`` (``"mine"``)
    max_sessions        how many sessions a principal may have at once; None: any number (None)
    on_max              a login beyond that: ``"evict"`` ends the session that would end first,
                        ``"refuse"`` raises TooManySessions (``"evict"``)
    confirm             how many replicas must have a login, a logout, a rotation or the end of
                        other sessions before the call returns; too few in time: Uncertain (0)
    on_event            a function that is told what becomes of sessions, with an `Event` for each
                        change; or ``"log"``: a line in the log `coatcheck.events` (None)
    show                names of fields that `sessions` shows of each session: ``("device",)`` (())
    max_bytes, max_depth, max_fields, max_items
                        limits of one session; None lifts one (1 MiB, 64, 16384, 262144)
    username, password  as in the URL, without its escaping
    password_file       a file with the password, read at each connect
    credentials         a function that returns (user, password), asked at each connect, and once
                        more where the server refuses them; user None is the default one
    max_idle            for how long a connection may go unused; None: no limit (300)
    max_age             for how long one is used; None: no limit (3600)
    sentinel_username, sentinel_password
                        for the sentinels, where those ask for them
    node_map            where nodes behind NAT can be reached, by the address that they announce:
                        ``"10.0.0.1:6379=localhost:7001,..."``
    spin_us             microseconds to wait for a reply before other threads may run; 0: none (50)
    verify              notice every swapped reply, for a PING with each pipeline (False)
    tls_ca_file, tls_ca_dir
                        whose certificates are trusted: a file in the form PEM, a directory with
                        hashed names; without both whom the system trusts
    tls_cert_file, tls_key_file, tls_key_password
                        our certificate, for a server that wants one, and its key
    tls_server_name     the name that the server's certificate must be for (the host of the URL)
    tls_min_version     ``"1.2"`` or ``"1.3"`` (``"1.2"``)
    allow_root          embedded: may start its server as root (False)
    ==================  ==========================================================================

    Each may also come from the URL (``?idle=600``) or the environment (``COATCHECK_URL``,
    ``COATCHECK_IDLE``, ...); an argument wins over the URL, and that over the environment.

    Any number of threads may share a store, and so may processes that fork: each gets connections
    of its own. Calls that need the server raise StoreUnavailable, or its kinds, within ``timeout``.
    """

    #: What its sessions are; a subclass of the store may name a subclass of Session.
    session_type: ClassVar[type[Session]] = Session

    if TYPE_CHECKING:

        def new(self) -> Session: ...
        def session(
            self,
            id: str | None,
            /,
            on_error: Callable[[Exception], bool | None] | None = None,
            type: type[Session] | None = None,
        ) -> Session: ...
        def load(self, id: str, /) -> Session | None: ...
        def close(self) -> None: ...

    def __init__(self, url: str | None = None, **options: Unpack[StoreOptions]) -> None:
        pairs, callables = core_arguments(url, cast("dict[str, Any]", options))
        warn_of_patched_sockets()
        super().__init__(pairs, True, self.session_type, *callables)

    def update(self, id: str, fn: Callable[[Session], object]) -> Session | None:
        """Load the session that an id opens, call ``fn`` with it, and save it.

        Where another request has saved in between, nothing is merged: ``fn`` is called again, with
        what that one has stored, so that whatever it computes from the fields is right. It must do
        the same each time, and leave saving to this method. Returns the session as it was saved, or
        None where the id opens none. What ``fn`` raises ends it, and nothing is written;
        StoreTimeout says that others have saved at each try.
        """
        session = self.load(id)
        if session is None or session.stale:
            return None
        _called(fn, session)
        while not session._saved_alone():
            _called(fn, session)
        return session

    @contextmanager
    def lock(self, id: str) -> Iterator[Session | None]:
        """The session that an id opens, or None, while no other request has its lock.

        ``with store.lock(id) as session:`` waits for the lock, for as long as ``timeout`` says, and
        raises LockTimeout then. A save lands only while the lock is held; after ``lock_ttl`` that
        ends by itself, and the save raises LockLost. Requests that do not lock save as ever.
        """
        session = self._load_locked(id)
        try:
            yield session
        finally:
            if session is not None:
                with suppress(StoreUnavailable):  # then it ends by itself
                    session._unlock()

    def sessions(self, principal: str) -> list[SessionInfo]:
        """The sessions that a principal is logged in with, the first to end first."""
        return listed(super().sessions(principal))

    def destroy_one(self, principal: str, public_id: str) -> bool:
        """End one of them, for everybody who holds its id; False if there is none of that name.

        ``public_id`` may come from a form as it is: it ends no session of anybody else.
        """
        return super().destroy_one(principal, public_id)

    def destroy_all(self, principal: str, keep: Session | str | None = None) -> tuple[int, bool]:
        """End all of them, or all but one, which a Session or a public id says.

        Returns how many were ended, and whether the index was lost: the one to keep was not in it,
        so that others may be missing from it as well, until they are used again. A login that is
        under way meanwhile may survive. After an exception some may have been ended: call it again.
        """
        return super().destroy_all(principal, public_id_of(keep))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def core_arguments(
    url: str | None, options: dict[str, Any]
) -> tuple[list[tuple[str, str]], tuple[Any, ...]]:
    """The options of a store as the core takes them: pairs of texts, and what is no text."""
    refuse_embedded_under_mod_wsgi(os.environ.get("COATCHECK_URL", "") if url is None else url)
    credentials = options.pop("credentials", None)
    policies = _policies(options.get("on_conflict"))
    if policies is not None:
        del options["on_conflict"]
    tell = None
    if not isinstance(options.get("on_event"), (str, type(None))):
        tell = teller(options.pop("on_event"))
    given = {"url": url, **options}
    pairs = [(name, text) for name in given if (text := text_of(name, given[name])) is not None]
    return pairs, (credentials, policies, tell, log_event)


def _called(fn: Callable[[Session], object], session: Session) -> None:
    result = fn(session)
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError(
            "update: fn is a coroutine function, which nothing awaits here; give a function, or"
            " await that of a coatcheck.aio.Store"
        )


def is_given(name: str, options: Mapping[str, Any]) -> bool:
    """Is an option given by one of these, in their URL, or by the environment? For whoever has a
    default of his own; where an option is looked for is as in options.c, and so is what counts."""
    if name in options and (options[name] is not None or name in _NONE_LIFTS):
        return True
    url = options.get("url")
    query = str(os.environ.get("COATCHECK_URL", "") if url is None else url).partition("?")[2]
    in_url = name in parse_qs(query, keep_blank_values=True)
    return in_url or os.environ.get(f"COATCHECK_{name.upper()}", "") != ""


def _policies(on_conflict: Any) -> dict[str, Any] | None:
    """The option on_conflict by field; None where it is a word or not given."""
    if callable(on_conflict):
        return {"*": on_conflict}
    if not isinstance(on_conflict, Mapping):
        return None
    policies = dict(on_conflict)
    for field, policy in policies.items():
        if type(field) is not str or not (
            callable(policy) or (type(policy) is str and policy in ("mine", "theirs", "raise"))
        ):
            raise ConfigError(
                f"option on_conflict: by field, {field!r}, it must be mine, theirs, raise or a"
                " function of (base, mine, theirs); the fields are text, and * stands for the rest"
            )
    return policies


def text_of(name: str, value: Any) -> str | None:
    """An option's value as coat_options.h reads it; None: not given."""
    if value is None:
        return "none" if name in _NONE_LIFTS else None
    if name == "show" and not isinstance(value, str):
        value = _names(value)
    if isinstance(value, str):
        if _NO_TEXT.search(value):
            # Not a UnicodeEncodeError, which would carry what may be a password.
            raise ConfigError(
                f"option {name}: its text holds a null character or a lone surrogate, which no"
                " setting may; leave it out"
            )
        return value
    if isinstance(value, int):
        return str(int(value))
    if not isinstance(value, float):
        value = _total_seconds(name, value)
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _names(fields: Iterable[str]) -> str:
    names = list(fields)
    if any(type(name) is not str or name == "" or "," in name for name in names):
        raise ConfigError(
            "option show: it must be names of fields, which are not empty and have no comma in them"
        )
    return ",".join(names)


def _total_seconds(name: str, value: object) -> float:
    from datetime import datetime, timedelta  # here, as in session.py

    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime) and name == "not_before":
        if value.tzinfo is None:
            raise ConfigError("option not_before: a datetime must have a time zone")
        return value.timestamp()
    raise ConfigError(
        f"option {name}: {type(value).__name__} is not a setting;"
        " give text, a number, True or False, or a timedelta"
    )


def refuse_embedded_under_mod_wsgi(url: str) -> None:
    if "mod_wsgi" in sys.modules and url.startswith("embedded:"):
        raise ConfigError(
            "embedded: is for development and does not run under mod_wsgi, whose processes come and"
            " go; start a redis-server and use its URL, for example redis://localhost:6379/0"
        )


def warn_of_patched_sockets() -> None:
    socket = sys.modules.get("socket")
    by = getattr(getattr(socket, "socket", None), "__module__", "").partition(".")[0]
    if by in ("gevent", "eventlet"):
        # From this line each time, so that the usual filter shows it once.
        warnings.warn(
            f"{by} has patched the socket module, but coatcheck waits for Redis in C: such a call"
            f" blocks the hub of {by} for up to the option timeout; keep that short",
            RuntimeWarning,
            stacklevel=1,
        )
