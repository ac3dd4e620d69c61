"""The events of a history, by session and by principal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar, NamedTuple

from events import NO_CALLS, Event


def end_of(event: Event) -> float:
    """By when it has taken effect, if it ever does."""
    return inf if event["result"] == "unclear" else float(event["end"])


def landing_in(save: Event, session: str) -> float | None:
    """By when it has landed in this session: infinity if nobody knows that it has, None if not.

    A save that was told "gone" may have landed: its first reply was lost, the session was ended,
    and its repeat found nothing. So may a login that then made another session.
    """
    if save["result"] == "saved" and save["saved_in"] == session:
        return float(save["end"])
    may = save["session"] == session and save["result"] in ("saved", "unclear", "gone")
    return inf if may else None


@dataclass
class Id:
    """An id that somebody was given."""

    giver: Event | None = None  # the save that had it for its answer
    replaced: list[Event] = field(default_factory=list)  # by saves, also by those that are unclear
    tried: list[Event] = field(default_factory=list)  # loads and logouts by it
    saves: list[Event] = field(default_factory=list)
    uses: list[Event] = field(default_factory=list)  # by requests that had nothing to save

    @property
    def born(self) -> float:
        """When its save began."""
        return inf if self.giver is None else float(self.giver["begin"])

    @property
    def offered(self) -> bool:
        """By a renewal: the id before goes on working."""
        giver = self.giver
        return giver is not None and giver["kind"] == "save" and giver["session"] is not None


class Renewal(NamedTuple):
    """How ids are renewed, in milliseconds."""

    period: int
    grace: int


@dataclass
class Session:
    name: str
    ids: dict[str, Id] = field(default_factory=lambda: defaultdict(Id))
    loads: list[Event] = field(default_factory=list)
    saves: list[Event] = field(default_factory=list)  # that ended here, or were made from here
    ends: list[Event] = field(default_factory=list)  # that may have ended it
    listed: list[Event] = field(default_factory=list)
    login: Event | None = None  # the first one that was acknowledged
    logins: list[Event] = field(default_factory=list)  # all that were tried

    def dead_since(self) -> float:
        return min((end_of(event) for event in self.ends), default=inf)

    def perhaps_dead_since(self) -> float:
        return min((float(event["begin"]) for event in self.ends), default=inf)

    def owner(self) -> str | None:
        return None if self.login is None else str(self.login["principal"])


class History:
    """Events by session and by principal."""

    def __init__(
        self,
        events: Iterable[Event],
        cap: int | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        self.cap = cap
        self.renewal = renewal
        self.sessions: dict[str, Session] = {}
        self.home: dict[str, str] = {}  # the session of an id
        self.cookies: list[Event] = []
        self.keys: list[Event] = []
        self.visits: dict[str, list[Event]] = defaultdict(list)
        self.by_principal: dict[str, list[Session]] = defaultdict(list)
        self._logins: dict[str, list[Event]] = defaultdict(
            list
        )  # by principal, whatever came of it
        self._late: list[Event] = []
        self.count = 0
        for event in events:
            self.count += event["op"] not in NO_CALLS
            self._take[event["op"]](self, event)
        self._attach()

    def session(self, name: str) -> Session:
        session = self.sessions.get(name)
        if session is None:
            session = self.sessions[name] = Session(name)
        return session

    def _save(self, event: Event) -> None:
        self.visits[event["visit"]].append(event)
        source = event["session"]
        if event["kind"] == "login":
            self._logins[event["principal"]].append(event)
        if event["result"] == "saved":
            session = self.session(event["saved_in"])
            session.saves.append(event)
            given = session.ids[event["new_id"]]
            if event["begin"] < given.born and event["new_id"] != event["id"]:
                given.giver = event
            self.home.setdefault(event["new_id"], session.name)
            if event["kind"] == "login":
                session.logins.append(event)
                session.login = session.login or event
        if source is None:
            return
        if source != event["saved_in"]:
            self.session(source).saves.append(event)
        used = self.session(source).ids[event["id"]]
        used.saves.append(event)
        if event["kind"] != "save" and landing_in(event, source) is not None:
            used.replaced.append(event)
        if event["kind"] == "login" and source != event["saved_in"]:
            self.session(source).logins.append(event)

    def _use(self, event: Event) -> None:
        self.visits[event["visit"]].append(event)
        self.session(event["session"]).ids[event["id"]].uses.append(event)

    def _visit(self, event: Event) -> None:
        self.visits[event["visit"]].append(event)
        self._late.append(event)

    def _principal(self, event: Event) -> None:
        self._late.append(event)

    def _cookie(self, event: Event) -> None:
        self.cookies.append(event)

    def _key(self, event: Event) -> None:
        self.keys.append(event)

    _take: ClassVar[dict[str, Callable[[History, Event], None]]] = {
        "save": _save,
        "use": _use,
        "load": _visit,
        "logout": _visit,
        "list": _principal,
        "destroy": _principal,
        "destroy-all": _principal,
        "cookie": _cookie,
        "key": _key,
    }

    def _attach(self) -> None:
        """What names its session by an id, or by its principal, once all of these are known."""
        for session in self.sessions.values():
            session.saves.sort(key=lambda event: float(event["begin"]))
            for principal in {login["principal"] for login in session.logins}:
                self.by_principal[principal].append(session)
        for event in self._late:
            getattr(self, "_attach_" + event["op"].replace("-", "_"))(event)
        if self.cap is not None:
            self._attach_evictions()

    def _attach_load(self, event: Event) -> None:
        name = self.home.get(event["id"])
        if event["result"] == "found":
            name = name or event["session"]
            self.session(event["session"]).loads.append(event)
        if name is not None:
            self.session(name).ids[event["id"]].tried.append(event)

    def _attach_logout(self, event: Event) -> None:
        name = self.home.get(event["id"])
        if name is None:
            return
        session = self.session(name)
        session.ids[event["id"]].tried.append(event)
        if event["result"] == "none" and event["session"] is None:
            # It was not loaded, so its id may have been replaced as well.
            session.ends.append({**event, "result": "unclear"})
        elif event["result"] != "replaced":
            # None: it was gone, perhaps by this very call, whose first reply was lost.
            session.ends.append(event)

    def _attach_list(self, event: Event) -> None:
        for session in self.by_principal[event["principal"]]:
            session.listed.append(event)

    def _attach_destroy(self, event: Event) -> None:
        # None: it was gone, perhaps by this very call; or it is somebody else's.
        ended = event["result"] == "ended"
        self.session(event["session"]).ends.append(
            event if ended else {**event, "result": "unclear"}
        )

    def _attach_destroy_all(self, event: Event) -> None:
        """It ends for sure those whose login it came after; others perhaps."""
        for session in self.by_principal[event["principal"]]:
            if session.name == event["keep"]:
                if event.get("listed") is False:
                    # The other way round it says nothing: a member may outlive its session.
                    session.listed.append({**event, "result": "listed", "sessions": []})
                continue
            login = session.login or {}
            certain = session.owner() == event["principal"] and login["end"] < event["begin"]
            session.ends.append(event if certain else {**event, "result": "unclear"})

    def _attach_evictions(self) -> None:
        """A login of a principal who has as many sessions as may be may end another of them."""
        for principal, sessions in self.by_principal.items():
            logins = self._logins[principal]
            for session in sessions:
                begins = [e["begin"] for e in logins if e["saved_in"] != session.name]
                if begins:
                    eviction = {"op": "evict", "begin": min(begins), "result": "unclear"}
                    session.ends.append(eviction)
