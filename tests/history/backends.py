"""What the programs drive: one request's session, from its cookie to the cookie of its answer.

`Coatcheck` is the library with the rules of its middleware. `doubles.py` has others, which are
wrong on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from coatcheck import Cookie, SessionGone, Store, StoreUnavailable, Uncertain
from coatcheck import Session as CoatSession
from coatcheck._request import Headers, Rules
from coatcheck._request import Visit as CoatVisit
from coatcheck.exceptions import Busy, Conflict, LockLost, TooManySessions

Fields = dict[str, Any]
Change = Callable[[Any], None]


def snapshot(fields: Mapping[str, Any]) -> Fields:
    """As they are now: programs change lists in place."""
    return {k: list(v) if isinstance(v, list) else v for k, v in fields.items()}


class Loaded(NamedTuple):
    result: str
    session: str | None = None
    principal: str | None = None
    fields: Fields = {}  # noqa: RUF012  (nobody changes it)


class Saved(NamedTuple):
    result: str
    session: str | None = None
    id: str | None = None
    fields: Fields = {}  # noqa: RUF012


class Answer(NamedTuple):
    """What a response does to the cookie."""

    changes: bool
    id: str | None = None


class Request(Protocol):
    """A session in a request. `fields` is a mapping that takes changes; `save` writes them."""

    fields: Any

    def load(self) -> Loaded: ...
    def increment(self, name: str, by: int) -> None: ...
    def rotate(self) -> None: ...
    def login(self, principal: str, carry: Iterable[str] | str) -> None: ...
    def logout(self) -> str: ...
    def save(self) -> Saved: ...
    def answer(self) -> Answer: ...


class Backend(Protocol):
    #: Which of the operations in programs.py it has.
    offers: frozenset[str]

    def request(self, id: str | None) -> Request: ...
    def update(self, id: str, change: Change) -> Saved: ...
    def locked(self, id: str, change: Change) -> Saved: ...
    def sessions(self, principal: str) -> list[str] | None: ...
    def destroy_one(self, principal: str, session: str) -> str: ...
    def destroy_all(self, principal: str, keep: str | None) -> bool | None: ...
    def close(self) -> None: ...


BY_PRINCIPAL = frozenset(["list", "destroy-one", "destroy-all"])
BASIC = frozenset(["set", "delete", "nested", "rotate", "login", "logout", "logout-unseen"])


class Watched(CoatSession):
    """A session that remembers how its save ended, which the middleware may swallow."""

    outcome: Saved | None = None

    def save(self) -> str | None:
        try:
            id = super().save()
        except SessionGone as exc:
            self.outcome = Saved("replaced" if exc.replaced else "gone")
            raise
        except Uncertain:
            self.outcome = Saved("unclear")
            raise
        except (StoreUnavailable, Conflict, Busy, TooManySessions, LockLost):
            self.outcome = Saved("refused")
            raise
        if id is not None:
            self.outcome = Saved("saved", self.public_id, id, snapshot(self))
        return id


class WatchedStore(Store):
    session_type = Watched


class Coatcheck:
    offers = BASIC | BY_PRINCIPAL | {"increment", "update", "locked"}

    def __init__(self, url: str, **options: Any) -> None:
        self.store = WatchedStore(url, prefix="history:", **options)
        self.rules = Rules(
            self.store,
            Cookie(),
            on_corrupt="raise",
            on_unavailable="503",
            on_gone="drop",
            save_on_error=False,
            cache_control="auto",
        )

    def request(self, id: str | None) -> Request:
        return CoatRequest(self.rules, id)

    def update(self, id: str, change: Change) -> Saved:
        """Its result may also be "none"."""
        return self._saved_by(lambda watched: self.store.update(id, watched), change)

    def locked(self, id: str, change: Change) -> Saved:
        """The same under the lock of the session."""

        def save(watched: Change) -> CoatSession | None:
            with self.store.lock(id) as session:
                if session is None or session.stale:
                    return None
                watched(session)
                session.save()
                return session

        return self._saved_by(save, change)

    def _saved_by(self, save: Callable[[Change], CoatSession | None], change: Change) -> Saved:
        seen: str | None = None

        def watched(session: CoatSession) -> None:
            nonlocal seen
            seen = session.public_id
            change(session)

        try:
            session = save(watched)
        except SessionGone as exc:
            return Saved("replaced" if exc.replaced else "gone", seen)
        except Uncertain:
            return Saved("unclear", seen)
        except (StoreUnavailable, LockLost, Conflict):
            return Saved("refused", seen)
        if session is None:
            return Saved("none")
        return Saved("saved", session.public_id, session.id, snapshot(session))

    def sessions(self, principal: str) -> list[str] | None:
        """Their public ids; None: nobody knows."""
        try:
            return [info.public_id for info in self.store.sessions(principal)]
        except StoreUnavailable:
            return None

    def destroy_one(self, principal: str, session: str) -> str:
        try:
            return "ended" if self.store.destroy_one(principal, session) else "none"
        except StoreUnavailable:
            return "unclear"

    def destroy_all(self, principal: str, keep: str | None) -> bool | None:
        """Whether the one to be kept was listed; None: nobody knows what was ended."""
        try:
            _, index_lost = self.store.destroy_all(principal, keep=keep)
        except StoreUnavailable:
            return None
        return not index_lost

    def close(self) -> None:
        self.store.close()


class CoatRequest:
    def __init__(self, rules: Rules, id: str | None) -> None:
        self._name = rules.cookie.name
        header = () if id is None else (f"{self._name}={id}",)
        self._visit = CoatVisit(rules, header, "shop.example.com", https=True)
        self._headers: Headers = []
        self.fields: Any = self._visit.session

    def load(self) -> Loaded:
        session = self.fields
        try:
            fields = session.copy()
        except StoreUnavailable as exc:
            self._refuse(exc)
            return Loaded("unclear")
        if session.stale:
            return Loaded("stale")
        if session.new:
            return Loaded("none")
        return Loaded("found", session.public_id, session.principal, snapshot(fields))

    def increment(self, name: str, by: int) -> None:
        self.fields.incr(name, by)

    def rotate(self) -> None:
        self.fields.rotate()

    def login(self, principal: str, carry: Iterable[str] | str) -> None:
        self.fields.login(principal, carry=carry)

    def logout(self) -> str:
        try:
            return "ended" if self.fields.destroy() else "none"
        except SessionGone as exc:
            self._refuse(exc)
            return "replaced"
        except StoreUnavailable as exc:
            self._refuse(exc)
            return "unclear"

    def save(self) -> Saved:
        session = self.fields
        session.outcome = None
        try:
            self._visit.commit(200)
            self._headers = self._visit.headers([])
        except (StoreUnavailable, Conflict, Busy, TooManySessions, LockLost, SessionGone) as exc:
            self._refuse(exc)
        return session.outcome or Saved("nothing")

    def answer(self) -> Answer:
        for name, value in self._headers:
            if name == "Set-Cookie":
                id = value.split(";")[0].partition("=")[2]
                return Answer(True, id or None)
        return Answer(False)

    def _refuse(self, exc: Exception) -> None:
        refusal = self._visit.refusal(exc)
        assert refusal is not None
        self._headers = refusal.headers
