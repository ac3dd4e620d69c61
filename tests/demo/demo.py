"""coatcheck at work: real requests to a real application, and what Redis then holds.

    make demo
    make demo SERVE=1

A private redis-server, the shop of app.py as a process of its own, and this script as the
browser. Every step says what was sent, what came back and what Redis holds, and checks its facts.
Ends with 0 only if every step held. With SERVE=1 (--serve) it then serves a page, to be tried with
a browser, until it is interrupted.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import Any

import coatcheck
from stage import PREFIX, Answer, Background, Browser, Page, Record, Redis, Shop

IDLE_S, LIFETIME = 1800, timedelta(hours=12)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Demo:
    def __init__(self, shop: Shop, redis: Redis, page: Page) -> None:
        self.shop = shop
        self.redis = redis
        self.browser = Browser(shop)
        self.page = page
        self.fact = page.fact

    def request(self, method: str, path: str, **form: str) -> Answer:
        """Send it, and show both directions."""
        self.page.sent(method, path, **form)
        answer = self.browser.send(method, path, **form)
        self.page.came_back(answer)
        return answer

    def fields_as_seen(self, browser: Browser | None = None) -> dict[str, Any]:
        """What the application finds in the session of a browser's next request."""
        return ast.literal_eval((browser or self.browser).send("GET", "/session").text)

    def stored(self) -> list[Record]:
        records = self.redis.records()
        self.page.redis(records)
        return records

    # ---- The story ----------------------------------------------------------------------------

    def first_visit(self) -> None:
        """A first visit stores nothing"""
        answer = self.request("GET", "/")
        self.fact("no cookie", not answer.set_cookie)
        self.fact("nothing in Redis", not self.stored())

    def tuples(self) -> None:
        """A cart of tuples comes back as tuples"""
        before = datetime.now(timezone.utc)
        self.request("POST", "/cart", sku="tea", count="2")
        (record,) = self.stored()
        self.fact("one key, with our prefix", record.key.startswith(PREFIX.encode()))
        self.fact("it ends when idle for 30 min", 0 < record.ttl_s <= IDLE_S)
        age = record.deadline - before
        self.fact("and in 12 h at the latest", abs(age - LIFETIME) < timedelta(minutes=1))
        seen = self.fields_as_seen()
        self.fact("the next request sees a tuple", seen == {"cart": [("tea", 2)]})

    def nested_mutation(self) -> None:
        """A change deep inside is kept, without a flag"""
        self.page.line("the view", 'session["cart"].append((sku, count))')
        self.request("POST", "/cart/add", sku="cup", count="1")
        (record,) = self.stored()
        self.fact("the new item is stored", record.fields == {"cart": [("tea", 2), ("cup", 1)]})

    def refused(self) -> None:
        """An instance of a class is refused where it is assigned"""
        before = self.redis.records()[0].bytes
        self.page.line("the view", 'session["cart"] = [("tea", 2), {"for": Customer(name)}]')
        answer = self.request("POST", "/customer", name="ada")
        (record,) = self.stored()
        self.fact("it says where", "session['cart'][1]['for']" in answer.text)
        self.fact("it says what", "Customer is not storable" in answer.text)
        self.fact("the stored session is intact, byte for byte", record.bytes == before)

    def login(self) -> None:
        """A login changes the id and kills the old one"""
        old_id = self.browser.id
        (before,) = self.redis.records()
        self.page.line("the view", 'session.login("user:" + name, carry=["cart"])')
        self.request("POST", "/login", name="ada")
        (record,) = self.stored()
        self.fact("another id", self.browser.id not in (None, old_id))
        self.fact("same record", record.key == before.key and record.principal == "user:ada")
        self.fact("the new id sees the cart", "cart" in self.fields_as_seen())
        thief = Browser(self.shop, cookie=old_id)
        self.fact("the old id sees nothing", self.fields_as_seen(thief) == {})
        thief.send("POST", "/choose", field="name", value="mallory")
        self.fact("and writes nothing", [r.bytes for r in self.redis.records()] == [record.bytes])

    def id_nowhere(self) -> None:
        """The id is nowhere in Redis"""
        raw = urlsafe_b64decode(self.browser.id + "=")
        secrets = {"the id": self.browser.id.encode(), "its selector": raw[:16]}
        secrets["its verifier"] = raw[16:]
        (record,) = self.redis.records()
        held = self.redis.everything()
        self.page.line("looked for", ", ".join(secrets) + " in every key and value")
        for what, secret in secrets.items():
            self.fact(f"{what} is not there", secret not in held)
        key = urlsafe_b64decode(record.key.split(b"{")[1].rstrip(b"}"))
        forged = [(key + record.id_hashes)[:32], record.id_hashes, record.bytes[:32]]
        self.page.line("sent", "GET /session with cookies forged from what Redis holds")
        thieves = [Browser(self.shop, urlsafe_b64encode(f).decode().rstrip("=")) for f in forged]
        self.fact("and they open nothing", not any(map(self.fields_as_seen, thieves)))

    def restart(self) -> None:
        """The application is killed and started again: the session is still there"""
        before, killed = self.fields_as_seen(), self.shop.process.pid
        self.shop.close()
        self.shop.start()
        self.page.line("killed", f"process {killed}; process {self.shop.process.pid} took over")
        answer = self.request("GET", "/session")
        self.fact("same fields", before and ast.literal_eval(answer.text) == before)
        self.fact("same types", "('tea', 2)" in answer.text)

    def both_kept(self) -> None:
        """Two requests change different fields at once: both are kept"""
        slow = self.slow_request("wrap", "paper")
        self.request("POST", "/choose", field="milk", value="oat")
        self.finish(slow)
        (record,) = self.stored()
        self.fact("the quick one's field is there", record.fields.get("milk") == "oat")
        self.fact("the slow one's field, too", record.fields.get("wrap") == "paper")

    def logout(self) -> None:
        """A logout that a slower request cannot undo"""
        old_id = self.browser.id
        slow = self.slow_request("wrap", "silk")
        answer = self.request("POST", "/logout")
        self.fact("the logout was answered", answer.status == 200)
        gone = not self.stored()
        self.finish(slow)
        self.fact("Redis held nothing then", gone)
        self.fact("nor after the slow one wrote", not self.stored())
        self.fact("the browser has no cookie left", self.browser.id is None)
        self.fact("the old id opens nothing", not self.fields_as_seen(Browser(self.shop, old_id)))

    # ---- Its props ----------------------------------------------------------------------------

    def slow_request(self, field: str, value: str) -> Background:
        """A request that has read its session, and is now taking its time."""
        form = {"field": field, "value": value}
        self.page.sent("POST", "/slow-choose", **form)
        slow = Background(self.browser, "POST", "/slow-choose", **form)
        Browser(self.shop).send("GET", "/paused")
        self.page.line("", "it has read its session, and takes its time; meanwhile:")
        return slow

    def finish(self, slow: Background) -> None:
        Browser(self.shop).send("POST", "/resume")
        answer = slow.wait()
        self.page.line("", "now the slow one goes on, writes, and answers:")
        self.page.came_back(answer)
        self.fact("the slow one was slow", "at last" in answer.text)

    def run(self) -> int:
        for step in (
            self.first_visit,
            self.tuples,
            self.nested_mutation,
            self.refused,
            self.login,
            self.id_nowhere,
            self.restart,
            self.both_kept,
            self.logout,
        ):
            self.page.begin(step.__doc__)
            try:
                step()
            except Exception as error:
                self.fact(f"no surprise ({type(error).__name__}: {error})", False)
            self.page.end()
        return self.page.conclude()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait: what was started must be known before one ends the demo."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def server(directory: Path) -> Iterator[Path]:
    """A redis-server of our own; its socket."""
    with ExitStack() as cleanup:
        with undisturbed():
            store = coatcheck.Store(f"embedded:{directory}", prefix=PREFIX, allow_root=True)
            cleanup.enter_context(store)
            cleanup.callback(stop, store, directory)
        yield directory / "redis.sock"


