"""The face for asyncio as the programs drive it, and a run that uses both faces.

The package has no middleware for it, so the rules of the cookie stand here once more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from itertools import cycle
from typing import Any, TypeVar

from backends import Answer, Backend, Change, Loaded, Request, Saved, snapshot
from coatcheck import SessionGone, StoreUnavailable, Uncertain, aio
from coatcheck.exceptions import Busy, Conflict, LockLost, TooManySessions

T = TypeVar("T")


class AioCoatcheck:
    """Calls from any thread, in an event loop that runs in one of its own."""

    def __init__(self, url: str, *, offers: frozenset[str], **options: Any) -> None:
        self.offers = offers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.store = aio.Store(url, prefix="history:", **options)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def request(self, id: str | None) -> Request:
        return AioRequest(self, id)

    def update(self, id: str, change: Change) -> Saved:
        return self._saved_by(lambda watched: self.store.update(id, watched), change)

    def locked(self, id: str, change: Change) -> Saved:
        async def save(watched: Change) -> aio.Session | None:
            async with self.store.lock(id) as session:
                if session is None or session.stale:
                    return None
                watched(session)
                await session.save()
                return session

        return self._saved_by(save, change)

    def _saved_by(
        self, save: Callable[[Change], Awaitable[aio.Session | None]], change: Change
    ) -> Saved:
        seen: str | None = None

        def watched(session: aio.Session) -> None:
            nonlocal seen
            seen = session.public_id
            change(session)

        async def outcome() -> Saved:
            session = await save(watched)
            if session is None:
                return Saved("none")
            return Saved("saved", session.public_id, session.id, snapshot(session))

        return self.run(_caught(outcome(), seen=lambda: seen))

    def sessions(self, principal: str) -> list[str] | None:
        try:
            return [info.public_id for info in self.run(self.store.sessions(principal))]
        except StoreUnavailable:
            return None

    def destroy_one(self, principal: str, session: str) -> str:
        try:
            ended = self.run(self.store.destroy_one(principal, session))
        except StoreUnavailable:
            return "unclear"
        return "ended" if ended else "none"

    def destroy_all(self, principal: str, keep: str | None) -> bool | None:
        try:
            _, index_lost = self.run(self.store.destroy_all(principal, keep=keep))
        except StoreUnavailable:
            return None
        return not index_lost

    def close(self) -> None:
        self.run(self.store.close())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _caught(saved: Awaitable[Saved], seen: Callable[[], str | None] = lambda: None) -> Saved:
    try:
        return await saved
    except SessionGone as exc:
        return Saved("replaced" if exc.replaced else "gone", seen())
    except Uncertain:
        return Saved("unclear", seen())
    except (StoreUnavailable, Conflict, Busy, TooManySessions, LockLost):
        return Saved("refused", seen())


class AioRequest:
    def __init__(self, backend: AioCoatcheck, id: str | None) -> None:
        self._backend = backend
        self._id = id
        self._session: aio.Session | None = None if id else self._new()
        self._answer = Answer(False)

    def _new(self) -> aio.Session:
        async def new() -> aio.Session:
            return self._backend.store.new()

        return self._backend.run(new())

    @property
    def fields(self) -> Any:
        assert self._session is not None
        return self._session

    def load(self) -> Loaded:
        assert self._id is not None
        try:
            session = self._backend.run(self._backend.store.load(self._id))
        except StoreUnavailable:
            return Loaded("unclear")
        self._session = self._new() if session is None else session
        if session is None:
            return Loaded("none")
        if session.stale:
            return Loaded("stale")
        return Loaded("found", session.public_id, session.principal, snapshot(session))

    def increment(self, name: str, by: int) -> None:
        self.fields.incr(name, by)

    def rotate(self) -> None:
        self.fields.rotate()

    def login(self, principal: str, carry: Iterable[str] | str) -> None:
        self.fields.login(principal, carry=carry)

    def logout(self) -> str:
        try:
            ended = self._backend.run(self._destroy())
        except SessionGone:
            return "replaced"
        except StoreUnavailable:
            return "unclear"
        # An id alone is not told whether it was replaced: then the cookie may be a newer one.
        self._answer = Answer(ended or self._session is not None)
        return "ended" if ended else "none"

    async def _destroy(self) -> bool:
        if self._session is not None:
            return await self._session.destroy()
        assert self._id is not None
        return await self._backend.store.destroy(self._id)

    def save(self) -> Saved:
        if self._session is None:
            return Saved("nothing")
        saved = self._backend.run(_caught(self._save(self._session)))
        if saved.result == "saved" and saved.id != self._id:
            self._answer = Answer(True, saved.id)
        return saved

    @staticmethod
    async def _save(session: aio.Session) -> Saved:
        id = await session.save()
        if id is None:
            return Saved("nothing")
        return Saved("saved", session.public_id, id, snapshot(session))

    def answer(self) -> Answer:
        return self._answer


class InTurns:
    """Several faces of one store: each request, and each call, goes to the next one."""

    def __init__(self, *backends: Backend) -> None:
        self._backends = backends
        self._turns = cycle(backends)
        self.offers = frozenset.intersection(*(backend.offers for backend in backends))

    def _next(self) -> Backend:
        return next(self._turns)

    def request(self, id: str | None) -> Request:
        return self._next().request(id)

    def update(self, id: str, change: Change) -> Saved:
        return self._next().update(id, change)

    def locked(self, id: str, change: Change) -> Saved:
        return self._next().locked(id, change)

    def sessions(self, principal: str) -> list[str] | None:
        return self._next().sessions(principal)

    def destroy_one(self, principal: str, session: str) -> str:
        return self._next().destroy_one(principal, session)

    def destroy_all(self, principal: str, keep: str | None) -> bool | None:
        return self._next().destroy_all(principal, keep)

    def close(self) -> None:
        for backend in self._backends:
            backend.close()
