"""Whoever has all that Redis holds, and all that it hears, has no cookie that opens a session."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator

from coatcheck import Store
from conftest import RedisServer
from sites import unescaped

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


def decoded(raw: bytes) -> Iterator[bytes]:
    """What these bytes may be the base64 or the hexadecimal text of, wherever that begins."""
    for word in re.findall(rb"[A-Za-z0-9_+/-]{22,}", raw):
        for start in range(4):
            usable = word[start : start + (len(word) - start) // 4 * 4]
            yield base64.b64decode(usable.translate(bytes.maketrans(b"-_", b"+/")))
    for word in re.findall(rb"(?:[0-9A-Fa-f]{2}){16,}", raw):
        yield bytes.fromhex(word.decode())


def windows(found: Iterable[bytes]) -> set[bytes]:
    """All that is as long as a half of an id, at every place."""
    return {raw[i : i + PIECE] for raw in found for i in range(len(raw) - PIECE + 1)}


def pieces(found: list[bytes]) -> set[bytes]:
    """The same, also where it is text of bytes."""
    return windows(found) | windows(bytes_ for raw in found for bytes_ in decoded(raw))


def test_req_45_nothing_that_redis_holds_or_hears_opens_a_session(
    redis_server: RedisServer,
) -> None:
    with Store(redis_server.url, prefix="shop:", max_sessions=3, renew=3600) as store:
        with redis_server.monitor() as heard:
            session = store.new()
            session["cart"] = ["tea"]
            session.login("user:42", carry="all")
            former_id = session.save() or ""
            session.rotate()
            session_id = session.save() or ""
            ended = store.new()
            ended["a"] = 1
            ended_id = ended.save() or ""
            ended.destroy()
            with store.lock(session_id) as locked:
                assert locked is not None
                locked["cart"].append("cup")
                locked.save()
                found = everything(redis_server)
                records = [redis_server.cli("GET", key) for key in redis_server.records()]
            assert store.load(session_id) is not None
        found += [unescaped(word) for command in heard for word in command]
        assert len(found) > 20
        halves = pieces(found)
        for id in (former_id, session_id, ended_id):
            assert not any(id.encode() in raw for raw in found)
            secret = base64.urlsafe_b64decode(id + "=")
            assert not halves & {secret[:PIECE], secret[PIECE:]}

        tried = set()
        for raw in found:
            for text in texts(raw):
                tried.add(text)
                tried |= {text[i : i + ID_LEN] for i in range(len(text) - ID_LEN + 1)}
        likely = sorted(halves)[:: max(1, len(halves) // 60)]
        for one in likely:
            tried |= {
                base64.urlsafe_b64encode(one + other).decode().rstrip("=") for other in likely
            }
        # What finds a record must be in its key, or else made of that; what opens it in itself.
        finds = pieces([key for key in found if re.fullmatch(rb"shop:\w:\{.*\}", key)])
        opens = windows(records)
        assert len(finds) > 10 and len(opens) > 100
        tried |= {
            base64.urlsafe_b64encode(one + other).decode().rstrip("=")
            for one in finds
            for other in opens
        }
        well_formed = {text for text in tried if ID.fullmatch(text)}
        assert len(well_formed) > 1000
        for text in tried:
            loaded = store.load(text) if "\0" not in text else None
            assert loaded is None or loaded.stale
        assert store.load(session_id) is not None
