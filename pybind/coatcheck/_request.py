"""What a request sees of its session, and what its response carries, whatever the framework.

An adapter makes one `Rules`, and for each request a `Visit`: it hands out `Visit.session`, calls
`Visit.commit` before the response headers leave, adds `Visit.headers` to them, and calls
`Visit.finish` when the body has ended. An `Error` on the way is answered as `Rules.refusal` says.
With asyncio it is an `AsyncVisit`, and what waits for the store is awaited.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from .cookie import MAX_AGE_LIMIT, Cookie
from .exceptions import (
    Busy,
    ConfigError,
    Conflict,
    Corrupt,
    Error,
    LimitExceeded,
    LockLost,
    SessionGone,
    StoreUnavailable,
    TooManySessions,
    UnknownFormat,
)
from .store import StoreOptions, is_given
from .twins import as_sent

if TYPE_CHECKING:
    from typing_extensions import Self

    from . import _core, aio
    from .session import BaseSession, Session

log = logging.getLogger("coatcheck")

Headers = list[tuple[str, str]]
OnCorrupt = Literal["new", "raise"]
OnUnavailable = Literal["503", "raise", "anonymous"]
OnGone = Literal["drop", "error"]
CacheControl = Literal["auto"] | None

_RETRY_AFTER_S = 5

_VARY = ("Vary", "Cookie")
_NO_STORE = ("Cache-Control", "no-store")
_PRIVATE = ("Cache-Control", "private")

# What the exceptions say is for the log: these go to whoever sent the request.
_CONFLICTS: dict[type[Error], str] = {
    Conflict: "Another request changed the same data meanwhile; please try again.",
    TooManySessions: "There are too many sessions already; end one elsewhere and try again.",
    SessionGone: "The session ended, or began anew, while this request was under way.",
}
_LATER = (UnknownFormat, Busy, LockLost)

#: What a request may end in that is ours to answer.
REFUSED: tuple[type[Error], ...] = (StoreUnavailable, *_LATER, *_CONFLICTS)

#: The settings of `Rules` where nobody says otherwise.
RULES: Final[Mapping[str, Any]] = {
    "on_corrupt": "new",
    "on_unavailable": "503",
    "on_gone": "drop",
    "save_on_error": False,
    "cache_control": "auto",
}


def unknown_settings(
    given: Iterable[str], spelt: Callable[[str], str], *others: str
) -> dict[str, str]:
    """Settings that there are not, and what to do about each, both as they are spelt. A store would
    know its own options only, and might suggest one of these where another setting was meant."""
    from difflib import get_close_matches  # here, since only a mistake needs it

    known = ["url", *StoreOptions.__annotations__, *RULES, *others]
    advice = {}
    for name in sorted({*given} - {*known}):
        close = get_close_matches(name, known, 1)
        advice[spelt(name)] = f"did you mean {spelt(close[0])}?" if close else "leave it out"
    return advice


def refuse_unknown(given: Iterable[str], spelt: Callable[[str], str], *others: str) -> None:
    for setting, advice in unknown_settings(given, spelt, *others).items():
        raise ConfigError(f"there is no setting {setting}; {advice}")


def with_lifetimes(options: Mapping[str, Any], idle: Any) -> dict[str, Any]:
    """The options of a store, with the lifetimes of a framework's own sessions where nobody says
    any: its idle timeout, and the longest that a cookie may live, since the default of a store
    would end sessions long before theirs."""
    options = dict(options)
    if not is_given("preset", options):
        for name, value in {"idle": idle, "lifetime": MAX_AGE_LIMIT}.items():
            if not is_given(name, options):
                options[name] = value
    return options


class Refusal(NamedTuple):
    """An answer of ours in place of the application's."""

    status: int
    reason: str
    text: bytes
    headers: Headers
    #: What the application would rather answer: ``on_unavailable``, as its framework calls it.
    page: Callable[..., Any] | None = None


