"""What a request is answered under ASGI where something goes wrong, and what is saved then."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asgi_client import NOBODY, AsgiBrowser, Run, Serve, nowhere, say
from asgi_client import serve as serve
from coatcheck import (
    Busy,
    Conflict,
    Corrupt,
    LockLost,
    NotStorable,
    Store,
    StoreTimeout,
    StoreUnavailable,
    TooManySessions,
    Uncertain,
    aio,
)
from conftest import RedisServer
from loops import run as run
from views import NAME, put, spoil

# ---- The store is away ---------------------------------------------------------------------


@pytest.mark.parametrize("load", ["eager", "lazy"])
def test_unavailable_is_a_503_and_the_cookie_stays(
    serve: Serve, run: Run, tmp_path: Path, load: str
) -> None:
    async def view(session: Any, path: str) -> Any:
        await session.load()
        return put(session, path)

    async def main() -> None:
        browser = serve(view, load=load, **nowhere(tmp_path))
        browser.jar[NAME] = NOBODY
        answer = await browser.get()
        assert answer.status == 503 and answer["retry-after"] and not answer.all("set-cookie")
        assert answer["cache-control"] == "no-store" and browser.jar[NAME] == NOBODY
        assert (await browser.get(method="HEAD")).body == b""

    run(main())


def test_unavailable_at_the_commit_is_a_503(serve: Serve, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        answer = await serve(**nowhere(tmp_path)).get("/color/red")
        assert answer.status == 503 and not answer.all("set-cookie")

    run(main())


def test_a_page_that_does_not_look_at_its_session_is_served(
    serve: Serve, run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        browser = serve(lambda session, path: "hello", **nowhere(tmp_path))
        browser.jar[NAME] = NOBODY
        assert (await browser.get()).body == b"hello"

    run(main())


def test_an_error_page_of_the_application_does_not_hide_it(
    serve: Serve, run: Run, tmp_path: Path
) -> None:
    def view(session: Any, path: str) -> Any:
        try:
            return session.get("a")
        except StoreUnavailable:
            return 500, "something broke"

    async def main() -> None:
        browser = serve(view, **nowhere(tmp_path))
        browser.jar[NAME] = NOBODY
        assert (await browser.get()).status == 503

    run(main())


def test_raise_leaves_it_to_whoever_is_outside(serve: Serve, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(StoreUnavailable):
            await serve(on_unavailable="raise", **nowhere(tmp_path)).get("/color/red")

    run(main())


def test_anonymous_is_empty_and_read_only(serve: Serve, run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        browser = serve(on_unavailable="anonymous", **nowhere(tmp_path))
        browser.jar[NAME] = NOBODY
        assert (await browser.get()).body == b"{}"

    run(main())


def test_an_application_of_ones_own_answers(serve: Serve, run: Run, tmp_path: Path) -> None:
    async def closed(scope: Any, receive: Any, send: Any) -> None:
        assert isinstance(scope["coatcheck.error"], StoreUnavailable)
        await say(send, "back soon", 503)

    async def main() -> None:
        answer = await serve(on_unavailable=closed, **nowhere(tmp_path)).get("/color/red")
        assert (answer.status, answer.body) == (503, b"back soon")

    run(main())


def test_req_44_a_server_that_goes_during_the_request_is_a_503_and_not_a_page_that_lies(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    def view(session: Any, path: str) -> Any:
        session["seen"] = path
        if path == "/go":
            redis_server.kill()
        return "saved"

    async def main() -> None:
        browser = serve(view, timeout=0.3)
        await browser.get("/")
        answer = await browser.get("/go")
        assert answer.status == 503 and not answer.cookies and b"saved" not in answer.body

    try:
        run(main())
    finally:
        redis_server.restart()


def test_a_server_that_stands_still_is_a_503_and_the_event_loop_goes_on(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def main() -> None:
        browser = serve(timeout=1.0)
        await browser.get("/color/red")
        redis_server.pause()
        request = asyncio.ensure_future(browser.get("/"))
        turns = 0
        while not request.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 1  # all of them at once, where it blocks
        assert (await request).status == 503

    try:
        run(main())
    finally:
        redis_server.resume()


def test_req_70_a_logout_that_could_not_reach_redis_says_so(
    serve: Serve, run: Run, tmp_path: Path
) -> None:
    async def view(session: Any, path: str) -> Any:
        await session.destroy()
        return "logged out"

    async def main() -> None:
        browser = serve(view, load="lazy", **nowhere(tmp_path))
        browser.jar[NAME] = NOBODY
        answer = await browser.get()
        assert answer.status == 503 and not answer.cookies

    run(main())


@pytest.mark.parametrize(
    "exception, status",
    [
        (StoreTimeout, 503),
        (Uncertain, 503),
        (Busy, 503),
        (LockLost, 503),
        (TooManySessions, 409),
        (Conflict, 409),
    ],
)
@pytest.mark.parametrize("place", ["commit", "view", "swallowed"])
def test_every_failure_of_a_save_has_its_answer(
    serve: Serve,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    exception: type[Exception],
    status: int,
    place: str,
) -> None:
    async def fail(session: aio.Session) -> None:
        raise exception("told so")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        if place == "view":
            await scope["session"].save()
        try:
            await say(send, "fine")
        except Exception:
            if place == "commit":
                raise
            await say(send, "oops", 500)

    monkeypatch.setattr(aio.Session, "save", fail)

    async def main() -> None:
        browser = serve(app=app)
        answer = await browser.get()
        assert answer.status == status and len(browser.messages) == 2
        assert answer["cache-control"] == "no-store" and not answer.cookies
        assert (answer["retry-after"] is not None) == (status == 503)

    run(main())


# ---- The record cannot be used -------------------------------------------------------------


@pytest.mark.parametrize("load", ["eager", "lazy"])
def test_a_corrupt_record_is_left_alone_and_a_new_session_begins(
    serve: Serve, run: Run, redis_server: RedisServer, load: str
) -> None:
    async def view(session: Any, path: str) -> Any:
        await session.load()
        return put(session, path)

    async def main() -> None:
        browser = serve(view, load=load)
        await browser.get("/color/red")
        old = browser.jar[NAME]
        key, spoiled = spoil(redis_server, lambda record: record[:-1])
        assert (await browser.get("/")).body == b"{}"
        assert browser.jar[NAME] == old
        await browser.get("/color/blue")
        assert browser.jar[NAME] != old
        assert redis_server.cli("GET", key) == spoiled

    run(main())


def test_on_corrupt_raise(serve: Serve, run: Run, redis_server: RedisServer) -> None:
    async def main() -> None:
        browser = serve(on_corrupt="raise")
        await browser.get("/color/red")
        spoil(redis_server, lambda record: record[:-1])
        with pytest.raises(Corrupt):
            await browser.get("/")

    run(main())


@pytest.mark.parametrize("settings", [{}, {"on_corrupt": "raise"}, {"on_unavailable": "anonymous"}])
def test_a_record_of_a_newer_format_is_a_503_and_never_a_new_session(
    serve: Serve, run: Run, redis_server: RedisServer, settings: dict[str, Any]
) -> None:
    async def main() -> None:
        browser = serve(**settings)
        await browser.get("/color/red")
        key, spoiled = spoil(redis_server, lambda record: record[:1] + b"\x02" + record[2:])
        answer = await browser.get("/color/blue")
        assert answer.status == 503 and not answer.cookies
        assert redis_server.cli("GET", key) == spoiled

    run(main())


# ---- Meanwhile -----------------------------------------------------------------------------


def test_what_cannot_be_stored_is_refused_on_its_line_and_by_mutation_before_the_headers(
    serve: Serve, run: Run
) -> None:
    def view(session: Any, path: str) -> Any:
        if path == "/line":
            with pytest.raises(NotStorable, match=r"session\['user'\]"):
                session["user"] = object()
            session["cart"] = ["tea"]
        if path == "/inside":
            session["cart"].append(object())
        return dict(session)

    async def main() -> None:
        browser = serve(view)
        await browser.get("/line")
        with pytest.raises(NotStorable, match=r"session\['cart'\]\[1\]"):
            await browser.get("/inside")
        assert browser.messages == []
        assert (await browser.get("/")).body == b"{'cart': ['tea']}"

    run(main())


@pytest.mark.parametrize("on_gone, status", [("drop", 200), ("error", 409)])
def test_ended_meanwhile_is_dropped_or_a_409(
    serve: Serve, run: Run, redis_server: RedisServer, on_gone: str, status: int
) -> None:
    def view(session: Any, path: str) -> Any:
        if path == "/slow":
            with Store(redis_server.url, prefix="test:") as store:
                assert store.destroy(session.id)
            session["late"] = True
            return "slow"
        return put(session, path)

    async def main() -> None:
        browser = serve(view, on_gone=on_gone)
        await browser.get("/color/red")
        answer = await browser.get("/slow")
        assert answer.status == status and not answer.all("set-cookie")
        assert (await browser.get("/")).body == b"{}"

    run(main())


def test_a_login_meanwhile_is_not_overwritten_by_a_slower_response(serve: Serve, run: Run) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def view(session: Any, path: str) -> Any:
        if path == "/slow":
            session.get("color")
            reached.set()
            await go_on.wait()
            session["late"] = True
        if path == "/login":
            session.login("user:1", carry="all")
        return put(session, path if path.startswith("/color") else "/")

    async def main() -> None:
        browser = serve(view)
        await browser.get("/color/red")
        other = AsgiBrowser(browser.app)
        other.jar = dict(browser.jar)
        slow = asyncio.ensure_future(other.get("/slow"))
        await reached.wait()
        await browser.get("/login")
        go_on.set()
        answer = await slow
        assert answer.status == 200 and not answer.all("set-cookie")
        assert (await browser.get("/")).body == b"{'color': 'red'}"

    run(main())


def test_a_cancelled_request_saves_nothing_and_the_next_is_right(serve: Serve, run: Run) -> None:
    reached = asyncio.Event()

    async def view(session: Any, path: str) -> Any:
        if path == "/cancelled":
            session["color"] = "blue"
            reached.set()
            await asyncio.sleep(60)
        return put(session, path)

    async def main() -> None:
        browser = serve(view)
        await browser.get("/color/red")
        request = asyncio.ensure_future(browser.get("/cancelled"))
        await reached.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (await browser.get("/")).body == b"{'color': 'red'}"

    run(main())


def test_one_cancelled_while_it_loads_or_commits_harms_no_other(serve: Serve, run: Run) -> None:
    async def main() -> None:
        browser = serve()
        await browser.get("/color/red")
        for path in ("/", "/color/blue"):
            for turns in range(6):
                request = asyncio.ensure_future(browser.get(path))
                for _ in range(turns):
                    await asyncio.sleep(0)
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
                assert (await browser.get("/")).body in (b"{'color': 'red'}", b"{'color': 'blue'}")

    run(main())


def test_a_secure_cookie_over_plain_http_is_advised_on_once(
    serve: Serve, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        browser = serve()
        browser.https = False
        with caplog.at_level(logging.WARNING, "coatcheck"):
            await browser.get("/color/red")
            browser.jar.clear()
            await browser.get("/color/red")

    run(main())
    assert caplog.text.count("plain http") == 1


# ---- Late --------------------------------------------------------------------------------------


def streamed(change: Any) -> Any:
    """/stream changes the session after its first chunk; other paths as `put`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        session = scope["session"]
        if scope["path"] != "/stream":
            return await say(send, put(session, scope["path"]))
        session.get("color")
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await change(session)
        await send({"type": "http.response.body", "body": b"the end"})

    return app


