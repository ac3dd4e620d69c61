"""Requests with cookies of enormous size or number, through the middlewares: they are of a visitor
who has no session, and cost neither a command nor memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from coatcheck import Store, aio, asgi, wsgi
from conftest import RedisServer
from memory import peak
from views import NAME

MIB = 1 << 20
SMALL = 64 * 1024  # what any request may need

HEADERS = {
    "a long value": f"{NAME}={'A' * MIB}",
    "a long value of others": f"theme={'A' * MIB}",
    "ten thousand cookies": "; ".join(f"cookie{n}={'v' * 90}" for n in range(10_000)),
    "ours behind ten thousand": "a=1; " * 10_000 + f"{NAME}={'A' * 42}",
    "ten thousand of ours": f"{NAME}=x; " * 10_000,
    "ours in the values of others": f"a=b,{NAME}=x; " * 10_000,
    "no cookie at all": ";" * MIB,
    "blanks": f"{NAME}={' ' * MIB}x",
    "a long name": "A" * MIB + "=1",
}
each = pytest.mark.parametrize("header", HEADERS.values(), ids=list(HEADERS))

# Of others, or two of ours: then none is looked at as an id.
NOT_OURS = [header for name, header in HEADERS.items() if "others" in name]


def malformed(header: str) -> int:
    """As how many ids it counts."""
    alone = header.count(f"{NAME}=") == 1
    return int(alone and header not in NOT_OURS)


@each
def test_req_03_an_enormous_header_opens_nothing_and_costs_nothing(
    redis_server: RedisServer, header: str
) -> None:
    def view(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(dict(environ["coatcheck.session"]))
        start_response("200 OK", [])
        return [b""]

    seen: list[Any] = []
    with Store(redis_server.url, prefix="test:") as store:
        app = wsgi.SessionMiddleware(view, store)
        environ = {"wsgi.url_scheme": "https", "HTTP_HOST": "a.example", "REQUEST_METHOD": "GET"}
        for _ in app({**environ}, lambda *_: None):
            pass  # what is allocated by the first request only
        with redis_server.monitor() as sent, peak() as needed:
            for _ in app({**environ, "HTTP_COOKIE": header}, lambda *_: None):
                pass
        assert needed.bytes < SMALL + 32 * 1024  # which the monitor needs
        assert seen == [{}, {}] and sent == []
        assert store.stats()["coatcheck_malformed_ids_total"] == malformed(header)


@each
@pytest.mark.parametrize("split", [False, True], ids=["one header", "split"])
def test_req_03_enormous_headers_open_nothing_with_asyncio(
    redis_server: RedisServer, header: str, split: bool
) -> None:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["session"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def request(headers: list[tuple[bytes, bytes]]) -> None:
        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            pass

        host = (b"host", b"a.example")
        scope = {"type": "http", "scheme": "https", "path": "/", "headers": [host, *headers]}
        await app(scope, receive, send)

    async def main() -> None:
        pieces = header.split("; ") if split else [header]
        headers = [(b"cookie", piece.encode()) for piece in pieces]
        await request([])
        with redis_server.monitor() as sent, peak() as needed:
            await request(headers)
        own_list = 8 * len(headers)
        assert needed.bytes < SMALL + 32 * 1024 + 2 * own_list
        assert seen == [{}, {}] and sent == []
        assert store.stats()["coatcheck_malformed_ids_total"] == malformed(header)
        await store.close()

    seen: list[Any] = []
    store = aio.Store(redis_server.url, prefix="test:")
    app = asgi.SessionMiddleware(view, store)
    asyncio.run(main())
