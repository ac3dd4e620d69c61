"""Applications that people use with Django's sessions: a smoke test of each with ours."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import django_site
import pytest
from conftest import RedisServer

django_site.set_up()

import channels.auth  # noqa: E402
from asgiref.testing import ApplicationCommunicator  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402
from coatcheck.django import SessionStore, principal, store  # noqa: E402
from django.contrib.auth import get_user  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django_site import DJANGOS, NAME, OURS, REST, ada, serve  # noqa: E402

ALLAUTHS = [
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
]


@pytest.fixture(params=[DJANGOS, OURS], ids=["djangos_middleware", "ours"], autouse=True)
def each_middleware(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[str]:
    csrf = "django.middleware.csrf.CsrfViewMiddleware"
    changed = {"MIDDLEWARE": [request.param, csrf, *REST, *ALLAUTHS]}
    with django_site.settings(redis_server.url, **changed):
        yield request.param


def logged_in(**options: Any) -> Client:
    client = Client(**options)
    client.force_login(ada())
    return client


# ---- Django's own --------------------------------------------------------------------------------


def test_the_admin_logs_in_and_out() -> None:
    client = Client()
    client.get("/admin/login/")
    answer = client.post("/admin/login/?next=/admin/", {"username": "ada", "password": "tea"})
    assert answer.status_code == 302
    assert b"Site administration" in client.get("/admin/").content
    assert len(store().sessions(principal(ada()))) == 1
    client.post("/admin/logout/")
    assert client.get("/admin/").status_code == 302 and store().sessions("user:1") == []


def test_the_admin_changes_a_password_and_stays_logged_in() -> None:
    here, there = logged_in(), logged_in()
    old = here.cookies[NAME].value
    passwords = {"old_password": "tea", "new_password1": "tea-4-two", "new_password2": "tea-4-two"}
    try:
        answer = here.post("/admin/password_change/", passwords)
        assert answer.status_code == 302 and here.cookies[NAME].value != old
        assert here.get("/admin/").status_code == 200
        assert there.get("/admin/").status_code == 302
    finally:
        user = ada()
        user.set_password("tea")
        user.save()


# ---- django-allauth ------------------------------------------------------------------------------


def allauth_login() -> Client:
    client = Client()
    client.get("/accounts/login/")
    answer = client.post("/accounts/login/", {"login": "ada", "password": "tea"})
    assert answer.status_code == 302
    return client


def test_allauth_logs_in_and_out() -> None:
    client = allauth_login()
    assert SessionStore(client.cookies[NAME].value).principal == "user:1"
    client.post("/accounts/logout/")
    assert store().sessions("user:1") == []


def test_allauth_keeps_somebody_logged_in_or_not() -> None:
    for remember, kept in (("on", True), ("", False)):
        client = Client()
        data = {"login": "ada", "password": "tea", "remember": remember}
        client.post("/accounts/login/", data)
        assert bool(client.cookies[NAME]["max-age"]) is kept


def test_allauth_logs_out_other_devices() -> None:
    here, there = allauth_login(), allauth_login()
    assert here.get("/accounts/sessions/").content.count(b"127.0.0.1") == 2
    here.post("/accounts/sessions/")
    (left,) = store().sessions("user:1")
    assert left.public_id == SessionStore(here.cookies[NAME].value).public_id
    assert here.get("/accounts/sessions/").status_code == 200
    assert there.get("/accounts/sessions/").status_code == 302


# ---- Django REST framework -----------------------------------------------------------------------


def test_rest_framework_authenticates_by_the_session() -> None:
    assert Client().get("/api").status_code == 403
    client = logged_in(enforce_csrf_checks=True)
    assert client.get("/api").json() == {"user": "ada", "color": None}
    assert client.post("/api", {"color": "red"}).status_code == 403
    client.get("/admin/password_change/")  # sets the token's cookie
    token = client.cookies["csrftoken"].value
    client.post("/api", {"color": "red"}, headers={"X-CSRFToken": token})
    assert client.get("/api").json() == {"user": "ada", "color": "red"}


# ---- Channels ------------------------------------------------------------------------------------


class Consumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send_json({"color": await self.scope["session"].aget("color")})

    async def receive_json(self, content: Any) -> None:
        session = self.scope["session"]
        if content == "login":
            user = await ada_awaited()
            await channels.auth.login(self.scope, user, "django.contrib.auth.backends.ModelBackend")
        elif content == "logout":
            await channels.auth.logout(self.scope)
        else:
            await session.aset("color", content)
        if content != "logout":
            await session.asave()
        await self.send_json({"key": session.session_key})


async def ada_awaited() -> Any:
    from django.contrib.auth.models import User

    return await User.objects.aget(username="ada")


class Socket:
    """A websocket, as a server gives it to an application."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        scope = {"type": "websocket", "path": "/", "headers": headers}
        self._application = ApplicationCommunicator(
            SessionMiddlewareStack(Consumer.as_asgi()), scope
        )

    async def open(self) -> Any:
        await self._application.send_input({"type": "websocket.connect"})
        assert (await self._application.receive_output())["type"] == "websocket.accept"
        return await self._receive()

    async def say(self, content: Any) -> Any:
        text = json.dumps(content)
        await self._application.send_input({"type": "websocket.receive", "text": text})
        return await self._receive()

    async def _receive(self) -> Any:
        return json.loads((await self._application.receive_output(10))["text"])

    async def close(self) -> None:
        await self._application.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._application.wait(10)


def test_a_consumer_of_channels_has_the_session() -> None:
    async def main() -> None:
        socket = Socket([(b"cookie", f"{NAME}={key}".encode())])
        assert await socket.open() == {"color": "red"}
        assert await socket.say("blue") == {"key": key}
        assert (await SessionStore(key).aload())["color"] == "blue"
        new = (await socket.say("login"))["key"]
        assert new != key and (await SessionStore(new).aload())["_auth_user_id"] == "1"
        assert await socket.say("logout") == {"key": None}
        assert not await SessionStore().aexists(new)
        await socket.close()

    session = SessionStore()
    session["color"] = "red"
    session.save()
    key = session.session_key
    asyncio.run(main())


# ---- django-debug-toolbar ------------------------------------------------------------------------


def test_the_debug_toolbar_shows_the_session(each_middleware: str) -> None:
    toolbar = "debug_toolbar.middleware.DebugToolbarMiddleware"
    changed = {
        "MIDDLEWARE": [toolbar, each_middleware, *REST],
        "DEBUG_TOOLBAR_CONFIG": {"SHOW_TOOLBAR_CALLBACK": lambda request: True},
        "DEBUG": True,
    }

    def view(request: HttpRequest) -> Any:
        from django.http import HttpResponse

        request.session["color"] = "violet"
        return HttpResponse(f"<html><body>{get_user(request)}</body></html>")

    with override_settings(**changed):
        serve(view)
        client = Client()
        page = client.get("/").content.decode()
        (request_id,) = set(re.findall(r'data-request-id="(\w+)"', page))
        parameters = {"request_id": request_id, "panel_id": "RequestPanel"}
        panel = client.get("/__debug__/render_panel/", parameters)
        assert "violet" in json.loads(panel.content)["content"]
