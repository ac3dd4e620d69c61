"""Stores, sessions and caches for asyncio and uvloop: the same with ``await``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from .. import _core
from ..exceptions import StoreUnavailable
from ..session import BaseSession, SessionInfo, listed, public_id_of
from ..store import core_arguments
from .cache import Cache
from .driver import (
    driver_of,
    drop,
    leave,
    load_locked,
    prepare,
    refuse_trio,
    result_of,
    running_loop,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self, Unpack

    from ..store import AsyncStoreOptions
    from .driver import Driver, Drivers

__all__ = ["Cache", "Session", "Store"]


class Session(BaseSession):
    """One session: a mapping from text to plain values, made by a `Store`.

    As `coatcheck.Session`, but `save` and `destroy` are awaited. Its fields are at hand without.
    """

    async def load(self) -> None:
        """Load what `Store.session` made, unless it is loaded already.

        Until then, touching it raises NotLoaded; after a load that failed, what that one raised.
        """
        await result_of(driver_of(self._store).load_into(self))

    async def save(self) -> str | None:
        """Write what was changed, all at once; with `login` and `rotate` if asked for.

        Returns the id, None while there is nothing to store. Raises SessionGone if the session was
        ended, or its id replaced, meanwhile; Conflict where ``on_conflict`` says so; for a login
        TooManySessions and Busy; under a lock LockLost; Uncertain where the reply was lost; and
        what Store says of a store that cannot be reached. The session is then as it was. Where the
        task is cancelled meanwhile, the save may have been carried out.
        """
        if self._headers_sent:
            self._may_save()
        driver = driver_of(self._store)
        session_id = cast("str | None", await result_of(driver.save(self)))
        self._new_id = False
        return session_id

    async def _saved_alone(self) -> bool:
        """Save without a merge; False: the session is now what another request has stored."""
        if self._headers_sent:
            self._may_save()
        saved = cast(bool, await result_of(driver_of(self._store).try_save(self)))
        self._new_id = False
        return saved

    async def destroy(self) -> bool:
        """End it at once, for every request that holds its id; False if it was gone already.

        True as well if a reply was lost and the repeat finds it gone: most likely by this call.
        Afterwards it is a new, empty session, which gets another id if something is stored. Where a
        login had replaced the id that a request came with, nothing was ended: one that was not
        loaded is then `stale`, for one that was loaded SessionGone is raised.
        """
        ended = cast(bool, await result_of(driver_of(self._store).destroy(self)))
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

    _current: Driver | None
    _drivers: Drivers

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
        refuse_trio()
        pairs, callables = core_arguments(url, cast("dict[str, Any]", options))
        super().__init__(pairs, True, self.session_type, *callables)
        prepare(self)

    async def load(self, id: str) -> Session | None:
        """The session that an id opens, or None."""
        return cast("Session | None", await result_of(driver_of(self).load(self, id)))

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
        session = await load_locked(driver_of(self), self, id)
        try:
            yield session
        finally:
            if session is not None:
                with suppress(StoreUnavailable):  # then it ends by itself
                    await result_of(driver_of(self).unlock(session))

    async def destroy(self, id: str) -> bool:
        """End the session that an id opens; False if there was none."""
        return bool(await result_of(driver_of(self).destroy_id(self, id)))

    async def sessions(self, principal: str) -> list[SessionInfo]:
        """The sessions that a principal is logged in with, the first to end first."""
        rows = await result_of(driver_of(self).sessions(self, principal))
        return listed(cast("list[tuple[str, int, int, dict[str, Any]]]", rows))

    async def destroy_one(self, principal: str, public_id: str) -> bool:
        """End one of them, for everybody who holds its id; False if there is none of that name."""
        return cast(bool, await result_of(driver_of(self).destroy_one(self, principal, public_id)))

    async def destroy_all(
        self, principal: str, keep: Session | str | None = None
    ) -> tuple[int, bool]:
        """End all of them, or all but one; `coatcheck.Store.destroy_all` says what it returns.

        Where the task is cancelled meanwhile, some may have been ended.
        """
        call = driver_of(self).destroy_all(self, principal, public_id_of(keep))
        return cast("tuple[int, bool]", await result_of(call))

    async def ping(self, timeout: float | None = None) -> None:
        """Ask the server whether it is there."""
        await result_of(driver_of(self).ping(self, timeout))

    async def close(self) -> None:
        """Close it; its sessions can no longer be used. Any number of times."""
        super().close()
        own = leave(self)
        drop(self._drivers)
        if own is not None:
            await own.close()

    async def _leave_loop(self) -> None:
        """Close what it has in this event loop; in another one, or later, it may be used again."""
        own = leave(self)
        if own is not None:
            await (own.close() if own.leaving is None else own.leaving.aclose())

    async def __aenter__(self) -> Self:
        running_loop()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _called(fn: Callable[[Session], object], session: Session) -> None:
    result = fn(session)
    if isawaitable(result):
        await result
