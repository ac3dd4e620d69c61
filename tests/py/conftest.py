"""A Redis server of the tests' own, a store on it, and a browser without a network."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from coatcheck import Store
from coatcheck.wsgi import SessionMiddleware
from faults import Loop
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from topologies import Topology

PATIENCE_S = 10.0

# With COAT_TEST_ACL=1 stores may do only what the guide says that they need; the tests themselves
# log in as somebody else. Prefixes are many here, so test_acl.py sees to the pattern of keys.
FEW_PERMISSIONS = os.environ.get("COAT_TEST_ACL") == "1"
ADMIN = ("admin", "of the tests")

# Run by hand, too, the tests leave nothing among the sources.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY", f"{tempfile.gettempdir()}/hypothesis-coatcheck-{os.getuid()}"
)

# How long an example takes says more about the machine than about the code; and a store may be
# the same for all examples.
settings.register_profile(
    "coatcheck",
    deadline=None,
    max_examples=int(os.environ.get("COAT_TEST_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("coatcheck")


def pytest_configure(config: pytest.Config) -> None:
    # asyncio of 3.10 says so of each TLS connection whose handshake has failed.
    if sys.version_info < (3, 11):
        unclosed = "ignore:unclosed transport <asyncio.sslproto:ResourceWarning"
        config.addinivalue_line("filterwarnings", unclosed)


def documented_acl() -> list[str]:
    """The words of the line that the guide has for an administrator."""
    guide = Path(__file__).resolve().parents[2] / "docs" / "guide.md"
    (line,) = re.findall(r"^ACL SETUSER .*$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    return line.split()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Poll until the condition holds; a failure says what was waited for."""
    end = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.005)
    return result


