"""The calls of a store in the event loops that use it."""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from asyncio import events
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

from .. import _core
from .address import Names
from .connection import Connection

if TYPE_CHECKING:
    from . import Session, Store
    from .cache import Cache

    Place: TypeAlias = Store | Cache


async def result_of(call: _core.Call | None) -> object:
    """What a call ends with; None where there was none to be made."""
    if call is None:
        return None
    try:
        return await call.future
    except BaseException:
        call.abandon()
        raise


async def load_locked(driver: Driver, store: Store, id: str) -> Session | None:
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


def _give_back(driver: Driver, locked: asyncio.Future[object]) -> None:
    """The lock that a call has got for nobody. Where that fails, it ends by itself."""
    if locked.cancelled() or locked.exception() is not None or locked.result() is None:
        return
    with suppress(Exception):
        unlock = driver.unlock(cast("Session", locked.result()))
        unlock.future.add_done_callback(lambda future: future.cancelled() or future.exception())


def running_loop() -> asyncio.AbstractEventLoop:
    try:
        return events.get_running_loop()
    except RuntimeError:
        refuse_trio()
        raise RuntimeError(
            "coatcheck.aio is used in a running event loop of asyncio; elsewhere there is"
            " coatcheck.Store"
        ) from None


def refuse_trio() -> None:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "coatcheck.aio needs asyncio or uvloop, and this is trio; run coatcheck.Store in"
            " threads there: await trio.to_thread.run_sync(store.load, id)"
        )


def prepare(store: _core.BaseStore | _core.BaseCache) -> None:
    """Before a store's first call that is awaited."""
    own = cast("Place", store)
    own._current = None
    own._drivers = {}
    weakref.finalize(own, drop, own._drivers).atexit = False


def driver_of(store: Place) -> Driver:
    loop = running_loop()
    driver = store._current
    if driver is not None and driver.loop is loop and driver.process == os.getpid():
        return driver
    driver = store._drivers.get(loop)
    if driver is None or driver.process != os.getpid():
        for ended in [other for other in list(store._drivers) if other.is_closed()]:
            store._drivers.pop(ended, None)  # another thread may do so as well
        driver = store._drivers[loop] = Driver(loop)
    store._current = driver
    return driver


def leave(store: Place) -> Driver | None:
    """Use it no longer in this event loop: what is to be closed there."""
    own = store._drivers.pop(running_loop(), None)
    store._current = None
    return own if own is not None and own.process == os.getpid() else None


async def stay(store: Place) -> None:
    """Before a call of a store that nobody closes: what it has in this event loop is closed when
    the loop ends, be it one that a framework runs for a single call."""
    driver = driver_of(store)
    if driver.leaving is None:
        driver.leaving = _leave_at_the_end(store._drivers, driver)
        await anext(driver.leaving)


async def _leave_at_the_end(drivers: Drivers, driver: Driver) -> AsyncGenerator[None, None]:
    """Event loops close the generators that are left when they end."""
    try:
        yield
    finally:
        drivers.pop(driver.loop, None)
        await driver.close()


def drop(drivers: Drivers) -> None:
    """Close what a store has in loops that may run in other threads, once their calls are over."""
    for loop, driver in list(drivers.items()):
        # A loop that is closed has closed its connections, and a parent's are the parent's.
        if driver.process == os.getpid() and not loop.is_closed():
            loop.call_soon_threadsafe(driver.drain)
    drivers.clear()


class Driver(_core.Driver):
    """The calls of one store in one event loop; C does nearly all of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop.call_soon, loop.create_future)
        self.loop = loop
        self.process = os.getpid()
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[Connection] = set()
        self._names = Names(loop)
        self.leaving: AsyncGenerator[None, None] | None = None

    def open(self, channel: _core.Channel) -> None:
        connection = Connection(self.loop, self._names, channel)
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


Drivers: TypeAlias = "dict[asyncio.AbstractEventLoop, Driver]"
