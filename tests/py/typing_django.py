"""A module of a user's in Django, which mypy finds right: see test_typing.py."""

from __future__ import annotations

from coatcheck import Session, SessionInfo
from coatcheck.django import Cache, SessionEnded, SessionStore, principal, store


def visits(session: SessionStore) -> int:
    session["cart"] = [("tea", 2)]
    session.set_expiry(300)
    key: str | None = session.session_key
    if key is not None and session.exists(key) and session.modified:
        session.cycle_key()
    try:
        saved: str = session.save()
    except SessionEnded as exc:
        return len(str(exc)) if exc.replaced else 0
    plain: Session = session
    return session.incr("visits") + len(saved) + len(plain)


def devices(user: object, session: SessionStore) -> list[str]:
    sessions: list[SessionInfo] = store().sessions(principal(user))
    ended, index_lost = store().destroy_all(principal(user), keep=session)
    return [info.public_id for info in sessions] if ended and not index_lost else []


async def awaited(session: SessionStore) -> tuple[int, bool]:
    fields: dict[str, object] = await session.aload()
    await session.aset_expiry(None)
    saved: str = await session.asave()
    await session.aflush()
    return await store().adestroy_all(saved, keep=str(fields))


def cached(cache: Cache) -> dict[str, object]:
    cache.set("rates", {"EUR": 1.0}, timeout=60)
    if cache.add("hits", 1) or cache.incr("hits") > 1:
        cache.set_many({"a": (1, 2)}, version=2)
    found: dict[str, object] = cache.get_many(["a", "b"], version=2)
    return found if cache.has_key("a") and not cache.touch("a", None) else {}


async def cached_and_awaited(cache: Cache) -> bool:
    hits: int = await cache.aincr("hits")
    await cache.aset("seen", hits)
    return await cache.adelete("seen")
