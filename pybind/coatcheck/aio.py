"""Stores and sessions for asyncio and uvloop: the same with ``await``."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import sys
import weakref
from asyncio import events
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from . import _core
from .exceptions import StoreUnavailable
from .session import BaseSession, SessionInfo, listed, public_id_of
from .store import core_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from typing_extensions import Self, Unpack

    from .store import AsyncStoreOptions

__all__ = ["Session", "Store"]


class Session(BaseSession):
    """One session: a mapping from text to plain values, made by a `Store`.

    As `coatcheck.Session`, but `save` and `destroy` are awaited. Its fields are at hand without.
    """

    async def load(self) -> None:
        """Load what `Store.session` made, unless it is loaded already.

        Until then, touching it raises NotLoaded; after a load that failed, what that one raised.
        """
        await _result(_driver(self._store).load_into(self))

    async def save(self) -> str | None:
        """Write what was changed, all at once; with `login` and `rotate` if asked for.

        Returns the id, None while there is nothing to store. Raises SessionGone if the session was
        ended, or its id replaced, meanwhile; Conflict where ``on_conflict`` says so; for a login
        TooManySessions and Busy; under a lock LockLost; Uncertain where the reply was lost; and
        what Store says of a store that cannot be reached. The session is then as it was. Where the
        task is cancelled meanwhile, the save may have been carried out.
        """
        self._may_save()
        driver = _driver(self._store)
        session_id = cast("str | None", await _result(driver.save(self)))
        self._new_id = False
        return session_id

    async def _saved_alone(self) -> bool:
        """Save without a merge; False: the session is now what another request has stored."""
        self._may_save()
        saved = cast(bool, await _result(_driver(self._store).try_save(self)))
        self._new_id = False
        return saved

    async def destroy(self) -> bool:
        """End it at once, for every request that holds its id; False if it was gone already.

        True as well if a reply was lost and the repeat finds it gone: most likely by this call.
        Afterwards it is a new, empty session, which gets another id if something is stored. Where a
        login had replaced the id that a request came with, nothing was ended: one that was not
        loaded is then `stale`, for one that was loaded SessionGone is raised.
        """
        ended = cast(bool, await _result(_driver(self._store).destroy(self)))
        self._destroyed(ended)
        return ended


class Store(_core.BaseStore):
    """Where the sessions of one application live; the options are those of `coatcheck.Store`.

    ``credentials`` may also be a coroutine function. ``max_connections`` is not used: in each event
    loop the calls share one connection to each server, on which they do not wait for each other.
    With ``confirm`` there is another one, for those that wait for replicas.

    A store may be used in any number of event loops, each of which gets connections of its own, and
    so does a process that was forked. It is closed by ``await store.close()``, or by
    ``async with``; what is under way in this event loop ends first.
    """

    #: What its sessions are; a subclass of the store may name a subclass of Session.
    session_type: ClassVar[type[Session]] = Session

    _current: _Driver | None
    _drivers: _Drivers

    if TYPE_CHECKING:

        def new(self) -> Session: ...
        def session(
            self,
            id: str | None,
            /,
            on_error: Callable[[Exception], bool | None] | None = None,
            type: type[Session] | None = None,
        ) -> Session: ...

    def __init__(self, url: str | None = None, **options: Unpack[AsyncStoreOptions]) -> None:
        _refuse_trio()
        pairs, callables = core_arguments(url, cast("dict[str, Any]", options))
        super().__init__(pairs, True, self.session_type, *callables)
        _prepare(self)

    async def load(self, id: str) -> Session | None:
        """The session that an id opens, or None."""
        return cast("Session | None", await _result(_driver(self).load(self, id)))

    async def update(self, id: str, fn: Callable[[Session], object]) -> Session | None:
        """As that of `coatcheck.Store`; ``fn`` may be a coroutine function."""
        session = await self.load(id)
        if session is None or session.stale:
            return None
        await _called(fn, session)
        while not await session._saved_alone():
            await _called(fn, session)
        return session

    @asynccontextmanager
    async def lock(self, id: str) -> AsyncIterator[Session | None]:
        """As that of `coatcheck.Store`: ``async with store.lock(id) as session:``."""
        session = await _locked(_driver(self), self, id)
        try:
            yield session
        finally:
            if session is not None:
                with suppress(StoreUnavailable):  # then it ends by itself
                    await _result(_driver(self).unlock(session))

    async def destroy(self, id: str) -> bool:
        """End the session that an id opens; False if there was none."""
        return bool(await _result(_driver(self).destroy_id(self, id)))

    async def sessions(self, principal: str) -> list[SessionInfo]:
        """The sessions that a principal is logged in with, the first to end first."""
        rows = await _result(_driver(self).sessions(self, principal))
        return listed(cast("list[tuple[str, int, int, dict[str, Any]]]", rows))

    async def destroy_one(self, principal: str, public_id: str) -> bool:
        """End one of them, for everybody who holds its id; False if there is none of that name."""
        return cast(bool, await _result(_driver(self).destroy_one(self, principal, public_id)))

    async def destroy_all(
        self, principal: str, keep: Session | str | None = None
    ) -> tuple[int, bool]:
        """End all of them, or all but one; `coatcheck.Store.destroy_all` says what it returns.

        Where the task is cancelled meanwhile, some may have been ended.
        """
        call = _driver(self).destroy_all(self, principal, public_id_of(keep))
        return cast("tuple[int, bool]", await _result(call))

    async def ping(self, timeout: float | None = None) -> None:
        """Ask the server whether it is there."""
        await _result(_driver(self).ping(self, timeout))

    async def close(self) -> None:
        """Close it; its sessions can no longer be used. Any number of times."""
        super().close()
        own = self._leave()
        _drop(self._drivers)
        if own is not None:
            await own.close()

    async def _leave_loop(self) -> None:
        """Close what it has in this event loop; in another one, or later, it may be used again."""
        own = self._leave()
        if own is not None:
            await (own.close() if own.leaving is None else own.leaving.aclose())

    def _leave(self) -> _Driver | None:
        own = self._drivers.pop(_running_loop(), None)
        self._current = None
        return own if own is not None and own.process == os.getpid() else None

    async def __aenter__(self) -> Self:
        _running_loop()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _called(fn: Callable[[Session], object], session: Session) -> None:
    result = fn(session)
    if isawaitable(result):
        await result


# ---- Calls --------------------------------------------------------------------------------------


async def _result(call: _core.Call | None) -> object:
    """What a call ends with; None where there was none to be made."""
    if call is None:
        return None
    try:
        return await call.future
    except BaseException:
        call.abandon()
        raise


async def _locked(driver: _Driver, store: Store, id: str) -> Session | None:
    call = driver.load_locked(store, id)
    if call is None:
        return None
    try:
        return cast("Session | None", await asyncio.shield(call.future))
    except asyncio.CancelledError:
        # Whether the server has given us the lock is known only when the call has ended.
        call.future.add_done_callback(partial(_give_back, driver))
        raise
    except BaseException:
        call.abandon()
        raise


def _give_back(driver: _Driver, locked: asyncio.Future[object]) -> None:
    """The lock that a call has got for nobody. Where that fails, it ends by itself."""
    if locked.cancelled() or locked.exception() is not None or locked.result() is None:
        return
    with suppress(Exception):
        unlock = driver.unlock(cast(Session, locked.result()))
        unlock.future.add_done_callback(lambda future: future.cancelled() or future.exception())


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return events.get_running_loop()
    except RuntimeError:
        _refuse_trio()
        raise RuntimeError(
            "coatcheck.aio is used in a running event loop of asyncio; elsewhere there is"
            " coatcheck.Store"
        ) from None


def _refuse_trio() -> None:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "coatcheck.aio needs asyncio or uvloop, and this is trio; run coatcheck.Store in"
            " threads there: await trio.to_thread.run_sync(store.load, id)"
        )


def _prepare(store: _core.BaseStore) -> None:
    """Before a store's first call that is awaited."""
    own = cast(Store, store)
    own._current = None
    own._drivers = {}
    weakref.finalize(own, _drop, own._drivers).atexit = False


