"""Sessions of websockets, message by message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asgi_client import Run, Serve, nowhere, say
from asgi_client import serve as serve
from coatcheck import SessionGone, Store
from conftest import RedisServer
from loops import run as run
from views import NAME, put


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """Stores each text; the first one is a request."""
    session = scope["session"]
    if scope["type"] == "http":
        return await say(send, put(session, scope["path"]))
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/refused":
        return await send({"type": "websocket.close"})
    session["joined"] = True
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        session["said"] = message["text"]
        if scope["path"] == "/saves":
            await session.save()
        await send({"type": "websocket.send", "text": f"saved {session['said']}"})


def test_a_websocket_has_its_session_and_sets_the_cookie_as_it_is_accepted(
    serve: Serve, run: Run
) -> None:
    async def main() -> None:
        browser = serve(app=chat)
        await browser.connect("/", ["hi"])
        assert NAME in browser.jar
        # Not with each message: saving is up to the application.
        assert (await browser.get("/")).body == b"{'joined': True}"
        await browser.connect("/saves", ["hi", "there"])
        assert (await browser.get("/")).body == b"{'joined': True, 'said': 'there'}"
        assert browser.messages[0]["type"] == "http.response.start"

    run(main())


def test_an_accepted_websocket_says_nothing_about_caches(serve: Serve, run: Run) -> None:
    async def main() -> None:
        browser = serve(app=chat)
        answer = await browser.connect()
        assert [name for name, _ in answer.headers] == ["set-cookie"]
        assert [message["type"] for message in browser.messages] == ["websocket.accept"]

    run(main())


def test_a_websocket_that_is_refused_saves_nothing(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def main() -> None:
        browser = serve(app=chat)
        await browser.connect("/refused")
        assert [message["type"] for message in browser.messages] == ["websocket.close"]

    run(main())
    assert redis_server.records() == []


@pytest.mark.parametrize("extension", [False, True])
def test_a_websocket_without_a_store_is_closed_or_answered(
    serve: Serve, run: Run, tmp_path: Path, extension: bool
) -> None:
    extensions = {"extensions": {"websocket.http.response": {}}} if extension else {}

    async def main() -> None:
        browser = serve(app=chat, **nowhere(tmp_path))
        await browser.connect("/", **extensions)
        first = browser.messages[0]
        if extension:
            assert first["type"] == "websocket.http.response.start" and first["status"] == 503
        else:
            assert first == {"type": "websocket.close", "code": 1013}

    run(main())


@pytest.mark.parametrize("late", ["login", "rotate", "save"])
def test_what_needs_a_cookie_comes_too_late_after_the_handshake(
    serve: Serve, run: Run, late: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        await send({"type": "websocket.accept"})
        with pytest.raises(RuntimeError, match="after the response headers left"):
            if late == "login":
                session.login("user:1", carry="all")
            elif late == "rotate":
                session.rotate()
            else:
                session["a"] = 1
                await session.save()
        await send({"type": "websocket.close"})

    async def main() -> None:
        browser = serve(app=app)
        await browser.connect()
        assert [m["type"] for m in browser.messages] == ["websocket.accept", "websocket.close"]

    run(main())


def test_req_24_a_save_of_a_websocket_notices_a_logout_elsewhere(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        session["joined"] = True
        await send({"type": "websocket.accept"})
        with Store(redis_server.url, prefix="test:") as store:
            assert store.destroy(session.id)
        session["said"] = "hi"
        with pytest.raises(SessionGone):
            await session.save()

    async def main() -> None:
        await serve(app=app).connect()

    run(main())
    assert redis_server.records() == []


def test_a_websocket_that_fails_after_its_handshake_saves_nothing_and_says_so(
    serve: Serve, run: Run
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            return await say(send, put(scope["session"], scope["path"]))
        await send({"type": "websocket.accept"})
        scope["session"]["color"] = "blue"
        raise ZeroDivisionError

    async def main() -> None:
        browser = serve(app=app, save_on_error=True)
        await browser.get("/color/red")
        with pytest.raises(ZeroDivisionError):
            await browser.connect()
        assert [message["type"] for message in browser.messages] == ["websocket.accept"]
        assert (await browser.get("/")).body == b"{'color': 'red'}"

    run(main())


def test_a_websocket_that_is_denied_with_a_response_of_its_own_saves(
    serve: Serve, run: Run
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            return await say(send, put(scope["session"], scope["path"]))
        scope["session"]["denied"] = True
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"log in first"})

    async def main() -> None:
        browser = serve(app=app)
        denied = await browser.connect()
        assert denied.status == 403 and denied["cache-control"] == "no-store"
        assert (await browser.get("/")).body == b"{'denied': True}"

    run(main())
