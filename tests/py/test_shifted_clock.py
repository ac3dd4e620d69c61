"""A preloaded clock changes the time of day, for Python and for the store, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from coatcheck import Store
from conftest import RedisServer
from shifted_clock import environment
from shifted_clock import shifted_clock as shifted_clock

SHIFT_S = 3600
NEAR_S = 600  # a busy machine may take its time


def in_child(library: Path, code: str, *arguments: str) -> Any:
    """What a child with a shifted clock prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", *arguments],
        env=environment(library, SHIFT_S),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_time_of_day_is_shifted(shifted_clock: Path) -> None:
    there = in_child(shifted_clock, "import time; print(time.time())")
    assert there == pytest.approx(time.time() + SHIFT_S, abs=NEAR_S)


def test_the_monotonic_clock_is_not(shifted_clock: Path) -> None:
    there = in_child(shifted_clock, "import time; print(time.monotonic())")
    assert there == pytest.approx(time.monotonic(), abs=NEAR_S)


def test_a_process_may_change_its_shift(shifted_clock: Path) -> None:
    code = "import time, shifted_clock as s; s.shift(-7200); print(time.time())"
    assert in_child(shifted_clock, code) == pytest.approx(time.time() - 7200, abs=NEAR_S)


CREATE = """
from coatcheck import Store
with Store(sys.argv[1], prefix="test:") as store:
    session = store.new()
    session.login("ann", carry=[])
    session.save()
print(0)
"""


def test_a_store_goes_by_the_shifted_clock(
    shifted_clock: Path, redis_server: RedisServer, store: Store
) -> None:
    in_child(shifted_clock, CREATE, redis_server.url)
    (info,) = store.sessions("ann")
    assert info.created.timestamp() == pytest.approx(time.time() + SHIFT_S, abs=NEAR_S)
