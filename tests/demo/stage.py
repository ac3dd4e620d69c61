"""What the demo stands on: a look into Redis, a browser, the application's process, the page."""

from __future__ import annotations

import http.cookiejar
import os
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import coatcheck

PREFIX = "shop:"
COOKIE = "session"
PATIENCE_S = 20


class Redis:
    """The few lines of Redis's protocol that it takes to look at what is stored."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rb")

    def __call__(self, *args: str | bytes) -> Any:
        sent = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
        parts = [b"*%d\r\n" % len(sent)] + [b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in sent]
        self.socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self) -> Any:
        line = self.stream.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return rest

    def info(self, name: str) -> str:
        lines = self("INFO", "server").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)[name]

    def records(self) -> list[Record]:
        return [Record(self, key) for key in sorted(self("KEYS", "*")) if b"s:{" in key]

    def everything(self) -> bytes:
        """All keys and values: records, and the index of who is logged in."""
        parts = []
        for key in self("KEYS", "*"):
            is_record = self("TYPE", key) == b"string"
            parts += [key, *([self("GET", key)] if is_record else self("ZRANGE", key, "0", "-1"))]
        return b"\n".join(parts)

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class Record:
    """A session as Redis holds it, taken apart with nothing of coatcheck but loads()."""

    IDS, DEADLINE, PRINCIPAL = 46, 96, 119  # offsets: docs/protocol.md

    def __init__(self, redis: Redis, key: bytes) -> None:
        self.key = key
        self.ttl_s = redis("PTTL", key) / 1000
        self.bytes = redis("GET", key)
        self.id_hashes = self.bytes[self.IDS : self.IDS + 32]
        deadline_ms = int.from_bytes(self.bytes[self.DEADLINE : self.DEADLINE + 8], "big")
        self.deadline = datetime.fromtimestamp(deadline_ms / 1000, timezone.utc)
        rest = self.PRINCIPAL + self.principal_size()
        self.principal = coatcheck.loads(self.bytes[self.PRINCIPAL : rest])
        self.field_bytes = self.bytes[rest:]
        self.fields = coatcheck.loads(self.field_bytes)

    def principal_size(self) -> int:
        head = self.bytes[self.PRINCIPAL]
        if head == 0xC0:
            return 1
        return 1 + (head & 0x1F) if head < 0xC0 else 2 + self.bytes[self.PRINCIPAL + 1]


class Answer:
    def __init__(self, response: HTTPResponse | urllib.error.HTTPError) -> None:
        self.status = response.status
        self.text = response.read().decode()
        self.set_cookie = response.headers.get_all("Set-Cookie", [])


class Browser:
    """Real HTTP with a cookie jar, which obeys Set-Cookie as a browser does."""

    def __init__(self, shop: Shop, cookie: str | None = None) -> None:
        self.shop = shop
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )
        if cookie:
            self.opener.addheaders.append(("Cookie", f"{COOKIE}={cookie}"))

    def send(self, method: str, path: str, **form: str) -> Answer:
        data = urllib.parse.urlencode(form).encode() if method == "POST" else None
        url = f"http://127.0.0.1:{self.shop.port}{path}"
        request = urllib.request.Request(url, data, method=method)
        try:
            with self.opener.open(request, timeout=PATIENCE_S) as response:
                return Answer(response)
        except urllib.error.HTTPError as response:
            return Answer(response)

    @property
    def id(self) -> str | None:
        return next((cookie.value for cookie in self.jar if cookie.name == COOKIE), None)


class Background(threading.Thread):
    """A request that is under way while others come and go."""

    def __init__(self, browser: Browser, method: str, path: str, **form: str) -> None:
        super().__init__(daemon=True)
        self.request = lambda: browser.send(method, path, **form)
        self.answer: Answer | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self.request()
        except OSError as error:
            print(error, file=sys.stderr)

    def wait(self) -> Answer:
        self.join(PATIENCE_S)
        if self.answer is None:
            raise RuntimeError("the request in the background got no answer")
        return self.answer


class Shop:
    """The application, a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("app.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=dict(os.environ, COATCHECK_URL=self.url, COATCHECK_PREFIX=PREFIX),
        )
        try:
            self.port = int(self.process.stdout.readline())
        except ValueError:
            self.close()
            raise SystemExit("the application did not start: its message is above") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Page:
    """What the person reads; bold and coloured only on a terminal."""

    def __init__(self) -> None:
        self.styled = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.steps = self.failed = 0
        self.facts: list[tuple[str, bool]] = []

    def style(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.styled else text

    def introduce(self, redis: Redis, shop: Shop) -> None:
        versions = f"coatcheck {coatcheck.__version__} with Redis {redis.info('redis_version')}"
        print(f"{versions}, a browser, and")
        print(f"the shop of tests/demo/app.py at http://127.0.0.1:{shop.port}/")

    def conclude(self) -> int:
        print(f"\n{self.steps - self.failed} of {self.steps} steps held")
        return 1 if self.failed else 0

    def begin(self, title: str) -> None:
        self.steps += 1
        self.facts = []
        print("\n" + self.style("1", f"{self.steps}. {title}"))

    def line(self, label: str, *texts: str, code: str = "2") -> None:
        for text in texts:
            for part in textwrap.wrap(text, 84, break_long_words=False, break_on_hyphens=False):
                print("   " + self.style(code, f"{label:<11}") + part, flush=True)
                label = ""

    def sent(self, method: str, path: str, **form: str) -> None:
        self.line("sent", " ".join([method, path] + [f"{k}={v}" for k, v in form.items()]))

    def came_back(self, answer: Answer) -> None:
        cookies = ["Set-Cookie: " + shortened(header) for header in answer.set_cookie]
        self.line("came back", f"{answer.status}  {answer.text}", *cookies)

    def redis(self, records: list[Record]) -> None:
        if not records:
            self.line("Redis", "holds no key")
        for record in records:
            who = f", principal {record.principal}" if record.principal else ""
            self.line(
                "Redis",
                f"{record.key.decode()}  TTL {record.ttl_s:.0f} s, {len(record.bytes)} bytes{who}",
                f"bytes {record.bytes[:8].hex(' ')} .. {head(record.field_bytes)}",
                f"fields {record.fields}",
            )

    def fact(self, text: str, true: object) -> None:
        self.facts.append((text, bool(true)))

    def end(self) -> None:
        wrong = [text for text, true in self.facts if not true]
        if wrong or not self.facts:
            self.failed += 1
            self.line("FAILED", *(f"not so: {text}" for text in wrong), code="31;1")
        else:
            self.line("held", "; ".join(text for text, _ in self.facts), code="32;1")


def head(data: bytes, count: int = 16) -> str:
    return data[:count].hex(" ") + (" .." if len(data) > count else "")


def shortened(header: str) -> str:
    """A Set-Cookie header without most of the id, which is a secret even here."""
    name, _, rest = header.partition("=")
    value, semicolon, flags = rest.partition(";")
    return f"{name}={value[:4]}..{value[-4:]}{semicolon}{flags}" if len(value) > 8 else header
