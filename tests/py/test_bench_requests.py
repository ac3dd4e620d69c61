"""coatcheck.bench requests: its applications and its table. Nothing here asserts a speed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import coatcheck
import pytest
from coatcheck.bench import frame, requests
from coatcheck.bench.frame import Asked
from coatcheck.bench.measure import Length
from coatcheck.bench.redis_server import Server, a_server
from coatcheck.bench.request_peers import asks, payload
from coatcheck.bench.requests import FRAMEWORKS, READ, WRITE

BRIEF = Length(0, 3)


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


def test_what_was_added_is_compared(server: Server) -> None:
    _, ours, _ = FRAMEWORKS["WSGI"]
    (row,) = requests._rows("WSGI", {"itself": ours}, WRITE, server, BRIEF)
    assert row.quantity == "a session in WSGI, write" and row.against == "itself"
    assert row.ratio is not None and row.ours_us is not None and row.ours_us.median > 0


def test_the_processor_time_beside_the_way_is_a_row(server: Server) -> None:
    row = requests._beside_the_way(server, BRIEF)
    assert row.ours_us is not None and row.ratio is not None


def test_every_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "_importable", lambda module: module == "django")
    asked = Asked(rounds=3, only=["Flask", "Django", "Starlette", "Pyramid"])
    (table,) = requests.measure(asked).tables
    assert table.rows == []
    assert asked.missing == {
        "Flask": "pip install Flask",
        "Django's own cache": "pip install redis hiredis",
        "django-redis": "pip install django-redis redis hiredis",
        "Starlette": "pip install starlette",
        "Pyramid": "pip install pyramid",
    }
