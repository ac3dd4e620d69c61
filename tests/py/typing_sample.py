"""A user's module, for `mypy --strict`: everything public, as an application would use it."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import coatcheck
from coatcheck import Cache, Cookie, NotStorable, Session, SessionGone, Store, StoreUnavailable, aio
from coatcheck.wsgi import SessionMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def values() -> None:
    data: bytes = coatcheck.dumps([1, "two", (3, b"4")], max_depth=None)
    value: Any = coatcheck.loads(data, max_bytes=1 << 10, max_items=10)
    problems: list[NotStorable] = coatcheck.check(value)
    print([(problem.path, problem.type) for problem in problems], coatcheck.__version__)


def sessions(store: Store) -> datetime | None:
    session: Session = store.new()
    session["cart"] = [("tea", 1)]
    session.setdefault("seen", 0)
    session |= {"theme": "dark"}
    plain: dict[str, Any] = session | {"more": True}
    mapping: MutableMapping[str, Any] = session
    session.update(plain, size=1)
    session.idle = 60
    seen: int = session.incr("seen") + session.incr("seen", by=2)
    print(seen)
    session_id: str | None = session.save()
    session.login("user:42", carry=["cart"])
    session.login("user:42", carry="all")
    session.rotate()
    try:
        session.save()
    except SessionGone as exc:
        print(exc.replaced)
    except StoreUnavailable as exc:
        print(exc.code.lower())
    loaded: Session | None = store.load(session_id or "")
    if loaded is None or loaded.stale:
        return None
    ended: bool = loaded.destroy()
    print(ended, loaded.copy(), len(mapping), loaded.principal, loaded.public_id)
    return loaded.deadline


def stores() -> None:
    with Store(
        "redis://localhost/0",
        prefix="shop:",
        idle=None,
        lifetime=timedelta(days=1),
        timeout=0.5,
        on_conflict="theirs",
        max_bytes=None,
    ) as store:
        store.ping()
        store.ping(timeout=1.5)
        figures: dict[str, float] = store.stats()
        print(figures, store.destroy("x"))
        updated: Session | None = store.update("x", lambda session: session.incr("n"))
        print(updated)
        with store.lock("x") as locked:
            print(locked.principal if locked else None)
    Store().close()
    Store(on_conflict=lambda base, mine, theirs: theirs or mine or base).close()
    Store(on_conflict={"cart": merge, "*": "raise"}).close()
    Store(on_event="log").close()
    Store(on_event=audit).close()


def caches(cache: Cache) -> None:
    cache.set("a", [1], ttl=timedelta(minutes=1), only_if="new")
    cache.set_many({"a": 1, "b": (2,)}, ttl=None)
    found: dict[str, Any] = cache.get_many(["a", "b"])
    value: Any = cache.get("a")
    count: int = cache.incr("n") + cache.decr("n", by=2, initial=None) + cache.delete_many(["x"])
    there: bool = cache.has("a") and cache.add("a", 1) and cache.touch("a") and cache.delete("a")
    left: float | None = cache.ttl("a")
    old, version = cache.get_versioned("a")
    there = cache.compare_and_set("a", old, version, ttl=5)
    part = cache.namespace("user:42").tagged("prices", "rates")
    there, count = part.set("a", 1, ttl=5), part.invalidate() + cache.invalidate("prices", "rates")
    rates: list[int] = part.get_or_set("rates", lambda: [1, 2])
    made: list[str] = cache.get_or_set("b", lambda: ["x"], ttl=lambda v: 60 if v else 5)
    print(found, value, count, there, left, made, rates, cache.pop("a"), cache.stats())


memory = Cache("redis://h", prefix="shop:", ttl=60, ttl_jitter=0.2, on_corrupt="raise")
amemory = aio.Cache("redis://h", prefix="shop:", ttl=None)


@memory.memoize
def square(n: int) -> int:
    return n * n


@memory.memoize(ttl=60, name="cube", ignore=["note"])
def cube(n: int, note: str = "") -> int:
    return n * n * n


@amemory.memoize(ttl=timedelta(hours=1))
async def slowly(n: int) -> str:
    return str(n)


async def memoized() -> None:
    number: int = square(3) + cube(2, note="x") + square.refresh(3)
    gone: bool = square.invalidate(3)
    text: str = await slowly(5) + await slowly.refresh(5) + slowly.key(5)
    again: bool = await slowly.invalidate(5)
    print(number, gone, text, again)
    async with amemory as cache:
        await cache.set("a", 1, ttl=5)
        made: int = await cache.get_or_set("b", lambda: 5)
        print(made, await cache.get("a"), await cache.get_many(["a"]))


def audit(event: coatcheck.Event) -> None:
    who: str | None = event.principal
    print(event.kind == "refused", event.public_id, who, event.reason)


def merge(base: Any, mine: list[str], theirs: list[str]) -> list[str] | coatcheck.Missing:
    return coatcheck.MISSING if base is coatcheck.MISSING else mine + theirs


async def count(session: aio.Session) -> None:
    session.incr("n")


async def with_asyncio() -> None:
    async def credentials() -> tuple[str | None, str]:
        return None, "secret"

    async with aio.Store("redis://h", prefix="a:", idle=60, credentials=credentials) as store:
        session: aio.Session | None = await store.load("x")
        made = store.new()
        made["a"] = 1
        session_id: str | None = await made.save()
        made.login("user:1", carry="all")
        ended: bool = await made.destroy() and await store.destroy(session_id or "")
        print(session, ended, store.stats())
        updated: aio.Session | None = await store.update("x", count)
        print(updated)
        async with store.lock("x") as locked:
            print(locked.principal if locked else None)
        await store.ping(timeout=1.5)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    session: Session = environ["coatcheck.session"]
    session["cart"].append("tea")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def sorry(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [])
    return [b"sorry"]


plain = SessionMiddleware(app, "redis://localhost:6379/0", prefix="shop:")
rich = SessionMiddleware(
    plain,
    Store("embedded:"),
    cookie=Cookie("shop", secure=False, samesite="Strict", max_age=timedelta(days=7)),
    environ_key="session",
    on_corrupt="raise",
    on_unavailable=sorry,
    on_gone="error",
    save_on_error=True,
    cache_control=None,
)