def test_a_stream_whose_late_changes_cannot_be_saved_is_cut_off(serve: Serve, run: Run) -> None:
    async def spoil(session: Any) -> None:
        session["cart"] = []
        session["cart"].append(object())

    async def main() -> None:
        browser = serve(app=streamed(spoil))
        await browser.get("/color/red")
        with pytest.raises(NotStorable):
            await browser.get("/stream")
        assert browser.messages[-1]["body"] == b"a"
        assert (await browser.get("/")).body == b"{'color': 'red'}"

    run(main())


def test_late_changes_of_a_session_that_ended_are_dropped(
    serve: Serve, run: Run, redis_server: RedisServer
) -> None:
    async def end(session: Any) -> None:
        with Store(redis_server.url, prefix="test:") as store:
            assert store.destroy(session.id)
        session["color"] = "blue"

    async def main() -> None:
        browser = serve(app=streamed(end))
        await browser.get("/color/red")
        assert (await browser.get("/stream")).body == b"athe end"
        assert (await browser.get("/")).body == b"{}"

    run(main())


def test_what_a_stream_changed_before_it_failed_is_not_saved(serve: Serve, run: Run) -> None:
    async def fail(session: Any) -> None:
        session["color"] = "blue"
        raise ZeroDivisionError

    async def main() -> None:
        browser = serve(app=streamed(fail))
        await browser.get("/color/red")
        with pytest.raises(ZeroDivisionError):
            await browser.get("/stream")
        assert (await browser.get("/")).body == b"{'color': 'red'}"

    run(main())


