"""The page as an ASGI application: `app`, configured by the environment.

COATCHECK_URL=redis://... COATCHECK_PREFIX=shop: uvicorn --app-dir tests/demo page_asgi:app
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qs

from coatcheck import Cookie, NotStorable, aio
from coatcheck.asgi import SessionMiddleware
from page import FOREIGN_FORM, Form, View, change, html, state

JSON = "application/json"


async def view(session: aio.Session, error: str = "") -> View:
    principal = session.principal
    devices = [] if principal is None else await store.sessions(principal)
    return View(session, devices, session.public_id, error)


async def act(session: aio.Session, form: Form, browser: str) -> None:
    if form.path == "/logout":
        await session.destroy()
    elif form.path == "/device" and session.principal is not None:
        await store.destroy_one(session.principal, form["public_id"])
    elif form.path == "/everywhere" and session.principal is not None:
        await store.destroy_all(session.principal)
        await session.destroy()  # for the browser: it may forget the cookie
    else:
        change(session, form, browser)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await respond(scope, receive, send)
    else:
        raise RuntimeError(f"the shop speaks no {scope['type']}")


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def respond(scope: Any, receive: Any, send: Any) -> None:
    session = scope["session"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if scope["method"] == "POST" and headers.get("sec-fetch-site", "same-origin") != "same-origin":
        await answer(send, 403, FOREIGN_FORM)
    elif scope["method"] == "POST":
        said = parse_qs((await body(receive)).decode())
        form = Form(path, {name: values[0] for name, values in said.items()})
        try:
            await act(session, form, headers.get("user-agent", ""))
        except NotStorable as exc:
            await answer(send, 400, html(await view(session, str(exc))))
        else:
            await answer(send, 303, "", location="./")
    elif path not in ("", "/"):
        await answer(send, 404, "no such page")
    elif headers.get("accept") == JSON:
        await answer(send, 200, json.dumps(state(await view(session))), JSON)
    else:
        await answer(send, 200, html(await view(session)))


async def body(receive: Any) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def answer(
    send: Any, status: int, text: str, kind: str = "text/html; charset=utf-8", **more: str
) -> None:
    content = text.encode()
    headers = {"content-type": kind, "content-length": str(len(content)), **more}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


store = aio.Store(show=["device"])
# Secure unless somebody says that there is no https.
app = SessionMiddleware(
    application, store, cookie=Cookie(secure=os.environ.get("PAGE_PLAIN_HTTP") != "1")
)
