"""A browser for ASGI applications, which calls them as a server would, and keeps its cookies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from coatcheck import aio
from coatcheck.asgi import SessionMiddleware
from conftest import RedisServer, Response
from views import put

Message = dict[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]
Run = Callable[[Any], Any]

#: An id that nobody has.
NOBODY = "A" * 43


class AsgiBrowser:
    def __init__(self, app: Any, *, https: bool = True, host: str = "shop.example.com") -> None:
        self.app = app
        self.https = https
        self.host = host
        self.jar: dict[str, str] = {}
        #: What the application sent in the last request, as it reached the server.
        self.messages: list[Message] = []

    def scope(self, path: str, *, cookies: Sequence[str] | None = None, **more: Any) -> Message:
        if cookies is None:
            cookies = ["; ".join(f"{k}={v}" for k, v in self.jar.items())] if self.jar else []
        headers = [(b"host", self.host.encode())]
        headers += [(b"cookie", cookie.encode()) for cookie in cookies]
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https" if self.https else "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 5),
            "server": ("shop.example.com", 443),
            **more,
        }

    async def get(self, path: str = "/", *, fails: int | None = None, **more: Any) -> Response:
        """A request; from the message of that number on nobody listens any more."""
        self.messages = []
        asked: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if not asked:
                await asyncio.Event().wait()  # it does not hang up
            return asked.pop()

        async def send(message: Message) -> None:
            if fails is not None and len(self.messages) >= fails:
                raise OSError("the client hung up")
            self.messages.append(message)
            await asyncio.sleep(0)

        await self.app(self.scope(path, **more), receive, send)
        return self.response()

    def response(self) -> Response:
        start = self.messages[0]
        headers = [(name.decode(), value.decode()) for name, value in start.get("headers", ())]
        body = b"".join(message.get("body", b"") for message in self.messages[1:])
        self.keep([value for name, value in headers if name == "set-cookie"])
        return Response(f"{start.get('status', 101)} ", headers, body)

    def keep(self, cookies: Sequence[str]) -> None:
        for cookie in cookies:
            pair, *attributes = cookie.split("; ")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value

    async def connect(self, path: str = "/", texts: Sequence[str] = (), **more: Any) -> Response:
        """A websocket that sends these texts and hangs up."""
        self.messages = []
        events: list[Message] = [
            {"type": "websocket.connect"},
            *({"type": "websocket.receive", "text": text} for text in texts),
            {"type": "websocket.disconnect", "code": 1000},
        ]

        async def receive() -> Message:
            return events.pop(0)

        async def send(message: Message) -> None:
            self.messages.append(message)

        scheme = "wss" if self.https else "ws"
        await self.app(self.scope(path, type="websocket", scheme=scheme, **more), receive, send)
        return self.response()


async def say(send: Any, said: object = "", status: int = 200, *headers: tuple[str, str]) -> None:
    """A whole response."""
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": str(said).encode()})


def application(view: Callable[[Any, str], Any]) -> App:
    """An application from a function, perhaps a coroutine's, of the session and the path, which
    returns what it says, or (status, what it says)."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        said = view(scope["session"], scope["path"])
        if asyncio.iscoroutine(said):
            said = await said
        status, said = said if isinstance(said, tuple) else (200, said)
        await say(send, said, status)

    return app


def nowhere(folder: Path) -> dict[str, Any]:
    """Options of a store without a server."""
    return {"url": f"unix:{folder}/none", "timeout": 0.2}


Serve = Callable[..., AsgiBrowser]


@pytest.fixture
def serve(redis_server: RedisServer, run: Run) -> Iterator[Serve]:
    """A browser at an application of a view, or another one; its store is closed at the end."""
    stores: list[aio.Store] = []

    def serve(view: Any = put, *, app: Any = None, url: str = "", **options: Any) -> AsgiBrowser:
        options.setdefault("prefix", "test:")
        wrapped = SessionMiddleware(app or application(view), url or redis_server.url, **options)
        stores.append(wrapped.store)
        return AsgiBrowser(wrapped)

    async def close() -> None:
        for store in stores:
            await store.close()

    yield serve
    run(close())
