"""The fixture that the package brings to the tests of an application."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import coatcheck
import pytest

TESTS = """
import os

def test_an_application_stores(coatcheck_store):
    session = coatcheck_store.new()
    session["cart"] = [("tea", 1)]
    assert coatcheck_store.load(session.save())["cart"] == [("tea", 1)]
    with open("seen", "w") as file:
        print(*[name for name in os.environ if name.startswith("COATCHECK_")], file=file)

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


KILLED = """
import os, signal

def test_killed(coatcheck_store):
    with open("server", "w") as file:
        print(coatcheck_store.ping(), file=file)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_that_is_killed_leaves_no_server(folder: Path) -> None:
    assert run(folder, KILLED).returncode == -signal.SIGKILL
    assert (folder / "server").read_text()
    deadline = time.monotonic() + 20
    while left := [*folder.glob("coatcheck-*"), *servers_in(folder)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def servers_in(folder: Path) -> list[str]:
    """The command lines of processes that name it."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            lines.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if str(folder) in line]


def test_settings_of_a_real_store_do_not_reach_it(folder: Path) -> None:
    result = run(folder, TESTS, COATCHECK_PASSWORD="sesame", COATCHECK_URL="redis://elsewhere")
    assert "4 passed" in result.stdout, result.stdout + result.stderr
    assert (folder / "seen").read_text() == "COATCHECK_URL\n"


CLIENTS = """
import asyncio

from coatcheck import Store
from coatcheck.asgi import SessionMiddleware as ASGIMiddleware
from coatcheck.wsgi import SessionMiddleware

def count(session):
    session["count"] = session.get("count", 0) + 1
    return str(session["count"]).encode()

def application(environ, start_response):
    body = count(environ["coatcheck.session"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]

async def asgi(scope, receive, send):
    body = count(scope["session"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

def test_wsgi(coatcheck_store, coatcheck_client):
    app = SessionMiddleware(application, coatcheck_store)
    one, two = coatcheck_client(app), coatcheck_client(app)
    assert [browser.get("/").text for browser in (one, one, two)] == ["1", "2", "1"]
    assert one.cookies["__Host-session"] != two.cookies["__Host-session"]

def test_configured_by_the_environment(coatcheck_url, coatcheck_client):
    browser = coatcheck_client(SessionMiddleware(application))
    assert [browser.get("/").text for _ in range(3)] == ["1", "2", "3"]

def test_options_are_those_of_httpx(coatcheck_store, coatcheck_client):
    app = SessionMiddleware(application, coatcheck_store)
    browser = coatcheck_client(app, base_url="http://shop", headers={"X-A": "b"})
    assert str(browser.base_url) == "http://shop" and browser.headers["X-A"] == "b"

def test_asgi(coatcheck_url, coatcheck_client):
    async def visits():
        app = ASGIMiddleware(asgi, coatcheck_url)
        async with coatcheck_client(app) as one, coatcheck_client(app) as two:
            seen = [(await browser.get("/")).text for browser in (one, one, two)]
        await app.store.close()
        return seen
    assert asyncio.run(visits()) == ["1", "2", "1"]

def test_an_asgi_function(coatcheck_client):
    assert type(coatcheck_client(asgi)).__name__ == "AsyncClient"
"""


def test_a_client_keeps_its_cookies_over_https(folder: Path) -> None:
    result = run(folder, CLIENTS)
    assert "5 passed" in result.stdout, result.stdout + result.stderr


WITHOUT_HTTPX = """
import sys

def test_browser(coatcheck_client, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    coatcheck_client(lambda environ, start_response: [])
"""


def test_without_httpx_it_says_what_to_install(folder: Path) -> None:
    result = run(folder, WITHOUT_HTTPX)
    assert "1 failed" in result.stdout, result.stdout + result.stderr
    assert "coatcheck_client needs httpx: pip install httpx" in result.stdout
    assert "Traceback" not in result.stdout


def test_without_a_server_it_says_what_to_install(folder: Path) -> None:
    result = run(folder, TESTS, PATH=str(folder))
    assert "4 errors" in result.stdout, result.stdout + result.stderr
    assert "apt install redis-server" in result.stdout and "Traceback" not in result.stdout
    assert "pytest_plugin.py" not in result.stdout


def test_a_folder_too_long_for_a_socket_is_one_of_tmpdir(folder: Path) -> None:
    (folder / ("long" * 25)).mkdir()
    result = run(folder, TESTS, TMPDIR=str(folder / ("long" * 25)))
    assert "4 errors" in result.stdout, result.stdout + result.stderr
    assert "TMPDIR" in result.stdout and "pytest_plugin.py" not in result.stdout
