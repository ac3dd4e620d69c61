"""What becomes of sessions: the option ``on_event`` of a store."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .exceptions import ConfigError

log = logging.getLogger("coatcheck.events")

Kind: TypeAlias = Literal[
    "created",
    "logged_in",
    "rotated",
    "offered",
    "renewed",
    "destroyed",
    "expired",
    "refused",
    "dropped",
    "corrupt",
]

# As the core tells them: kind, public_id, principal, reason.
_Tell: TypeAlias = "Callable[[Any, str, str | None, str | None], None]"

_ALARMING = frozenset({"refused", "corrupt"})


@dataclass(frozen=True)
class Event:
    """Something that happened to a session; the guide has a table of the kinds.

    Holds no id, no key and nothing of what the session stores.
    """

    kind: Kind
    #: Whose.
    public_id: str
    #: Who is logged in; None: nobody, or it is not known.
    principal: str | None
    #: A word that says more; None: there is nothing more to say.
    reason: str | None


def log_event(kind: str, public_id: str, principal: str | None, reason: str | None) -> None:
    """One line in the log `coatcheck.events`."""
    level = logging.WARNING if kind in _ALARMING else logging.INFO
    # A principal may be whatever somebody has called himself.
    of = "" if principal is None else f" of {principal!r}"
    why = "" if reason is None else f" ({reason})"
    log.log(level, "session %s%s: %s%s", public_id, of, kind, why)


def teller(on_event: Callable[[Event], object]) -> _Tell:
    """Makes the events for a function of the application, and keeps what it raises from the call,
    which is done."""
    if not callable(on_event) or inspect.iscoroutinefunction(on_event):
        raise ConfigError(
            f"option on_event: {on_event!r} is neither a function that is called with an Event, and"
            " not awaited, nor log"
        )
    failed = False

    def tell(kind: Any, public_id: str, principal: str | None, reason: str | None) -> None:
        nonlocal failed
        try:
            on_event(Event(kind, public_id, principal, reason))
        except Exception:
            if not failed:
                failed = True
                log.exception("the function of the option on_event failed; this is said once")

    return tell