class Rules:
    """How sessions behave in one application: the settings of its middleware."""

    def __init__(
        self,
        store: _core.BaseStore,
        cookie: Cookie,
        *,
        on_corrupt: OnCorrupt,
        on_unavailable: OnUnavailable | Callable[..., Any],
        on_gone: OnGone,
        save_on_error: bool,
        cache_control: CacheControl,
    ) -> None:
        one_of("on_corrupt", on_corrupt, "new", "raise")
        if not callable(on_unavailable):
            one_of("on_unavailable", on_unavailable, "503", "raise", "anonymous", also="a callable")
        one_of("on_gone", on_gone, "drop", "error")
        one_of("cache_control", cache_control, "auto", None)
        if not isinstance(cookie, Cookie):
            raise ConfigError(f"cookie={cookie!r}: give a coatcheck.Cookie")
        self.store = store
        self.cookie = cookie
        self.on_corrupt = on_corrupt
        self.on_unavailable = on_unavailable
        self.on_gone = on_gone
        self.save_on_error = save_on_error
        self.cache_control = cache_control
        self._unavailable = False
        self._advised: set[str] = set()

    def refusal(self, exc: BaseException) -> Refusal | None:
        """Our answer to a request that ended in this exception; None: it is not ours to answer."""
        if isinstance(exc, StoreUnavailable):
            self.note_unavailable(exc)
            return None if self.on_unavailable == "raise" else self._try_again()
        if isinstance(exc, _LATER):
            log.error("answered with 503: %s", exc)
            return self._try_again()
        for kind, text in _CONFLICTS.items():
            if isinstance(exc, kind):
                log.info("answered with 409: %s", exc)
                return _refusal(409, "Conflict", text)
        return None

    def _try_again(self) -> Refusal:
        refusal = _refusal(
            503,
            "Service Unavailable",
            "The session store cannot be used at the moment; please try again shortly.",
            ("Retry-After", str(_RETRY_AFTER_S)),
        )
        page = self.on_unavailable
        return refusal._replace(page=page) if callable(page) else refusal

    def note_unavailable(self, exc: StoreUnavailable) -> None:
        if not self._unavailable:
            self._unavailable = True
            log.error("session store unavailable: %s", exc)

    def note_available(self, saved: BaseSession) -> None:
        """A session was saved, which was also to be stored if it has an id."""
        if self._unavailable and saved.id is not None:
            self._unavailable = False
            log.warning("session store available again")

    def advise_on_plain_http(self) -> None:
        self._advise_once(
            "the Secure cookie %s answers a request over plain http, and browsers may not"
            " return it: while developing make the cookie with %s; behind a proxy that speaks"
            " https, pass the scheme on",
            self.cookie.name,
            self.cookie._spelt("secure", False),
        )

    def advise_on_another_cookie(self) -> None:
        self._advise_once(
            "the application set the session cookie %s itself, which is dropped, as the session's"
            " takes its place: if it is that of another middleware within this one, give one of"
            " the two another name",
            self.cookie.name,
        )

    def _advise_once(self, advice: str, *words: str) -> None:
        if advice not in self._advised:
            self._advised.add(advice)
            log.warning(advice, *words)


