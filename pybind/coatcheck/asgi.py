"""Sessions for any ASGI application: Starlette's, FastAPI's, or one without a framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ._request import (
    AsyncVisit,
    CacheControl,
    OnCorrupt,
    OnGone,
    OnUnavailable,
    Refusal,
    Rules,
    one_of,
    refuse_unknown,
)
from .aio import Store
from .aio.driver import stay
from .cookie import Cookie
from .exceptions import ConfigError
from .store import Store as BlockingStore
from .twins import as_sent

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .store import AsyncStoreOptions

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
_SWITCHING_PROTOCOLS = 101
_TRY_AGAIN_LATER = 1013


class SessionMiddleware:
    """Gives each request its session, and commits it before the start of the response leaves.

        app = SessionMiddleware(app, "redis://localhost:6379/0", prefix="shop:")

        async def app(scope, receive, send):
            session = scope["session"]

    Starlette and FastAPI have it as ``request.session``, and ``websocket.session``. Takes a
    `coatcheck.aio.Store`, or a URL with the options of one; without either the environment tells.

    load            ``"eager"``: before the application is called, where a cookie came; ``"lazy"``:
                    by ``await session.load()``, before which it cannot be used
    scope_key       where the application finds it
    on_corrupt      the record cannot be read: ``"new"`` session, or ``"raise"``
    on_unavailable  the store cannot be used: ``"503"``, ``"raise"``, ``"anonymous"`` (an empty,
                    read-only session), or an ASGI application that answers an HTTP request instead
                    of the 503, with the exception in ``scope["coatcheck.error"]``
    on_gone         the session ended while the request was under way: ``"drop"`` what it changed,
                    or answer with an ``"error"`` 409
    save_on_error   also save where the application raised or answered 5xx
    cache_control   ``"auto"``: ``no-store`` with our cookie or for a principal, otherwise
                    ``private``; None: as the application says
    """

    def __init__(
        self,
        app: ASGIApplication,
        store_or_url: Store | str | None = None,
        *,
        cookie: Cookie = Cookie(),  # noqa: B008  (it is frozen)
        load: Literal["eager", "lazy"] = "eager",
        scope_key: str = "session",
        on_corrupt: OnCorrupt = "new",
        on_unavailable: OnUnavailable | ASGIApplication = "503",
        on_gone: OnGone = "drop",
        save_on_error: bool = False,
        cache_control: CacheControl = "auto",
        **store_options: Unpack[AsyncStoreOptions],
    ) -> None:
        if not callable(app):
            raise ConfigError(
                "SessionMiddleware(app, url, ...): the first argument is the ASGI application that"
                " it wraps"
            )
        refuse_unknown(store_options, str)
        if isinstance(store_or_url, BlockingStore):
            raise ConfigError(
                "a coatcheck.Store would block the event loop: give a coatcheck.aio.Store, or a URL"
            )
        if isinstance(store_or_url, Store) and store_options:
            raise ConfigError(
                f"{', '.join(store_options)}: options of a store that exists already;"
                " give them where it is made, or give its URL here"
            )
        one_of("load", load, "eager", "lazy")
        self._made_store = not isinstance(store_or_url, Store)
        if not isinstance(store_or_url, Store):
            store_or_url = Store(store_or_url, **store_options)
        self.app = app
        self.store = store_or_url
        self.scope_key = scope_key
        self._eager = load == "eager"
        self._rules = Rules(
            self.store,
            cookie,
            on_corrupt=on_corrupt,
            on_unavailable=on_unavailable,
            on_gone=on_gone,
            save_on_error=save_on_error,
            cache_control=cache_control,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" and self._made_store:
            await self.app(scope, receive, self._until_shutdown(send))
        elif scope["type"] in ("http", "websocket"):
            if self._made_store:
                # Not every application is told of a lifespan: those that are mounted, for one.
                await stay(self.store)
            visit = self._visit(scope)
            if self._eager:
                await visit.load()
            # Not in a copy: servers and others around us look at what frameworks leave in it.
            scope[self.scope_key] = visit.session
            await _Response(visit, scope, receive, send).run(self.app)
        else:
            await self.app(scope, receive, send)

    def _visit(self, scope: Scope) -> AsyncVisit:
        # HTTP/2 splits it.
        cookies = (value for name, value in scope["headers"] if name == b"cookie")
        return AsyncVisit(
            self._rules,
            cookies,
            partial(_place_of, scope),
            https=scope.get("scheme") in ("https", "wss"),
        )

    def _until_shutdown(self, send: Send) -> Send:
        """Not closed for good: test clients shut an application down and start it again."""

        async def send_and_leave(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self.store._leave_loop()
            await send(message)

        return send_and_leave


def _place_of(scope: Scope) -> tuple[str, str]:
    server = scope.get("server")
    host = server[0] if server else ""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1")
    sent: bytes | None = scope.get("raw_path")  # not of each server
    return host, sent.decode("latin-1") if sent else as_sent(scope["path"], "utf-8")


class _Response:
    """A response whose start waits for the session to be committed: until the first message after
    it, or the end of the application. A websocket's is the answer to its handshake."""

    def __init__(
        self,
        visit: AsyncVisit,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._visit = visit
        self._scope = scope
        self._receive = receive
        self._send = send
        self._websocket = scope["type"] == "websocket"
        self._held: Message | None = None
        self._started = False
        self._hung_up = False
        self._failure: Exception | None = None

    async def run(self, app: ASGIApplication) -> None:
        try:
            await app(self._scope, self._receive, self.send)
            await self._commit()
            await self._finish()
        except Exception as exc:
            # A framework may have made another exception of the one that it got from send().
            # Neither is kept: its traceback holds this frame, and what a request leaves is to be
            # gone without the collector of cycles.
            exc, self._failure = self._failure or exc, None
            refusal = None if self._started else self._visit.refusal(exc)
            if refusal is not None:
                await self._refuse(refusal, exc)
                exc.__traceback__ = None  # its frames hold the session, which keeps it
                return
            if self._hung_up:
                await self._finish()
            elif not (self._websocket and self._started):
                await self._visit.abandon()
            raise

    async def send(self, message: Message) -> None:
        """The send that the application gets."""
        kind = message["type"]
        if kind in _STARTS and self._held is None and not self._started:
            self._held = message
            if kind == "websocket.accept":
                await self._commit()
            return
        late = self._started
        await self._commit()
        if kind == "websocket.close":
            self._started = True
        if late and kind.startswith("http.response.") and not message.get("more_body", False):
            await self._finish()
        await self._pass_on(message)

    async def _commit(self) -> None:
        if self._failure is not None:
            raise self._failure
        start, self._held = self._held, None
        if start is None:
            return
        try:
            await self._visit.commit(start.get("status", _SWITCHING_PROTOCOLS))
        except Exception as exc:
            self._failure = exc  # an application that swallows it gets it again
            raise
        self._started = True
        await self._pass_on(self._with_headers(start))

    async def _finish(self) -> None:
        if not self._websocket:
            await self._visit.finish()

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:  # as servers say that nobody listens any more
            self._hung_up = True
            raise

    def _with_headers(self, start: Message) -> Message:
        raw = list(start.get("headers") or ())  # it may be an iterator
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]
        headers = self._visit.headers(given, kept=start["type"] != "websocket.accept")
        return {**start, "headers": raw if headers is given else _encoded(headers)}

    async def _refuse(self, refusal: Refusal, exc: Exception) -> None:
        """Our answer instead of the application's."""
        extensions = self._scope.get("extensions") or {}
        prefix = "websocket." if self._websocket else ""
        if self._websocket and "websocket.http.response" not in extensions:
            await self._send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        elif refusal.page is not None and not self._websocket:
            self._scope["coatcheck.error"] = exc
            await refusal.page(self._scope, self._receive, self._send)
        else:
            start = {"status": refusal.status, "headers": _encoded(refusal.headers)}
            await self._send({"type": f"{prefix}http.response.start", **start})
            body = b"" if self._scope.get("method") == "HEAD" else refusal.text
            await self._send({"type": f"{prefix}http.response.body", "body": body})


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """In ASGI names are in lower case, as HTTP/2 has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
