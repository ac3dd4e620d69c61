"""What people use with Flask's sessions: Flask-Login and Flask-WTF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import flask_login
import pytest
from coatcheck import Store
from coatcheck.flask import session
from conftest import Browser, RedisServer
from flask_wtf.csrf import CSRFProtect, generate_csrf
from flasks import NAME, an_app
from views import Slow, nowhere, overtaken

# Flask-Login's, where Python has a better way by now.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

# ---- Flask-Login ---------------------------------------------------------------------------

REMEMBER = "remember_token"


class User(flask_login.UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def with_logins(store: Store, **settings: Any) -> flask.Flask:
    app = an_app(store, SECRET_KEY="secret", **settings)
    flask_login.LoginManager(app).user_loader(lambda name: User(name) if name != "gone" else None)

    @app.get("/")
    def home() -> str:
        user = flask_login.current_user
        return f"{user.is_authenticated and user.id} {session.principal} {session.get('cart')}"

    @app.get("/login/<name>")
    def login(name: str) -> str:
        flask_login.login_user(User(name), remember="remember" in flask.request.args)
        return "welcome"

    @app.get("/confirm")
    def confirm() -> str:
        flask_login.confirm_login()
        return "confirmed"

    @app.get("/logout")
    def logout() -> str:
        flask_login.logout_user()
        return "goodbye"

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = "tea"
        return "in the cart"

    @app.get("/account")
    @flask_login.fresh_login_required
    def account() -> str:
        return "your account"

    @app.get("/plain")
    def plain() -> str:
        return "hello"

    return app


def home(browser: Browser) -> str:
    return browser.get().body.decode()


def test_req_11_a_login_changes_the_id_and_sets_the_principal(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/cart")
    old = browser.jar[NAME]
    browser.get("/login/ada")
    assert browser.jar[NAME] != old and home(browser) == "ada ada tea"
    ended = store.load(old)
    assert ended is not None and ended.stale and not ended
    assert len(store.sessions("ada")) == 1


def test_req_24_25_a_logout_ends_it_and_keeps_what_is_not_the_users(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/cart")
    browser.get("/login/ada")
    old = browser.jar[NAME]
    browser.get("/logout")
    assert browser.jar[NAME] != old and home(browser) == "False None tea"
    assert store.load(old) is None and store.sessions("ada") == []


def test_req_31_a_logout_with_nothing_to_keep_takes_the_cookie(
    store: Store, redis_server: RedisServer
) -> None:
    browser = Browser(with_logins(store))
    browser.get("/login/ada")
    browser.get("/logout")
    assert NAME not in browser.jar and redis_server.records() == []


def test_a_logout_of_nobody_ends_nothing(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/cart")
    old = browser.jar[NAME]
    browser.get("/logout")
    assert browser.jar[NAME] == old and home(browser) == "False None tea"


def test_another_user_in_the_same_browser_is_another_session(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/login/ada")
    old = browser.jar[NAME]
    browser.get("/login/bob")
    assert store.load(old) is None
    assert home(browser) == "bob bob None" and store.sessions("ada") == []


def test_a_user_who_is_ended_elsewhere_is_nobody(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/login/ada")
    store.destroy_all("ada")
    assert home(browser) == "False None None"


def test_visitors_get_no_session(store: Store, redis_server: RedisServer) -> None:
    app = with_logins(store, REMEMBER_COOKIE_REFRESH_EACH_REQUEST=True)
    browser = Browser(app)
    assert not browser.get().cookies and not browser.get("/plain").cookies
    assert browser.get("/account").status == 401
    assert redis_server.keys() == []


def test_a_remembered_user_is_logged_in_with_an_id_of_his_own(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/login/ada", QUERY_STRING="remember=1")
    assert REMEMBER in browser.jar
    first = browser.jar.pop(NAME)
    assert home(browser) == "ada ada None" and browser.jar[NAME] != first
    assert home(browser) == "ada ada None" and len(store.sessions("ada")) == 2


def test_a_logout_takes_the_remember_cookie(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/login/ada", QUERY_STRING="remember=1")
    answer = browser.get("/logout")
    cleared = [cookie for cookie in answer.cookies if cookie.startswith(f"{REMEMBER}=;")]
    assert len(cleared) == 1
    assert REMEMBER not in browser.jar and home(browser) == "False None None"


@pytest.mark.parametrize("way", ["login", "logout"])
def test_who_clears_it_first_keeps_nothing(
    store: Store, redis_server: RedisServer, way: str
) -> None:
    app = with_logins(store)

    @app.get("/clear/<name>")
    def clear(name: str) -> str:
        session.clear()
        if way == "login":
            return str(flask_login.login_user(User(name)))
        return str(flask_login.logout_user())

    browser = Browser(app)
    browser.get("/cart")
    browser.get("/login/ada", QUERY_STRING="remember=1")
    browser.get("/clear/bob")
    assert home(browser) == ("bob bob None" if way == "login" else "False None None")
    assert (REMEMBER in browser.jar) is (way == "login")
    assert store.sessions("ada") == []
    assert len(redis_server.records()) == (1 if way == "login" else 0)


def test_a_remembered_user_who_is_gone_is_nobody(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/login/gone", QUERY_STRING="remember=1")
    browser.jar.pop(NAME)
    assert home(browser) == "False None None"


def test_req_12_to_confirm_a_remembered_login_changes_the_id(store: Store) -> None:
    browser = Browser(with_logins(store))
    browser.get("/login/ada", QUERY_STRING="remember=1")
    browser.jar.pop(NAME)
    assert browser.get("/account").status == 401  # not fresh
    old = browser.jar[NAME]
    browser.get("/confirm")
    assert browser.jar[NAME] != old and browser.get("/account").body == b"your account"
    ended = store.load(old)
    assert ended is not None and ended.stale


@pytest.mark.parametrize(
    ("protection", "seen"), [("basic", "ada ada tea"), ("strong", "False None tea")]
)
def test_session_protection(store: Store, protection: str, seen: str) -> None:
    browser = Browser(with_logins(store, SESSION_PROTECTION=protection))
    browser.get("/cart")
    browser.get("/login/ada")
    old = browser.jar[NAME]
    thief = Browser(browser.app)
    thief.jar = dict(browser.jar)
    assert thief.get("/", HTTP_USER_AGENT="another").body.decode() == seen
    assert (store.load(old) is None) is (protection == "strong")
    assert browser.get("/account").status == 401


def test_a_slow_request_does_not_take_a_login_away(store: Store) -> None:
    app = with_logins(store)
    view = Slow()
    app.get("/slow")(lambda: str(view(flask.session, "/slow")))
    browser = Browser(app)
    browser.get("/cart")
    assert not overtaken(browser, view, by="/login/ada").cookies
    assert home(browser) == "ada ada tea"


@pytest.mark.parametrize("path", ["/", "/plain", "/login/ada", "/account"])
def test_without_redis_it_is_a_503(tmp_path: Path, path: str) -> None:
    browser = Browser(with_logins(nowhere(tmp_path)))
    browser.jar[NAME] = "A" * 43
    answer = browser.get(path)
    assert answer.status == 503 and answer["Retry-After"] and not answer.cookies


def test_another_application_of_the_process_is_not_touched(store: Store) -> None:
    browser = Browser(with_logins(store))
    plain = flask.Flask("plain", root_path=str(Path(__file__).parent))
    plain.secret_key = "secret"
    flask_login.LoginManager(plain).user_loader(User)
    plain.get("/")(lambda: str(flask_login.login_user(User("bob"))))
    assert Browser(plain).get().body == b"True"
    assert home(browser) == "False None None"


# ---- Flask-WTF -----------------------------------------------------------------------------


def test_csrf_tokens_of_flask_wtf(store: Store) -> None:
    app = an_app(store, SECRET_KEY="secret", WTF_CSRF_SSL_STRICT=False)
    CSRFProtect(app)
    app.get("/form")(lambda: generate_csrf())

    @app.post("/buy")
    def buy() -> str:
        session["bought"] = True
        return "thanks"

    @app.get("/login")
    def login() -> str:
        session.login("user:1", carry=())
        return ""

    browser = Browser(app)
    token = browser.get("/form").body.decode()
    assert browser.get("/buy", "POST").status == 400
    assert browser.get("/buy", "POST", HTTP_X_CSRFTOKEN=token).body == b"thanks"
    stranger = Browser(app)
    stranger.get("/form")
    assert stranger.get("/buy", "POST", HTTP_X_CSRFTOKEN=token).status == 400
    browser.get("/login")
    assert browser.get("/buy", "POST", HTTP_X_CSRFTOKEN=token).status == 400
