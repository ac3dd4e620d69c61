"""One connection of an event loop: what asyncio says goes to its channel, in C."""

from __future__ import annotations

import asyncio
import errno
import ssl
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, cast

from .address import Names, connected_socket
from .refused import Refused
from .tls import tls_context, tls_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .. import _core


class Connection(asyncio.Protocol):
    """One connection: what asyncio says goes to its channel."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, names: Names, channel: _core.Channel
    ) -> None:
        self._loop = loop
        self._names = names
        self._channel = channel
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self.data_received = channel.feed  # type: ignore[method-assign, assignment]

    # What the channel asks for.

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        if self._task is not None:
            self._task.cancel()
        elif self._transport is None:  # it never came so far
            self._end()

    def greet_again(self) -> None:
        self._start(self._greet(self._channel.target()["credentials"]))

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if isinstance(error, ssl.SSLError):
            self._channel.refuse(*tls_failure(self._channel.target(), error))
        else:
            number = error.errno if isinstance(error, OSError) else None
            self._channel.broke(number or errno.EPIPE)
        self._end()

    def pause_writing(self) -> None:
        self._channel.pause(True)

    def resume_writing(self) -> None:
        self._channel.pause(False)

    # What the driver asks for.

    def drain(self) -> None:
        self._channel.drain()

    def open(self) -> None:
        self._start(self._connect(self._channel.target()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._task = None
        # The channel was not told: by itself it would wait until the deadline.
        if task.cancelled() or task.exception() is not None:
            name = self._channel.target()["name"]
            self._channel.refuse("h", "loop", f"{name}: connecting to it was cancelled")
        if self._transport is None:  # nor will there be one
            self._end()

    def _end(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    async def _connect(self, target: dict[str, Any]) -> None:
        """The channel has the deadline for this, and calls abort()."""
        try:
            await self._open(target)
            await self._greet(target["credentials"])
        except Exception as error:
            # In a loop that is closed, giving up fails too, which says nothing of the server.
            if not self._loop.is_closed():
                self._failed(target, error)

    def _failed(self, target: dict[str, Any], error: Exception) -> None:
        if isinstance(error, Refused):
            self._channel.refuse(*error.args)
        elif isinstance(error, ssl.SSLError):
            self._channel.refuse(*tls_failure(target, error))
        elif isinstance(error, OSError):
            self._channel.broke(error.errno or errno.EIO)
        else:  # such as a host's name that has no form as a domain
            text = f"{target['name']}: it cannot be connected to: {type(error).__name__}"
            self._channel.refuse("u", "io", text)

    async def _open(self, target: dict[str, Any]) -> None:
        tls: dict[str, Any] = {}
        if target["tls"]:
            tls["ssl"] = tls_context(target)
            tls["server_hostname"] = target["server_name"] or target["host"]
        sock = await connected_socket(self._loop, self._names, target)
        try:
            await self._loop.create_connection(lambda: self, sock=sock, **tls)
        except BaseException:
            # What was just opened would say goodbye, and wait for the other side to do so, too.
            if self._transport is not None:
                self._transport.abort()
            # A loop that watches a descriptor must be the first to know that it is closed.
            sock.close() if self._loop.is_closed() else self._loop.call_soon(sock.close)
            raise

    async def _greet(self, credentials: Callable[[], Any] | None) -> None:
        try:
            self._channel.greet(await _ask(credentials))
        except Refused as refused:
            self._channel.refuse(*refused.args)


async def _ask(credentials: Callable[[], Any] | None) -> object:
    """The answer of the option credentials."""
    if credentials is None:
        return None
    try:
        answer = credentials()
        return await answer if isawaitable(answer) else answer
    except Exception as error:
        text = f"the option credentials raised {type(error).__name__}"
        raise Refused("d", "credentials", text, error) from error
