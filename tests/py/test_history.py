"""Random programs against a real server, their histories checked; and stores that make mistakes,
each of which the checker finds."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from conftest import RedisServer, wait_for
from faults import Fault as Harm

HISTORY = Path(__file__).resolve().parents[1] / "history"
sys.path.insert(0, str(HISTORY))

import checker  # noqa: E402
import doubles  # noqa: E402
import events  # noqa: E402
import renewing_doubles  # noqa: E402
import run  # noqa: E402
from backends import BY_PRINCIPAL, Backend  # noqa: E402
from browsers import Jars  # noqa: E402
from history import Renewal  # noqa: E402
from plans import FACES, PLACES  # noqa: E402
from programs import CALLS, OPERATIONS, Player, Visit, logout, rotate  # noqa: E402

RUN = HISTORY / "run.py"


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Conflicts and failures are what happens here."""
    caplog.set_level(logging.CRITICAL, logger="coatcheck")


# ---- The store ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 6])
def test_req_24_a_game_in_turns_shows_no_fault(
    redis_server: RedisServer, tmp_path: Path, seed: int
) -> None:
    plan = run.in_turns(seed, 1000)
    verdict = run.play_and_judge(plan, redis_server, tmp_path)
    assert verdict.operations >= 1000
    assert not verdict.faults, f"python {RUN} --turns --ops 1 --size 1000 --seed {seed}"


