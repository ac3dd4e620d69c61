"""Starlette, FastAPI and Authlib with our sessions, and websockets in a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
import websockets
from asgi_client import AsgiBrowser
from authlib.integrations.starlette_client import OAuth
from coatcheck import Cookie, StoreUnavailable, aio
from coatcheck.asgi import SessionMiddleware
from conftest import RedisServer, wait_for
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from test_servers import UVICORN, serving
from views import NAME


@pytest.fixture
def ours(redis_server: RedisServer) -> Middleware:
    return Middleware(SessionMiddleware, redis_server.url, prefix="test:")


@pytest.fixture
def client() -> Iterator[Callable[[Any], TestClient]]:
    """Starlette's own client, over https, with the lifespan of the application around it."""
    clients: list[TestClient] = []

    def client(app: Any) -> TestClient:
        clients.append(TestClient(app, base_url="https://shop.example"))
        return clients[-1].__enter__()

    yield client
    for opened in clients:
        opened.__exit__(None, None, None)


# ---- Starlette -----------------------------------------------------------------------------


def visits(request: Any) -> int:
    count: int = request.session.get("visits", 0) + 1
    request.session["visits"] = count
    return count


async def counted(request: Any) -> Response:
    return PlainTextResponse(str(visits(request)))


def test_request_session_in_starlette(ours: Middleware, client: Any) -> None:
    browser = client(Starlette(routes=[Route("/", counted)], middleware=[ours]))
    assert [browser.get("/").text for _ in range(3)] == ["1", "2", "3"]
    assert browser.cookies[NAME]


def test_a_view_in_a_thread_uses_its_session_too(ours: Middleware, client: Any) -> None:
    """Starlette runs what is no coroutine function in a thread."""

    def plain(request: Any) -> Response:
        return PlainTextResponse(str(visits(request)))

    class Endpoint(HTTPEndpoint):
        async def get(self, request: Any) -> Response:
            return await counted(request)

    browser = client(
        Starlette(routes=[Route("/", plain), Route("/e", Endpoint)], middleware=[ours])
    )
    assert [browser.get(path).text for path in ("/", "/e", "/")] == ["1", "2", "3"]


def test_mounted_applications_share_the_session_or_have_their_own(
    ours: Middleware, redis_server: RedisServer, client: Any
) -> None:
    # Starlette tells a mounted application nothing of the lifespan.
    store = aio.Store(redis_server.url, prefix="forum:")

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with store:
            yield

    own = Middleware(SessionMiddleware, store, cookie=Cookie("__Host-forum"))
    forum = Starlette(routes=[Route("/", counted)], middleware=[own])
    blog = Starlette(routes=[Route("/", counted)])
    routes = [Route("/", counted), Mount("/forum", forum), Mount("/blog", blog)]
    browser = client(Starlette(routes=routes, middleware=[ours], lifespan=lifespan))
    assert [browser.get(path).text for path in ("/", "/blog/", "/forum/", "/forum/", "/")] == [
        *("1", "2", "1", "2"),
        "3",
    ]


def test_redirects_errors_and_background_tasks(
    ours: Middleware, redis_server: RedisServer, client: Any
) -> None:
    async def go(request: Any) -> Response:
        visits(request)
        return RedirectResponse("/")

    async def fail(request: Any) -> Response:
        visits(request)
        raise ZeroDivisionError

    async def later(request: Any) -> Response:
        async def work() -> None:
            request.session["done"] = True

        visits(request)
        return PlainTextResponse("later", background=BackgroundTask(work))

    async def show(request: Any) -> Response:
        return JSONResponse(dict(request.session))

    routes = [Route("/", show), Route("/go", go), Route("/fail", fail), Route("/later", later)]
    browser = client(Starlette(routes=routes, middleware=[ours]))
    assert browser.get("/go").json() == {"visits": 1}
    with pytest.raises(ZeroDivisionError):
        browser.get("/fail")
    assert browser.get("/").json() == {"visits": 1}
    browser.get("/later")
    assert browser.get("/").json() == {"visits": 2, "done": True}


async def passing(request: Any, call_next: Any) -> Any:
    return await call_next(request)