def _driver(store: Store) -> _Driver:
    loop = _running_loop()
    driver = store._current
    if driver is not None and driver.loop is loop and driver.process == os.getpid():
        return driver
    driver = store._drivers.get(loop)
    if driver is None or driver.process != os.getpid():
        for ended in [other for other in list(store._drivers) if other.is_closed()]:
            store._drivers.pop(ended, None)  # another thread may do so as well
        driver = store._drivers[loop] = _Driver(loop)
    store._current = driver
    return driver


async def _stay(store: Store) -> None:
    """Before a call of a store that nobody closes: what it has in this event loop is closed when
    the loop ends, be it one that a framework runs for a single call."""
    driver = _driver(store)
    if driver.leaving is None:
        driver.leaving = _leave_at_the_end(store._drivers, driver)
        await anext(driver.leaving)


async def _leave_at_the_end(drivers: _Drivers, driver: _Driver) -> AsyncGenerator[None, None]:
    """Event loops close the generators that are left when they end."""
    try:
        yield
    finally:
        drivers.pop(driver.loop, None)
        await driver.close()


def _drop(drivers: _Drivers) -> None:
    """Close what a store has in loops that may run in other threads, once their calls are over."""
    for loop, driver in list(drivers.items()):
        # A loop that is closed has closed its connections, and a parent's are the parent's.
        if driver.process == os.getpid() and not loop.is_closed():
            loop.call_soon_threadsafe(driver.drain)
    drivers.clear()