# ---- What failed leaves nothing ------------------------------------------------------------


class Ended(BaseException):
    """As CancelledError, nothing that an application is to catch."""


def test_a_request_that_ended_by_force_saves_nothing(serve: Serve, run: Run) -> None:
    def view(session: Any, path: str) -> Any:
        session["color"] = session.get("color", "") + "red"
        if path == "/forced":
            raise Ended
        return dict(session)

    async def main() -> None:
        browser = serve(view, save_on_error=True)
        await browser.get("/")
        with pytest.raises(Ended):
            await browser.get("/forced")
        assert browser.messages == []
        assert (await browser.get("/")).body == b"{'color': 'redred'}"

    run(main())


def unstorable(session: Any, path: str) -> Any:
    session["cart"] = []
    session["cart"].append(object())
    return "fine"


def broken(session: Any, path: str) -> Any:
    session["cart"] = []
    raise ZeroDivisionError


@pytest.mark.parametrize("view", [put, broken, unstorable])
@pytest.mark.parametrize("cookie", [False, True])
@pytest.mark.parametrize("away", [False, True])
def test_a_request_that_failed_leaves_nothing_for_the_collector_of_cycles(
    serve: Serve, run: Run, tmp_path: Path, view: Any, cookie: bool, away: bool
) -> None:
    kept: list[weakref.ref[Any]] = []

    def watched(session: Any, path: str) -> Any:
        kept.append(weakref.ref(session))
        return view(session, path)

    async def main() -> None:
        browser = serve(watched, **nowhere(tmp_path) if away else {})
        gc.disable()
        try:
            for _ in range(3):
                if cookie:
                    browser.jar[NAME] = NOBODY
                with suppress(ZeroDivisionError, NotStorable):
                    await browser.get("/color/red")
            await asyncio.sleep(0)
            assert [ref() for ref in kept] == [None] * 3
        finally:
            gc.enable()

    run(main())
