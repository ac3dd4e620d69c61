"""
Sessions by the hundred thousand, sooner than a store makes them.

One is made by a store. The others are its record with what protocol.md derives from an id in its
places: so each is as good as one that a store has made, and opens with its own id.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256

from .redis_client import Client

AT_ONCE = 1000
REVISION, VERIFIER, TAG = slice(4, 12), slice(46, 62), slice(106, 114)


def _minted(prefix: bytes, record: bytes) -> tuple[str, bytes, bytes]:
    """An id, its key and its record."""
    secret = os.urandom(40)
    selector, verifier, revision = secret[:16], secret[16:32], secret[32:]
    digest = sha256(prefix + b"\0" + selector).digest()
    new = bytearray(record)
    new[REVISION], new[TAG] = revision, digest[18:26]
    new[VERIFIER] = sha256(b"v" + verifier).digest()[:16]
    key = b"%bs:{%b}" % (prefix, urlsafe_b64encode(digest[:18]))
    return urlsafe_b64encode(secret[:32])[:43].decode(), key, bytes(new)


def _by_piece(count: int) -> Iterator[int]:
    for begin in range(0, count, AT_ONCE):
        yield min(AT_ONCE, count - begin)


def fill(client: Client, prefix: str, key: str, count: int, keep: int) -> list[str]:
    """So many sessions like the one at this key; some of their ids, evenly from all of them."""
    record, ttl_ms = client.pipeline([("GET", key), ("PTTL", key)])
    ids: list[str] = []
    every, made = max(1, count // keep), 0
    for piece in _by_piece(count):
        minted = [_minted(prefix.encode(), record) for _ in range(piece)]
        client.pipeline([("SET", key, new, "PX", ttl_ms) for _, key, new in minted])
        ids += [id for i, (id, _, _) in enumerate(minted) if (made + i) % every == 0]
        made += piece
    return ids[:keep]
