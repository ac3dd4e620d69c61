"""Could all this have happened one after the other? A checker for histories of one entry.

A history is what several processes have asked of the entry, each with the moments between which it
happened. It is linearizable if there is an order, in which nothing precedes what had ended before
it began, and in which a plain model of an entry gives every answer. The search is that of Wing and
Gong, with the states that were seen kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

REFUSED = "refused"  # instead of a sum: the entry is no number


class State(NamedTuple):
    """An entry, None being none, and those who make its value and may still store it."""

    value: str | int | None = None
    makers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Op:
    """What was asked, with what, and the answer; between which moments."""

    name: str
    start: int
    end: int
    given: Any = None
    answer: Any = None


Step = Callable[[State, Any, Any], "list[State]"]
NEVER: list[State] = []


def when(true: bool, state: State) -> list[State]:
    return [state] if true else NEVER


def _get(now: State, _: Any, answer: Any) -> list[State]:
    return when(now.value == answer and type(now.value) is type(answer), now)


def _has(now: State, _: Any, answer: bool) -> list[State]:
    return when((now.value is not None) == answer, now)


def _set(now: State, value: Any, _: Any) -> list[State]:
    return [State(value)]


def _add(now: State, value: Any, answer: bool) -> list[State]:
    return when((now.value is None) == answer, State(value) if answer else now)


def _replace(now: State, value: Any, answer: bool) -> list[State]:
    return when((now.value is not None) == answer, State(value) if answer else now)


def _swap(now: State, given: Any, answer: bool) -> list[State]:
    expected, value = given
    return when((now.value == expected) == answer, State(value) if answer else now)


def _incr(now: State, given: Any, answer: Any) -> list[State]:
    by, initial = given
    if isinstance(now.value, str):
        return when(answer == REFUSED, now)
    if now.value is None and initial is None:
        return when(answer is None, now)
    total = (initial if now.value is None else now.value) + by
    return when(answer == total, State(total))


def _delete(now: State, _: Any, answer: bool | None) -> list[State]:
    """None: it is not known whether there was one."""
    return when(answer in (None, now.value is not None), now._replace(value=None))


def _delete_perhaps(now: State, _: Any, __: Any) -> list[State]:
    return [now, now._replace(value=None)]


def _pop(now: State, _: Any, answer: Any) -> list[State]:
    return when(now.value == answer, now._replace(value=None))


def _stop_makers(now: State, _: Any, __: Any) -> list[State]:
    return [State(now.value)]


def _claim(now: State, maker: str, _: Any) -> list[State]:
    return when(now.value is None, State(None, now.makers | {maker}))


def _fill(now: State, maker: str, value: Any) -> list[State]:
    """What was written or deleted since the claim has stopped its maker."""
    return [State(value) if maker in now.makers else now]


def _wait(now: State, _: Any, answer: Any) -> list[State]:
    """Of another who makes it, from when it was still of use; he is called what he makes."""
    return when(now.value == answer or answer in now.makers, now)


STEPS: dict[str, Step] = {
    "get": _get,
    "wait": _wait,
    "has": _has,
    "set": _set,
    "add": _add,
    "replace": _replace,
    "swap": _swap,
    "incr": _incr,
    "delete": _delete,
    "delete perhaps": _delete_perhaps,
    "pop": _pop,
    "stop makers": _stop_makers,
    "claim": _claim,
    "fill": _fill,
}


class Place(NamedTuple):
    """All before `base` has happened, and those whose bits are set from there on."""

    base: int
    bits: int
    state: State

    def done(self, index: int) -> bool:
        return index < self.base or bool(self.bits >> (index - self.base) & 1)


def _after(place: Place, index: int, state: State) -> Place:
    base, bits = place.base, place.bits | 1 << (index - place.base)
    while bits & 1:
        base, bits = base + 1, bits >> 1
    return Place(base, bits, state)


def _next(ops: list[Op], place: Place) -> Iterator[int]:
    """Those that may come next: none of the others had ended before they began."""
    first_end = None
    for index in range(place.base, len(ops)):
        if place.done(index):
            continue
        op = ops[index]
        if first_end is not None and op.start > first_end:
            return
        first_end = op.end if first_end is None else min(first_end, op.end)
        yield index


def fault_of(history: Iterable[Op]) -> str | None:
    """Why it is not linearizable, or None."""
    ops = sorted(history, key=lambda op: op.start)
    begin = furthest = Place(0, 0, State())
    todo, seen = [begin], {begin}
    while todo:
        place = todo.pop()
        if place.base == len(ops):
            return None
        furthest = max(furthest, place, key=lambda p: p.base)
        for index in _next(ops, place):
            op = ops[index]
            for state in STEPS[op.name](place.state, op.given, op.answer):
                following = _after(place, index, state)
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
    if not ops:
        return None
    at, end = furthest.base, ops[furthest.base].end
    around = [
        f"{'' if furthest.done(n) else 'not '}done: {op}"
        for n, op in enumerate(ops)
        if n in range(at - 2, at + 5) or (op.start < end and op.end > ops[at].start)
    ]
    what = f"after {at} of {len(ops)} the entry may be {furthest.state}, and nothing fits; there is"
    return "\n  ".join([what, *around])
