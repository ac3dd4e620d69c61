"""
As much of a client as a measurement needs: to ask a server what it knows of itself, to hand it
many commands at once, and as the plain GET and SET that ours is seen beside.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from .redis_server import HOST

PATIENCE_S = 60.0  # of a server that has much to throw away

Argument = str | bytes | int


class ServerError(Exception):
    """What the server answered in place of a result."""


class Client:
    """One connection over TCP."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket = socket.create_connection((HOST, port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __call__(self, *command: Argument) -> Any:
        (reply,) = self.pipeline([command])
        return reply

    def pipeline(self, commands: Iterable[tuple[Argument, ...]]) -> list[Any]:
        requests = [_request(command) for command in commands]
        self._socket.sendall(b"".join(requests))
        replies = [self.reply() for _ in requests]
        for reply in replies:
            if isinstance(reply, ServerError):
                raise reply
        return replies

    def info(self, section: str) -> dict[str, str]:
        return figures_of(self("INFO", section).decode())

    def flush(self) -> None:
        """Throw all away, and its memory with it: some servers would free that later."""
        self("FLUSHALL", "SYNC")

    def server(self) -> str:
        """Its name and version."""
        info = self.info("server")
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']}"
        return f"Redis {info['redis_version']}"

    def reply(self) -> Any:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ServerError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        raise ConnectionError(f"not a reply of RESP2: {line[:40]!r}")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._file.close()
        self._socket.close()


def figures_of(info: str) -> dict[str, str]:
    """What INFO says, by name."""
    return dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)


def _request(command: tuple[Argument, ...]) -> bytes:
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n%b" % (len(parts), b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
