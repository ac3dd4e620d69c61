"""The page of the demo under the servers that people run, with people who use it meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE_S, RedisServer, wait_for
from shoppers import Shopper, shopping

DEMO = Path(__file__).resolve().parents[1] / "demo"
BIN = Path(sys.executable).parent

GUNICORN = [sys.executable, "-m", "gunicorn", "--chdir", str(DEMO), "-b", "127.0.0.1:{port}"]
UVICORN = [sys.executable, "-m", "uvicorn", "--app-dir", str(DEMO), "--port", "{port}"]
UWSGI = [
    *(str(BIN / "uwsgi"), "--http-socket", "127.0.0.1:{port}", "--master", "--need-app"),
    *("--pythonpath", str(DEMO), "--module", "page_wsgi:app", "--die-on-term"),
    *("--worker-reload-mercy", "2"),  # a worker that has just begun may miss the signal to end
]

#: Each with two processes, of which the first replaces one that was killed.
RESPAWNING = {
    "gunicorn sync": [*GUNICORN, "-w", "2", "page_wsgi:app"],
    "gunicorn threads": [*GUNICORN, "-w", "2", "--threads", "4", "page_wsgi:app"],
    "gunicorn preload": [*GUNICORN, "-w", "2", "--threads", "2", "--preload", "page_wsgi:app"],
    "uwsgi": [*UWSGI, "--processes", "2"],
    "uwsgi threads": [*UWSGI, "--processes", "2", "--threads", "4"],
    "uwsgi lazy": [*UWSGI, "--processes", "2", "--lazy-apps"],
    "uvicorn": [*UVICORN, "--loop", "asyncio", "--workers", "2", "page_asgi:app"],
    "uvicorn uvloop": [*UVICORN, "--loop", "uvloop", "--workers", "2", "page_asgi:app"],
}
OTHERS = {
    "hypercorn": [
        *(sys.executable, "-m", "hypercorn", "-w", "2", "-b", "127.0.0.1:{port}"),
        str(DEMO / "page_asgi.py") + ":app",
    ],
}
ALL = {**RESPAWNING, **OTHERS}

THREADS = [*GUNICORN, "-w", "2", "--threads", "4"]
FACTORY = [*UVICORN, "--loop", "asyncio", "--workers", "2", "--factory"]
#: The page in frameworks.
FRAMEWORKS = {
    "flask": [*THREADS, "page_frameworks:flask()"],
    "pyramid": [*THREADS, "page_frameworks:pyramid()"],
    "django": [*THREADS, "page_frameworks:django()"],
    "django async": [*FACTORY, "page_frameworks:django_async"],
}


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """The processes of one server, and where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}/"
        self.log = log

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(self.url, trust_env=False, timeout=PATIENCE_S).status_code < 500
        except httpx.TransportError:
            return False

    def workers(self) -> list[int]:
        """Its children, but for those that only watch something."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if not self._is_helper(child)]

    @staticmethod
    def _is_helper(child: str) -> bool:
        try:
            return b"resource_tracker" in Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            return True


@contextmanager
def serving(command: list[str], redis: RedisServer, folder: Path) -> Iterator[Server]:
    port = free_port()
    log = folder / "server.log"
    environment = {
        **os.environ,
        "COATCHECK_URL": redis.url,
        "COATCHECK_PREFIX": "shop:",
        "PAGE_PLAIN_HTTP": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [word.replace("{port}", str(port)) for word in command],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Server(process, port, log)
    try:
        wait_for(server.answers, f"a server ({log.read_text()})")
        yield server
        process.terminate()
        process.wait(PATIENCE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def kill_a_worker(server: Server) -> None:
    victim = wait_for(server.workers, "a worker")[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in server.workers(), "the end of a worker")


@pytest.mark.parametrize("command", ALL.values(), ids=ALL.keys())
def test_each_response_is_right_under_load(
    command: list[str], redis_server: RedisServer, tmp_path: Path
) -> None:
    with serving(command, redis_server, tmp_path) as server, shopping(server.url) as some_more:
        assert sum(shopper.lost for shopper in some_more()) == 0
        for _ in range(2 if command in RESPAWNING.values() else 0):
            kill_a_worker(server)
            some_more()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


@pytest.mark.parametrize("command", FRAMEWORKS.values(), ids=FRAMEWORKS.keys())
def test_a_framework_answers_rightly_under_load_and_a_logout_is_final(
    command: list[str], redis_server: RedisServer, tmp_path: Path
) -> None:
    with serving(command, redis_server, tmp_path) as server:
        with shopping(server.url) as some_more:
            some_more()
            kill_a_worker(server)
            some_more()
        ada = Shopper(server.url, "ada")
        with ada.browser:
            ada.log_in()
            ada.buy()
            old = dict(ada.browser.cookies)
            assert ada.browser.post("logout").status_code == 303
            ada.browser.cookies.update(old)
            # Each of the processes is asked, and says so.
            for _ in range(8):
                assert ada.browser.get("").json()["name"] is None
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


@pytest.mark.parametrize(
    "name", ["gunicorn sync", "uwsgi", "uvicorn", "hypercorn", *FRAMEWORKS.keys()]
)
def test_req_44_without_redis_there_is_an_answer_and_the_session_is_there_afterwards(
    name: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    with serving({**ALL, **FRAMEWORKS}[name], redis_server, tmp_path) as server:
        ada = Shopper(server.url, "ada")
        with ada.browser:
            ada.log_in()
            cookies = dict(ada.browser.cookies)
            redis_server.pause()
            response = ada.browser.post("cart", data={"sku": "tea"})
            assert response.status_code == 503 and response.headers["Retry-After"]
            assert dict(ada.browser.cookies) == cookies
            redis_server.resume()
            ada.unknown.add("tea")  # what was sent may have been carried out
            # Each of the processes has to notice.
            wait_for(
                lambda: all(ada.browser.get("").status_code == 200 for _ in range(10)), "the store"
            )
            ada.buy()
            assert ada.look()