def wait_for_a_later_ms() -> None:
    """Until less than all of an idle timeout is left of what was just read or written."""
    begun = time.monotonic_ns() // 1_000_000
    wait_for(lambda: time.monotonic_ns() // 1_000_000 > begun + 1, "a later millisecond")


_tests = itertools.count()


@pytest.fixture(autouse=True)
def connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of equal options share connections, and the news that a server is down: not here."""
    monkeypatch.setenv("COATCHECK_MAX_IDLE", f"{300 + next(_tests) / 1000:.3f}")


class RedisError(Exception):
    pass


class RedisClient:
    """As much of the Redis protocol as the tests need, by nobody that is tested."""

    def __init__(self, path: str, *, admin: bool = FEW_PERMISSIONS) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")
        if admin:
            self("AUTH", *ADMIN)

    def __call__(self, *args: str | bytes | int) -> Any:
        self.send(*args)
        return self.reply()

    def send(self, *args: str | bytes | int) -> None:
        parts = [a if isinstance(a, bytes) else str(a).encode() for a in args]
        request = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(b"*%d\r\n%b" % (len(parts), request))

    def reply(self) -> Any:
        line = self._file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        assert kind == b"+", line
        return rest.decode()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class RedisServer:
    """A process on a unix socket in a directory of its own, ended by its pid."""

    def __init__(self, directory: str, *options: str) -> None:
        self.directory = Path(directory)
        self.path = str(self.directory / "redis.sock")
        self.url = f"unix:{self.path}"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self._client: RedisClient | None = None

    def arguments(self, program: str) -> list[str]:
        return [program, "--port", "0", "--unixsocket", self.path, "--save", "", *self.options]

    def start(self) -> None:
        if self.process is not None:
            return
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program, "the tests need redis-server or valkey-server"
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.arguments(program),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._client = wait_for(self._connect, "the Redis server")
        if FEW_PERMISSIONS:
            self._restrict(self._client)

    def _connect(self) -> RedisClient | None:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()
        try:
            return RedisClient(self.path, admin=False)
        except OSError:
            return None

    @staticmethod
    def _restrict(client: RedisClient) -> None:
        commands = [word for word in documented_acl() if word.startswith("+")]
        name, password = ADMIN
        client("ACL", "SETUSER", name, "reset", "on", f">{password}", "~*", "&*", "+@all")
        client("AUTH", name, password)
        client("ACL", "SETUSER", "default", "reset", "on", "nopass", "~*", "+select", *commands)

    def stop(self) -> None:
        if self.process is None:
            return
        self.resume()
        if self._client is not None:
            self._client.close()
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process = None

    def kill(self) -> None:
        """As a crash would, with no time to write anything."""
        assert self.process is not None and self._client is not None
        self._client.close()
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGCONT)

    def cli(self, *args: str | bytes | int) -> Any:
        assert self._client is not None
        return self._client(*args)

    def keys(self) -> list[bytes]:
        return sorted(self.cli("KEYS", "*"))

    def records(self) -> list[bytes]:
        """Of sessions, not the indexes."""
        return [key for key in self.keys() if b"s:{" in key]

    @contextmanager
    def monitor(self) -> Iterator[list[list[str]]]:
        """The commands that others send meanwhile; complete when the block is left."""
        seen: list[list[str]] = []
        watcher = RedisClient(self.path)
        watcher("MONITOR")
        try:
            yield seen
            self.cli("ECHO", "end of the monitored part")
            while (line := watcher.reply()).find("end of the monitored part") < 0:
                if " lua] " not in line:
                    seen.append(re.findall(r'"((?:[^"\\]|\\.)*)"', line))
        finally:
            watcher.close()


@contextmanager
def a_redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="coat-") as directory:
        server = RedisServer(directory)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def shared_redis_server() -> Iterator[RedisServer]:
    with a_redis_server() as server:
        yield server


@pytest.fixture
def redis_server(shared_redis_server: RedisServer) -> Iterator[RedisServer]:
    """An empty server, which a test may pause or stop."""
    server = shared_redis_server
    server.start()
    server.cli("FLUSHALL")
    try:
        yield server
    finally:
        server.resume()


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Topology]:
    """Three masters, which tests leave as they find them: up, and empty."""
    from topologies import cluster  # which needs this module

    with cluster(replicas=False) as topology:
        yield topology


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    """In which proxies of faults.py run."""
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("COATCHECK_"):
            monkeypatch.delenv(name)


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[Store]:
    with Store(redis_server.url, prefix="test:") as store:
        yield store


class Response:
    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = int(status[:3])
        self.headers = headers
        self.body = body

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, f"{name} more than once: {values}"
        return values[0] if values else None

    @property
    def cookies(self) -> list[str]:
        return self.all("Set-Cookie")


class Browser:
    """Calls a WSGI application as a server would, under the validator of the standard library,
    and keeps its cookies."""

    def __init__(self, app: Any, *, https: bool = True, host: str = "shop.example.com") -> None:
        self.app = app
        self.https = https
        self.host = host
        self.jar: dict[str, str] = {}

    def environ(self, path: str = "/", method: str = "GET", **more: Any) -> dict[str, Any]:
        environ: dict[str, Any] = {
            "wsgi.url_scheme": "https" if self.https else "http",
            "HTTP_HOST": self.host,
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
        }
        setup_testing_defaults(environ)
        if self.jar:
            environ["HTTP_COOKIE"] = "; ".join(f"{k}={v}" for k, v in self.jar.items())
        environ.update(more)
        return environ

    def get(self, path: str = "/", method: str = "GET", **more: Any) -> Response:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body: list[bytes] = []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            if exc_info and body:
                raise exc_info[1].with_traceback(exc_info[2])
            started.append((status, headers))
            return body.append

        chunks = validator(self.app)(self.environ(path, method, **more), start_response)
        try:
            for chunk in chunks:
                assert started
                if chunk:
                    body.append(chunk)
        finally:
            chunks.close()
        status, headers = started[-1]
        headers = [(name, value.strip()) for name, value in headers]  # as clients read them
        for name, value in headers:
            if name == "Set-Cookie":
                self._keep(value)
        return Response(status, headers, b"".join(body))

    def _keep(self, cookie: str) -> None:
        pair, *attributes = cookie.split("; ")
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            self.jar.pop(name, None)
        else:
            self.jar[name] = value


def application(view: Callable[..., Any]) -> Any:
    """A WSGI application from a function of the session (and the path, if it takes two arguments).
    It returns the body, or (status, body), or (status, body, headers)."""
    takes_path = view.__code__.co_argcount > 1

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        arguments = (environ["coatcheck.session"], environ["PATH_INFO"])
        result = view(*arguments[: 1 + takes_path])
        status, body, *headers = result if isinstance(result, tuple) else ("200 OK", result)
        content = [("Content-Type", "text/plain; charset=utf-8")]
        if status.startswith("304"):
            content = []
        start_response(status, content + (headers[0] if headers else []))
        return [str(body).encode()]

    return app


@pytest.fixture
def serve(store: Store) -> Callable[..., Browser]:
    """A browser at an application made from a view, behind the middleware."""

    def serve(view: Callable[..., Any], *, app: Any = None, **options: Any) -> Browser:
        browser_options = {k: options.pop(k) for k in ("https", "host") if k in options}
        where = options.pop("store", store)
        inner = validator(app or application(view))
        return Browser(SessionMiddleware(inner, where, **options), **browser_options)

    return serve


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Start it; the answer waits for its result, and raises what it raised."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as exc:
            outcome.append((None, exc))

    thread = threading.Thread(target=run)
    thread.start()

    def join() -> Any:
        thread.join(PATIENCE_S)
        assert outcome, "the thread does not end"
        result, exc = outcome[0]
        if exc is not None:
            raise exc
        return result

    return join
