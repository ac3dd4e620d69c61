"""Sessions in Django, awaited: the methods that begin with an a, async views, ASGI."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import django_site
import pytest
from conftest import Browser, RedisServer, wait_for

django_site.set_up()

from asgiref.sync import sync_to_async  # noqa: E402
from coatcheck.django import SessionEnded, SessionStore, store  # noqa: E402
from django.contrib.auth import alogin, alogout  # noqa: E402
from django.contrib.sessions.backends.base import CreateError  # noqa: E402
from django.core.exceptions import SynchronousOnlyOperation  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse  # noqa: E402
from django.test import AsyncClient, override_settings  # noqa: E402
from django.urls import re_path  # noqa: E402
from django_site import DJANGOS, NAME, OURS, REST, ada  # noqa: E402

BACKEND = "django.contrib.auth.backends.ModelBackend"
AsyncView = Callable[[HttpRequest], Coroutine[Any, Any, Any]]
_view: AsyncView


async def dispatch(request: HttpRequest) -> HttpResponseBase:
    return django_site.answer(await _view(request))


urlpatterns = [re_path("^sync/", django_site.dispatch), re_path("", dispatch)]


@pytest.fixture(params=[DJANGOS, OURS], ids=["djangos_middleware", "ours"])
def each_middleware(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[str]:
    changed = {"MIDDLEWARE": [request.param, *REST], "ROOT_URLCONF": __name__}
    with django_site.settings(redis_server.url, **changed):
        yield request.param


@pytest.fixture
def ours(redis_server: RedisServer) -> Iterator[None]:
    changed = {"MIDDLEWARE": [OURS, *REST], "ROOT_URLCONF": __name__}
    with django_site.settings(redis_server.url, **changed):
        yield


@pytest.fixture
def engine(redis_server: RedisServer) -> Iterator[None]:
    with django_site.settings(redis_server.url):
        yield


def serve(view: AsyncView) -> AsyncClient:
    global _view
    _view = view
    return AsyncClient()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


async def put(request: HttpRequest) -> str:
    """/name/value stores; any other path shows what is stored."""
    _, name, *value = request.path.split("/")
    if value:
        await request.session.aset(name, value[0])
    return repr(dict(await request.session.aitems()))


async def account(request: HttpRequest) -> str:
    if request.path == "/login":
        await alogin(
            request, await sync_to_async(ada)(), "django.contrib.auth.backends.ModelBackend"
        )
    elif request.path == "/logout":
        await alogout(request)
    elif request.path != "/":
        return await put(request)
    user = await request.auser()
    return f"{user} {request.session.principal}"


# ---- The methods ---------------------------------------------------------------------------------


def test_each_method_that_is_awaited(engine: None) -> None:
    async def main() -> None:
        session = SessionStore()
        await session.aset("a", (1, 2))
        assert await session.asetdefault("b", 3) == 3
        await session.aupdate({"c": 4})
        await session.asave()
        key = session.session_key

        again = SessionStore(key)
        assert await again.aget("a") == (1, 2) and await again.aget("z", 5) == 5
        assert await again.ahas_key("b") and list(await again.akeys()) == ["a", "b", "c"]
        assert list(await again.avalues()) == [(1, 2), 3, 4]
        assert await again.apop("c") == 4 and await again.aload() == {"a": (1, 2), "b": 3}
        await again.aset_test_cookie()
        assert await again.atest_cookie_worked()
        await again.adelete_test_cookie()
        await again.aset_expiry(60)
        assert await again.aget_expiry_age() == again.idle == 60
        assert await again.aget_expiry_date() and not await again.aget_expire_at_browser_close()
        await again.acycle_key()
        await again.asave()
        assert again.session_key != key
        assert not await again.aexists(key) and await again.aexists(again.session_key)
        assert not await again.aexists(None)
        await again.aflush()
        assert again.session_key is None
        await SessionStore.aclear_expired()

    run(main)


def test_acreate_and_adelete(engine: None, redis_server: RedisServer) -> None:
    async def main() -> None:
        session = SessionStore()
        await session.acreate()
        key = session.session_key
        assert await session.aload() == {}
        with pytest.raises(CreateError):
            await session.asave(must_create=True)
        await SessionStore().adelete(key)
        assert redis_server.keys() == []
        await session.adelete()
        assert session.session_key is None

    run(main)


def test_asave_of_what_ended_meanwhile(engine: None) -> None:
    async def main() -> None:
        session = SessionStore()
        await session.aset("a", 1)
        await session.asave()
        await SessionStore(session.session_key).aflush()
        await session.aset("a", 2)
        with pytest.raises(SessionEnded):
            await session.asave()

    run(main)


def test_awaiting_takes_no_thread(engine: None) -> None:
    async def main() -> None:
        def refuse(*_: Any) -> Any:
            raise AssertionError("a thread was asked for")

        loop = asyncio.get_running_loop()
        loop.run_in_executor = refuse  # type: ignore[method-assign]
        session = SessionStore()
        await session.aset("a", 1)
        await session.asave()
        again = SessionStore(session.session_key)
        assert await again.aget("a") == 1
        await again.acycle_key()
        await again.asave()
        await again.aflush()

    run(main)


@pytest.mark.parametrize(
    "use",
    [
        lambda session: session["a"],
        lambda session: session.get("a"),
        lambda session: "a" in session,
        lambda session: len(session),
        lambda session: session.public_id,
        lambda session: session.save(),
        lambda session: session.flush(),
        lambda session: session.delete(),
        lambda session: session.delete("B" * 43),
        lambda session: session.exists("A" * 43),
        lambda session: session.create(),
        lambda session: session.load(),
        lambda session: session.clear(),
        lambda session: session.set_expiry(1),
        lambda session: session.__setitem__("a", 1),
    ],
)
def test_what_would_block_the_loop_raises_djangos_own_error(
    engine: None, redis_server: RedisServer, use: Callable[[SessionStore], object]
) -> None:
    async def main() -> None:
        with redis_server.monitor() as commands:
            session = SessionStore("A" * 43)
            with pytest.raises(SynchronousOnlyOperation, match="await its methods that begin"):
                use(session)
        assert commands == []

    asyncio.run(main())


def test_once_it_is_awaited_its_fields_are_at_hand(engine: None) -> None:
    async def main() -> None:
        session = SessionStore("A" * 43)
        await session.aload()
        session["a"] = [1]
        session["a"].append(2)
        assert session.get("a") == [1, 2] and session.modified

    run(main)


def test_a_key_that_a_save_is_needed_for_is_awaited_first(engine: None) -> None:
    async def main() -> None:
        session = SessionStore()
        await session.asave()
        await session.acycle_key()
        with pytest.raises(SynchronousOnlyOperation):
            _ = session.session_key

    run(main)


def test_the_sessions_of_a_user(engine: None) -> None:
    async def main() -> None:
        for _ in range(3):
            session = SessionStore()
            session.login("user:1", carry="all")
            await session.asave()
        others = {info.public_id for info in await store().asessions("user:1")}
        others.remove(session.public_id)
        assert await store().adestroy_one("user:1", others.pop())
        await store().adestroy_all("user:1", keep=session)
        (left,) = await store().asessions("user:1")
        assert left.public_id == session.public_id

    run(main)


def test_a_loop_that_ends_leaves_no_connection(engine: None, redis_server: RedisServer) -> None:
    def clients() -> int:
        return len(redis_server.cli("CLIENT", "LIST").splitlines())

    async def main() -> None:
        await SessionStore().asave()
        assert clients() == before + 1

    before = clients()
    for _ in range(3):
        run(main)
        wait_for(lambda: clients() == before, "the end of the connection")


# ---- Requests ------------------------------------------------------------------------------------


def test_a_session_goes_from_one_request_to_the_next(each_middleware: str) -> None:
    async def main() -> None:
        client = serve(put)
        answer = await client.get("/color/red")
        assert NAME in answer.cookies
        assert (await client.get("/")).content == b"{'color': 'red'}"

    run(main)


def test_sync_and_async_views_share_a_session(each_middleware: str) -> None:
    def sync_view(request: HttpRequest) -> str:
        request.session["seen"] = request.session.get("color")
        return ""

    async def main() -> None:
        client = serve(put)
        django_site._view = sync_view
        await client.get("/color/red")
        await client.get("/sync/")
        assert (await client.get("/")).content == b"{'color': 'red', 'seen': 'red'}"

    run(main)


def test_an_async_view_under_wsgi(each_middleware: str) -> None:
    serve(put)
    browser = Browser(WSGIHandler())
    browser.get("/color/red")
    assert browser.get().body == b"{'color': 'red'}"


def test_req_11_31_login_and_logout(each_middleware: str, redis_server: RedisServer) -> None:
    async def main() -> None:
        client = serve(account)
        await client.get("/color/red")
        old = client.cookies[NAME].value
        assert (await client.get("/login")).content == b"ada user:1"
        assert client.cookies[NAME].value != old
        assert (await client.get("/")).content == b"ada user:1"
        answer = await client.get("/logout")
        assert redis_server.keys() == []
        assert (await client.get("/")).content == b"AnonymousUser None"
        assert answer.cookies[NAME]["max-age"] in (0, "0")

    run(main)


def test_the_test_client_has_the_session(each_middleware: str) -> None:
    async def main() -> None:
        client = serve(account)
        session = await client.asession()
        await session.aset("color", "red")
        await session.asave()
        assert (await client.get("/")).content == b"AnonymousUser None"
        await client.aforce_login(await sync_to_async(ada)())
        assert (await client.get("/")).content == b"ada user:1"

    run(main)


def test_touching_a_session_that_is_not_loaded_in_a_view_raises(each_middleware: str) -> None:
    async def touch(request: HttpRequest) -> str:
        return str(request.session.get("color"))

    async def main() -> None:
        client = serve(put)
        await client.get("/color/red")
        serve(touch)
        with pytest.raises(SynchronousOnlyOperation):
            await client.get("/")

    run(main)


def test_a_page_without_the_session_asks_nothing_of_redis(
    each_middleware: str, redis_server: RedisServer
) -> None:
    async def plain(request: HttpRequest) -> str:
        return "plain"

    async def main() -> None:
        client = serve(put)
        await client.get("/color/red")
        serve(plain)
        with redis_server.monitor() as commands:
            assert (await client.get("/")).content == b"plain"
        assert commands == []

    run(main)


def test_saving_every_request(ours: None, redis_server: RedisServer) -> None:
    async def plain(request: HttpRequest) -> str:
        return "plain"

    async def main() -> None:
        client = serve(put)
        await client.get("/color/red")
        serve(plain)
        (key,) = redis_server.records()
        redis_server.cli("PEXPIRE", key, 1000)
        with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
            await client.get("/")
        assert redis_server.cli("PTTL", key) > 1_000_000

    run(main)


def test_req_44_69_a_store_that_is_down_is_a_503(ours: None, tmp_path: Path) -> None:
    async def main() -> None:
        changed = {"COATCHECK_URL": f"unix:{tmp_path}/none", "COATCHECK_TIMEOUT": 0.2}
        with override_settings(**changed):
            client = serve(put)
            answer = await client.get("/color/red")
            assert answer.status_code == 503 and answer["Retry-After"] == "5"
            client.cookies[NAME] = "A" * 43
            client.raise_request_exception = False
            assert (await client.get("/")).status_code == 503

    run(main)


def test_req_24_what_ended_meanwhile_is_dropped_or_interrupts(ours: None) -> None:
    async def overtaken(request: HttpRequest) -> str:
        await request.session.aset("late", True)
        await SessionStore(request.session.session_key).aflush()
        return ""

    async def main() -> None:
        for on_gone, status in (("drop", 200), ("error", 400)):
            with override_settings(COATCHECK_ON_GONE=on_gone):
                client = serve(put)
                await client.get("/color/red")
                serve(overtaken)
                answer = await client.get("/")
                assert answer.status_code == status and NAME not in answer.cookies

    run(main)


def test_an_error_that_goes_through_all_of_django_saves_only_if_told(ours: None) -> None:
    async def view(request: HttpRequest) -> Any:
        seen = await request.session.aget("seen", 0) + 1
        await request.session.aset("seen", seen)
        if request.path == "/raise":
            raise ZeroDivisionError
        return seen

    async def main() -> None:
        for saves, seen in ((False, b"2"), (True, b"3")):
            changed = {"COATCHECK_SAVE_ON_ERROR": saves, "DEBUG_PROPAGATE_EXCEPTIONS": True}
            with override_settings(**changed):
                client = serve(view)
                await client.get("/")
                with pytest.raises(ZeroDivisionError):
                    await client.get("/raise")
                client.exc_info = None  # or the next request raises it
                assert (await client.get("/")).content == seen

    run(main)


# ---- Streams, as a server gets them --------------------------------------------------------------


class Handler(ASGIHandler):
    """Django's, which after an error leaves the body's temporary file to the garbage collector."""

    async def read_body(self, receive: Any) -> Any:
        await receive()
        return io.BytesIO()


async def asgi(path: str, cookie: str, *, hang_up: bool = False) -> list[dict[str, Any]]:
    """What Django sends for a GET request; or until the client hangs up, after the first chunk."""
    sent: list[dict[str, Any]] = []
    started = asyncio.Event()
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        if hang_up:
            await started.wait()
            return {"type": "http.disconnect"}
        return await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message.get("body"):
            started.set()

    headers = [(b"host", b"shop.example.com"), (b"cookie", f"{NAME}={cookie}".encode())]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b""}
    await asyncio.wait_for(Handler()(scope, receive, send), 10)
    return sent


def stream(chunks: Callable[[HttpRequest], Any]) -> AsyncView:
    async def view(request: HttpRequest) -> Any:
        if request.path == "/stream":
            await request.session.aset("at", "start")
            return StreamingHttpResponse(chunks(request))
        return await put(request)

    return view


def streamed(chunks: Callable[[HttpRequest], Any], *, hang_up: bool = False) -> dict[str, Any]:
    """What is stored after a stream."""
    found: dict[str, Any] = {}

    async def main() -> None:
        client = serve(stream(chunks))
        await client.get("/color/red")
        key = client.cookies[NAME].value
        with suppress(ZeroDivisionError):
            await asgi("/stream", key, hang_up=hang_up)
        found.update(await SessionStore(key).aload())

    run(main)
    return found


def test_what_a_stream_changes_is_saved_when_it_ends(ours: None) -> None:
    async def chunks(request: HttpRequest) -> Any:
        yield b"a"
        request.session["at"] = "end"
        yield b"b"

    assert streamed(chunks) == {"color": "red", "at": "end"}


@pytest.mark.parametrize("saves", [False, True])
def test_a_stream_that_fails_saves_only_if_told(ours: None, saves: bool) -> None:
    async def chunks(request: HttpRequest) -> Any:
        yield b"a"
        request.session["at"] = "end"
        raise ZeroDivisionError

    with override_settings(COATCHECK_SAVE_ON_ERROR=saves):
        assert streamed(chunks) == {"color": "red", "at": "end" if saves else "start"}


def test_what_a_stream_changed_until_the_client_hung_up_is_saved(ours: None) -> None:
    async def chunks(request: HttpRequest) -> Any:
        request.session["at"] = "hung up"
        yield b"a"
        await asyncio.get_running_loop().create_future()

    assert streamed(chunks, hang_up=True) == {"color": "red", "at": "hung up"}
