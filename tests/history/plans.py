"""What one history is played with: all of it follows from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from events import LAST
from history import Renewal

Place = Literal["server", "cluster", "sentinel"]
Faces = Literal["blocking", "asyncio", "both"]

PLACES: tuple[Place, ...] = get_args(Place)
FACES: tuple[Faces, ...] = get_args(Faces)

TIMEOUT = 0.5
PERIOD_S, GRACE_S = 2, 1  # of renewals; clocks leap by a second


def add_to(base: Any, mine: Any, theirs: Any) -> Any:
    """What another request has put into the cart stays there."""
    if not isinstance(mine, list) or not isinstance(theirs, list):
        return mine
    return [*theirs[-2:], mine[-1]]


@dataclass(frozen=True)
class Policy:
    """Who wins a field that two requests changed, in one history."""

    by_field: Any
    named: bool = False
    yields: bool = False


POLICIES = [
    Policy("mine", named=True),
    Policy({"cart": add_to, "*": "mine"}),
    Policy({LAST: "mine", "*": "raise"}, named=True),
    Policy("theirs", yields=True),
]


@dataclass(frozen=True)
class Plan:
    """One history."""

    seed: int
    operations: int = 10_000
    processes: int = 2
    threads: int = 3
    together: int = 2  # requests under way in each thread
    browsers: int = 12
    harm: float = 0.02  # how often a connection is cut before a call
    place: Place = "server"
    faces: Faces = "blocking"
    renews: bool = False
    skewed: bool = False  # the clocks of the processes are wrong

    def __str__(self) -> str:
        more = [name for name in ("renews", "skewed") if getattr(self, name)]
        return " ".join([self.place, self.faces, *more, *(["harmed"] if self.harm else [])])

    def policy(self) -> Policy:
        return POLICIES[self.seed % len(POLICIES)]

    def cap(self) -> int | None:
        """On the sessions of a principal: in every other history."""
        return 2 if (self.turn() + self.turn() // 4) % 2 else None

    def renewal(self) -> Renewal | None:
        return Renewal(PERIOD_S * 1000, GRACE_S * 1000) if self.renews else None

    def options(self) -> dict[str, Any]:
        """Of the stores."""
        options: dict[str, Any] = {
            "timeout": TIMEOUT,
            "connect_timeout": TIMEOUT,
            "lock_ttl": 2 * TIMEOUT,
            "on_conflict": self.policy().by_field,
        }
        if self.renews:
            options |= {"renew": PERIOD_S, "grace": GRACE_S}
        if self.cap() is not None:
            on_max = ("evict", "refuse")[self.turn() // 2 % 2]
            options |= {"max_sessions": self.cap(), "on_max": on_max}
        return options

    def turn(self) -> int:
        """Each policy has its turn before anything else changes."""
        return self.seed // len(POLICIES)

    def players(self) -> int:
        return self.processes * self.threads


def in_turns(seed: int, operations: int = 2000) -> Plan:
    """All requests in one thread, which plays the same game each time."""
    return Plan(seed, operations, processes=1, threads=1, together=6, browsers=5)


def drawn(plan: Plan) -> Plan:
    """Where it is played, by which faces and clocks, drawn from its seed."""
    draw = random.Random(f"plan {plan.seed}")
    return replace(
        plan,
        place=draw.choices(PLACES, (3, 1, 1))[0],
        faces=draw.choices(FACES, (1, 1, 2))[0],
        renews=draw.random() < 0.5,
        skewed=draw.random() < 0.4,
    )
