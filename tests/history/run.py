"""Plays random programs against a Redis of its own, and checks their history.

    python tests/history/run.py --ops 1000000 --seed 7

The work is cut into histories of some thousand operations, each with a seed of its own and each
checked as soon as it is complete. A history with a fault is kept, and its seed printed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "py")]

import events  # noqa: E402
from backends import Coatcheck  # noqa: E402
from browsers import Jars  # noqa: E402
from checker import RULES, Fault, faults  # noqa: E402
from conftest import RedisServer, a_redis_server, wait_for  # noqa: E402
from events import LAST, Event  # noqa: E402
from faults import Fault as Harm  # noqa: E402
from faults import Kind, Loop, Proxy, Side  # noqa: E402
from history import History  # noqa: E402
from programs import Player  # noqa: E402

TIMEOUT = 0.5

fork = multiprocessing.get_context("fork")


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

    def policy(self) -> Policy:
        return POLICIES[self.seed % len(POLICIES)]

    def cap(self) -> int | None:
        """On the sessions of a principal: in every other history."""
        return 2 if (self.turn() + self.turn() // 4) % 2 else None

    def at_most(self) -> dict[str, Any]:
        if self.cap() is None:
            return {}
        return {"max_sessions": self.cap(), "on_max": ("evict", "refuse")[self.turn() // 2 % 2]}

    def turn(self) -> int:
        """Each policy has its turn before anything else changes."""
        return self.seed // len(POLICIES)

    def players(self) -> int:
        return self.processes * self.threads


def in_turns(seed: int, operations: int = 2000) -> Plan:
    """All requests in one thread, which plays the same game each time."""
    return Plan(seed, operations, processes=1, threads=1, together=6, browsers=5)


# ---- Playing --------------------------------------------------------------------------------


def play(plan: Plan, server: RedisServer, folder: Path) -> list[Path]:
    """Plays a plan, and returns the files of its history."""
    server.cli("FLUSHALL")
    jars = Jars(plan.browsers)
    if plan.processes == 1:
        files = play_process(plan, 0, server, jars, folder)
    else:
        numbers = range(plan.processes)
        workers = [
            fork.Process(target=play_process, args=(plan, n, server, jars, folder)) for n in numbers
        ]
        _run_all(workers)
        files = sorted(folder.glob(f"{plan.seed}-*.jsonl"))
    if plan.harm:
        time.sleep(2 * TIMEOUT)  # what is late arrives
    return [*files, _look_afterwards(plan, server, jars, folder)]


def _run_all(workers: list[ForkProcess]) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode != 0:
            raise RuntimeError(f"a process of the players ended with {worker.exitcode}")


def play_process(
    plan: Plan, number: int, server: RedisServer, jars: Jars, folder: Path
) -> list[Path]:
    with harmed(plan, server) as (url, proxy):

        def disturb(draw: random.Random) -> None:
            if proxy is not None and draw.random() < plan.harm:
                proxy.arm(a_harm(draw))

        backend = Coatcheck(
            url,
            timeout=TIMEOUT,
            connect_timeout=TIMEOUT,
            lock_ttl=2 * TIMEOUT,
            on_conflict=plan.policy().by_field,
            **plan.at_most(),
        )
        players = [
            Player(
                f"{number}.{n}",
                f"{plan.seed} {number} {n}",
                backend,
                jars,
                together=plan.together,
                named=plan.policy().named,
                yields=plan.policy().yields,
                disturb=disturb,
            )
            for n in range(plan.threads)
        ]
        play_threads(players, plan.operations // plan.players())
        backend.close()
    path = folder / f"{plan.seed}-{number}.jsonl"
    events.write(path, (event for player in players for event in player.events))
    return [path]


def play_threads(players: list[Player], operations: int) -> None:
    if len(players) == 1:
        players[0].play(operations)
        return
    failures: list[BaseException] = []

    def run(player: Player) -> None:
        try:
            player.play(operations)
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(player,)) for player in players]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


@contextmanager
def harmed(plan: Plan, server: RedisServer) -> Iterator[tuple[str, Proxy | None]]:
    """The server's URL, and the proxy that it leads to, if the plan has one."""
    if not plan.harm:
        yield server.url, None
        return
    loop = Loop()
    proxy = Proxy(loop, server.path)
    try:
        yield proxy.url(), proxy
    finally:
        proxy.close()
        wait_for(lambda: not proxy.open, "the proxy to let go of all connections")
        loop.close()