class Load:
    """Answers a session that could not be loaded, and remembers it. Knows no session, so that the
    two make no cycle."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.failure: Exception | None = None
        self.answered = False

    def __call__(self, exc: Exception) -> bool:
        """True: an empty, read-only session; False: a new one."""
        if self.answered:
            return True
        unusable = isinstance(exc, (Corrupt, LimitExceeded)) and not isinstance(exc, UnknownFormat)
        if unusable and self.rules.on_corrupt == "new":
            log.error("a new session for a record that cannot be used, and is left alone: %s", exc)
            return False
        self.failure = exc
        if isinstance(exc, StoreUnavailable):
            self.rules.note_unavailable(exc)
            if self.rules.on_unavailable == "anonymous":
                return True
        raise exc


class _Visit:
    """One request's session, from its cookie to the headers of its response; but for the calls
    that wait for the store."""

    session: BaseSession

    #: What the session is to be, where a framework's has attributes of its own.
    session_type: type[BaseSession] | None = None
    #: What is done where it cannot be loaded.
    load_type = Load

    refused = False
    _set: str | None = None
    _clear = False
    _silent = False
    _state: Literal["open", "committed", "over"] = "open"

    def __init__(
        self,
        rules: Rules,
        cookies: Iterable[str | bytes],
        place: Callable[[], tuple[str, str]],
        *,
        https: bool,
    ) -> None:
        """``place`` tells the Host header and the path of the request's URL, as it was sent."""
        cookie = rules.cookie
        ids = cookie.read(cookies)
        self._rules = rules
        self._https = https
        self._twins = cookie.clear_twins(*place()) if len(ids) > 1 else []
        self._id = ids[0] if len(ids) == 1 else None
        self._load = self.load_type(rules)
        self.session = rules.store.session(self._id, self._load, self.session_type)

    def headers(self, headers: Headers, *, kept: bool = True) -> Headers:
        """The headers of the committed response, with what the session adds to them at the end:
        about caches only where one might keep it."""
        failed = self._load.failure is not None
        if not (self.session.accessed or self._twins or failed):
            return headers
        cookies = self._cookies()
        if cookies or self._silent:
            others = [(k, v) for k, v in headers if not self._is_our_cookie(k, v)]
            if len(others) < len(headers):
                self._rules.advise_on_another_cookie()
            headers = others
        if kept:
            personal = bool(cookies) or failed or self.session.principal is not None
            headers = self._about_caches(headers, _NO_STORE if personal else _PRIVATE)
        return headers + cookies

    def _about_caches(self, headers: Headers, limit: tuple[str, str]) -> Headers:
        names = {name.lower() for name, _ in headers}
        headers = _vary_by_cookie(headers) if "vary" in names else [*headers, _VARY]
        if self._rules.cache_control is None:
            return headers
        return _limit_caching(headers, limit) if "cache-control" in names else [*headers, limit]

    def refusal(self, exc: BaseException) -> Refusal | None:
        """As `Rules.refusal`; afterwards nothing is saved.

        A session that cannot be loaded when somebody looks at it is empty from now on, and cannot
        be changed: a page for the failure must not fail for that once more.
        """
        refusal = self._rules.refusal(exc)
        if refusal is not None:
            self._state = "over"
            self.refused = True
            self._load.answered = True
        return refusal

    def _saves_at_commit(self, status: int) -> bool:
        """Does a response with this status save? Raises what must not be answered by it."""
        failure = self._load.failure
        if status == 500 and failure and self._rules.refusal(failure):
            # The application turned the store's failure into an error page of its own.
            raise failure
        self._state = "over"
        if status >= 500 and not self._rules.save_on_error:
            return False
        accessed = self.session.accessed
        if accessed and failure is not None and not self.session.modified:
            return False
        self._state = "committed"
        return accessed

    def _saves_late(self) -> bool:
        """Was anything changed since the commit?"""
        return self._state == "committed" and self.session.accessed and self.session.modified

    def _saves_though_abandoned(self) -> bool:
        state, self._state = self._state, "over"
        session = self.session
        # A new id could not reach the browser any more.
        knows_id = session.accessed and session.id is not None and not session._new_id
        return state != "over" and self._rules.save_on_error and knows_id

    def _not_saved(self, exc: BaseException) -> bool:
        """A save has raised: True if that is to be raised, False if what was changed is dropped."""
        self._state = "over"
        return not isinstance(exc, SessionGone) or self._drop(exc)

    def _committed(self) -> None:
        if self.session.accessed:
            self._choose_cookie()
        self.session._headers_sent = True

    def _drop(self, exc: SessionGone) -> bool:
        """What was changed is dropped: the session ended, or lives on under another id. True if
        the request is to be told.

        No cookie is set either way. Meanwhile the browser may have one from a new login, which
        would be overwritten; and a dead id that it keeps does no harm.
        """
        self._silent = True
        log.info("what a request changed was dropped: %s", exc)
        return self._rules.on_gone == "error" and not exc.replaced

    def _choose_cookie(self) -> None:
        session = self.session
        if session.stale:
            self._silent = True
            log.info("a request came with an id that was replaced moments ago: nothing is saved")
        elif self._silent:
            pass
        elif session.id is not None:
            self._set = session.id if self._cookie_is_due() else None
        elif session._ended is not None:
            self._clear = True

    def _cookie_is_due(self) -> bool:
        """Does the browser have to be told of a session that is stored?"""
        return self.session.id != self._id or self.session._cookie_changed

    def _cookie_to_set(self) -> Cookie:
        return self._rules.cookie

    def _cookies(self) -> Headers:
        if self._silent or not (self._twins or self._set or self._clear):
            return []
        cookie = self._rules.cookie
        cookies = self._twins.copy()
        if self._set is not None:
            # Last, for browsers that take one of the twins for the cookie itself.
            cookies.append(self._cookie_to_set().set(self._set))
            if cookie.secure and not self._https:
                self._rules.advise_on_plain_http()
        elif self._clear and not self._twins:
            cookies.append(cookie.clear())
        return [("Set-Cookie", value) for value in cookies]

    def _is_our_cookie(self, name: str, value: str) -> bool:
        return name.lower() == "set-cookie" and value.startswith(self._rules.cookie.name + "=")