def test_what_a_stream_changes_within_a_middleware_of_starlettes_own_kind_is_saved(
    redis_server: RedisServer,
) -> None:
    """A BaseHTTPMiddleware runs what it surrounds in a task of its own."""

    async def stream(request: Any) -> Response:
        async def numbers() -> AsyncIterator[str]:
            for number in range(4):
                request.session["number"] = number
                yield str(number)

        request.session["number"] = -1
        return StreamingResponse(numbers())

    async def show(request: Any) -> Response:
        return JSONResponse(dict(request.session))

    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            sessions = Middleware(SessionMiddleware, store)
            around = Middleware(BaseHTTPMiddleware, dispatch=passing)
            routes = [Route("/stream", stream), Route("/", show)]
            browser = AsgiBrowser(Starlette(routes=routes, middleware=[around, sessions]))
            await browser.get("/stream")
            assert json.loads((await browser.get("/")).body) == {"number": 3}

    asyncio.run(main())


def test_an_exception_handler_of_starlette_answers_for_a_store_that_is_away(
    tmp_path: Path, client: Any
) -> None:
    async def closed(request: Any, exc: Exception) -> Response:
        return PlainTextResponse("back soon", 503)

    away = Middleware(
        SessionMiddleware, f"unix:{tmp_path}/none", prefix="test:", timeout=0.2, on_gone="error"
    )
    app = Starlette(
        routes=[Route("/", counted)],
        middleware=[away],
        exception_handlers={StoreUnavailable: closed},
    )
    browser = client(app)
    browser.cookies.set(NAME, "A" * 43)
    answer = browser.get("/")
    assert (answer.status_code, answer.text) == (503, "back soon")
    assert answer.headers["Cache-Control"] == "no-store"


# ---- FastAPI -------------------------------------------------------------------------------


def session(request: Request) -> aio.Session:
    found: aio.Session = request.scope["session"]
    return found


Visited = Annotated[aio.Session, Depends(session)]


def shop(url: str) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, url, prefix="test:")

    @app.post("/login/{name}")
    async def login(name: str, visited: Visited) -> dict[str, Any]:
        visited.login(f"user:{name}", carry=["cart"])
        return {"id": await visited.save() is not None}

    @app.post("/cart/{sku}")
    def add(sku: str, visited: Visited) -> list[Any]:
        visited.setdefault("cart", []).append((sku, 1))
        cart: list[Any] = visited["cart"]
        return cart

    @app.get("/")
    async def show(visited: Visited) -> dict[str, Any]:
        return {"who": visited.principal, **visited}

    @app.get("/events")
    async def events(visited: Visited) -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for number in range(3):
                yield f"data: {number}\n\n"
                visited["event"] = number

        return StreamingResponse(chunks(), media_type="text/event-stream")

    @app.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        websocket.session["chats"] = websocket.session.get("chats", 0) + 1
        await websocket.accept()
        async for text in websocket.iter_text():
            websocket.session["said"] = text
            await websocket.scope["session"].save()
            await websocket.send_text(f"{text} saved")

    return app


def test_fastapi_with_dependencies_and_server_sent_events(
    redis_server: RedisServer, client: Any
) -> None:
    browser = client(shop(redis_server.url))
    browser.post("/cart/tea")
    old = browser.cookies[NAME]
    assert browser.post("/login/ada").json() == {"id": True}
    assert browser.cookies[NAME] != old
    assert browser.post("/cart/cup").json() == [["tea", 1], ["cup", 1]]
    assert browser.get("/events").text.count("data:") == 3
    assert browser.get("/").json() == {
        "who": "user:ada",
        "cart": [["tea", 1], ["cup", 1]],
        "event": 2,
    }


def test_fastapi_under_httpx_in_one_event_loop(redis_server: RedisServer) -> None:
    app = shop(redis_server.url)

    async def visit(name: str) -> Any:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://shop.example") as own:
            await own.post(f"/cart/{name}")
            await own.post(f"/login/{name}")
            return (await own.get("/")).json()

    async def main() -> None:
        names = [f"user{number}" for number in range(20)]
        shown = await asyncio.gather(*map(visit, names))
        assert shown == [{"who": f"user:{name}", "cart": [[name, 1]]} for name in names]

    asyncio.run(main())


def test_a_websocket_of_fastapi(redis_server: RedisServer, client: Any) -> None:
    browser = client(shop(redis_server.url))
    with browser.websocket_connect("wss://shop.example/chat") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "hello saved"
        # A browser would keep it; this client does not.
        cookie = dict(socket.extra_headers)[b"set-cookie"].decode().partition(";")[0]
    browser.headers["Cookie"] = cookie
    with browser.websocket_connect("wss://shop.example/chat"):
        pass
    assert browser.get("/").json() == {"who": None, "chats": 2, "said": "hello"}


