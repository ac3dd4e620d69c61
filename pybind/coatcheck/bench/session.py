"""
What sessions cost a Redis server: time and memory, among few and many others, and in conflicts.

These are times and bytes of this machine, not ratios; so each is the median of rounds in which all
that is measured takes turns, with the lowest and the highest beside it. Nothing here has a goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .frame import Asked
from .record import Found
from .redis_client import Client
from .redis_server import a_server
from .session_conflict import conflict
from .session_operations import memory, processor_time
from .session_scale import NotEnoughMemory, check_memory, scale

__all__ = ["FULL", "PARTS", "QUICK", "SESSIONS", "Effort", "NotEnoughMemory", "measure", "measured"]

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


PARTS = ("operations", "bytes", "many", "conflict")


def measure(asked: Asked) -> Found:
    quick = asked.effort < 1
    sessions = asked.sessions or (SESSIONS[:2] if quick else SESSIONS)
    effort = QUICK if quick else FULL
    effort = replace(effort, rounds=asked.rounds or effort.rounds)
    return measured(asked, effort, sessions)


def measured(asked: Asked, effort: Effort, sessions: Sequence[int]) -> Found:
    if asked.wants("many"):
        check_memory(sessions)
    with a_server() as server, Client(server.port) as client:
        found = Found([], {"server": client.server()})
        if asked.wants("operations"):
            found.tables.append(processor_time(server, client, effort.rounds, effort.batch))
        if asked.wants("bytes"):
            found.tables.append(memory(server, client, effort.rounds, effort.grown))
        if asked.wants("many"):
            found.tables += scale(sessions, effort.rounds, effort.among_many)
        if asked.wants("conflict"):
            found.tables.append(conflict(server, client, effort.rounds, effort.saves))
    return found
