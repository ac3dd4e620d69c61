"""A proxy between a store and its server that harms what passes through it, at a chosen byte.

It runs on asyncio in one thread for all proxies, so a test of any driver, in C too, may stand on
either side. A transport says how clients reach it: plain, or TLS that ends here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Side = Literal["request", "reply"]
Kind = Literal[
    "cut", "reset", "stall", "delay", "trickle", "double", "reorder", "swap", "repeat", "shift"
]

CHUNK = 1 << 16


@dataclass(frozen=True)
class Transport:
    """How clients reach a proxy. Options go to the store, with `scheme` in its URL."""

    name: str
    scheme: str
    options: tuple[tuple[str, str], ...] = ()
    server_side: Callable[[], ssl.SSLContext] | None = None


PLAIN = Transport("plain", "redis")


@dataclass(frozen=True)
class Fault:
    """What happens on one side after `at` of its bytes have passed since the proxy was armed.

    cut      the connection ends
    reset    the same with an RST, which may overtake bytes on their way
    stall    nothing more passes; the connection stays
    delay    the rest passes `seconds` later
    trickle  the rest passes byte by byte, `seconds` apart
    double   what has passed passes once more, then the rest
    reorder  the replies of one pipeline change places
    swap     the replies of two connections do, or those of them that lie in `part`
    repeat   of the replies, the first one in `part` comes twice
    shift    the same one is lost, and those that follow move up; one of another connection, which
             meets the same, comes last
    """

    kind: Kind
    side: Side = "reply"
    at: int = 0
    times: int = 1  # so many connections meet it, and the others none
    seconds: float = 0.0
    part: tuple[int, int | None] = (0, None)  # of a pipeline's replies, as a slice counts

    def __str__(self) -> str:
        return f"{self.kind} at byte {self.at} of the {self.side}, times {self.times}"


ALWAYS = 1 << 30


@dataclass
class _Plan:
    """A fault with what it has met so far; one is in force until the next takes its place."""

    fault: Fault | None
    left: int = 0
    hits: int = 0
    new: int = 0  # hits on connections that came after it
    turns: int = 0
    passed: dict[Side, bytearray] = field(
        default_factory=lambda: {"request": bytearray(), "reply": bytearray()}
    )
    waiting: list[tuple[list[bytes], asyncio.StreamWriter]] = field(default_factory=list)


@dataclass(eq=False)
class _Link:
    """One client, and the connection to the server that was made for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    plan: _Plan
    born: _Plan  # the one in force when it came
    passed: dict[Side, bytearray] = field(default_factory=dict)
    harmed: bool = False
    last: Side = "reply"

    def begin(self, plan: _Plan) -> None:
        self.plan, self.harmed, self.last = plan, False, "reply"
        self.passed = {"request": bytearray(), "reply": bytearray()}


