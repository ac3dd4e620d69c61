"""A socket that is connected to a host, by the first of its addresses that answers."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, cast

from .refused import Refused


async def connected_socket(
    loop: asyncio.AbstractEventLoop, names: Names, target: dict[str, Any]
) -> socket.socket:
    """Connected to the first of its addresses that answers."""
    if target["host"] is None:
        return await _connected(loop, socket.AF_UNIX, target["path"])
    ends = loop.time() + target["connect_timeout"]
    failure: OSError | None = None
    addresses = await _addresses(names, target)
    for left, (family, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        # Each has its share of the time; to the end of the last one the channel sees.
        share = (ends - loop.time()) / left if left > 1 else None
        try:
            return await asyncio.wait_for(_connected(loop, family, address), share)
        except asyncio.TimeoutError:
            failure = failure or OSError(errno.ETIMEDOUT, "no answer in its share of the time")
        except OSError as error:
            failure = failure or error
    raise failure or OSError(errno.EHOSTUNREACH, "no address")


async def _connected(loop: asyncio.AbstractEventLoop, family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await loop.sock_connect(sock, address)
        if family != socket.AF_UNIX and _met_itself(sock):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
    except BaseException:
        sock.close()
        raise
    return sock


def _met_itself(sock: socket.socket) -> bool:
    """As in net.c: the system has picked, as our port, the one that nobody listens on."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # it is lost already, which shows soon
        return False


async def _addresses(names: Names, target: dict[str, Any]) -> list[tuple[int, Any]]:
    """Of the host; a literal address is not looked up."""
    host, port = target["host"], target["port"]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        try:
            found = await names.look_up(host, port)
        except socket.gaierror as error:
            raise Refused(
                "u", "resolve", f"{target['name']}: the host's name leads nowhere: {error.strerror}"
            ) from error
    return [(family, address) for family, _, _, _, address in found]


class Names:
    """Looks up hosts, each once at a time: where that hangs, it takes up a thread of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._under_way: dict[tuple[str, int], asyncio.Task[Any]] = {}

    async def look_up(self, host: str, port: int) -> list[Any]:
        where = (host, port)
        task = self._under_way.get(where)
        if task is None:
            task = self._loop.create_task(self._ask(where))
            self._under_way[where] = task
        found, failure = await asyncio.shield(task)
        if failure is not None:
            raise failure
        return cast("list[Any]", found)

    async def _ask(self, where: tuple[str, int]) -> tuple[Any, Exception | None]:
        try:
            return await self._loop.getaddrinfo(*where, type=socket.SOCK_STREAM), None
        except Exception as failure:
            return None, failure
        finally:
            del self._under_way[where]

    def close(self) -> None:
        for task in self._under_way.values():
            task.cancel()