def a_harm(draw: random.Random) -> Harm:
    """Mostly the connection is lost, and with it a request or the reply to one that was carried
    out; the call is made again. Now and then nobody can tell, for nothing comes until the deadline
    of the call, or the command arrives long after it.

    One connection only: where none can be made, all calls fail for a while without being sent.
    """
    side: Side = draw.choice(("reply", "reply", "request"))
    if draw.random() < 0.9:
        kind: Kind = draw.choice(("cut", "reset"))
        return Harm(kind, side, at=draw.choice((0, 0, 1, 30)))
    if side == "reply":
        return Harm("stall", side)
    return Harm("delay", side, seconds=2 * TIMEOUT)


def _look_afterwards(plan: Plan, server: RedisServer, jars: Jars, folder: Path) -> Path:
    backend = Coatcheck(server.url, timeout=30)
    player = Player("end", "", backend, jars, together=1)
    player.look_at_all(jars.all())
    backend.close()
    path = folder / f"{plan.seed}-end.jsonl"
    events.write(path, [*player.events, *keys_without_ttl(server)])
    return path


def keys_without_ttl(server: RedisServer) -> Iterator[Event]:
    for key in server.records():
        if server.cli("PTTL", key) == -1:
            at = time.monotonic_ns()
            yield {"op": "key", "key": key.decode(), "begin": at, "end": at, "visit": "end"}


# ---- Checking -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    faults: list[Fault]
    operations: int
    summary: dict[str, int]


def judge(files: list[Path], cap: int | None = None) -> Verdict:
    happened: dict[str, int] = {}

    def counted() -> Iterator[Event]:
        for event in events.read(files):
            if "result" in event:
                kind = event["kind"] if event["op"] == "save" else event["op"]
                name = f"{kind} {event['result']}"
                happened[name] = happened.get(name, 0) + 1
            yield event

    history = History(counted(), cap)
    return Verdict(list(faults(history)), history.count, happened)


def play_and_judge(plan: Plan, server: RedisServer, folder: Path) -> Verdict:
    return judge(play(plan, server, folder), plan.cap())


def main() -> int:
    args = arguments()
    logging.getLogger("coatcheck").setLevel(logging.CRITICAL)  # what it has to say is expected here
    if args.check:
        return report(judge(args.check, args.cap))
    happened: Counter[str] = Counter()
    done, seed, begin = 0, args.seed, time.monotonic()
    with a_redis_server() as server:
        while done < args.ops:
            plan = plan_of(args, seed)
            folder = Path(tempfile.mkdtemp(prefix="coat-history-"))
            verdict = play_and_judge(plan, server, folder)
            if verdict.faults:
                report(verdict)
                print_again(args, plan, folder)
                return 1
            shutil.rmtree(folder)
            happened.update(verdict.summary)
            done, seed = done + verdict.operations, seed + 1
    print_summary(happened)
    seconds = time.monotonic() - begin
    print(f"{done} operations in {seconds:.0f} s, seeds {args.seed} to {seed - 1}: no fault")
    return 0


def plan_of(args: argparse.Namespace, seed: int) -> Plan:
    plan = in_turns(seed, args.size) if args.turns else Plan(seed, args.size)
    # Most histories have no proxy in their way, and so race harder.
    harmed = args.turns or plan.turn() % 4 == 0
    return replace(plan, harm=args.harm if harmed else 0.0)


def print_again(args: argparse.Namespace, plan: Plan, folder: Path) -> None:
    same = f"--size {args.size} --harm {args.harm}" + " --turns" * args.turns
    cap = "" if plan.cap() is None else f" --cap {plan.cap()}"
    print(f"seed {plan.seed} shows a fault. To play it again, and to check this history again:")
    print(f"  {sys.argv[0]} --ops 1 --seed {plan.seed} {same}")
    print(f"  {sys.argv[0]}{cap} --check {folder}/*.jsonl")


def report(verdict: Verdict) -> int:
    print_summary(verdict.summary)
    for fault in verdict.faults[:20]:
        print(f"{fault}\n    {RULES[fault.rule]}")
    print(f"{verdict.operations} operations, {len(verdict.faults)} faults")
    return 1 if verdict.faults else 0


def print_summary(summary: dict[str, int]) -> None:
    for name, count in sorted(summary.items()):
        print(f"{count:9} {name}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ops", type=int, default=20_000, help="at least so many (20000)")
    parser.add_argument("--size", type=int, default=10_000, help="of one history (10000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first history (1)")
    parser.add_argument("--turns", action="store_true", help="one thread: plays the same each time")
    parser.add_argument("--harm", type=float, default=0.02, help="how often a call is cut (0.02)")
    parser.add_argument("--cap", type=int, help="with --check: on the sessions of a principal")
    parser.add_argument("--check", type=Path, nargs="+", help="only check these files")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
