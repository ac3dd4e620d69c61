"""What a request sees of its session under ASGI, and what its response carries."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
import weakref
from typing import Any

import pytest
from asgi_client import NOBODY, AsgiBrowser, Run, Serve, application, say
from asgi_client import serve as serve
from coatcheck import ConfigError, Cookie, NotLoaded, Store, aio
from coatcheck.asgi import SessionMiddleware
from conftest import RedisServer, wait_for
from loops import run as run
from views import NAME, put

# ---- The life of a session -----------------------------------------------------------------


def test_a_session_goes_from_one_request_to_the_next(serve: Serve, run: Run) -> None:
    async def main() -> None:
        browser = serve()
        first = await browser.get("/color/red")
        assert first["set-cookie"] == Cookie().set(browser.jar[NAME])
        again = await browser.get("/")
        assert again.body == b"{'color': 'red'}" and again["set-cookie"] is None

    run(main())


def test_a_tuple_comes_back_as_one_and_a_nested_change_is_kept(serve: Serve, run: Run) -> None:
    def view(session: Any, path: str) -> Any:
        session.setdefault("cart", []).append((path, 1))
        return session["cart"]

    async def main() -> None:
        browser = serve(view)
        await browser.get("/tea")
        assert (await browser.get("/cup")).body == b"[('/tea', 1), ('/cup', 1)]"

    run(main())


def test_the_server_finds_it_in_its_own_scope(serve: Serve, run: Run) -> None:
    async def main() -> None:
        browser = serve(scope_key="visit", app=lambda scope, receive, send: say(send, "x"))
        scope = browser.scope("/")
        await browser.app(scope, None, lambda message: asyncio.sleep(0))
        assert isinstance(scope["visit"], aio.Session)

    run(main())


def test_req_11_31_login_and_logout(serve: Serve, run: Run) -> None:
    async def view(session: Any, path: str) -> Any:
        if path == "/login":
            session.login("user:1", carry=["cart"])
        elif path == "/begin":
            session.update(cart=["tea"], note="x")
        elif path == "/logout":
            await session.destroy()
        return repr((session.principal, dict(session)))

    async def main() -> None:
        browser = serve(view)
        await browser.get("/begin")
        old = browser.jar[NAME]
        assert (await browser.get("/login")).body == b"('user:1', {'cart': ['tea']})"
        assert browser.jar[NAME] != old
        thief = AsgiBrowser(browser.app)
        thief.jar = {NAME: old}
        assert (await thief.get()).body == b"(None, {})"
        assert (await browser.get("/logout")).all("set-cookie") == [Cookie().clear()]
        assert NAME not in browser.jar

    run(main())


def test_a_request_without_a_cookie_asks_redis_nothing(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def main() -> None:
        browser = serve()
        await browser.get("/color/red")
        with redis_server.monitor() as seen:
            await AsgiBrowser(browser.app).get("/")
        assert seen == []

    run(main())


def test_eager_is_one_pipeline_before_the_application(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def main() -> None:
        browser = serve(lambda session, path: put(session, path) if path != "/idle" else "idle")
        await browser.get("/color/red")
        with redis_server.monitor() as seen:
            answer = await browser.get("/idle")
        assert [command[0].upper() for command in seen] == ["GET", "PTTL"]
        # Nobody looked at it, so the response does not depend on it.
        assert answer["vary"] is None and answer["cache-control"] is None

    run(main())


def test_lazy_is_loaded_when_it_is_awaited(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def view(session: Any, path: str) -> Any:
        if path == "/never":
            return "never"
        if path == "/touch":
            with pytest.raises(NotLoaded, match=r"await session\.load\(\)"):
                session.get("color")
            return "refused"
        await session.load()
        await session.load()
        return put(session, path)

    async def main() -> None:
        browser = serve(view, load="lazy")
        await browser.get("/color/red")
        assert (await browser.get("/")).body == b"{'color': 'red'}"
        with redis_server.monitor() as seen:
            await browser.get("/never")
            assert (await browser.get("/touch")).body == b"refused"
        assert seen == []

    run(main())


# ---- Responses -----------------------------------------------------------------------------


def test_req_43_caches_are_told_only_where_the_session_was_looked_at(
    serve: Serve, run: Run
) -> None:
    async def main() -> None:
        browser = serve(lambda session, path: "x" if path == "/plain" else put(session, path))
        plain = await browser.get("/plain")
        assert plain["vary"] is None and plain["cache-control"] is None
        seen = await browser.get("/")
        assert seen["vary"] == "Cookie" and seen["cache-control"] == "private"
        stored = await browser.get("/color/red")
        assert stored["vary"] == "Cookie" and stored["cache-control"] == "no-store"

    run(main())


def test_req_39_one_cookie_of_our_name(serve: Serve, run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await say(send, "", 200, ("set-cookie", f"{NAME}=forged"), ("set-cookie", "other=1"))

    async def main() -> None:
        browser = serve(app=app)
        answer = await browser.get()
        assert len(answer.all("set-cookie")) == 2
        assert browser.jar["other"] == "1" and browser.jar[NAME] != "forged"

    run(main())


def test_req_37_38_split_cookies_are_read_and_of_twins_neither_is_trusted(
    serve: Serve, run: Run
) -> None:
    async def main() -> None:
        browser = serve()
        await browser.get("/color/red")
        ours = f"{NAME}={browser.jar[NAME]}"
        assert (await browser.get(cookies=["a=b", ours, "c=d"])).body == b"{'color': 'red'}"
        twins = await browser.get(cookies=[ours, f"{NAME}={NOBODY}"])
        assert twins.body == b"{}"
        assert twins.all("set-cookie") == Cookie().clear_twins("shop.example.com")

    run(main())


@pytest.mark.parametrize(
    ("raw_path", "sent"), [(b"/a/%c3%a9", "/a/%c3%a9"), (None, "/a/%C3%A9"), (b"", "/a/%C3%A9")]
)
def test_req_37_twins_in_the_folders_of_the_request_are_expired(
    serve: Serve, run: Run, raw_path: bytes | None, sent: str
) -> None:
    cookie = Cookie("s", secure=False)

    async def main() -> None:
        browser = serve(cookie=cookie)
        answer = await browser.get("/a/\xe9", cookies=["s=a", "s=b"], raw_path=raw_path)
        expected = cookie.clear_twins("shop.example.com", sent)
        assert {*answer.all("set-cookie")[:-1]} == {*expected}

    run(main())


@pytest.mark.parametrize("status", [201, 204, 302, 304, 404])
def test_other_statuses_save(serve: Serve, run: Run, status: int) -> None:
    def view(session: Any, path: str) -> Any:
        if path == "/go":
            session["seen"] = True
            return status, ""
        return put(session, path)

    async def main() -> None:
        browser = serve(view)
        assert (await browser.get("/go")).status == status
        assert (await browser.get()).body == b"{'seen': True}"

    run(main())


@pytest.mark.parametrize("saves", [False, True])
def test_an_error_saves_only_if_told(serve: Serve, run: Run, saves: bool) -> None:
    def view(session: Any, path: str) -> Any:
        session["seen"] = session.get("seen", 0) + 1
        if path == "/raise":
            raise ZeroDivisionError
        return (500, "oops") if path == "/500" else session["seen"]

    async def main() -> None:
        browser = serve(view, save_on_error=saves)
        await browser.get("/")
        await browser.get("/500")
        with pytest.raises(ZeroDivisionError):
            await browser.get("/raise")
        assert (await browser.get("/")).body == (b"4" if saves else b"2")

    run(main())


def test_req_44_nothing_reaches_the_server_before_the_commit(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    seen: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 200})
        seen.append(len(browser.messages))
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        seen.append(len(redis_server.records()))
        await send({"type": "http.response.body", "body": b"y"})

    async def main() -> None:
        nonlocal browser
        browser = serve(app=app)
        assert (await browser.get()).body == b"xy"
        assert seen == [0, 1]

    browser = AsgiBrowser(None)
    run(main())


def test_headers_may_come_from_an_iterator(serve: Serve, run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/looked":
            scope["session"].get("a")
        headers = iter([(b"x-shop", b"open")])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async def main() -> None:
        browser = serve(app=app)
        assert (await browser.get("/"))["x-shop"] == "open"
        assert (await browser.get("/looked"))["x-shop"] == "open"

    run(main())


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.pathsend", "path": "/x"}],
        [{"type": "http.response.zerocopysend", "file": 1}],
        [{"type": "http.response.body"}, {"type": "http.response.trailers", "headers": []}],
        [
            {"type": "http.response.body", "body": b"a", "more_body": True},
            {"type": "http.response.zerocopysend", "file": 1, "more_body": True},
            {"type": "http.response.body"},
        ],
    ],
)
def test_what_extensions_send_follows_the_commit_as_it_is(
    serve: Serve, run: Run, messages: list[Any]
) -> None:
    early = [{"type": "http.response.debug", "info": {}}, {"type": "http.response.early_hint"}]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        if scope["path"] == "/":
            return await say(send, dict(session))
        for message in early:
            await send(message)
        assert browser.messages == early
        session["at"] = 0
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number, message in enumerate(messages, start=1):
            await send(message)
            session["at"] = number

    async def main() -> None:
        await browser.get("/go")
        start = browser.messages[len(early)]
        assert browser.messages[len(early) + 1 :] == messages
        browser.keep([value.decode() for name, value in start["headers"] if name == b"set-cookie"])
        assert (await browser.get()).body == f"{{'at': {len(messages)}}}".encode()

    browser = serve(app=app)
    run(main())


def test_an_application_that_sends_only_the_start_is_committed(serve: Serve, run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await send({"type": "http.response.start", "status": 200})

    async def main() -> None:
        browser = serve(app=app)
        assert (await browser.get()).status == 200 and NAME in browser.jar

    run(main())


def test_req_44_what_a_stream_changes_is_saved_when_it_ends(serve: Serve, run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        if scope["path"] == "/":
            return await say(send, dict(session))
        session["at"] = "start"
        await send({"type": "http.response.start", "status": 200})
        for part in (b"a", b"b", b""):
            await send({"type": "http.response.body", "body": part, "more_body": bool(part)})
            session["at"] = part.decode() or "after the end"

    async def main() -> None:
        browser = serve(app=app)
        await browser.get("/stream")
        assert (await browser.get("/")).body == b"{'at': 'after the end'}"

    run(main())


def test_what_a_stream_changed_is_saved_though_the_client_hung_up(serve: Serve, run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        if scope["path"] != "/stream":
            return await say(send, put(session, scope["path"]))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        session["color"] = "blue"
        await send({"type": "http.response.body", "body": b"b"})

    async def main() -> None:
        browser = serve(app=app)
        await browser.get("/color/red")
        with pytest.raises(OSError, match="hung up"):
            await browser.get("/stream", fails=2)
        assert (await browser.get("/")).body == b"{'color': 'blue'}"

    run(main())


@pytest.mark.parametrize("late", ["login", "rotate", "save"])
def test_what_needs_a_cookie_comes_too_late_in_a_stream(serve: Serve, run: Run, late: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        with pytest.raises(RuntimeError, match="after the response headers left"):
            if late == "login":
                session.login("user:1", carry="all")
            elif late == "rotate":
                session.rotate()
            else:
                session["a"] = 1
                await session.save()
        session.clear()
        await send({"type": "http.response.body", "body": b"b"})

    async def main() -> None:
        assert (await serve(app=app).get()).body == b"ab"

    run(main())


# ---- Several ---------------------------------------------------------------------------------


def test_two_middlewares_with_cookies_of_their_own(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        shop, forum = scope["session"], scope["forum"]
        shop["visits"] = shop.get("visits", 0) + 1
        forum["posts"] = forum.get("posts", 10) + 1
        await say(send, (shop["visits"], forum["posts"]))

    async def main() -> None:
        inner = SessionMiddleware(
            app, redis_server.url, prefix="f:", scope_key="forum", cookie=Cookie("__Host-forum")
        )
        browser = serve(app=inner)
        await browser.get()
        assert (await browser.get()).body == b"(2, 12)"
        assert set(browser.jar) == {NAME, "__Host-forum"}
        await inner.store.close()

    run(main())


def test_many_requests_at_once_each_have_their_own_session(serve: Serve, run: Run) -> None:
    async def main() -> None:
        app = serve().app
        browsers = [AsgiBrowser(app) for _ in range(50)]
        await asyncio.gather(*(b.get(f"/color/{i}") for i, b in enumerate(browsers)))
        answers = await asyncio.gather(*(browser.get() for browser in browsers))
        assert [answer.body for answer in answers] == [
            f"{{'color': '{i}'}}".encode() for i in range(50)
        ]

    run(main())


def test_a_request_leaves_nothing_for_the_collector_of_cycles(serve: Serve, run: Run) -> None:
    kept: list[weakref.ref[Any]] = []

    def view(session: Any, path: str) -> Any:
        kept.append(weakref.ref(session))
        return put(session, path)

    async def main() -> None:
        browser = serve(view)
        gc.disable()
        try:
            for _ in range(3):
                await browser.get("/color/red")
            await asyncio.sleep(0)
            assert [ref() for ref in kept] == [None] * 3
        finally:
            gc.enable()

    run(main())


def test_ten_thousand_requests_keep_nothing(serve: Serve, run: Run) -> None:
    async def requests(browser: AsgiBrowser, count: int) -> int:
        for number in range(count):
            await browser.get(f"/color/{number % 10}")
        gc.collect()
        return sys.getallocatedblocks()

    async def main() -> None:
        browser = serve()
        before = await requests(browser, 1_000)
        assert await requests(browser, 10_000) - before < 1_000

    run(main())


# ---- Lifespan ------------------------------------------------------------------------------


async def lifespan(app: Any) -> list[str]:
    """From startup to shutdown; what the application said."""
    said: list[str] = []
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        said.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    return said


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
    else:
        await say(send, put(scope["session"], scope["path"]))


def connections(server: RedisServer) -> set[bytes]:
    """Each by a number of its own."""
    return {line.split()[0] for line in server.cli("CLIENT", "LIST").splitlines()}


def test_shutdown_closes_the_connections_and_the_next_start_has_new_ones(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def main() -> None:
        browser = serve(app=with_lifespan)
        before = connections(redis_server)
        for visit in (b"{}", b"{'color': 'red'}"):
            assert (await browser.get("/")).body == visit
            await browser.get("/color/red")
            assert connections(redis_server) - before
            said = await lifespan(browser.app)
            assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
            for _ in range(500):
                if not connections(redis_server) - before:
                    break
                await asyncio.sleep(0.01)
            assert not connections(redis_server) - before

    run(main())


def test_without_a_lifespan_the_end_of_the_event_loop_closes_the_connections(
    redis_server: RedisServer,
) -> None:
    async def two_requests() -> None:
        assert (await browser.get("/color/red")).status == 200
        assert (await browser.get("/")).body == b"{'color': 'red'}"
        assert connections(redis_server) - before

    browser = AsgiBrowser(SessionMiddleware(with_lifespan, redis_server.url, prefix="test:"))
    before = connections(redis_server)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            asyncio.run(two_requests())
            wait_for(lambda: not connections(redis_server) - before, "the connections to close")


def test_a_store_of_ones_own_is_left_open(run: Run, redis_server: RedisServer) -> None:
    async def main() -> None:
        async with aio.Store(redis_server.url, prefix="test:") as store:
            before = connections(redis_server)
            app = SessionMiddleware(with_lifespan, store)
            await AsgiBrowser(app).get("/color/red")
            open_before = connections(redis_server) - before
            await lifespan(app)
            assert open_before and open_before <= connections(redis_server)
            assert app.store is store

    run(main())


# ---- Settings ------------------------------------------------------------------------------

page = application(put)


@pytest.mark.parametrize(
    "arguments, options, advice",
    [
        (("not an app", "redis://localhost"), {"prefix": "a:"}, "the first argument is the ASGI"),
        ((page,), {}, "COATCHECK_URL"),
        ((page, "redis://localhost"), {"prefix": "a:", "load": "sometimes"}, "load='sometimes'"),
        ((page, "redis://localhost"), {"prefix": "a:", "on_gone": "what"}, "on_gone='what'"),
        ((page, "redis://localhost"), {"prefix": "a:", "on_gon": "drop"}, "did you mean on_gone"),
        ((page, "redis://localhost"), {"prefix": "a:", "cookie": "x"}, "give a coatcheck.Cookie"),
    ],
)
def test_wrong_settings_are_an_error_at_the_start(
    arguments: Any, options: Any, advice: str
) -> None:
    with pytest.raises(ConfigError, match=advice):
        SessionMiddleware(*arguments, **options)


def test_a_blocking_store_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"give a coatcheck\.aio\.Store"):
        SessionMiddleware(page, store)  # type: ignore[arg-type]


def test_options_beside_a_store_are_refused(run: Run) -> None:
    async def main() -> None:
        store = aio.Store("redis://localhost", prefix="a:")
        with pytest.raises(ConfigError, match="idle: options of a store that exists already"):
            SessionMiddleware(page, store, idle=60)
        await store.close()

    run(main())