class _Ended(Exception):
    """The link is to be closed."""


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(10)

    def close(self) -> None:
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Proxy:
    """Listens on a port of 127.0.0.1. The target is a unix socket's path, or a port there."""

    def __init__(self, loop: Loop, target: str | int, transport: Transport = PLAIN) -> None:
        self.transport = transport
        self._loop = loop
        self._target = target
        self._links: set[_Link] = set()
        self._plan = _Plan(None)
        self._server = loop.run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    # ---- For tests, in any thread ----

    def url(self, user: str = "") -> str:
        """With `user:password@`, or without."""
        return f"{self.transport.scheme}://{user}127.0.0.1:{self.port}"

    def arm(self, fault: Fault | None) -> None:
        """From here on bytes are counted, and meet this fault; None: no fault."""
        self._plan = _Plan(fault, fault.times if fault else 0)

    def disarm(self) -> None:
        self.arm(None)

    @property
    def hits(self) -> int:
        """How many connections have met the fault."""
        return self._plan.hits

    @property
    def new_hits(self) -> int:
        """How many of them had not been there when it was armed, so it met their greeting."""
        return self._plan.new

    @property
    def open(self) -> int:
        """How many connections of clients are open."""
        return len(self._links)

    @property
    def round_trips(self) -> int:
        """How often a request was sent and its reply waited for, since the proxy was armed."""
        return self._plan.turns

    def passed(self, side: Side) -> bytes:
        """What has passed since the proxy was armed, over all connections."""
        return bytes(self._plan.passed[side])

    def close(self) -> None:
        self._loop.run(self._close())

    # ---- In the loop ----

    async def _listen(self) -> asyncio.Server:
        context = self.transport.server_side and self.transport.server_side()
        return await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=context or None, backlog=512
        )

    async def _close(self) -> None:
        self._server.close()
        for link in list(self._links):
            link.client.transport.abort()
            link.server.transport.abort()
        await asyncio.sleep(0)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, int):
            return await asyncio.open_connection("127.0.0.1", self._target)
        return await asyncio.open_unix_connection(self._target)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, to_server, self._plan, self._plan)
        link.begin(self._plan)
        self._links.add(link)
        pumps = [
            asyncio.ensure_future(self._pump(link, "request", reader, to_server)),
            asyncio.ensure_future(self._pump(link, "reply", from_server, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, to_server):
                with contextlib.suppress(OSError):
                    end.close()
            self._links.discard(link)

    async def _pump(
        self, link: _Link, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, _Ended):
            while chunk := await reader.read(CHUNK):
                plan = self._plan
                if link.plan is not plan:
                    link.begin(plan)
                await self._carry(link, side, chunk, reader, writer)

    async def _carry(
        self,
        link: _Link,
        side: Side,
        chunk: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        plan = link.plan
        fault = plan.fault
        before = bytes(link.passed[side])
        link.passed[side] += chunk
        plan.passed[side] += chunk
        plan.turns += link.last == "reply" and side == "request"
        link.last = side
        left = fault.at - len(before) if fault else 0
        if not fault or side != fault.side or left > len(chunk) or link.harmed or not plan.left:
            await _write(writer, chunk)
            return
        link.harmed = True
        plan.left -= 1
        plan.hits += 1
        plan.new += link.born is plan
        harm = _HARMS[fault.kind]
        await harm(_Harm(link, fault, before, chunk[:left], chunk[left:], reader, writer))


@dataclass
class _Harm:
    """A chunk in which the fault lies: before it, up to it, and after it."""

    link: _Link
    fault: Fault
    earlier: bytes
    head: bytes
    rest: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(data)
        await writer.drain()


async def _cut(harm: _Harm) -> None:
    await _write(harm.writer, harm.head)
    raise _Ended


async def _reset(harm: _Harm) -> None:
    await _write(harm.writer, harm.head)
    raw = harm.link.client.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    harm.link.client.transport.abort()
    raise _Ended


async def _stall(harm: _Harm) -> None:
    await _write(harm.writer, harm.head)
    while await harm.reader.read(CHUNK):  # so that its end is seen
        pass
    if harm.fault.side == "reply":
        await asyncio.Event().wait()  # the end of the other side ends this


async def _delay(harm: _Harm) -> None:
    await _write(harm.writer, harm.head)
    await asyncio.sleep(harm.fault.seconds)
    await _write(harm.writer, harm.rest)


async def _trickle(harm: _Harm) -> None:
    await _write(harm.writer, harm.head)
    for byte in harm.rest:
        if harm.reader.at_eof():
            raise _Ended
        await _write(harm.writer, bytes([byte]))
        await asyncio.sleep(harm.fault.seconds)


async def _double(harm: _Harm) -> None:
    await _write(harm.writer, harm.head)
    await _write(harm.writer, harm.earlier + harm.head)
    await _write(harm.writer, harm.rest)


async def _whole(harm: _Harm) -> list[bytes]:
    """All replies of the pipeline."""
    wanted = len(list(split_replies(bytes(harm.link.passed["request"]))))
    data = harm.earlier + harm.head + harm.rest
    while len(replies := list(split_replies(data))) < wanted or not data.endswith(b"\r\n"):
        if not (more := await harm.reader.read(CHUNK)):
            raise _Ended
        data += more
    return replies


async def _reorder(harm: _Harm) -> None:
    await _write(harm.writer, b"".join(reversed(await _whole(harm))))


async def _repeat(harm: _Harm) -> None:
    replies = await _whole(harm)
    first = harm.fault.part[0]
    await _write(harm.writer, b"".join([*replies[: first + 1], *replies[first:]]))


async def _with_another(
    harm: _Harm, mix: Callable[[list[bytes], list[bytes]], tuple[list[bytes], list[bytes]]]
) -> None:
    """Two connections get what is made of the replies to both; the first one waits."""
    replies = await _whole(harm)
    waiting = harm.link.plan.waiting
    if not waiting:
        waiting.append((replies, harm.writer))
        return
    others, other_writer = waiting.pop()
    mine, theirs = mix(replies, others)
    await _write(harm.writer, b"".join(mine))
    with contextlib.suppress(OSError):
        await _write(other_writer, b"".join(theirs))


async def _swap(harm: _Harm) -> None:
    part = slice(*harm.fault.part)

    def mix(mine: list[bytes], theirs: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        mine[part], theirs[part] = theirs[part], mine[part]
        return mine, theirs

    await _with_another(harm, mix)


async def _shift(harm: _Harm) -> None:
    at = harm.fault.part[0]

    def mix(mine: list[bytes], theirs: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        my_lost, their_lost = mine.pop(at), theirs.pop(at)
        return [*mine, their_lost], [*theirs, my_lost]

    await _with_another(harm, mix)


_HARMS: dict[str, Callable[[_Harm], Awaitable[None]]] = {
    "cut": _cut,
    "reset": _reset,
    "stall": _stall,
    "delay": _delay,
    "trickle": _trickle,
    "double": _double,
    "reorder": _reorder,
    "swap": _swap,
    "repeat": _repeat,
    "shift": _shift,
}


def split_replies(data: bytes) -> Iterator[bytes]:
    """Whole replies, one by one; what is left over at the end comes last."""
    at = 0
    while at < len(data):
        end = _end_of_reply(data, at)
        yield data[at:end]
        at = end


def _end_of_reply(data: bytes, at: int) -> int:
    line_end = data.find(b"\r\n", at) + 2
    if line_end < 2:
        return len(data)
    if data[at : at + 1] == b"$" and (size := int(data[at + 1 : line_end])) >= 0:
        return line_end + size + 2
    if data[at : at + 1] == b"*":
        for _ in range(int(data[at + 1 : line_end])):
            line_end = _end_of_reply(data, line_end)
    return line_end
