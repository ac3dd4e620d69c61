"""
What sessions cost a Redis server: time and memory, among few and many others, and in conflicts.

These are times and bytes of this machine, not ratios; so each is the median of rounds in which all
that is measured takes turns, with the lowest and the highest beside it. Nothing here has a goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coatcheck import __version__

from .figures import Table, machine
from .redis_client import Client
from .redis_server import a_server
from .session_conflict import conflict
from .session_operations import memory, processor_time
from .session_scale import NotEnoughMemory, check_memory, scale

__all__ = ["FULL", "QUICK", "SESSIONS", "Effort", "NotEnoughMemory", "measure"]

SESSIONS = (1_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Effort:
    rounds: int
    batch: int  # calls of an operation in a round
    among_many: int  # calls among many sessions in a round
    grown: int  # sessions by which memory grows
    saves: int  # in a round of those that write at once


FULL = Effort(rounds=9, batch=200, among_many=2000, grown=1000, saves=640)
QUICK = Effort(rounds=3, batch=20, among_many=100, grown=200, saves=32)


def measure(effort: Effort, sessions: Sequence[int]) -> tuple[str, list[Table]]:
    """Where it was measured, and the tables."""
    check_memory(sessions)
    here = machine()
    with a_server() as server, Client(server.port) as client:
        where = f"coatcheck {__version__}, {client.server()}; {here}"
        tables = [
            processor_time(server, client, effort.rounds, effort.batch),
            memory(server, client, effort.rounds, effort.grown),
            conflict(server, client, effort.rounds, effort.saves),
        ]
    tables[2:2] = scale(sessions, effort.rounds, effort.among_many)
    return where, tables
