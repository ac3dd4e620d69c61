"""coatcheck.bench requests: its applications and its table. Nothing here asserts a speed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_our_session_is_read_and_written_in_each_framework(framework: str, server: Server) -> None:
    said = apart(framework, server, "ours", ["/fill", "/read", "/write", "/write", "/write"])
    at = str(payload()["login_at"])
    assert said == [at, at, "1", "2", "3"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_bare_application_has_no_session(framework: str, server: Server) -> None:
    assert apart(framework, server, "bare", ["/fill", "/write"]) == ["hello", "hello"]


def apart(framework: str, server: Server, who: str, paths: list[str]) -> list[str]:
    """What the application says, in a process of its own: Django has one configuration in each."""
    script = f"""
from contextlib import ExitStack
from coatcheck.bench.redis_server import Server
from coatcheck.bench.requests import FRAMEWORKS

bare, ours, _ = FRAMEWORKS[{framework!r}]
with ExitStack() as stack:
    ask = {who}({server!r}, stack)
    for path in {paths!r}:
        print(ask(path).decode())
"""
    return run([sys.executable, "-c", script]).stdout.splitlines()


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    package = str(Path(coatcheck.__file__).parents[1])
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=60,
    )


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
    result = run([sys.executable, "-m", "coatcheck.bench", "requests", "--quick"])
    assert result.returncode == 2
    assert "is missing: pip install" in result.stderr