APPLICATION = """
import os, sys
sys.path.insert(0, {folder!r})
from coatcheck import Cookie
from coatcheck.asgi import SessionMiddleware

async def chat(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({{"type": (await receive())["type"] + ".complete"}})
        return
    session = scope["session"]
    if scope["type"] == "http":
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": repr(dict(session)).encode()}})
        return
    await receive()
    session["chats"] = session.get("chats", 0) + 1
    await send({{"type": "websocket.accept"}})
    while (message := await receive())["type"] == "websocket.receive":
        session["said"] = message["text"]
        await session.save()
        await send({{"type": "websocket.send", "text": "saved"}})

app = SessionMiddleware(chat, cookie=Cookie(secure=False))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_websockets_in_uvicorn(redis_server: RedisServer, tmp_path: Path, loop: str) -> None:
    (tmp_path / "chat.py").write_text(APPLICATION.format(folder=str(tmp_path)))
    command = [*UVICORN, "--app-dir", str(tmp_path), "--loop", loop, "chat:app"]

    async def talk(url: str) -> None:
        where = url.replace("http", "ws")
        async with websockets.connect(where) as socket:
            assert socket.response is not None
            cookie = socket.response.headers["Set-Cookie"].partition(";")[0]
            await socket.send("hello")
            assert await socket.recv() == "saved"
        async with websockets.connect(where, additional_headers={"Cookie": cookie}) as socket:
            assert socket.response is not None and "Set-Cookie" not in socket.response.headers
        async with httpx.AsyncClient(trust_env=False) as browser:
            shown = await browser.get(url, headers={"Cookie": cookie})
            assert shown.text == "{'chats': 2, 'said': 'hello'}"

    with serving(command, redis_server, tmp_path) as server:
        asyncio.run(talk(server.url))


EVENTS = """
import asyncio
from coatcheck import Cookie
from coatcheck.asgi import SessionMiddleware
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

async def events(request):
    async def numbers():
        while True:
            request.session["sent"] = request.session.get("sent", 0) + 1
            yield "data: x\\n\\n"
            await asyncio.sleep(0.01)
    request.session["began"] = True
    return StreamingResponse(numbers(), media_type="text/event-stream")

async def show(request):
    return JSONResponse(dict(request.session))

routes = [Route("/events", events), Route("/", show)]
app = SessionMiddleware(Starlette(routes=routes), cookie=Cookie(secure=False))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_events_in_uvicorn_are_saved_though_the_browser_has_left(
    redis_server: RedisServer, tmp_path: Path, loop: str
) -> None:
    (tmp_path / "news.py").write_text(EVENTS)
    command = [*UVICORN, "--app-dir", str(tmp_path), "--loop", loop, "news:app"]
    with (
        serving(command, redis_server, tmp_path) as server,
        httpx.Client(base_url=server.url, trust_env=False) as browser,
    ):
        with browser.stream("GET", "/events") as answer:
            assert next(answer.iter_text()).startswith("data:")
        wait_for(lambda: "sent" in browser.get("/").json(), "what was streamed to be saved")


# ---- Authlib -------------------------------------------------------------------------------


def test_authlib_keeps_its_state_in_the_session(ours: Middleware, client: Any) -> None:
    oauth = OAuth()
    oauth.register(
        "provider",
        client_id="shop",
        client_secret="secret",
        authorize_url="https://provider.example/authorize",
        access_token_url="https://provider.example/token",
        client_kwargs={"transport": httpx2.MockTransport(token)},
    )

    async def login(request: Any) -> Response:
        answer: Response = await oauth.provider.authorize_redirect(
            request, "https://shop.example/back"
        )
        return answer

    async def back(request: Any) -> Response:
        granted = await oauth.provider.authorize_access_token(request)
        request.session.login("user:ada", carry=())
        return PlainTextResponse(granted["access_token"])

    routes = [Route("/login", login), Route("/back", back)]
    browser = client(Starlette(routes=routes, middleware=[ours]))
    sent_to = browser.get("/login", follow_redirects=False).headers["Location"]
    state = parse_qs(urlsplit(sent_to).query)["state"][0]
    old = browser.cookies[NAME]
    assert browser.get(f"/back?state={state}&code=1").text == "a token"
    assert browser.cookies[NAME] != old


def token(request: httpx2.Request) -> httpx2.Response:
    """The provider."""
    return httpx2.Response(200, json={"access_token": "a token", "token_type": "Bearer"})
