"""What a request sees of its session and what its response carries: each row of the table."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from coatcheck import ConfigError, Cookie, Session, Store, aio
from coatcheck.wsgi import SessionMiddleware
from conftest import Browser, RedisServer, application, in_thread, wait_for
from views import NAME, Serve, logged_in_elsewhere, put

# ---- The life of a session -----------------------------------------------------------------


def test_a_session_goes_from_one_request_to_the_next(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/color/red")
    assert browser.get().body == b"{'color': 'red'}"


def test_a_tuple_comes_back_as_a_tuple_and_a_nested_change_is_kept(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/begin":
            session["cart"] = [("tea", 1)]
        if path == "/add":
            session["cart"].append(("cup", 2))
        return session["cart"]

    browser = serve(view)
    browser.get("/begin")
    browser.get("/add")
    assert browser.get("/").body == b"[('tea', 1), ('cup', 2)]"


def test_the_cookie_is_set_once_and_not_again(serve: Serve) -> None:
    browser = serve(put)
    first = browser.get("/color/red")
    assert first["Set-Cookie"] == Cookie().set(browser.jar[NAME])
    assert browser.get("/color/blue")["Set-Cookie"] is None


def test_req_11_login_changes_the_id_and_the_old_one_is_dead(serve: Serve, store: Store) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            session.login("user:1", carry=["cart"])
        elif path == "/begin":
            session.update(cart=["tea"], note="x")
        return repr((session.principal, dict(session)))

    browser = serve(view)
    browser.get("/begin")
    old = dict(browser.jar)
    browser.get("/login")
    assert browser.jar != old
    assert browser.get("/").body == b"('user:1', {'cart': ['tea']})"
    thief = Browser(browser.app)
    thief.jar = old
    assert thief.get("/").body == b"(None, {})"


def test_req_12_a_change_of_privilege_changes_the_id(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/rotate":
            session.rotate()
        return put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    thief = Browser(browser.app)
    thief.jar = dict(browser.jar)
    assert thief.get("/").body == b"{'color': 'red'}"
    browser.get("/rotate")
    assert browser.jar != thief.jar
    assert browser.get("/").body == b"{'color': 'red'}"
    assert thief.get("/").body == b"{}"


def test_req_25_31_logout_takes_the_session_and_the_cookie(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session, path: str) -> Any:
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    response = browser.get("/logout")
    assert response.body == b"True"
    assert response["Set-Cookie"] == Cookie().clear()
    assert response["Cache-Control"] == "no-store"
    assert browser.jar == {}
    assert redis_server.keys() == []


def test_logging_out_twice_clears_the_cookie_twice(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view)
    browser.get("/color/red")
    jar = dict(browser.jar)
    browser.get("/logout")
    browser.jar = jar
    response = browser.get("/logout")
    assert response.body == b"False"
    assert response["Set-Cookie"] == Cookie().clear()


def test_a_session_after_a_logout_in_the_same_request_is_a_new_one(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/switch":
            session.destroy()
            session.login("user:2", carry=[])
            session["who"] = "two"
        return put(session, path) if path != "/switch" else ""

    browser = serve(view)
    browser.get("/who/one")
    old = browser.jar[NAME]
    response = browser.get("/switch")
    assert response["Set-Cookie"] == Cookie().set(browser.jar[NAME])
    assert browser.jar[NAME] != old
    assert browser.get("/").body == b"{'who': 'two'}"


def test_req_09_a_stored_key_presented_as_a_cookie_opens_nothing(
    serve: Serve, redis_server: RedisServer
) -> None:
    browser = serve(put)
    browser.get("/color/red")
    (key,) = redis_server.records()
    hidden = key.decode().partition("{")[2].rstrip("}")
    for guess in (key.decode(), hidden, hidden + "A" * (43 - len(hidden)), hidden * 2):
        thief = Browser(browser.app)
        thief.jar[NAME] = guess
        assert thief.get("/").body == b"{}"


# ---- What it costs, and what Redis sees ----------------------------------------------------


def test_req_03_a_malformed_cookie_costs_nothing_and_is_counted(
    serve: Serve, store: Store, redis_server: RedisServer
) -> None:
    browser = serve(put)
    bad = ["", "x", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "!", "é" * 43, "A" * 9999]
    with redis_server.monitor() as seen:
        for value in bad:
            assert browser.get(HTTP_COOKIE=f"{NAME}={value}").body == b"{}"
    assert seen == []
    assert store.stats()["coatcheck_malformed_ids_total"] == len(bad)


def test_req_72_without_a_cookie_nothing_is_written_until_something_is_stored(
    serve: Serve, redis_server: RedisServer
) -> None:
    def view(session: Session) -> str:
        session.get("cart")
        session.pop("cart", None)
        session["cart"] = []
        session.clear()
        session.rotate()
        list(session)
        return repr((session, session.save(), session.public_id, session.principal))

    browser = serve(view)
    with redis_server.monitor() as seen:
        response = browser.get()
    assert seen == []
    assert response.cookies == []


def test_req_08_redis_never_sees_an_id(serve: Serve, redis_server: RedisServer) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            return logged_in_elsewhere(session)
        return session.destroy() if path == "/logout" else put(session, path)

    browser = serve(view)
    ids = set()
    dumps = []
    with redis_server.monitor() as seen:
        for path in ("/a/1", "/a/2", "/", "/login", "/a/3"):
            browser.get(path)
            ids.add(browser.jar[NAME])
            dumps += [redis_server.cli("GET", key) for key in redis_server.records()]
        browser.get("/logout")
    assert len(ids) == 2
    everything = repr(seen) + repr(dumps)
    for session_id in ids:
        assert session_id not in everything
        assert session_id[:16] not in everything and session_id[-16:] not in everything


# ---- Two cookies ----------------------------------------------------------------------------


def test_req_37_of_two_cookies_neither_is_trusted_and_both_are_expired(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/color/red")
    twins = f"{NAME}={browser.jar[NAME]}; {NAME}={'A' * 43}"
    response = browser.get("/", HTTP_COOKIE=twins)
    assert response.body == b"{}"
    assert response.cookies == Cookie().clear_twins("shop.example.com")
    assert response["Cache-Control"] == "no-store"
    assert response["Vary"] == "Cookie"


def test_req_37_twins_are_expired_though_nobody_looked_at_the_session(serve: Serve) -> None:
    browser = serve(lambda session: "")
    response = browser.get(HTTP_COOKIE=f"{NAME}=a; {NAME}=b")
    assert response.cookies == Cookie().clear_twins("shop.example.com")


def test_req_37_a_logout_with_twins_expires_each_variant_once(serve: Serve) -> None:
    browser = serve(lambda session: session.destroy())
    response = browser.get(HTTP_COOKIE=f"{NAME}=a; {NAME}=b")
    assert response.cookies == Cookie().clear_twins("shop.example.com")


def test_req_37_a_new_session_comes_after_the_expired_twins(serve: Serve) -> None:
    cookie = Cookie("s", secure=False)
    browser = serve(put, cookie=cookie)
    *cleared, last = browser.get("/color/red", HTTP_COOKIE="s=a; s=b").cookies
    assert {*cleared} == {*cookie.clear_twins("shop.example.com", "/color/red")}
    assert last == cookie.set(browser.jar["s"])
    assert browser.get("/").body == b"{'color': 'red'}"


def test_req_37_twins_in_the_folders_of_a_mounted_application_are_expired(serve: Serve) -> None:
    browser = serve(put, cookie=Cookie("s", secure=False))
    response = browser.get("/\xc3\xa9/x", SCRIPT_NAME="/shop", HTTP_COOKIE="s=a; s=b")
    assert {*response.cookies[:-1]} == {
        *Cookie("s", secure=False).clear_twins("shop.example.com", "/shop/%C3%A9/x")
    }


# ---- What the response carries --------------------------------------------------------------


def test_an_untouched_session_adds_nothing(serve: Serve) -> None:
    def view(session: Session, path: str) -> Any:
        return put(session, path) if path != "/untouched" else ""

    browser = serve(view)
    browser.get("/color/red")
    response = browser.get("/untouched")
    assert response.headers == [("Content-Type", "text/plain; charset=utf-8")]


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        ([], ["Cookie"]),
        (["Accept"], ["Accept, Cookie"]),
        (["Accept", "Origin"], ["Accept, Origin, Cookie"]),
        (["Accept, cookie"], ["Accept, cookie"]),
        (["*"], ["*"]),
    ],
)
def test_req_43_vary_by_cookie_where_the_session_was_looked_at(
    serve: Serve, own: list[str], sent: list[str]
) -> None:
    browser = serve(lambda session: ("200 OK", len(session), [("vary", value) for value in own]))
    assert browser.get().all("Vary") == sent


@pytest.mark.parametrize(
    ("path", "own", "sent"),
    [
        ("/read", None, "private"),
        ("/read", "public, max-age=60", "public, max-age=60"),
        ("/read", "no-store", "no-store"),
        ("/new", None, "no-store"),
        ("/new", "public, max-age=60", "no-store"),
        ("/new", "private, No-Store", "private, No-Store"),
        ("/logged-in", None, "no-store"),
        ("/logged-in", "public", "no-store"),
        ("/logout", "public", "no-store"),
    ],
)
def test_req_43_cache_control(serve: Serve, path: str, own: str | None, sent: str) -> None:
    def view(session: Session, path: str) -> Any:
        if path == "/login":
            return logged_in_elsewhere(session)
        if path == "/new":
            session["a"] = 1
        if path == "/logout":
            session.destroy()
        return "200 OK", len(session), [("Cache-Control", own)] if own else []

    browser = serve(view)
    if path in ("/logged-in", "/logout"):
        browser.get("/login")
    assert browser.get(path)["Cache-Control"] == sent


def test_cache_control_none_leaves_it_to_the_application(serve: Serve) -> None:
    browser = serve(put, cache_control=None)
    assert browser.get("/a/1")["Cache-Control"] is None


def test_req_39_one_cookie_of_our_name_whatever_the_application_sets(serve: Serve) -> None:
    def view(session: Session) -> Any:
        session["a"] = 1
        return "200 OK", "", [("set-cookie", f"{NAME}=x"), ("Set-Cookie", f"{NAME}2=y")]

    browser = serve(view)
    assert browser.get().cookies == [f"{NAME}2=y", Cookie().set(browser.jar[NAME])]


def test_two_middlewares_with_one_cookie_are_told_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["inner"]["a"] = environ["outer"]["b"] = 1
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    inner = SessionMiddleware(app, store, environ_key="inner")
    outer = SessionMiddleware(inner, store, environ_key="outer")
    with caplog.at_level(logging.WARNING, "coatcheck"):
        assert [len(Browser(outer).get().cookies) for _ in range(2)] == [1, 1]
    [record] = caplog.records
    assert NAME in record.getMessage() and "another name" in record.getMessage()
    other = SessionMiddleware(app, store, environ_key="inner", cookie=Cookie("__Host-inner"))
    assert len(Browser(SessionMiddleware(other, store, environ_key="outer")).get().cookies) == 2
    assert caplog.records == [record]


def test_a_secure_cookie_over_plain_http_gives_advice_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    browser = serve(put, https=False)
    with caplog.at_level(logging.WARNING, "coatcheck"):
        for _ in range(2):
            browser.jar.clear()
            browser.get("/a/1")
    assert [record.getMessage().count("with secure=False") for record in caplog.records] == [1]


def test_a_cookie_for_plain_http_gives_no_advice(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    browser = serve(put, https=False, cookie=Cookie(secure=False))
    with caplog.at_level(logging.WARNING, "coatcheck"):
        browser.get("/a/1")
    assert list(browser.jar) == ["session"]
    assert caplog.records == []


def test_the_settings_of_the_cookie_are_obeyed(serve: Serve) -> None:
    cookie = Cookie("s", domain="example.com", max_age=60)
    browser = serve(put, cookie=cookie)
    assert browser.get("/a/1")["Set-Cookie"] == cookie.set(browser.jar["s"])


def test_a_304_carries_the_new_cookie(serve: Serve) -> None:
    def view(session: Session) -> Any:
        session["a"] = 1
        return "304 Not Modified", ""

    response = serve(view).get()
    assert response.status == 304
    assert len(response.cookies) == 1


def test_head_saves_as_get_does(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["coatcheck.session"]["a"] = 1
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "9")])
        return []

    browser = serve(None, app=app)
    response = browser.get(method="HEAD")
    assert response.body == b"" and len(response.cookies) == 1


def test_a_503_to_head_has_no_body(serve: Serve, redis_server: RedisServer) -> None:
    browser = serve(put)
    browser.get("/color/red")
    redis_server.stop()
    response = browser.get("/", method="HEAD")
    assert (response.status, response.body) == (503, b"")


def test_the_environ_key_is_a_setting(store: Store) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [repr("coatcheck.session" in environ).encode(), str(len(environ["s"])).encode()]

    assert Browser(SessionMiddleware(app, store, environ_key="s")).get().body == b"False0"


# ---- Threads --------------------------------------------------------------------------------


def test_requests_at_once_on_one_session_lose_no_field(serve: Serve) -> None:
    browser = serve(put)
    browser.get("/begin/0")

    def visit(number: int) -> None:
        own = Browser(browser.app)
        own.jar = dict(browser.jar)
        for turn in range(10):
            assert own.get(f"/field{number}/{turn}").status == 200

    answers = [in_thread(lambda number=number: visit(number)) for number in range(8)]
    for answer in answers:
        answer()
    expected = {"begin": "0", **{f"field{n}": "9" for n in range(8)}}
    assert eval(browser.get("/").body) == expected


def test_browsers_at_once_keep_to_their_own_sessions(serve: Serve) -> None:
    app = serve(put).app

    def visit(number: int) -> None:
        own = Browser(app)
        for turn in range(20):
            own.get(f"/mine/{number}-{turn}")
            assert own.get("/").body == repr({"mine": f"{number}-{turn}"}).encode()

    for answer in [in_thread(lambda number=number: visit(number)) for number in range(8)]:
        answer()


# ---- Settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"on_corrupt": "ignore"}, "on_corrupt='ignore': must be 'new' or 'raise'"),
        ({"on_unavailable": "500"}, "on_unavailable='500'"),
        ({"on_unavailable": "a callable"}, "or a callable"),
        ({"on_gone": "raise"}, "on_gone='raise'"),
        ({"cache_control": "public"}, "cache_control='public'"),
        ({"cookie": "session"}, "give a coatcheck.Cookie"),
        ({"on_gon": "drop"}, "no setting on_gon; did you mean on_gone"),
        ({"prefix": "a:", "idle": 5}, "prefix, idle: options of a store that exists"),
    ],
)
def test_a_wrong_setting_is_a_config_error(
    store: Store, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        SessionMiddleware(application(put), store, **settings)


def test_a_url_with_options_makes_a_store(redis_server: RedisServer) -> None:
    middleware = SessionMiddleware(application(put), redis_server.url, prefix="a:", idle=60)
    browser = Browser(middleware)
    browser.get("/color/red")
    (key,) = redis_server.records()
    assert key.startswith(b"a:s:")
    assert 0 < redis_server.cli("TTL", key) <= 60


def test_the_environment_makes_a_store(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_PREFIX", "env:")
    Browser(SessionMiddleware(application(put))).get("/color/red")
    assert redis_server.records()[0].startswith(b"env:s:")


def test_a_wrong_option_is_a_config_error_when_the_middleware_is_made() -> None:
    with pytest.raises(ConfigError, match="prefix"):
        SessionMiddleware(application(put), "redis://localhost")


def test_a_store_for_asyncio_is_refused_with_what_to_give() -> None:
    for_asyncio: Any = aio.Store("redis://localhost", prefix="a:")
    with pytest.raises(ConfigError, match=r"a coatcheck\.aio\.Store is no store for WSGI: give a"):
        SessionMiddleware(application(put), for_asyncio)


def test_a_middleware_without_an_application_is_told_so() -> None:
    with pytest.raises(ConfigError, match="the first argument is the WSGI application"):
        SessionMiddleware("redis://localhost", prefix="t:")  # type: ignore[arg-type]


def test_req_17_the_idle_timeout_is_the_servers_whatever_the_cookie_says(
    redis_server: RedisServer,
) -> None:
    app = SessionMiddleware(
        application(put), redis_server.url, prefix="t:", idle=1, cookie=Cookie(max_age=86400)
    )
    with app.store:
        browser = Browser(app)
        first = browser.get("/color/red")
        assert "Max-Age=86400" in first.cookies[0]
        kept = dict(browser.jar)
        wait_for(lambda: redis_server.records() == [], "the end of the session")
        # A cookie whose time was never over, and one to which a client has added what it likes.
        for forged in (kept, {**kept, "Max-Age": "999999999", "Expires": "never"}):
            browser.jar = dict(forged)
            assert browser.get("/").body == b"{}"