def stop(store: coatcheck.Store, directory: Path) -> None:
    """Stop the server, one way or the other."""
    try:
        store.stop_embedded()
    except coatcheck.Error as error:
        print(error, file=sys.stderr)
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((directory / "redis.pid").read_text()), signal.SIGKILL)


def on_signals(do: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in SIGNALS:
        signal.signal(number, do)


def leave(number: int, frame: FrameType | None) -> None:
    on_signals(signal.SIG_IGN)  # one is enough; cleaning up takes a moment
    sys.exit(128 + number)


def serve(url: str) -> None:
    """The page of page_wsgi.py, until somebody ends it."""
    print("\nThe page, until Ctrl-C:", flush=True)
    env = dict(os.environ, COATCHECK_URL=url, COATCHECK_PREFIX="page:")
    command = [sys.executable, str(Path(__file__).with_name("page_wsgi.py"))]
    page = subprocess.Popen(command, env=env, start_new_session=True)  # Ctrl-C is for us
    try:
        on_signals(end_wait)
        page.wait()
    except Ended:
        pass
    finally:
        page.terminate()
        page.wait()


class Ended(Exception):
    """Somebody does not want to see the page any more."""


def end_wait(number: int, frame: FrameType | None) -> None:
    on_signals(signal.SIG_IGN)
    raise Ended


def main() -> int:
    on_signals(leave)
    with (
        tempfile.TemporaryDirectory(prefix="coatcheck-demo-") as directory,
        server(Path(directory)) as socket,
        closing(Redis(socket)) as redis,
        closing(Shop(f"unix:{socket}")) as shop,
    ):
        page = Page()
        page.introduce(redis, shop)
        status = Demo(shop, redis, page).run()
        if "--serve" in sys.argv[1:]:
            serve(f"unix:{socket}")
        on_signals(signal.SIG_IGN)
        return status


if __name__ == "__main__":
    sys.exit(main())
