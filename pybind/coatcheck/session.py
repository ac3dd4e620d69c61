"""One session, as a mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import _core
from .exceptions import Error

if TYPE_CHECKING:
    from datetime import datetime

    from typing_extensions import Self

# A record may hold a later time, after a clock went astray; a datetime may not.
_LAST_MS = 253_402_300_799_999


@dataclass(frozen=True)
class SessionInfo:
    """One session of a principal, for a list that people see: nothing in it opens the session."""

    #: What `Store.destroy_one` takes, and logs show.
    public_id: str
    created: datetime
    #: When it ends, however much it is used.
    deadline: datetime
    #: Of its fields those that the option ``show`` names.
    shown: dict[str, Any]


def listed(rows: list[tuple[str, int, int, dict[str, Any]]]) -> list[SessionInfo]:
    """What the core says of the sessions of a principal."""
    return [
        SessionInfo(public_id, _from_ms(created), _from_ms(ends), shown)
        for public_id, created, ends, shown in rows
    ]


def public_id_of(keep: BaseSession | str | None) -> str | None:
    """Of the session that is to be kept."""
    if not isinstance(keep, BaseSession):
        return keep
    if keep.public_id is None:
        raise ValueError("keep: that session is not stored, so it is none of the principal's")
    return keep.public_id


class BaseSession(_core.BaseSession, MutableMapping[str, Any]):
    """All of a session but the calls that wait for the server."""

    # What middleware has to know; see _request.py.
    _ended: bool | None = None
    _new_id = False
    _headers_sent = False
    _cookie_changed = False  # but for its value: for how long the browser is to keep it

    @property
    def created(self) -> datetime | None:
        """When it was created; None while it is not stored. A login does not change it."""
        return _from_ms(self.created_ms) if self.created_ms else None

    @property
    def deadline(self) -> datetime | None:
        """When it ends, however much it is used; None while it is not stored."""
        return _from_ms(self.deadline_ms) if self.deadline_ms else None

    def login(self, principal: str, *, carry: Iterable[str] | Literal["all"]) -> None:
        """Log a principal in: with the next save a new id and a new lifetime; the old id is dead.

        ``carry`` names the fields that survive; ``"all"`` says that whatever somebody stored before
        the login may stay. The others are deleted at once.
        """
        self._too_late("login")
        super().login(principal, carry=carry)
        self._new_id = True

    def rotate(self) -> None:
        """A change of privilege: a new id with the next save, same fields, same deadline."""
        self._too_late("rotate")
        super().rotate()
        self._new_id = True

    def clear(self) -> None:
        for field in list(self):
            # What the one before it held may have taken it away, as it was finalized.
            with suppress(KeyError):
                del self[field]

    def popitem(self) -> tuple[str, Any]:
        """Take out the last field, as dict does."""
        for field in reversed(self):
            return field, self.pop(field)
        raise KeyError("popitem(): the session is empty")

    def copy(self) -> dict[str, Any]:
        """The fields as a plain dict; what they hold is not copied."""
        return dict(self)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self) | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | dict(self) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        # Must not load what nobody has looked at, nor show the id or what is stored.
        if not self.accessed:
            return "<Session, not looked at>"
        try:
            public_id = self.public_id
        except (Error, RuntimeError, ValueError):  # not loaded; in use by another thread; closed
            return "<Session, not usable now>"
        return "<Session, new>" if public_id is None else f"<Session {public_id}>"

    def _may_save(self) -> None:
        """Refuses a save that comes too late, which it may do once the headers were sent."""
        creates = self.accessed and self.new
        if self._new_id or (creates and self.modified):
            self._too_late("save")

    def _destroyed(self, ended: bool) -> None:
        self._ended = ended
        self._new_id = False

    def _too_late(self, what: str) -> None:
        if self._headers_sent:
            raise RuntimeError(
                f"{what} after the response headers left: the browser cannot be told the new id"
                " any more; do it before the first chunk of the body"
            )


class Session(BaseSession, _core.Session):
    """One session: a mapping from text to plain values, made by a `Store`.

    An assignment that cannot be stored raises on its line, and what is changed inside a stored list
    or dict needs no flag: ``session["cart"].append(x)`` is seen. Nothing is written before
    `save()`, which middleware calls. A session belongs to one thread at a time.
    """

    def save(self) -> str | None:
        """Write what was changed, all at once; with `login` and `rotate` if asked for.

        Returns the id, None while there is nothing to store. Raises SessionGone if the session was
        ended, or its id replaced, meanwhile; Conflict where ``on_conflict`` says so; for a login
        TooManySessions and Busy; under a lock LockLost; Uncertain where the reply was lost; and
        what Store says of a store that cannot be reached. The session is then as it was.
        """
        if self._headers_sent:
            self._may_save()
        session_id = super().save()
        self._new_id = False
        return session_id

    def _saved_alone(self) -> bool:
        """Save without a merge; False: the session is now what another request has stored."""
        if self._headers_sent:
            self._may_save()
        saved = self._try_save()
        self._new_id = False
        return saved

    def destroy(self) -> bool:
        """End it at once, for every request that holds its id; False if it was gone already.

        True as well if a reply was lost and the repeat finds it gone: most likely by this call.
        Afterwards it is a new, empty session, which gets another id if something is stored. Where a
        login had replaced the id that a request came with, nothing was ended: one that was not
        loaded is then `stale`, for one that was loaded SessionGone is raised.
        """
        ended = super().destroy()
        self._destroyed(ended)
        return ended


def _from_ms(ms: int) -> datetime:
    # Late: imported by several interpreters with locks of their own, CPython's own datetime
    # crashes at least 3.12.1 and 3.13.0.
    from datetime import datetime, timedelta, timezone

    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return epoch + timedelta(milliseconds=min(ms, _LAST_MS))
