"""Plays random programs against servers of its own, and checks their history.

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

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "py")]

import events  # noqa: E402
import shifted_clock  # noqa: E402
from aio_backend import AioCoatcheck, InTurns  # noqa: E402
from backends import Backend, Coatcheck  # noqa: E402
from browsers import Jars  # noqa: E402
from checker import RULES, Fault, faults  # noqa: E402
from clocks import Clocks  # noqa: E402
from conftest import RedisServer, wait_for  # noqa: E402
from events import Event  # noqa: E402
from faults import Fault as Harm  # noqa: E402
from faults import Kind, Loop, Proxy, Side  # noqa: E402
from history import History, Renewal  # noqa: E402
from places import Places, Where, flush, keys_without_ttl  # noqa: E402
from plans import FACES, PLACES, TIMEOUT, Plan, drawn, in_turns  # noqa: E402
from programs import Player  # noqa: E402

fork = multiprocessing.get_context("fork")


# ---- Playing --------------------------------------------------------------------------------


def play(plan: Plan, where: Where, folder: Path) -> list[Path]:
    """Plays a plan, and returns the files of its history."""
    flush(where)
    jars = Jars(plan.browsers)
    clocks = Clocks(plan.seed, leap=plan.renews, skewed=plan.skewed)
    if plan.processes == 1:
        files = play_process(plan, 0, where, jars, clocks, folder)
    else:
        workers = [
            fork.Process(target=play_process, args=(plan, n, where, jars, clocks, folder))
            for n in range(plan.processes)
        ]
        _run_all(workers)
        files = sorted(folder.glob(f"{plan.seed}-*.jsonl"))
    if plan.harm:
        time.sleep(2 * TIMEOUT)  # what is late arrives
    with clocks.of(None):
        return [*files, _look_afterwards(plan, where, jars, folder)]


def _run_all(workers: list[ForkProcess]) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode != 0:
            raise RuntimeError(f"a process of the players ended with {worker.exitcode}")


def play_process(
    plan: Plan, number: int, where: Where, jars: Jars, clocks: Clocks, folder: Path
) -> list[Path]:
    with clocks.of(number), harmed(plan, where) as (url, proxy):

        def disturb(draw: random.Random) -> None:
            clocks.tick(draw)
            if proxy is not None and draw.random() < plan.harm:
                proxy.arm(a_harm(draw))

        backend = faces(plan, url)
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


def faces(plan: Plan, url: str) -> Backend:
    """The store, as these programs see it."""
    if plan.faces == "blocking":
        return Coatcheck(url, **plan.options())
    with_await = AioCoatcheck(url, offers=Coatcheck.offers, **plan.options())
    if plan.faces == "asyncio":
        return with_await
    return InTurns(Coatcheck(url, **plan.options()), with_await)


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
def harmed(plan: Plan, where: Where) -> Iterator[tuple[str, Proxy | None]]:
    """The URL, and the proxy that it leads to, if the plan has one: before a single server."""
    if not plan.harm or not isinstance(where, RedisServer):
        yield where.url, None
        return
    loop = Loop()
    proxy = Proxy(loop, where.path)
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


def _look_afterwards(plan: Plan, where: Where, jars: Jars, folder: Path) -> Path:
    backend = Coatcheck(where.url, timeout=30)
    player = Player("end", "", backend, jars, together=1)
    player.look_at_all(jars.all())
    backend.close()
    path = folder / f"{plan.seed}-end.jsonl"
    events.write(path, [*player.events, *keys_without_ttl(where)])
    return path


# ---- Checking -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    faults: list[Fault]
    operations: int
    summary: dict[str, int]


def judge(files: list[Path], cap: int | None = None, renewal: Renewal | None = None) -> Verdict:
    happened: dict[str, int] = {}

    def counted() -> Iterator[Event]:
        for event in events.read(files):
            if "result" in event:
                name = f"{_kind(event)} {event['result']}"
                happened[name] = happened.get(name, 0) + 1
            yield event

    history = History(counted(), cap, renewal)
    return Verdict(list(faults(history)), history.count, happened)


def _kind(event: Event) -> str:
    if event["op"] != "save":
        return str(event["op"])
    renews = event["kind"] == "save" and event["session"] and event["new_id"] != event["id"]
    return "renewing" if renews and event["result"] == "saved" else str(event["kind"])


def play_and_judge(plan: Plan, where: Where, folder: Path) -> Verdict:
    return judge(play(plan, where, folder), plan.cap(), plan.renewal())


def main() -> int:
    args = arguments()
    logging.getLogger("coatcheck").setLevel(logging.CRITICAL)  # what it has to say is expected here
    if args.check:
        renewal = None if args.renewal is None else Renewal(*args.renewal)
        return report(judge(args.check, args.cap, renewal))
    happened: Counter[str] = Counter()
    played: Counter[str] = Counter()
    done, seed, begin = 0, args.seed, time.monotonic()
    with Places() as places:
        while done < args.ops:
            plan = plan_of(args, seed)
            folder = Path(tempfile.mkdtemp(prefix="coat-history-"))
            verdict = play_and_judge(plan, places[plan.place], folder)
            if verdict.faults:
                report(verdict)
                print_again(plan, args, folder)
                return 1
            shutil.rmtree(folder)
            happened.update(verdict.summary)
            played[str(plan)] += verdict.operations
            done, seed = done + verdict.operations, seed + 1
    print_summary(happened)
    print_summary(played)
    seconds = time.monotonic() - begin
    print(f"{done} operations in {seconds:.0f} s, seeds {args.seed} to {seed - 1}: no fault")
    return 0


def plan_of(args: argparse.Namespace, seed: int) -> Plan:
    """As its seed says, but for what the command line does. A game in turns is by one process on
    one server, and its clock is right, or it would not be the same each time."""
    plan = drawn(Plan(seed, args.size))
    if args.turns:
        plan = replace(in_turns(seed, args.size), faces=plan.faces)
    given = {name: getattr(args, name) for name in ("place", "faces", "renews", "skewed")}
    plan = replace(plan, **{name: value for name, value in given.items() if value is not None})
    # Most histories have no proxy in their way, and so race harder.
    harmed = plan.place == "server" and (args.turns or plan.turn() % 4 == 0)
    return replace(plan, harm=args.harm if harmed else 0.0)


def print_again(plan: Plan, args: argparse.Namespace, folder: Path) -> None:
    cap, renewal = plan.cap(), plan.renewal()
    rules = "" if cap is None else f" --cap {cap}"
    rules += "" if renewal is None else f" --renewal {renewal.period} {renewal.grace}"
    print(f"seed {plan.seed} shows a fault. To play it again, and to check this history again:")
    print(f"  {sys.argv[0]} {again(plan, args)}")
    print(f"  {sys.argv[0]}{rules} --check {folder}/*.jsonl")


def again(plan: Plan, args: argparse.Namespace) -> str:
    """The arguments that play just this plan."""
    words = f"--ops 1 --seed {plan.seed} --size {plan.operations} --harm {args.harm}"
    words += f" --place {plan.place} --faces {plan.faces}"
    for name in ("renews", "skewed"):
        words += f" --{'' if getattr(plan, name) else 'no-'}{name}"
    return words + " --turns" * args.turns


def report(verdict: Verdict) -> int:
    print_summary(verdict.summary)
    for fault in verdict.faults[:20]:
        print(f"{fault}\n    {RULES[fault.rule]}")
    print(f"{verdict.operations} operations, {len(verdict.faults)} faults")
    return 1 if verdict.faults else 0


def print_summary(summary: dict[str, int]) -> None:
    for name, count in sorted(summary.items()):
        print(f"{count:9} {name}")


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ops", type=int, default=20_000, help="at least so many (20000)")
    parser.add_argument("--size", type=int, default=10_000, help="of one history (10000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first history (1)")
    parser.add_argument("--turns", action="store_true", help="one thread: plays the same each time")
    parser.add_argument("--harm", type=float, default=0.02, help="how often a call is cut (0.02)")
    parser.add_argument("--place", choices=PLACES, help="where all are played (by seed)")
    parser.add_argument("--faces", choices=FACES, help="of the store, in all (by seed)")
    for name, what in (("renews", "ids are renewed"), ("skewed", "clocks are wrong")):
        action = argparse.BooleanOptionalAction
        parser.add_argument(f"--{name}", action=action, help=f"{what}, in all or none (by seed)")
    parser.add_argument("--renewal", type=int, nargs=2, help="with --check: period, grace (ms)")
    parser.add_argument("--cap", type=int, help="with --check: on the sessions of a principal")
    parser.add_argument("--check", type=Path, nargs="+", help="only check these files")
    return parser.parse_args(words)


if __name__ == "__main__":
    shifted_clock.start_again()
    sys.exit(main())
