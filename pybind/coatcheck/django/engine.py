"""One session, as Django and its applications know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.utils.asyncio import async_unsafe

from .. import aio, dumps, loads
from .._request import Load
from ..aio.driver import stay
from ..cookie import MAX_AGE_LIMIT
from ..exceptions import SessionGone, StoreUnavailable
from ..session import Session
from . import settings

if TYPE_CHECKING:
    from typing_extensions import Self

_BLOCKS: Final = (
    "The session would block the event loop here: in an async context await its methods that begin"
    " with an a, as in await request.session.aget('cart'), or use sync_to_async."
)
_EXPIRY: Final = "_session_expiry"
_PLACEHOLDER: Final = "_created"
_LONGEST_IDLE_S: Final = 2**31 - 1


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _blocking(method: _Method) -> _Method:
    """Django's own error where it would block an event loop."""
    return cast(_Method, async_unsafe(_BLOCKS)(method))


class SessionEnded(SessionGone, UpdateError, SessionInterrupted):
    """The session was ended meanwhile: what Django expects there, and what coatcheck raises."""


class _Plain:
    """For `SessionStore.encode`, in place of SESSION_SERIALIZER."""

    dumps = staticmethod(dumps)
    loads = staticmethod(loads)


class SessionStore(Session, SessionBase):
    """A coatcheck session with all that Django's sessions have.

    What is changed inside a stored list or dict is seen, so ``modified`` needs no help. The id
    changes with the save after ``cycle_key`` or a login, or when `session_key` is asked for.
    """

    serializer = _Plain
    _accessed = False
    _modified = False

    def __new__(cls, session_key: str | None = None) -> Self:
        return cast("Self", settings.store().session(session_key or None, _on_error, cls))

    def __init__(self, session_key: str | None = None) -> None:
        """Everything was done by the store."""

    # ---- What it is ------------------------------------------------------------------------------

    @property
    def session_key(self) -> str | None:
        """The id, a secret. After ``cycle_key`` or a login that was not saved, it is now."""
        if self._presented is not None:
            return self._presented
        if self._new_id:
            self.save()
        return self.id

    @property
    def _session_key(self) -> str | None:
        return self.session_key

    @property
    def accessed(self) -> bool:
        """Was it looked at? To say False takes no look back."""
        return super().accessed or self._accessed

    @accessed.setter
    def accessed(self, value: bool) -> None:
        self._accessed = bool(value)

    @property
    def modified(self) -> bool:
        """Was it changed, or said to be? To say False takes no change back."""
        return self._modified or super().modified

    @modified.setter
    def modified(self, value: bool) -> None:
        self._modified = bool(value)

    def is_empty(self) -> bool:
        """Is there neither a session nor anything to store? Not a look."""
        if not super().accessed:
            return self._presented is None
        # An id that was replaced moments ago: the browser has, or gets, the cookie of a login.
        return not (self.id or self.stale or len(self))

    def __bool__(self) -> bool:
        return not self.is_empty()

    # ---- Its fields ------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key, default)

    def setdefault(self, key: str, value: Any = None) -> Any:
        return super().setdefault(key, value)

    @property
    def _session(self) -> Self:
        return self

    def _get_session(self, no_load: bool = False) -> Self:
        return self

    async def _aget_session(self, no_load: bool = False) -> Self:
        """What all the inherited methods that begin with an a await."""
        if self._presented is not None:
            await aio.Session.load(await _awaited(self))
        _ = self.new  # a look
        return self

    def get_session_cookie_age(self) -> int:
        """The idle timeout of the store; 400 days where that is none."""
        return self._store._idle or MAX_AGE_LIMIT

    def set_expiry(self, value: Any) -> None:
        """As in Django; what it says holds on the server, too."""
        SessionBase.set_expiry(self, value)
        self._set_idle()
        self._cookie_changed = True

    async def aset_expiry(self, value: Any) -> None:
        await self._aget_session()
        self.set_expiry(value)

    def _set_idle(self) -> None:
        if self.get(_EXPIRY):
            self.idle = min(max(self.get_expiry_age(), 1), _LONGEST_IDLE_S)
        else:
            self.idle = self._store.new().idle if self.principal is None else self._store._idle

    # ---- Loading and saving ----------------------------------------------------------------------

    @_blocking
    def _may_load(self) -> None:
        """Not where it would block an event loop."""

    def load(self) -> dict[str, Any]:
        return dict(self)

    async def aload(self) -> dict[str, Any]:
        return dict(await self._aget_session())

    @_blocking
    def save(self, must_create: bool = False) -> str:
        """Save it now, also an empty one; SessionEnded if it was ended meanwhile."""
        self._before_save(must_create)
        with _in_djangos_words():
            session_id = super().save()
            if session_id is None:
                self[_PLACEHOLDER] = True
                session_id = super().save()
                del self[_PLACEHOLDER]
                super().save()
        return cast(str, session_id)

    async def asave(self, must_create: bool = False) -> str:
        """As `save`."""
        await self._aget_session()
        self._before_save(must_create)
        with _in_djangos_words():
            session_id = await self._asave_changes()
            if session_id is None:
                self[_PLACEHOLDER] = True
                session_id = await self._asave_changes()
                del self[_PLACEHOLDER]
                await self._asave_changes()
        return cast(str, session_id)

    def _save_changes(self) -> str | None:
        """Save what was changed; a new session without anything in it is not stored."""
        self._note_changes()
        return super().save()

    async def _asave_changes(self) -> str | None:
        self._note_changes()
        return await aio.Session.save(await _awaited(self))

    def _before_save(self, must_create: bool) -> None:
        if must_create and not self.new:
            raise CreateError("the session is stored already")
        if self.stale:
            raise _ended(replaced=True)
        self._note_changes()

    def _note_changes(self) -> None:
        """Its cookie is due, also where a view has saved it; and a moment at which it shall end
        comes nearer."""
        self._modified = self.modified
        if isinstance(self.get(_EXPIRY), str):
            self._set_idle()

    def create(self) -> None:
        """Make it a new, empty session, which is stored at once."""
        self._begin_anew()
        self.save()

    async def acreate(self) -> None:
        await self._aget_session()
        self._begin_anew()
        await self.asave()

    def _begin_anew(self) -> None:
        self.clear()
        self.cycle_key()
        self.modified = True

    # ---- Ids, and the end ------------------------------------------------------------------------

    def cycle_key(self) -> None:
        """`rotate`: a new id with the next save, and the old one is dead."""
        if not self.new:
            self.rotate()

    async def acycle_key(self) -> None:
        await self._aget_session()
        self.cycle_key()

    @_blocking
    def destroy(self) -> bool:
        with _in_djangos_words():
            return super().destroy()

    async def adestroy(self) -> bool:
        """As `destroy`."""
        with _in_djangos_words():
            return await aio.Session.destroy(await _awaited(self))

    def flush(self) -> None:
        """`destroy`: end it at once; what is stored afterwards is another session."""
        self.destroy()

    async def aflush(self) -> None:
        await self.adestroy()

    @_blocking
    def delete(self, session_key: str | None = None) -> None:
        """End this session, or that of a key."""
        if self._is_own(session_key):
            self.flush()
        else:
            self._store.destroy(session_key)

    async def adelete(self, session_key: str | None = None) -> None:
        if self._is_own(session_key):
            await self.aflush()
        else:
            await self._store.adestroy(session_key)

    def _is_own(self, session_key: str | None) -> bool:
        return session_key is None or session_key == (self._presented or self.id)

    @_blocking
    def exists(self, session_key: str | None) -> bool:
        found = self._store.load(session_key) if session_key else None
        return found is not None and not found.stale

    async def aexists(self, session_key: str | None) -> bool:
        found = await self._store.aload(session_key) if session_key else None
        return found is not None and not found.stale

    @classmethod
    def clear_expired(cls) -> None:
        """Nothing is to be done: Redis drops them."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Nothing is to be done: Redis drops them."""


def _on_error(exc: Exception) -> bool:
    """As the settings have it, but that Django's own middleware would take the cookie away for a
    session that is empty because the store is down."""
    if isinstance(exc, StoreUnavailable):
        raise exc
    return Load(settings.rules())(exc)


async def _awaited(session: SessionStore) -> aio.Session:
    """What the calls of an aio.Session use of it, this one has as well."""
    await stay(session._store)
    return cast(aio.Session, session)


def _ended(*, replaced: bool) -> SessionEnded:
    ended = SessionEnded(
        "The session was ended while the request was under way, as by a logout elsewhere, or a"
        " login has given it another id; what was changed in it is dropped"
    )
    ended.replaced = replaced
    return ended


@contextmanager
def _in_djangos_words() -> Iterator[None]:
    try:
        yield
    except SessionGone as exc:
        raise _ended(replaced=exc.replaced) from exc


def _log_in(request: Any = None, user: Any = None, **_: Any) -> None:
    """Who logs in gets a new id, and the session an entry among those of the user."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.login(settings.principal(user), carry=settings.carry())


user_logged_in.connect(_log_in, dispatch_uid="coatcheck.django.login")
