"""The fixture that the package brings to the tests of an application."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import coatcheck
import pytest

TESTS = """
import os

def test_an_application_stores(coatcheck_store):
    session = coatcheck_store.new()
    session["cart"] = [("tea", 1)]
    assert coatcheck_store.load(session.save())["cart"] == [("tea", 1)]
    with open("server", "w") as file:
        file.write(os.environ.get("COATCHECK_PASSWORD", ""))

ids = []

def test_first(coatcheck_store):
    session = coatcheck_store.new()
    session["a"] = 1
    ids.append(session.save())

def test_second_finds_nothing_of_the_first(coatcheck_store):
    assert coatcheck_store.load(ids[0]) is None

def test_left_running(coatcheck_store):
    import glob, tempfile
    [folder] = glob.glob(tempfile.gettempdir() + "/coatcheck-*")
    print("in", folder)
"""


def run(folder: Path, tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(tests)
    options = ["-q", "-s", "-p", "no:cacheprovider", "-p", "coatcheck.pytest_plugin"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_it.py"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(coatcheck.__file__).parent.parent),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # as if it were not installed as well
            "TMPDIR": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    # Short: the path of the server's socket has to stay under 108 bytes.
    with tempfile.TemporaryDirectory(prefix="plug-") as name:
        yield Path(name)


def test_tests_of_an_application_each_get_an_empty_store(folder: Path) -> None:
    result = run(folder, TESTS)
    assert "4 passed" in result.stdout, result.stdout + result.stderr


def test_the_server_and_its_directory_are_gone_afterwards(folder: Path) -> None:
    result = run(folder, TESTS)
    assert "in " in result.stdout
    assert list(folder.glob("coatcheck-*")) == []


def test_settings_of_a_real_store_do_not_reach_it(folder: Path) -> None:
    result = run(folder, TESTS, COATCHECK_PASSWORD="sesame", COATCHECK_URL="redis://elsewhere")
    assert "4 passed" in result.stdout, result.stdout + result.stderr
    assert (folder / "server").read_text() == "sesame"
