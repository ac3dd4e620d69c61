"""
What operations cost a server, by its own account: INFO before and after.

A command that a script calls has its entry in `commandstats` as well as the script, whose time
holds it already. So only the commands that an operation sends count, which MONITOR tells from those
that scripts call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .redis_client import Client, figures_of

_MONITORED = re.compile(r'[\d.]+ \[\d+ (?P<who>[^\]]*)\] "(?P<command>[^"]*)"')
_CALLS = re.compile(r"^cmdstat_(\w+):calls=(\d+),usec=(\d+)", re.MULTILINE)
_MARK = "the operation has ended"


@dataclass(frozen=True)
class Sends:
    """The commands that an operation sends, and how often each script of it calls which."""

    commands: Counter[str]
    by_scripts: Counter[str]

    def __str__(self) -> str:
        times = self.commands.items()
        return ", ".join(name if n == 1 else f"{n} {name}" for name, n in times)


def sends(client: Client, operation: Callable[[], object]) -> Sends:
    """By doing it once, while nobody else does anything."""
    found = Sends(Counter(), Counter())
    with Client(client.port) as monitor:
        monitor("MONITOR")
        operation()
        client("ECHO", _MARK)
        while _MARK not in (line := str(monitor.reply())):
            if seen := _MONITORED.match(line):
                calls = found.by_scripts if seen["who"] == "lua" else found.commands
                calls[seen["command"].upper()] += 1
    twice = found.commands.keys() & found.by_scripts.keys()
    if twice:
        raise RuntimeError(f"sent and called by a script, so its time is not known: {twice}")
    return found


@dataclass(frozen=True)
class Cost:
    """Of one operation; times in microseconds."""

    commands: float
    round_trips: float
    in_commands_us: float  # what the server says that its commands took
    processor_us: float  # of the process, so with reading, parsing and answering


@dataclass(frozen=True)
class _Account:
    reads: int  # of what clients sent
    calls: dict[str, tuple[int, int]]  # how many of each command, and their microseconds
    processor_s: float


def _account(client: Client, sections: Sequence[str]) -> _Account:
    """In one round trip, in this order."""
    replies = client.pipeline([("INFO", section) for section in sections])
    info = {section: reply.decode() for section, reply in zip(sections, replies, strict=True)}
    cpu, stats = figures_of(info["cpu"]), figures_of(info["stats"])
    calls = {
        name.upper(): (int(n), int(us)) for name, n, us in _CALLS.findall(info["commandstats"])
    }
    processor_s = float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
    return _Account(int(stats["total_reads_processed"]), calls, processor_s)


class Meter:
    """Between its making and `cost`, only the operations that are meant may happen."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before = _account(client, ("stats", "commandstats", "cpu"))

    def cost(self, operations: int, sent: Iterable[str]) -> Cost:
        """The processor's time first, so that the other questions are not in it."""
        after = _account(self._client, ("cpu", "commandstats", "stats"))
        calls = usec = 0
        for command in sent:
            n, us = after.calls.get(command, (0, 0))
            n_before, us_before = self._before.calls.get(command, (0, 0))
            calls, usec = calls + n - n_before, usec + us - us_before
        return Cost(
            calls / operations,
            (after.reads - self._before.reads - 1) / operations,  # but for this question
            usec / operations,
            (after.processor_s - self._before.processor_s) * 1e6 / operations,
        )


def used_memory(client: Client) -> int:
    return int(client.info("memory")["used_memory"])
