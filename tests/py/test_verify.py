"""The option verify: which replies that went astray it notices, and which it cannot.

A proxy that gives replies to the wrong request, drops one or sends one twice is one whose later
replies stand in the wrong place as well; so a nonce at the end of each pipeline meets it. The one
thing that it does not meet is a reply that was replaced in its very place, all others being right.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from itertools import product

import pytest
from coatcheck import ForeignReply, Uncertain
from conftest import RedisServer, wait_for
from drivers import DRIVERS, Held
from faults import Fault, Loop, Transport
from test_faults import (
    CALLS,
    EVERY_BYTE,
    Call,
    Place,
    app_user,  # noqa: F401
    at_once,
)

VERIFIED = Transport("verified", "redis", (("verify", "1"),))
TIMEOUT_S = 0.5  # who gets too few replies waits so long
LONGEST = 3  # replies of one pipeline: GET, PTTL, and the nonce

# What a call ends with whose replies are not its own. Nobody knows whether a write was done.
READS = ("ping", "load", "create", "touch")
WRITES = ("save", "rotate", "destroy", "destroy by id")
# These send several pipelines, so many: the first of them decides nothing, a later one may.
LONG = {"login": 2, "login anew": 2, "destroy all": 3}
ENDS: dict[str, tuple[type[Exception], ...]] = {
    **dict.fromkeys(READS, (ForeignReply,)),
    **dict.fromkeys(WRITES, (Uncertain,)),
    **dict.fromkeys(LONG, (ForeignReply, Uncertain)),
}
PAIRS = [
    (one, other)
    for one, other in product(CALLS, CALLS)
    if EVERY_BYTE or one == other or (one == "load" and other in ("ping", "touch", "save"))
]


@pytest.fixture(params=DRIVERS)
def place(
    request: pytest.FixtureRequest,
    app_user: RedisServer,  # noqa: F811
    loop: Loop,
) -> Iterator[Place]:
    place = Place(app_user, loop, VERIFIED, DRIVERS[request.param], TIMEOUT_S)
    yield place
    place.close()


class LoadNothing(Call):
    """By an id that might be one."""

    def prepare(self) -> None:
        self.connect()

    def make(self) -> Held | None:
        return self.place.client.load("A" * 43)

    def judge(self, result: Held | None, failure: Exception | None) -> None:
        assert result is None


ALL_CALLS: dict[str, type[Call]] = {**CALLS, "load nothing": LoadNothing}


def two_connections(place: Place, other: Place) -> bool:
    """Two calls that overlap leave two connections to be used, whoever has them."""
    place.proxy.arm(Fault("delay", seconds=0.02, times=2))
    at_once([lambda p=p: p.patiently(p.client.ping) for p in (place, other)])  # type: ignore[misc]
    place.proxy.disarm()
    return place.proxy.open == 2


@contextmanager
def neighbour(place: Place) -> Iterator[Place]:
    """Another client behind the same proxy."""
    other = copy(place)
    other.client = place.open()
    try:
        yield other
    finally:
        other.client.close()


def outcomes(place: Place, fault: Fault, *names: str) -> list[tuple[Call, object, object]]:
    """Of calls at once whose connections meet the fault: each call, its result, its failure."""
    # On a busy machine one may be over before the other begins; or a connection was idle for too
    # long, and it is the greeting of another one that meets the fault.
    for _ in range(10):
        ends = one_try(place, fault, *names)
        if place.hits == len(names):
            return ends
    raise AssertionError(f"{fault}: met by {place.hits}")


def one_try(place: Place, fault: Fault, *names: str) -> list[tuple[Call, object, object]]:
    with neighbour(place) as other:
        calls = [ALL_CALLS[name](at) for name, at in zip(names, (place, other), strict=False)]
        for call in calls:
            call.prepare()
        wait_for(lambda: two_connections(place, other), "two connections")
        place.proxy.arm(fault)
        ends = at_once([call.make for call in calls])
        place.hits = place.proxy.hits - place.proxy.new_hits
        place.recovers(connections=2)
        for call, (result, failure) in zip(calls, ends, strict=True):
            call.judge(result, failure)
    return [(call, *end) for call, end in zip(calls, ends, strict=True)]


def all_are_noticed(place: Place, fault: Fault, *names: str) -> None:
    """A call that gets more or fewer replies than it has commands notices that by itself."""
    same = len({replies_to(name) for name in names}) == 1
    for name, (_, result, failure) in zip(names, outcomes(place, fault, *names), strict=True):
        what = f"{name} among {names}, {fault.kind} {fault.part}"
        assert not same or isinstance(failure, ENDS[name]), f"{what}: {result!r}, {failure!r}"


@pytest.mark.parametrize("first", range(LONGEST))
def test_req_61_swapped_replies_are_noticed_whatever_they_answer(place: Place, first: int) -> None:
    # From each reply on: all, all but the first, and the nonces alone.
    for one, other in PAIRS:
        if first < min(replies_to(one), replies_to(other)):
            all_are_noticed(place, Fault("swap", times=2, part=(first, None)), one, other)


@pytest.mark.parametrize("name", CALLS)
def test_req_61_a_reply_that_comes_twice_is_never_the_answer_to_the_next(
    place: Place, name: str
) -> None:
    # There is one too many, which is noticed by itself, so a call may have been repeated.
    for first in range(replies_to(name)):
        fault = Fault("repeat", part=(first, None))
        for _, _, failure in outcomes(place, fault, name):
            assert failure is None or isinstance(failure, ENDS[name]), f"{first}: {failure!r}"


@pytest.mark.parametrize("name", CALLS)
def test_req_61_replies_that_moved_up_by_one_are_noticed_wherever_it_begins(
    place: Place, name: str
) -> None:
    for first in range(replies_to(name)):
        all_are_noticed(place, Fault("shift", times=2, part=(first, None)), name, name)


def test_req_61_a_record_in_the_place_of_another_is_noticed_by_its_tag(place: Place) -> None:
    for _, _, failure in outcomes(place, Fault("swap", times=2, part=(0, 1)), "load", "load"):
        assert isinstance(failure, ForeignReply)


@pytest.mark.parametrize("part", [(0, 1), (1, 2)], ids=["GET", "PTTL"])
def test_req_61_69_one_reply_in_the_place_of_another_is_never_no_session(
    place: Place, part: tuple[int, int]
) -> None:
    for _ in range(3):
        stored, nothing = outcomes(place, Fault("swap", times=2, part=part), "load", "load nothing")
        assert isinstance(nothing[2], ForeignReply)
        assert isinstance(stored[2], ForeignReply) if part == (0, 1) else stored[1] is not None


def test_a_reply_that_is_no_record_is_not_noticed_if_it_alone_is_replaced(place: Place) -> None:
    # The limit of it, which the guide states: two PEXPIRE answers 1, and each gets the other's.
    for _, _, failure in outcomes(place, Fault("swap", times=2, part=(0, 1)), "touch", "touch"):
        assert failure is None


def replies_to(name: str) -> int:
    return LONGEST if name == "load" else 2


def test_the_lengths_of_pipelines_are_these(place: Place) -> None:
    for name in CALLS:
        call = CALLS[name](place)
        call.prepare()
        place.proxy.arm(None)
        call.make()
        pipelines = place.proxy.passed("request").count(b"PING\r\n") - (name == "ping")
        assert pipelines == LONG.get(name, 1)
        pttl = place.proxy.passed("request").count(b"PTTL\r\n")
        assert 2 + pttl == replies_to(name)