class Visit(_Visit):
    """One request's session, where the calls of a store block."""

    session: Session

    @classmethod
    def of_environ(cls, rules: Rules, environ: Mapping[str, Any]) -> Self:
        """That of a WSGI request."""
        cookies = environ.get("HTTP_COOKIE")
        return cls(
            rules,
            () if cookies is None else (cookies,),
            partial(_place_of, environ),
            https=environ.get("wsgi.url_scheme") == "https",
        )

    def commit(self, status: int) -> None:
        """Save, before the headers of a response with this status leave.

        Raises what must not be answered by that response.
        """
        if self._saves_at_commit(status):
            self._save_or_drop()
        self._committed()

    def finish(self) -> None:
        """The body has ended: save what was changed while it was sent."""
        if self._saves_late():
            self._save_or_drop()

    def abandon(self) -> None:
        """The application raised: nothing is saved, unless the rules say so."""
        if self._saves_though_abandoned():
            with _logging_failure():
                self._save()

    def _save_or_drop(self) -> None:
        try:
            self._save()
        except BaseException as exc:
            if self._not_saved(exc):
                raise
        else:
            self._rules.note_available(self.session)

    def _save(self) -> None:
        self.session.save()


def _place_of(environ: Mapping[str, Any]) -> tuple[str, str]:
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    return host, as_sent(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))


class StreamedBody:
    """A body that is sent piece by piece, by code that may still change the session."""

    def __init__(self, visit: Visit, body: Iterable[bytes]) -> None:
        self._visit = visit
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
            self._visit.finish()
        except GeneratorExit:  # nobody asks for the rest: close() saves
            raise
        except BaseException:
            self._visit.abandon()
            raise

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._visit.finish()


class AsyncVisit(_Visit):
    """One request's session, where the calls of a store are awaited."""

    session: aio.Session

    async def load(self) -> None:
        """Load the session. An `Error` is kept for whoever looks at it."""
        with suppress(Error):
            await self.session.load()

    async def commit(self, status: int) -> None:
        """As that of `Visit`."""
        if self._saves_at_commit(status):
            await self._asave_or_drop()
        self._committed()

    async def finish(self) -> None:
        """As that of `Visit`."""
        if self._saves_late():
            await self._asave_or_drop()

    async def abandon(self) -> None:
        """As that of `Visit`."""
        if self._saves_though_abandoned():
            with _logging_failure():
                await self._asave()

    async def _asave_or_drop(self) -> None:
        try:
            await self._asave()
        except BaseException as exc:
            if self._not_saved(exc):
                raise
        else:
            self._rules.note_available(self.session)

    async def _asave(self) -> None:
        await self.session.save()


@contextmanager
def _logging_failure() -> Iterator[None]:
    try:
        yield
    except Exception:
        log.exception("session not saved after an error of the application")


def one_of(name: str, value: object, *choices: object, also: str | None = None) -> None:
    if value not in choices:
        words = [*map(repr, choices), *([also] if also else [])]
        raise ConfigError(f"{name}={value!r}: must be {' or '.join(words)}")


def _refusal(status: int, reason: str, text: str, *headers: tuple[str, str]) -> Refusal:
    body = (text + "\n").encode()
    about = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *headers,
    ]
    return Refusal(status, reason, body, about)


def _vary_by_cookie(headers: Headers) -> Headers:
    vary = [value for name, value in headers if name.lower() == "vary"]
    if {"cookie", "*"} & {field.strip().lower() for value in vary for field in value.split(",")}:
        return headers
    others = [header for header in headers if header[0].lower() != "vary"]
    return [*others, ("Vary", ", ".join([*vary, "Cookie"]))]


def _limit_caching(headers: Headers, limit: tuple[str, str]) -> Headers:
    cache = [value.lower() for name, value in headers if name.lower() == "cache-control"]
    if any("no-store" in value for value in cache) or limit is not _NO_STORE:
        return headers
    others = [header for header in headers if header[0].lower() != "cache-control"]
    return [*others, limit]
