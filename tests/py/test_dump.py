"""Whoever has all that Redis holds, and all that it hears, has no cookie that opens a session."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from coatcheck import Store
from conftest import RedisServer

ID_LEN = 43
PIECE = 16  # bytes of a selector, and of a verifier
ID = re.compile(r"[A-Za-z0-9_-]{43}")


def everything(server: RedisServer) -> list[bytes]:
    """Keys, values in each form, members of indexes."""
    found: list[bytes] = []
    keys = server.keys()
    for key in keys:
        found += [key, server.cli("DUMP", key)]
        if key.startswith(b"shop:p:"):
            found += server.cli("ZRANGE", key, 0, -1, "WITHSCORES")
        else:
            found.append(server.cli("GET", key))
    return found


def texts(raw: bytes) -> Iterator[str]:
    """What a text of these bytes could be as a cookie."""
    for shown in (raw, base64.urlsafe_b64encode(raw), raw.hex().encode(), base64.b64encode(raw)):
        yield shown.decode("latin-1").rstrip("=")


def pieces(found: list[bytes]) -> set[bytes]:
    """All that is as long as a half of an id, at every place, also where it is base64."""
    windows = {raw[i : i + PIECE] for raw in found for i in range(len(raw) - PIECE + 1)}
    for raw in found:
        for word in re.findall(rb"[A-Za-z0-9_-]{22,}", raw):
            usable = word[: len(word) // 4 * 4]
            decoded = base64.urlsafe_b64decode(usable)
            windows |= {decoded[i : i + PIECE] for i in range(len(decoded) - PIECE + 1)}
    return windows


def test_req_45_nothing_that_redis_holds_or_hears_opens_a_session(
    redis_server: RedisServer,
) -> None:
    with Store(redis_server.url, prefix="shop:", max_sessions=3, renew=3600) as store:
        with redis_server.monitor() as heard:
            session = store.new()
            session["cart"] = ["tea"]
            session.login("user:42", carry="all")
            session_id = session.save() or ""
            with store.lock(session_id) as locked:
                assert locked is not None
                locked["cart"].append("cup")
                locked.save()
                found = everything(redis_server)
            assert store.load(session_id) is not None
        words = [word.encode("latin-1") for command in heard for word in command]
        found += words
        assert len(found) > 20
        assert not any(session_id.encode() in raw for raw in found)

        tried = set()
        for raw in found:
            for text in texts(raw):
                tried.add(text)
                tried |= {text[i : i + ID_LEN] for i in range(len(text) - ID_LEN + 1)}
        halves = sorted(pieces(found))
        likely = halves[:: max(1, len(halves) // 60)]
        for one in likely:
            tried |= {
                base64.urlsafe_b64encode(one + other).decode().rstrip("=") for other in likely
            }
        well_formed = {text for text in tried if ID.fullmatch(text)}
        assert len(well_formed) > 1000
        for text in tried:
            loaded = store.load(text) if "\0" not in text else None
            assert loaded is None or loaded.stale
        assert store.load(session_id) is not None
