"""coatcheck.bench requests: its applications and its table. Nothing here asserts a speed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import coatcheck
import pytest
from coatcheck.bench import requests
from coatcheck.bench.redis_server import Server, a_server
from coatcheck.bench.request_peers import asks, payload
from coatcheck.bench.requests import FRAMEWORKS, READ, WRITE

SECONDS = 0.01


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_our_session_is_read_and_written_in_each_framework(
    framework: str, server: Server, stack: ExitStack
) -> None:
    ask = FRAMEWORKS[framework][1](server, stack)
    assert ask("/fill") == ask("/read") == str(payload()["login_at"]).encode()
    assert [ask("/write") for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_bare_application_has_no_session(
    framework: str, server: Server, stack: ExitStack
) -> None:
    ask = FRAMEWORKS[framework][0](server, stack)
    assert ask("/fill") == ask("/write") == b"hello"


def test_an_application_that_loses_its_session_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match="counted b'1767"):
        asks(lambda path: b"1767", READ)


def test_what_was_added_is_compared(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bare, ours, _ = FRAMEWORKS["WSGI"]
    monkeypatch.setitem(FRAMEWORKS, "WSGI", (bare, ours, {"itself": ours}))
    (row,) = requests._rows("WSGI", WRITE, server, SECONDS)
    assert row.quantity == "a session in WSGI, write" and row.against == "itself"
    assert row.ratio is not None and row.ours_us is not None and row.ours_us > 0


def test_the_processor_time_beside_the_way_is_a_row(server: Server) -> None:
    row = requests._beside_the_way(server, SECONDS)
    assert row.ours_us is not None and row.ratio is not None


def test_a_peer_that_is_not_installed_is_named() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "coatcheck.bench", "requests", "--quick"],
        env={"PYTHONPATH": str(Path(coatcheck.__file__).parents[1]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    assert "is missing: pip install" in result.stderr