def races(*options: str, within_s: int = 300) -> str:
    """What the program says of some histories; it starts anew, with a clock that can be shifted."""
    result = subprocess.run(
        [sys.executable, RUN, *options], capture_output=True, text=True, timeout=within_s
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_req_24_threads_and_processes_that_race_show_no_fault() -> None:
    here = ("--place", "server", "--no-renews", "--no-skewed")
    out = races("--ops", "3000", "--seed", "2", "--size", "1000", *here)
    assert "seeds 2 to 4: no fault" in out


def test_req_24_ids_that_are_renewed_under_clocks_that_are_wrong_show_no_fault() -> None:
    here = ("--place", "server", "--faces", "both", "--renews", "--skewed", "--harm", "0.0")
    out = races("--ops", "4000", "--seed", "2", "--size", "1000", *here)
    assert "seeds 2 to 5: no fault" in out
    assert re.search(r"\d{2} renewing saved", out)


def test_req_24_blocking_and_asyncio_together_show_no_fault() -> None:
    here = ("--place", "server", "--faces", "both", "--no-renews", "--no-skewed")
    out = races("--ops", "2000", "--seed", "4", "--size", "1000", *here)
    assert "server both" in out


@pytest.mark.parametrize("place", ["cluster", "sentinel"])
def test_req_24_histories_of_other_deployments_show_no_fault(place: str) -> None:
    out = races("--ops", "1600", "--seed", "6", "--size", "400", "--place", place)
    assert "seeds 6 to 9: no fault" in out


def test_req_24_histories_drawn_at_random_show_no_fault() -> None:
    """In every place and in every way; a million operations, where the tests may take long."""
    operations = os.environ.get("COAT_TEST_OPERATIONS", "1000")
    seed = os.environ.get("COAT_TEST_SEED", "1")
    size = str(min(int(operations), 10_000))
    out = races("--ops", operations, "--seed", seed, "--size", size, within_s=3600)
    assert ": no fault" in out


def test_a_plan_can_be_played_again() -> None:
    for turns in ([], ["--turns"]):
        args = run.arguments(["--size", "300", *turns])
        for seed in range(40):
            plan = run.plan_of(args, seed)
            assert run.plan_of(run.arguments(run.again(plan, args).split()), seed) == plan


def test_a_million_operations_are_played_in_every_way() -> None:
    args = run.arguments([])
    plans = [run.plan_of(args, seed) for seed in range(100)]
    assert {(plan.place, plan.renews) for plan in plans} == set(product(PLACES, (False, True)))
    assert {(plan.faces, plan.skewed) for plan in plans} == set(product(FACES, (False, True)))


def test_a_game_in_turns_may_be_played_by_both_faces(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    plan = replace(run.in_turns(9, 1000), faces="both")
    assert not run.play_and_judge(plan, redis_server, tmp_path).faults


def test_a_fault_is_reported_with_its_seed_and_its_history_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_a_fault(history: Any) -> list[checker.Fault]:
        return [checker.Fault("half-save", "session x", "as told")]

    monkeypatch.setattr(run, "faults", with_a_fault)
    options = ["--turns", "--size", "20", "--ops", "20", "--seed", "5", "--harm", "0.0"]
    monkeypatch.setattr(sys, "argv", [str(RUN), *options])
    assert run.main() == 1
    out = capsys.readouterr().out
    assert "half-save: session x: as told" in out
    assert "--ops 1 --seed 5 --size 20 --harm 0.0 --place server --faces" in out
    (kept,) = re.findall(r"--cap 2 --check (\S+)/\*\.jsonl", out)
    files = [str(file) for file in Path(kept).iterdir()]

    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", [str(RUN), "--cap", "2", "--check", *files])
    assert run.main() == 0
    assert "0 faults" in capsys.readouterr().out
    shutil.rmtree(kept)


def test_one_thread_plays_the_same_each_time(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which session is evicted, or ended of those listed, hangs on ids, which are never the same.
    monkeypatch.setattr(run.Coatcheck, "offers", run.Coatcheck.offers - BY_PRINCIPAL)
    plan = replace(run.in_turns(7, 400), harm=0.0)

    def game() -> list[Any]:
        files = run.play(plan, redis_server, tmp_path)
        # Ids, and so the order of the last look at them, are never the same.
        played = [event for event in events.read(files) if event["visit"].startswith("0")]
        return [(e["visit"], e["op"], e.get("result"), e.get("writes")) for e in played]

    assert game() == game()


WHAT_HAPPENS = {
    "destroy ended",
    "destroy-all ended",
    "list listed",
    "load found",
    "load none",
    "load stale",
    "login refused",
    "login replaced",
    "login saved",
    "logout ended",
    "logout replaced",
    "rotate replaced",
    "rotate saved",
    "save gone",
    "save replaced",
    "save saved",
}


def test_nothing_that_may_happen_is_left_out(redis_server: RedisServer, tmp_path: Path) -> None:
    left_out = WHAT_HAPPENS
    for seed in range(12, 60):  # three or four do; which of them meet is up to the machine
        plan = replace(run.in_turns(seed, 2000), harm=0.0)
        verdict = run.play_and_judge(plan, redis_server, tmp_path)
        assert not verdict.faults, verdict.faults
        left_out = left_out - verdict.summary.keys()
        if not left_out:
            return
    assert left_out == set()


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (Harm("cut", "reply"), "saved"),
        (Harm("cut", "request"), "saved"),
        (Harm("stall", "reply"), "unclear"),
        (Harm("stall", "request"), "unclear"),
    ],
    ids=str,
)
def test_what_is_lost_on_the_way_is_recorded_as_what_the_store_says(
    redis_server: RedisServer, harm: Harm, found: str
) -> None:
    plan = replace(run.in_turns(1), harm=1.0)
    with run.harmed(plan, redis_server) as (url, proxy):
        store = run.Coatcheck(url, timeout=run.TIMEOUT)
        scene = Scene(store)
        visit = scene.request()
        visit.write("a", visit.value("a"), visit.value("a"))
        proxy.arm(harm)
        scene.player.save(visit)
        proxy.disarm()
        scene.request()
        store.close()
    assert scene.player.events[-2]["result"] == found
    assert scene.rules_broken() == set()


def test_every_operation_is_played() -> None:
    assert run.Coatcheck.offers == OPERATIONS.keys() | CALLS.keys()


# ---- Stores that make mistakes --------------------------------------------------------------


class Scene:
    """One player whose requests go as the test says."""

    def __init__(self, store: Backend) -> None:
        self.player = Player("0", "1", store, Jars(1), together=1)
        visit = self.player.begin(0, None)
        for name in ("a", "b"):
            visit.write(name, visit.value(name), visit.value(name))
        self.player.save(visit)
        self.id: str = self.player.events[-1]["new_id"]

    def request(self) -> Visit:
        visit = self.player.begin(0, self.id)
        assert self.player.load(visit)
        return visit

    def rules_broken(self, renewal: Renewal | None = None) -> set[str]:
        return {fault.rule for fault in checker.check(self.player.events, renewal=renewal)}


def two_change_different_fields(scene: Scene) -> None:
    one, two = scene.request(), scene.request()
    one.write("a", one.value("a"), one.value("a"))
    two.write("c", two.value("c"), two.value("c"))
    scene.player.save(one)
    scene.player.save(two)
    scene.request()


def one_deletes_while_another_sets(scene: Scene) -> None:
    one, two = scene.request(), scene.request()
    one.delete("a", one.value("a"))
    two.write("c", two.value("c"), two.value("c"))
    scene.player.save(one)
    scene.player.save(two)
    scene.request()


def one_saves_after_a_logout(scene: Scene) -> None:
    one, two = scene.request(), scene.request()
    logout(two)
    assert scene.player.events[-1]["result"] == "ended"
    one.write("c", one.value("c"), one.value("c"))
    scene.player.save(one)


RACES = [two_change_different_fields, one_deletes_while_another_sets, one_saves_after_a_logout]

MISTAKES = [
    (doubles.PlainSet, two_change_different_fields, "lost-update"),
    (doubles.TwoWayMerge, one_deletes_while_another_sets, "deletion-undone"),
    (doubles.SaveThatCreates, one_saves_after_a_logout, "used-after-logout"),
]


@pytest.mark.parametrize(("kind", "race", "rule"), MISTAKES)
def test_a_mistake_is_found_by_its_own_rule(
    redis_server: RedisServer,
    kind: type[doubles.Right],
    race: Callable[[Scene], None],
    rule: str,
) -> None:
    with closing(kind(redis_server.path)) as store:
        scene = Scene(store)
        race(scene)
    assert scene.rules_broken() == {rule}


@pytest.mark.parametrize("race", RACES)
def test_a_store_without_the_mistakes_passes_the_same_races(
    redis_server: RedisServer, race: Callable[[Scene], None]
) -> None:
    with closing(doubles.Right(redis_server.path)) as store:
        scene = Scene(store)
        race(scene)
    assert scene.rules_broken() == set()


def play_double(
    redis_server: RedisServer, kind: type[doubles.Right], renewal: Renewal | None = None
) -> set[str]:
    jars = Jars(4)
    with closing(kind(redis_server.path)) as store:
        player = Player("0", "3", store, jars, together=6)
        player.play(1500)
        player.look_at_all(jars.all())
    return {fault.rule for fault in checker.check(player.events, renewal=renewal)}


@pytest.mark.parametrize(("kind", "race", "rule"), MISTAKES)
def test_a_mistake_shows_in_random_games_too(
    redis_server: RedisServer, kind: type[doubles.Right], race: object, rule: str
) -> None:
    assert rule in play_double(redis_server, kind)


def test_random_games_with_the_right_store_show_nothing(redis_server: RedisServer) -> None:
    assert play_double(redis_server, doubles.Right) == set()


# ---- Renewal of ids -------------------------------------------------------------------------

PERIOD_S, GRACE_S = (ms / 1000 for ms in renewing_doubles.RENEWAL)


class RenewalScene(Scene):
    """Its id has been renewed: `offered` is the other one."""

    def __init__(self, store: Backend) -> None:
        super().__init__(store)
        visit = self.request()
        after(PERIOD_S)
        self.player.save(visit)
        self.offered: str = self.player.events[-1]["new_id"]

    def comes_with(self, id: str) -> Visit:
        visit = self.player.begin(0, id)
        self.player.load(visit)
        return visit


def after(seconds: float) -> None:
    """By the clock that stores go by."""
    begin = time.time_ns()
    wait_for(lambda: time.time_ns() > begin + (seconds + 0.002) * 1e9, "some milliseconds")


def the_old_id_comes_again(scene: RenewalScene) -> None:
    scene.comes_with(scene.id)


def the_old_id_is_rotated(scene: RenewalScene) -> None:
    visit = scene.comes_with(scene.id)
    rotate(visit)
    scene.player.save(visit)
    scene.comes_with(scene.offered)


def the_new_id_is_used_until_the_grace_is_over(scene: RenewalScene) -> None:
    visit = scene.comes_with(scene.offered)
    visit.write("c", visit.value("c"), visit.value("c"))
    scene.player.save(visit)
    after(GRACE_S)
    scene.comes_with(scene.id)


RENEWALS = [
    (renewing_doubles.RenewalThatReplaces, the_old_id_comes_again, "refused-id"),
    (renewing_doubles.RotationThatKeepsTheOffer, the_old_id_is_rotated, "dead-id"),
    (
        renewing_doubles.GraceWithoutEnd,
        the_new_id_is_used_until_the_grace_is_over,
        "outlived-grace",
    ),
]


@pytest.mark.parametrize(("kind", "scenario", "rule"), RENEWALS)
def test_a_mistake_in_renewal_is_found_by_its_own_rule(
    redis_server: RedisServer,
    kind: type[doubles.Right],
    scenario: Callable[[RenewalScene], None],
    rule: str,
) -> None:
    with closing(kind(redis_server.path)) as store:
        scene = RenewalScene(store)
        scenario(scene)
    assert scene.rules_broken(renewing_doubles.RENEWAL) == {rule}


@pytest.mark.parametrize("scenario", [scenario for _, scenario, _ in RENEWALS])
def test_a_right_renewal_passes_the_same(
    redis_server: RedisServer, scenario: Callable[[RenewalScene], None]
) -> None:
    with closing(renewing_doubles.Renewing(redis_server.path)) as store:
        scene = RenewalScene(store)
        scenario(scene)
    assert scene.rules_broken(renewing_doubles.RENEWAL) == set()


@pytest.mark.parametrize(("kind", "scenario", "rule"), RENEWALS)
def test_a_mistake_in_renewal_shows_in_random_games_too(
    redis_server: RedisServer, kind: type[doubles.Right], scenario: object, rule: str
) -> None:
    games = (play_double(redis_server, kind, renewing_doubles.RENEWAL) for _ in range(20))
    assert any(rule in faults for faults in games)


def test_random_games_with_right_renewals_show_nothing(redis_server: RedisServer) -> None:
    renewal = renewing_doubles.RENEWAL
    assert play_double(redis_server, renewing_doubles.Renewing, renewal) == set()