class _Driver(_core.Driver):
    """The calls of one store in one event loop; C does nearly all of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop.call_soon, loop.create_future)
        self.loop = loop
        self.process = os.getpid()
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[_Connection] = set()
        self._names = _Names(loop)
        self.leaving: AsyncGenerator[None, None] | None = None

    def open(self, channel: _core.Channel) -> None:
        connection = _Connection(self.loop, self._names, channel)
        channel.connection = connection
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
        connection.open()

    def wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # The clock of C counts whole milliseconds.
        self._timer = self.loop.call_later(seconds + 0.001, self.wake)

    def drain(self) -> None:
        for connection in list(self._connections):
            connection.drain()
        if not self.calls and self._timer is not None:
            self._timer.cancel()

    async def close(self) -> None:
        """When nothing is under way any more, which the deadlines of the calls see to."""
        while self._connections:
            self.drain()
            await asyncio.wait(
                [connection.closed for connection in self._connections], timeout=0.05
            )
        self._names.close()
        if self._timer is not None:
            self._timer.cancel()


_Drivers: TypeAlias = "dict[asyncio.AbstractEventLoop, _Driver]"


# ---- Connections --------------------------------------------------------------------------------


class _Refused(Exception):
    """There will be no connection: the arguments of _core.Channel.refuse."""


class _Connection(asyncio.Protocol):
    """One connection: what asyncio says goes to its channel."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, names: _Names, channel: _core.Channel
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
            self._channel.refuse(*_tls_failure(self._channel.target(), error))
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
        if isinstance(error, _Refused):
            self._channel.refuse(*error.args)
        elif isinstance(error, ssl.SSLError):
            self._channel.refuse(*_tls_failure(target, error))
        elif isinstance(error, OSError):
            self._channel.broke(error.errno or errno.EIO)
        else:  # such as a host's name that has no form as a domain
            text = f"{target['name']}: it cannot be connected to: {type(error).__name__}"
            self._channel.refuse("u", "io", text)

    async def _open(self, target: dict[str, Any]) -> None:
        tls: dict[str, Any] = {}
        if target["tls"]:
            tls["ssl"] = _tls_context(target)
            tls["server_hostname"] = target["server_name"] or target["host"]
        sock = await _socket(self._loop, self._names, target)
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
        except _Refused as refused:
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
        raise _Refused("d", "credentials", text, error) from error


