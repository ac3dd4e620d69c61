"""The ways in which WSGI lets an application answer."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from coatcheck import NotStorable, Session, Store, StoreUnavailable
from coatcheck.wsgi import SessionMiddleware
from conftest import Browser, RedisServer, application
from views import NAME, Oops, Serve, put

# ---- The ways to answer ---------------------------------------------------------------------


class Body:
    """The body of a response as an iterator, which notes that it was closed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        self.closed += 1


def streaming(chunks: Callable[[Session], Iterator[bytes]]) -> tuple[Any, list[Body]]:
    bodies: list[Body] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        session = environ["coatcheck.session"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] != "/stream":
            return [put(session, environ["PATH_INFO"]).encode()]
        bodies.append(Body(chunks(session)))
        return bodies[-1]

    return app, bodies


def test_what_changes_before_the_first_chunk_is_in_the_headers(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b""
        session["color"] = "red"
        yield b"one"
        yield b"two"

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    response = browser.get("/stream")
    assert response.body == b"onetwo"
    assert len(response.cookies) == 1
    assert browser.get("/").body == b"{'color': 'red'}"
    assert bodies[0].closed == 1


def test_a_body_without_chunks_is_committed_at_its_end(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "red"
        yield b""

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    assert len(browser.get("/stream").cookies) == 1


def test_what_changes_while_the_body_is_sent_is_saved_at_its_end(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        session["size"] = 7
        yield b"two"
        session["size"] = 8

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    browser.get("/stream")
    assert browser.get("/").body == b"{'color': 'blue', 'size': 8}"


def test_what_was_changed_until_the_client_hung_up_is_saved(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        session["color"] = "blue"
        yield b"two"
        session["color"] = "green"
        yield b"three"

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    body = browser.app(browser.environ("/stream"), lambda *args: None)
    it = iter(body)
    assert [next(it), next(it)] == [b"one", b"two"]
    body.close()
    assert bodies[0].closed == 1
    assert browser.get("/").body == b"{'color': 'blue'}"


@pytest.mark.parametrize("failure", [ValueError, SystemExit])
@pytest.mark.parametrize("close_fails", [False, True])
def test_what_a_body_changed_before_it_failed_is_not_saved(
    serve: Serve, failure: type[BaseException], close_fails: bool
) -> None:
    class Failing:
        def __init__(self, session: Session) -> None:
            self.session = session

        def __iter__(self) -> Iterator[bytes]:
            yield b"one"
            self.session["color"] = "blue"
            raise failure

        def close(self) -> None:
            if close_fails:
                raise RuntimeError

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/fail":
            return application(put)(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Failing(environ["coatcheck.session"])

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    browser.get("/color/red")
    with pytest.raises((failure, RuntimeError)):
        browser.get("/fail")
    assert browser.get("/").body == b"{'color': 'red'}"


def test_a_body_that_nobody_asks_for_is_closed_and_saves_nothing(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["coatcheck.session"]["color"] = "red"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    body = Body(iter([b"one"]))
    browser = Browser(SessionMiddleware(app, serve(None, app=app).app.store))
    browser.app(browser.environ(), lambda *args: None).close()
    assert body.closed == 1


@pytest.mark.parametrize(
    ("late", "text"),
    [
        (lambda session: session.login("user:1", carry="all"), "login after"),
        (lambda session: session.rotate(), "rotate after"),
        (lambda session: session.save(), "save after"),
        (lambda session: None, "save after"),
    ],
)
def test_what_needs_a_new_cookie_after_the_headers_left_raises(
    serve: Serve, late: Callable[[Session], Any], text: str
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        session["color"] = "red"
        late(session)
        yield b"two"

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    with pytest.raises(RuntimeError, match=text):
        browser.get("/stream")
    assert bodies[0].closed == 1
    assert browser.get("/").body == b"{}"


def test_a_new_session_that_nothing_was_stored_in_may_be_saved_late(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        assert session.get("color") is None
        assert session.save() is None

    app, _ = streaming(chunks)
    assert serve(None, app=app).get("/stream").body == b"one"


@pytest.mark.parametrize("begin", ["/color/red", "/"])
def test_a_login_that_a_500_did_not_save_cannot_be_saved_late(serve: Serve, begin: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        session, path = environ["coatcheck.session"], environ["PATH_INFO"]
        if path != "/500":
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield put(session, path).encode()
            return
        session.login("user:1", carry="all")
        start_response("500 Oops", [("Content-Type", "text/plain")])
        yield b"oops"
        with pytest.raises(RuntimeError, match="save after"):
            session.save()

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    before = browser.get(begin).body
    jar = dict(browser.jar)
    browser.get("/500")
    assert browser.jar == jar
    assert browser.get("/").body == before


def test_a_late_save_that_fails_does_so_before_the_body_has_ended(
    serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        session["color"] = "green"
        monkeypatch.setattr(Session, "save", fail)

    def fail(session: Session) -> None:
        raise StoreUnavailable("told so")

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    body = browser.app(browser.environ("/stream"), lambda *args: None)
    it = iter(body)
    assert next(it) == b"one"
    with pytest.raises(StoreUnavailable):
        next(it)
    body.close()


def test_a_body_that_fails_half_way_saves_nothing_more(serve: Serve) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield b"one"
        session["color"] = "blue"
        raise Oops

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    with pytest.raises(Oops):
        browser.get("/stream")
    assert bodies[0].closed == 1
    assert browser.get("/").body == b"{'color': 'red'}"


def test_a_body_whose_late_changes_cannot_be_saved_is_cut_off(
    serve: Serve, redis_server: RedisServer
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        session["color"] = "green"
        redis_server.stop()

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    with pytest.raises(StoreUnavailable):
        browser.get("/stream")


def test_late_changes_of_a_session_that_ended_are_dropped(serve: Serve, store: Store) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        session["color"] = "blue"
        yield b"one"
        store.destroy(browser.jar[NAME])
        session["color"] = "green"

    app, _ = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    assert browser.get("/stream").body == b"one"
    assert browser.get("/").body == b"{}"


def test_a_stream_whose_session_cannot_be_loaded_is_a_503(
    serve: Serve, redis_server: RedisServer
) -> None:
    def chunks(session: Session) -> Iterator[bytes]:
        yield session["color"].encode()

    app, bodies = streaming(chunks)
    browser = serve(None, app=app)
    browser.get("/color/red")
    redis_server.stop()
    assert browser.get("/stream").status == 503
    assert bodies[0].closed == 1


def test_a_generator_that_calls_start_response_itself(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"one"

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    response = browser.get()
    assert response.body == b"one" and len(response.cookies) == 1


def test_write_commits_with_the_first_call(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        session = environ["coatcheck.session"]
        session["color"] = "red"
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one")
        with pytest.raises(RuntimeError):
            session.rotate()
        write(b"two")
        return [b"three"]

    browser = serve(None, app=app)
    response = browser.get()
    assert response.body == b"onetwothree"
    assert len(response.cookies) == 1


def test_what_was_changed_after_write_is_saved_also_where_a_list_follows(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        session = environ["coatcheck.session"]
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/first":
            session["color"] = "red"
        write(str(dict(session)).encode())
        session["color"] = "blue"
        return [b""]

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    browser.get("/first")
    assert browser.get().body == b"{'color': 'blue'}"
    browser.jar.clear()
    with pytest.raises(RuntimeError, match="save after the response headers left"):
        browser.get()


@pytest.mark.parametrize("swallow", [False, True])
def test_write_after_a_failed_commit_sends_nothing_but_the_503(
    serve: Serve, redis_server: RedisServer, swallow: bool
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["coatcheck.session"]["path"] = environ["PATH_INFO"]
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/cut":
            redis_server.stop()
        try:
            write(b"saved")
        except StoreUnavailable:
            if not swallow:
                raise
            redis_server.start()
        return [b"saved"]

    browser = serve(None, app=app)
    browser.get()
    response = browser.get("/cut")
    assert response.status == 503
    assert b"saved" not in response.body


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_or_tuple_is_passed_through_as_it_is(store: Store, kind: type) -> None:
    body = kind([b"one", b"two"])

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    middleware = SessionMiddleware(app, store)
    assert middleware(Browser(app).environ(), lambda *args: None) is body


@pytest.mark.parametrize("wrap", [FileWrapper, lambda file, size=1: file])
def test_a_wrapped_file_is_passed_through_for_the_server_to_send(
    store: Store, wrap: Callable[..., Any]
) -> None:
    wrapped = []
    started = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        wrapped.append(environ["wsgi.file_wrapper"](io.BytesIO(b"file"), 4))
        return wrapped[0]

    environ = Browser(app).environ()
    environ["wsgi.file_wrapper"] = wrap
    body = SessionMiddleware(app, store)(environ, lambda *args: started.append(args))
    assert body is wrapped[0]
    assert "Set-Cookie" in dict(started[0][1])


@pytest.mark.parametrize("kind", ["list", "file", "generator"])
def test_a_server_can_ask_whether_the_body_is_of_its_class_for_files(
    store: Store, kind: str
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        if kind == "file":
            return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))
        return [b"text"] if kind == "list" else (chunk for chunk in [b"text"])

    environ = Browser(app).environ()
    environ["wsgi.file_wrapper"] = FileWrapper
    started: list[Any] = []
    body = SessionMiddleware(app, store)(environ, lambda *args: started.append(args))
    # As gunicorn does.
    assert isinstance(body, environ["wsgi.file_wrapper"]) == (kind == "file")
    assert b"".join(body) == (b"file" if kind == "file" else b"text")
    assert "Set-Cookie" in dict(started[0][1])


def test_a_wrapped_file_is_closed_where_the_503_goes_out_instead(
    store: Store, redis_server: RedisServer
) -> None:
    file = io.BytesIO(b"file")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        session = environ["coatcheck.session"]
        session["path"] = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/cut":
            redis_server.stop()
            return environ["wsgi.file_wrapper"](file)
        return [b""]

    browser = Browser(SessionMiddleware(app, store))
    browser.get("/")
    assert browser.get("/cut", **{"wsgi.file_wrapper": FileWrapper}).status == 503
    assert file.closed


def test_an_error_page_replaces_the_headers_that_wait(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            environ["coatcheck.session"]["a"] = Oops()
        except NotStorable:
            headers = [("Content-Type", "text/plain")]
            start_response("500 Internal Server Error", headers, sys.exc_info())
        return [b"oops"]

    response = serve(None, app=app).get()
    assert (response.status, response.body) == (500, b"oops")


def test_exc_info_may_come_by_its_name_as_servers_allow(store: Store) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise Oops
        except Oops:
            headers = [("Content-Type", "text/plain")]
            start_response("500 Oops", headers, exc_info=sys.exc_info())
        return [b"oops"]

    assert Browser(SessionMiddleware(app, store)).get().status == 500


def test_an_error_page_after_the_headers_is_left_to_the_server(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"one"
        try:
            raise Oops
        except Oops:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        yield b"never"

    browser = Browser(SessionMiddleware(app, serve(put).app.store))
    with pytest.raises(Oops):
        browser.get()


def test_start_response_twice_without_exc_info_is_an_error(store: Store) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    with pytest.raises(AssertionError, match="twice"):
        Browser(SessionMiddleware(app, store)).get()


def test_a_body_without_start_response_is_an_error(store: Store) -> None:
    with pytest.raises(AssertionError, match="without calling start_response"):
        Browser(SessionMiddleware(lambda environ, start: [b"x"], store)).get()
