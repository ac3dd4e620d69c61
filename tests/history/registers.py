"""What the fields of one session were seen to hold, and whether that can be.

A field is a register: each write has a name that no other has, and whoever reads tells which write
he saw. A deletion has a name too (see events.py). Then whether all that was seen fits some order in
which every write and every read takes effect at one moment between its begin and its end can be
decided by sorting: the method is that of Gibbons and Korach ("Testing shared memories", 1997).

All that belongs to one write, itself and those who read it, is a cluster. From the first end in it
to the last begin the register must have held that value (if the former comes before the latter), so
no two clusters may claim the same time; and no other cluster may lie wholly within such a claim,
for the value would have been away and come back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

#: The name of the write that stands for "nobody has written it yet".
NOTHING = ""


@dataclass
class Cluster:
    """A write and all that was seen of it."""

    name: str
    deletes: bool = False
    written: bool = False
    begin: float = inf  # of the write
    first_end: float = inf
    last_begin: float = -inf
    seen: bool = False

    @property
    def claims(self) -> bool:
        """It must have been there, without a break, for some time."""
        return self.first_end < self.last_begin


@dataclass
class Register:
    clusters: dict[str, Cluster] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clusters[NOTHING] = Cluster(NOTHING, True, True, -inf, -inf, -inf, seen=True)

    def write(self, name: str, begin: float, end: float, *, deletes: bool) -> None:
        """End is infinite where nobody knows whether it has landed."""
        cluster = self._cluster(name)
        cluster.deletes, cluster.written, cluster.begin = deletes, True, begin
        cluster.seen |= end < inf
        cluster.first_end = min(cluster.first_end, end)
        cluster.last_begin = max(cluster.last_begin, begin)

    def read(self, name: str, begin: float, end: float) -> None:
        cluster = self._cluster(name)
        cluster.seen = True
        cluster.first_end = min(cluster.first_end, end)
        cluster.last_begin = max(cluster.last_begin, begin)

    def _cluster(self, name: str) -> Cluster:
        cluster = self.clusters.get(name)
        if cluster is None:
            cluster = self.clusters[name] = Cluster(name)
        return cluster

    def faults(self) -> Iterator[tuple[str, str]]:
        """A rule that was broken, and what happened, for each fault."""
        seen = [cluster for cluster in self.clusters.values() if cluster.seen]
        for cluster in seen:
            if not cluster.written:
                yield (
                    "phantom",
                    f"{cluster.name!r} was read, which no save that landed wrote",
                )
            elif cluster.first_end < cluster.begin:
                yield "phantom", f"{cluster.name!r} was read before its save began"
        yield from _breaks(seen)


def _breaks(seen: Iterable[Cluster]) -> Iterator[tuple[str, str]]:
    claims = sorted((c for c in seen if c.claims), key=lambda c: c.first_end)
    for older, newer in pairwise(claims):
        if newer.first_end < older.last_begin:
            yield _came_back(older, newer)
    starts = [claim.first_end for claim in claims]
    for cluster in seen:
        at = bisect_right(starts, cluster.last_begin) - 1
        if at < 0 or cluster.claims:
            continue
        claim = claims[at]
        if claim.first_end < cluster.last_begin and cluster.first_end < claim.last_begin:
            yield _came_back(claim, cluster)


def _came_back(older: Cluster, newer: Cluster) -> tuple[str, str]:
    """The older value was there, then the newer one, then the older one again."""
    was = repr(older.name) if older.name else "the state before any write"
    if newer.deletes and not older.deletes:
        return "deletion-undone", f"{was} came back after the deletion {newer.name!r} had landed"
    return "lost-update", f"{was} came back after {newer.name!r} had landed"


@dataclass
class Counter:
    """Increments of one field, and what was read of it."""

    landed: list[tuple[float, float, int, int]] = field(default_factory=list)  # begin end by after
    unclear: list[tuple[float, int]] = field(default_factory=list)  # begin by
    reads: list[tuple[float, float, int]] = field(default_factory=list)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from self._twice()
        ends = sorted((end, by) for _, end, by, _ in self.landed)
        begins = sorted([(b, by) for b, _, by, _ in self.landed] + self.unclear)
        must, may = _Sums(ends), _Sums(begins)
        seen = [(begin, end, after) for begin, end, _, after in self.landed]
        for begin, end, value in self.reads + seen:
            least, most = must.before(begin), may.before(end)
            if value < least:
                yield "lost-update", f"{value} was read, but {least} had been counted"
            elif value > most:
                yield "counted-twice", f"{value} was read, but at most {most} could be counted"

    def _twice(self) -> Iterator[tuple[str, str]]:
        """Each increment led to a value of its own."""
        steps = sorted((after, by) for _, _, by, after in self.landed)
        for (before, _), (after, by) in pairwise(steps):
            if after - by < before:
                yield "lost-update", f"two increments by {by} began with less than {before}"


class _Sums:
    def __init__(self, amounts: list[tuple[float, int]]) -> None:
        self._times = [time for time, _ in amounts]
        self._sums = [0]
        for _, by in amounts:
            self._sums.append(self._sums[-1] + by)

    def before(self, time: float) -> int:
        """The sum of those at an earlier time, or at this very one."""
        return self._sums[bisect_right(self._times, time)]
