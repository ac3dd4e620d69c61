"""What a request to a Flask application sees when its session cannot be loaded or saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from coatcheck import NotStorable, Store, StoreUnavailable, TooManySessions
from coatcheck.flask import Coatcheck, Session
from conftest import Browser, RedisServer
from flasks import NAME, an_app, at
from views import Slow, nowhere, overtaken, put, spoil
from werkzeug.exceptions import HTTPException, ServiceUnavailable

# At the load, and at the commit.
EACH = pytest.mark.parametrize("path", ["/", "/color/red"])


def ask(browser: Browser, path: str, **more: Any) -> Any:
    """With a cookie where the session is to be loaded."""
    if path == "/":
        browser.jar[NAME] = "A" * 43
    return browser.get(path, **more)


@EACH
@pytest.mark.parametrize("testing", [False, True])
def test_req_69_unavailable_is_a_503_and_the_cookie_stays(
    tmp_path: Path, path: str, testing: bool
) -> None:
    answer = ask(at(put, nowhere(tmp_path), TESTING=testing), path)
    assert answer.status == 503 and answer["Retry-After"] and not answer.cookies
    assert answer["Cache-Control"] == "no-store" and b"try again" in answer.body
    assert len(answer.body) == int(answer["Content-Length"])


@EACH
def test_to_head_it_has_no_body(tmp_path: Path, path: str) -> None:
    answer = ask(at(put, nowhere(tmp_path)), path, method="HEAD")
    assert (answer.status, answer.body) == (503, b"")


def closed(exc: Exception) -> Any:
    return f"closed: {type(exc).__name__}", 503


@EACH
@pytest.mark.parametrize("testing", [False, True])
def test_an_errorhandler_for_it_answers(tmp_path: Path, path: str, testing: bool) -> None:
    browser = at(
        put,
        nowhere(tmp_path),
        lambda app: app.register_error_handler(StoreUnavailable, closed),
        TESTING=testing,
    )
    answer = ask(browser, path)
    assert (answer.status, answer.body) == (503, b"closed: StoreUnavailable")
    assert answer["Cache-Control"] == "no-store" and not answer.cookies


@EACH
def test_one_that_was_there_before_answers_too(tmp_path: Path, path: str) -> None:
    app = flask.Flask("shop")
    app.register_error_handler(StoreUnavailable, closed)
    Coatcheck(app, nowhere(tmp_path))
    app.get("/", endpoint="all")(lambda: put(flask.session, "/"))
    app.get("/color/red")(lambda: put(flask.session, "/color/red"))
    assert ask(Browser(app), path).body == b"closed: StoreUnavailable"


@EACH
def test_one_of_a_blueprint_answers(tmp_path: Path, path: str) -> None:
    app = an_app(nowhere(tmp_path))
    shop = flask.Blueprint("shop", __name__)
    shop.register_error_handler(StoreUnavailable, closed)
    shop.get("/<path:path>")(lambda path: put(flask.session, f"/{path}"))
    shop.get("/", endpoint="all")(lambda: put(flask.session, "/"))
    app.register_blueprint(shop)
    assert ask(Browser(app), path).body == b"closed: StoreUnavailable"


@EACH
@pytest.mark.parametrize("kind", [ServiceUnavailable, 503, HTTPException])
def test_one_for_the_status_renders_it(tmp_path: Path, path: str, kind: Any) -> None:
    def page(exc: HTTPException) -> Any:
        return f"{exc.code}: {exc.description}", exc.code

    browser = at(put, nowhere(tmp_path), lambda app: app.register_error_handler(kind, page))
    answer = ask(browser, path)
    assert answer.status == 503 and answer.body.startswith(b"503: The session store cannot be used")
    assert answer["Retry-After"] and answer["Cache-Control"] == "no-store"


def in_the_layout(exc: Exception) -> Any:
    return flask.render_template_string(
        "{{ get_flashed_messages() }} {{ session.user }} closed"
    ), 503


@EACH
@pytest.mark.parametrize("in_settings", [False, True])
def test_one_that_looks_at_the_session_finds_it_empty(
    tmp_path: Path, path: str, in_settings: bool
) -> None:
    settings = {"COATCHECK_ON_UNAVAILABLE": in_the_layout} if in_settings else {}
    browser = at(
        put,
        nowhere(tmp_path),
        lambda app: None if in_settings else app.register_error_handler(503, in_the_layout),
        **settings,
    )
    answer = ask(browser, path)
    assert (answer.status, answer.body) == (503, b"[]  closed")
    assert answer["Cache-Control"] == "no-store" and not answer.cookies


@EACH
@pytest.mark.parametrize("kind", [Exception, 500])
def test_one_for_all_errors_does_not_make_a_500_of_it(tmp_path: Path, path: str, kind: Any) -> None:
    def page(exc: Exception) -> Any:
        return "something broke", 500

    browser = at(put, nowhere(tmp_path), lambda app: app.register_error_handler(kind, page))
    assert ask(browser, path).status == 503


def test_a_view_that_makes_another_error_of_it_does_not_make_a_500_of_it(tmp_path: Path) -> None:
    def view(session: Session, path: str) -> Any:
        try:
            return put(session, path)
        except StoreUnavailable as exc:
            raise KeyError("color") from exc

    assert ask(at(view, nowhere(tmp_path)), "/").status == 503


@EACH
def test_raise_leaves_it_to_flask(tmp_path: Path, path: str) -> None:
    store = nowhere(tmp_path)
    answer = ask(at(put, store, COATCHECK_ON_UNAVAILABLE="raise"), path)
    assert answer.status == 500 and not answer.cookies
    with pytest.raises(StoreUnavailable):
        ask(at(put, store, COATCHECK_ON_UNAVAILABLE="raise", TESTING=True), path)


@EACH
def test_raise_makes_it_an_exception_like_others(tmp_path: Path, path: str) -> None:
    browser = at(
        put,
        nowhere(tmp_path),
        lambda app: app.register_error_handler(Exception, closed),
        COATCHECK_ON_UNAVAILABLE="raise",
    )
    assert ask(browser, path).body == b"closed: StoreUnavailable"


async def closed_async(exc: Exception) -> Any:
    return closed(exc)


@EACH
@pytest.mark.parametrize("page", [closed, closed_async])
def test_unavailable_may_be_a_function(tmp_path: Path, path: str, page: Any) -> None:
    answer = ask(at(put, nowhere(tmp_path), COATCHECK_ON_UNAVAILABLE=page), path)
    assert answer.body == b"closed: StoreUnavailable"
    assert answer["Cache-Control"] == "no-store" and not answer.cookies


def test_raise_may_be_said_later(tmp_path: Path) -> None:
    store = nowhere(tmp_path)

    def say(app: flask.Flask) -> None:
        app.config["COATCHECK_ON_UNAVAILABLE"] = "raise"
        Coatcheck(app, store)

    with pytest.raises(StoreUnavailable):
        ask(at(put, store, say, TESTING=True), "/")


def test_anonymous_is_empty_and_read_only(tmp_path: Path) -> None:
    browser = at(put, nowhere(tmp_path), COATCHECK_ON_UNAVAILABLE="anonymous")
    answer = ask(browser, "/")
    assert (answer.status, answer.body) == (200, b"{}") and not answer.cookies
    assert answer["Cache-Control"] == "no-store"
    assert browser.get("/color/red").status == 503


def test_anonymous_may_be_permanent(tmp_path: Path) -> None:
    def view(session: Session, path: str) -> Any:
        session.permanent = True
        return put(session, path)

    browser = at(view, nowhere(tmp_path), COATCHECK_ON_UNAVAILABLE="anonymous")
    assert ask(browser, "/").body == b"{}"


def test_req_70_a_logout_that_could_not_reach_redis_says_so(tmp_path: Path) -> None:
    def view(session: Session, path: str) -> Any:
        session.clear()
        return "goodbye"

    answer = ask(at(view, nowhere(tmp_path)), "/")
    assert answer.status == 503 and not answer.cookies


# ---- after_request -------------------------------------------------------------------------


def look_after_each(app: flask.Flask) -> None:
    """As Flask-Login does."""

    @app.after_request
    def look(response: flask.Response) -> flask.Response:
        response.headers["X-Color"] = flask.session.get("color", "none")
        return response


@pytest.mark.parametrize("testing", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_what_looks_after_the_view_does_not_make_a_500_of_it(
    tmp_path: Path, testing: bool, own: bool
) -> None:
    def setup(app: flask.Flask) -> None:
        if own:
            app.register_error_handler(StoreUnavailable, closed)

    browser = at(put, nowhere(tmp_path), look_after_each, setup, TESTING=testing)
    answer = ask(browser, "/")
    assert (answer.status, answer["X-Color"]) == (503, "none")


def test_what_is_the_first_to_look_neither(tmp_path: Path) -> None:
    answer = ask(at(lambda session, path: "hi", nowhere(tmp_path), look_after_each), "/")
    assert (answer.status, answer["X-Color"]) == (503, "none")


def test_the_page_for_a_failed_save_goes_through_it_too(
    store: Store, redis_server: RedisServer
) -> None:
    closes: list[str] = []

    def view(session: Session, path: str) -> Any:
        def chunks() -> Iterator[str]:
            try:
                yield "never sent"
            finally:
                closes.append("body")

        if path == "/begin":
            return put(session, "/color/red")
        session["color"] = "blue"
        redis_server.stop()
        body = chunks()
        next(body)
        response = flask.Response(body)
        response.call_on_close(lambda: closes.append("response"))
        return response

    def setup(app: flask.Flask) -> None:
        @app.after_request
        def mark(response: flask.Response) -> flask.Response:
            response.headers["X-Frame-Options"] = "DENY"
            return response

    browser = at(view, store, setup)
    browser.get("/begin")
    answer = browser.get("/")
    assert (answer.status, answer["X-Frame-Options"]) == (503, "DENY") and not answer.cookies
    assert b"never sent" not in answer.body and sorted(closes) == ["body", "response"]
    redis_server.start()


# ---- Values --------------------------------------------------------------------------------


def test_what_cannot_be_stored_is_refused_on_its_line(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        with pytest.raises(NotStorable, match=r"session\['user'\]\[0\]: object is not storable"):
            session["user"] = [object()]
        return ""

    assert at(view, store).get().status == 200


def cart(session: Session, path: str) -> Any:
    if path == "/begin":
        session["cart"] = ["tea"]
    if path == "/spoil":
        session["cart"].append(object())
    return put(session, "/")


def test_an_unstorable_value_inside_a_list_is_a_clean_500(store: Store) -> None:
    browser = at(cart, store)
    browser.get("/begin")
    answer = browser.get("/spoil")
    assert answer.status == 500 and b"object" not in answer.body and not answer.cookies
    assert browser.get().body == b"{'cart': ['tea']}"


def test_in_a_test_it_is_raised(store: Store) -> None:
    browser = at(cart, store, TESTING=True)
    browser.get("/begin")
    with pytest.raises(NotStorable):
        browser.get("/spoil")


def test_an_errorhandler_may_answer_that_too(store: Store) -> None:
    browser = at(cart, store, lambda app: app.register_error_handler(NotStorable, closed))
    browser.get("/begin")
    assert browser.get("/spoil").body == b"closed: NotStorable"
    assert browser.get().body == b"{'cart': ['tea']}"


# ---- Meanwhile -----------------------------------------------------------------------------


@pytest.mark.parametrize(("on_gone", "status"), [("drop", 200), ("error", 409)])
def test_ended_meanwhile_is_dropped_or_a_409(store: Store, on_gone: str, status: int) -> None:
    view = Slow()
    browser = at(lambda s, path: str(view(s, path)), store, COATCHECK_ON_GONE=on_gone)
    browser.get("/color/red")
    answer = overtaken(browser, view, by="/logout")
    assert (answer.status, answer.cookies) == (status, [])


def test_a_login_meanwhile_is_not_overwritten(store: Store) -> None:
    view = Slow()
    browser = at(lambda session, path: str(view(session, path)), store)
    browser.get("/color/red")
    answer = overtaken(browser, view, by="/login")
    assert (answer.status, answer.cookies) == (200, [])


@pytest.mark.parametrize("path", ["/", "/color/blue", "/permanent", "/clear"])
def test_an_id_that_a_login_replaced_opens_an_empty_session(store: Store, path: str) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            session.login("user:1", carry="all")
        if path == "/permanent":
            session.permanent = True
        if path == "/clear":
            session.clear()
        return put(session, path)

    browser = at(view, store)
    browser.get("/color/red")
    late = Browser(browser.app)
    late.jar = dict(browser.jar)
    browser.get("/login")
    answer = late.get(path)
    assert b"red" not in answer.body and not answer.cookies
    assert browser.get().body == b"{'color': 'red'}"


def test_a_conflict_is_a_409(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", on_conflict="raise") as store:

        def view(session: Session, path: str) -> Any:
            if path == "/race":
                session["color"] = "red"
                other = store.load(session.id or "")
                assert other is not None
                other["color"] = "blue"
                other.save()
            return put(session, "/" if path == "/race" else path)

        browser = at(view, store)
        browser.get("/color/green")
        answer = browser.get("/race")
        assert answer.status == 409 and b"try again" in answer.body
        assert browser.get().body == b"{'color': 'blue'}"


def test_a_session_too_many_is_a_409(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", max_sessions=1, on_max="refuse") as store:

        def view(session: Session, path: str) -> Any:
            session.login("user:1", carry=())
            return ""

        def too_many(exc: TooManySessions) -> Any:
            return "end one first", 409

        first = at(view, store)
        assert first.get().status == 200
        assert Browser(first.app).get().status == 409
        own = at(view, store, lambda app: app.register_error_handler(TooManySessions, too_many))
        assert own.get().body == b"end one first"


# ---- Records -------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_corrupt", "status"), [("new", 200), ("raise", 500)])
def test_a_damaged_record_is_left_alone(
    store: Store, redis_server: RedisServer, on_corrupt: str, status: int
) -> None:
    browser = at(put, store, COATCHECK_ON_CORRUPT=on_corrupt)
    browser.get("/color/red")
    key, spoiled = spoil(redis_server, lambda record: record[:-1])
    old = browser.jar[NAME]
    assert browser.get("/color/blue").status == status
    assert (browser.jar[NAME] != old) is (status == 200)
    assert redis_server.cli("GET", key) == spoiled


def test_a_record_of_a_newer_format_is_a_503(store: Store, redis_server: RedisServer) -> None:
    browser = at(put, store)
    browser.get("/color/red")
    spoil(redis_server, lambda record: record[:1] + b"\x02" + record[2:])
    assert browser.get().status == 503
