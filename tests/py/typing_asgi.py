"""A user's module with sessions of ASGI, for `mypy --strict`."""

from __future__ import annotations

from typing import Annotated, Any

from coatcheck import Cookie, StoreUnavailable, aio
from coatcheck.asgi import SessionMiddleware
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse


def session_of(request: Request) -> aio.Session:
    session: aio.Session = request.scope["session"]
    return session


Session = Annotated[aio.Session, Depends(session_of)]

api = FastAPI()
api.add_middleware(SessionMiddleware, "redis://localhost/0", prefix="shop:", load="lazy")


@api.post("/login")
async def log_in(session: Session) -> str | None:
    await session.load()
    session.login("user:42", carry=["cart"])
    session["cart"] = [("tea", 1)]
    return await session.save()


@api.post("/logout")
async def log_out(session: Session) -> bool:
    ended: bool = await session.destroy()
    return ended


@api.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    session: aio.Session = websocket.scope["session"]
    session["chats"] = session.incr("chats")
    await websocket.accept()
    await session.save()


async def closed(scope: Any, receive: Any, send: Any) -> None:
    exc: StoreUnavailable = scope["coatcheck.error"]
    await PlainTextResponse(exc.code, 503)(scope, receive, send)


store = aio.Store("redis://localhost/0", prefix="shop:", show=["device"])
app = Starlette(
    middleware=[
        Middleware(
            SessionMiddleware,
            store,
            cookie=Cookie(secure=False),
            on_unavailable=closed,
            on_gone="error",
            cache_control=None,
        )
    ]
)
wrapped = SessionMiddleware(app, store, save_on_error=True)


async def devices(principal: str) -> list[str]:
    await wrapped.store.destroy_one(principal, "a public id")
    return [info.public_id for info in await store.sessions(principal)]