async def _socket(
    loop: asyncio.AbstractEventLoop, names: _Names, target: dict[str, Any]
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


async def _addresses(names: _Names, target: dict[str, Any]) -> list[tuple[int, Any]]:
    """Of the host; a literal address is not looked up."""
    host, port = target["host"], target["port"]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        try:
            found = await names.look_up(host, port)
        except socket.gaierror as error:
            raise _Refused(
                "u", "resolve", f"{target['name']}: the host's name leads nowhere: {error.strerror}"
            ) from error
    return [(family, address) for family, _, _, _, address in found]


class _Names:
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


# ---- TLS ----------------------------------------------------------------------------------------


def _tls_context(target: dict[str, Any]) -> ssl.SSLContext:
    """Made anew for each connection, so that renewed files are used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    oldest = ssl.TLSVersion.TLSv1_3 if target["tls_1_3"] else ssl.TLSVersion.TLSv1_2
    context.minimum_version = oldest
    for option in ("ca_file", "ca_dir", "cert_file", "key_file"):
        _look_at(target, option)
    try:
        if target["ca_file"] or target["ca_dir"]:
            context.load_verify_locations(target["ca_file"], target["ca_dir"])
        else:
            context.load_default_certs()
        if target["cert_file"]:
            # Given as a function, for without one OpenSSL asks at the terminal.
            context.load_cert_chain(
                target["cert_file"], target["key_file"], lambda: target["key_password"] or ""
            )
    except (OSError, ValueError) as error:
        raise _Refused(
            "c",
            "file",
            f"a file of the options tls_ca_file, tls_ca_dir, tls_cert_file and tls_key_file cannot"
            f" be used: {type(error).__name__}: {getattr(error, 'strerror', None) or error}",
        ) from error
    return context


def _look_at(target: dict[str, Any], option: str) -> None:
    """OpenSSL would not say which file it is that it cannot open."""
    path = target[option]
    if path is None:
        return
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        # Too few descriptors say nothing of the file, or of the server.
        here = error.errno in (errno.EMFILE, errno.ENFILE)
        kind, reason = ("h", "descriptors") if here else ("c", "file")
        text = f"option tls_{option}: {path} cannot be opened: {error.strerror}"
        raise _Refused(kind, reason, text) from error


def _tls_failure(target: dict[str, Any], error: ssl.SSLError) -> tuple[str, str, str]:
    """What is wrong, and what to do, in the words of tls.c."""
    host = target["server_name"] or target["host"]
    if isinstance(error, ssl.SSLCertVerificationError):
        unknown = ("certificate", f"its certificate is refused: {error.verify_message}")
        kind, (reason, text) = "t", _CERTIFICATES.get(error.verify_code, unknown)
    else:
        said = (error.reason or "").rpartition("ALERT_")[2]
        failed = ("u", "tls", f"TLS failed: {error.reason or error}")
        kind, reason, text = _COMPLAINTS.get(said, failed)
    return kind, reason, f"{target['name']}: {text.replace('HOST', host)}"


# By OpenSSL's numbers, X509_V_ERR_.
_CERTIFICATES = {
    **dict.fromkeys(
        (2, 7, 18, 19, 20, 21, 27),
        (
            "ca",
            "its certificate comes from no authority that is trusted here; set tls_ca_file to a"
            " file with the right one",
        ),
    ),
    **dict.fromkeys(
        (62, 64),
        (
            "name",
            "its certificate is not for HOST; connect to a name that stands in its subjectAltName,"
            " or set tls_server_name to one",
        ),
    ),
    9: (
        "early",
        "its certificate is not valid yet; correct the clock of this host, or renew the certificate"
        " on the server",
    ),
    10: (
        "expired",
        "its certificate has expired; renew it on the server, or correct the clock of this host",
    ),
}

# By OpenSSL's reasons, where they came as an alert by what follows ALERT_.
_COMPLAINTS = {
    **dict.fromkeys(
        (
            "BAD_CERTIFICATE",
            "UNSUPPORTED_CERTIFICATE",
            "CERTIFICATE_REVOKED",
            "CERTIFICATE_EXPIRED",
            "CERTIFICATE_UNKNOWN",
            "UNKNOWN_CA",
            "ACCESS_DENIED",
            "CERTIFICATE_REQUIRED",
        ),
        (
            "t",
            "client",
            "the server refuses our certificate, or wants one; set tls_cert_file and tls_key_file"
            " to one from an authority that it trusts",
        ),
    ),
    **dict.fromkeys(
        (
            "PROTOCOL_VERSION",
            "HANDSHAKE_FAILURE",
            "INSUFFICIENT_SECURITY",
            "UNSUPPORTED_PROTOCOL",
            "NO_PROTOCOLS_AVAILABLE",
            "WRONG_SSL_VERSION",
        ),
        (
            "u",
            "protocol",
            "no version and cipher of TLS in common; it must allow TLS 1.2 or newer, and what"
            " tls_min_version says (if it wants a certificate of ours, set tls_cert_file)",
        ),
    ),
}
