"""A cookie that outlives the browser: `permanent`, and the settings of Flask about it."""

from __future__ import annotations

from typing import Any

import flask
from coatcheck import Store
from coatcheck.flask import Session
from conftest import RedisServer
from flasks import NAME, at
from views import put


def permanent(session: Session, path: str) -> Any:
    session.permanent = path != "/briefly"
    return put(session, path)


def test_req_42_a_session_goes_with_the_browser_unless_it_is_permanent(store: Store) -> None:
    assert "Max-Age" not in at(put, store).get("/color/red").cookies[0]
    assert "Max-Age" in at(permanent, store).get("/color/red").cookies[0]


def test_a_permanent_cookie_lasts_as_long_as_the_session_may(store: Store) -> None:
    (cookie,) = at(permanent, store).get("/color/red").cookies
    age = int(cookie.partition("Max-Age=")[2].partition(";")[0])
    assert 43200 - 60 < age <= 43200  # the lifetime of this store


def test_without_refresh_it_lasts_as_long_as_flask_says_from_the_last_change(store: Store) -> None:
    settings = {"SESSION_REFRESH_EACH_REQUEST": False, "PERMANENT_SESSION_LIFETIME": 3600}
    browser = at(permanent, store, **settings)
    assert "Max-Age=3600" in browser.get("/color/red").cookies[0]
    assert not browser.get("/").cookies
    assert "Max-Age=3600" in browser.get("/color/blue").cookies[0]


def test_so_it_does_if_the_view_saved_itself(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        said = permanent(session, path)
        session.save()
        return said

    browser = at(view, store, SESSION_REFRESH_EACH_REQUEST=False)
    assert "Max-Age" in browser.get("/color/red").cookies[0]
    assert "Max-Age" in browser.get("/color/blue").cookies[0]


def test_it_lasts_a_second_at_least(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", idle=1, lifetime=1) as store:
        assert "Max-Age=1;" in at(permanent, store).get("/color/red").cookies[0]


def test_it_is_not_sent_with_each_response(store: Store) -> None:
    browser = at(permanent, store)
    browser.get("/color/red")
    assert not browser.get().cookies and not browser.get("/color/blue").cookies


def test_permanent_no_more_is_a_cookie_that_goes_with_the_browser(store: Store) -> None:
    browser = at(permanent, store)
    browser.get("/color/red")
    (cookie,) = browser.get("/briefly").cookies
    assert browser.jar[NAME] in cookie and "Max-Age" not in cookie


def test_req_72_permanent_for_every_visitor_begins_no_session(
    store: Store, redis_server: RedisServer
) -> None:
    def setup(app: flask.Flask) -> None:
        @app.before_request
        def keep() -> None:
            flask.session.permanent = True

    browser = at(put, store, setup)
    assert not browser.get().cookies and redis_server.keys() == []
    assert "Max-Age" in browser.get("/color/red").cookies[0]


def test_a_login_of_a_permanent_visitor_is_one(store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        session.permanent = True
        if path == "/login":
            session.login("user:1", carry=())
        return [session.principal, session.permanent]

    browser = at(view, store)
    assert "Max-Age" in browser.get("/login").cookies[0]
    assert browser.get().body == b"['user:1', True]"
