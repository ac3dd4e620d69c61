"""Sessions in Django: the engine, under Django's own middleware and under ours."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import coatcheck
import django_site
import pytest
from conftest import RedisServer

django_site.set_up()

from coatcheck.django import SessionEnded, SessionStore, principal, store  # noqa: E402
from django.contrib.auth import login, logout, update_session_auth_hash  # noqa: E402
from django.contrib.messages import get_messages, info  # noqa: E402
from django.contrib.sessions.backends.base import (  # noqa: E402
    CreateError,
    SessionBase,
    UpdateError,
)
from django.contrib.sessions.backends.cache import SessionStore as CacheStore  # noqa: E402
from django.contrib.sessions.exceptions import SessionInterrupted  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django_site import DJANGOS, NAME, OURS, REST, ada, put, serve  # noqa: E402


@pytest.fixture(params=[DJANGOS, OURS], ids=["djangos_middleware", "ours"])
def each_middleware(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[str]:
    with django_site.settings(redis_server.url, MIDDLEWARE=[request.param, *REST]):
        yield request.param


@pytest.fixture
def engine(redis_server: RedisServer) -> Iterator[None]:
    with django_site.settings(redis_server.url):
        yield


def account(request: HttpRequest) -> str:
    if request.path == "/login":
        login(request, ada(), "django.contrib.auth.backends.ModelBackend")
    elif request.path == "/logout":
        logout(request)
    elif request.path != "/":
        return put(request)
    return f"{request.user} {request.session.principal}"


# ---- What Django's sessions have -----------------------------------------------------------------


def test_it_has_each_name_of_djangos_sessions_with_its_parameters() -> None:
    for name, theirs in inspect.getmembers(SessionBase):
        if name.startswith("_"):
            continue
        assert hasattr(SessionStore, name), name
        if inspect.isfunction(theirs):
            ours = getattr(SessionStore, name)
            assert inspect.iscoroutinefunction(ours) is inspect.iscoroutinefunction(theirs), name


def test_what_is_awaited_is_native_and_no_wrapper_of_djangos() -> None:
    wrapped = [
        name
        for name, method in inspect.getmembers(SessionStore, inspect.isfunction)
        if "sync_to_async" in method.__code__.co_names
    ]
    assert not wrapped


def test_it_is_one_of_djangos_sessions_and_one_of_ours(engine: None) -> None:
    session = SessionStore()
    assert isinstance(session, SessionBase) and isinstance(session, coatcheck.Session)


def test_a_session_goes_from_one_request_to_the_next(each_middleware: str) -> None:
    browser = serve(put)
    assert browser.get("/color/red").body == b"{'color': 'red'}"
    assert browser.get().body == b"{'color': 'red'}"


def test_req_72_a_request_that_stores_nothing_writes_nothing(
    each_middleware: str, redis_server: RedisServer
) -> None:
    browser = serve(put)
    with redis_server.monitor() as commands:
        assert browser.get().cookies == []
    assert commands == [] and redis_server.keys() == []


def test_plain_types_come_back_as_they_were_and_changes_inside_are_seen(
    each_middleware: str,
) -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/begin":
            request.session["cart"] = [("tea", 2)]
            request.session["by_id"] = {7: b"x"}
        elif request.path == "/more":
            request.session["cart"].append(("salt", 1))
        return repr(dict(request.session))

    browser = serve(view)
    browser.get("/begin")
    browser.get("/more")
    assert browser.get().body == b"{'cart': [('tea', 2), ('salt', 1)], 'by_id': {7: b'x'}}"


def test_what_cannot_be_stored_is_refused_on_its_line(engine: None) -> None:
    session = SessionStore()
    with pytest.raises(coatcheck.NotStorable, match=r"session\['price'\]: decimal.Decimal"):
        session["price"] = Decimal("9.50")


def test_get_pop_and_setdefault_take_what_djangos_take(engine: None) -> None:
    session = SessionStore()
    assert session.get("a", default=1) == 1 and session.get("a") is None
    assert session.setdefault("a", value=2) == 2 and session.setdefault("a", 3) == 2
    assert session.pop("a", default=None) == 2 and session.pop("a", 4) == 4
    with pytest.raises(KeyError):
        session.pop("a")
    session.update({"b": 5})
    assert session.has_key("b") and list(session.items()) == [("b", 5)]


def test_test_cookie(each_middleware: str) -> None:
    def view(request: HttpRequest) -> str:
        session = request.session
        if request.path == "/set":
            session.set_test_cookie()
        elif request.path == "/delete":
            session.delete_test_cookie()
        return str(session.test_cookie_worked())

    browser = serve(view)
    browser.get("/set")
    assert browser.get().body == b"True"
    browser.get("/delete")
    assert browser.get().body == b"False"


def test_encode_and_decode_use_no_serializer_of_the_settings(engine: None) -> None:
    with override_settings(SESSION_SERIALIZER="nowhere.Serializer"):
        session = SessionStore()
        assert session.decode(session.encode({"at": (1, b"x")})) == {"at": (1, b"x")}
        assert session.decode("what is this") == {}


def test_an_empty_session_is_false_and_one_with_a_key_is_true(engine: None) -> None:
    session = SessionStore()
    assert session.is_empty() and not session and not session.accessed
    session["a"] = 1
    assert session and not session.is_empty()
    assert SessionStore("A" * 43)


def test_accessed_and_modified_can_be_said(engine: None) -> None:
    session = SessionStore()
    assert not session.accessed and not session.modified
    session.accessed = session.modified = True
    assert session.accessed and session.modified
    session.modified = False
    session["a"] = []
    session.save()
    again = SessionStore(session.session_key)
    again["a"].append(1)
    assert again.modified and again.accessed


# ---- Keys ----------------------------------------------------------------------------------------


def test_create_and_exists_and_delete(engine: None, redis_server: RedisServer) -> None:
    session = SessionStore()
    session.create()
    key = session.session_key
    assert key and session.exists(key) and not session.exists("A" * 43) and not session.exists(None)
    assert session.load() == {} and SessionStore(key).load() == {}
    SessionStore().delete(key)
    assert not session.exists(key) and redis_server.keys() == []


def test_delete_of_its_own_session(engine: None, redis_server: RedisServer) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    for doomed in (SessionStore(session.session_key), session):
        doomed.delete()
        assert doomed.session_key is None and redis_server.keys() == []
    session["a"] = 1
    session.save()
    session.delete(session.session_key)
    assert session.session_key is None and redis_server.keys() == []


def test_create_of_a_session_that_is_stored_begins_another(engine: None) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    old = session.session_key
    session.create()
    assert session.session_key != old and session.load() == {} and not session.exists(old)


def test_save_of_an_empty_session_gives_it_a_key(engine: None) -> None:
    session = SessionStore()
    session.save()
    again = SessionStore(session.session_key)
    assert again.load() == {} and again.session_key == session.session_key


def test_a_session_that_a_view_saves_itself_gets_its_cookie(each_middleware: str) -> None:
    def view(request: HttpRequest) -> str:
        request.session["a"] = 1
        request.session.save()
        return request.session.session_key

    browser = serve(view)
    assert browser.get().body.decode() == browser.jar[NAME]


def test_save_that_must_create_does_so_once(engine: None) -> None:
    session = SessionStore()
    session.save(must_create=True)
    with pytest.raises(CreateError):
        session.save(must_create=True)


def test_req_04_an_unknown_key_is_not_adopted(each_middleware: str) -> None:
    browser = serve(put)
    browser.jar[NAME] = "A" * 43
    browser.get("/color/red")
    assert browser.jar[NAME] != "A" * 43


def test_clear_expired_has_nothing_to_do(engine: None) -> None:
    SessionStore.clear_expired()


def test_clear_keeps_the_key(engine: None) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    again = SessionStore(session.session_key)
    again.clear()
    again.save()
    assert again.session_key == session.session_key and SessionStore(again.session_key).load() == {}


def test_req_12_cycle_key_is_a_new_id_with_the_next_save(
    each_middleware: str,
) -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/cycle":
            request.session.cycle_key()
        return put(request)

    browser = serve(view)
    browser.get("/color/red")
    old = browser.jar[NAME]
    browser.get("/cycle")
    assert browser.jar[NAME] != old and not SessionStore().exists(old)
    assert browser.get().body == b"{'color': 'red'}"


def test_a_key_that_is_asked_for_after_cycle_key_is_the_new_one(engine: None) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    old = session.session_key
    session.cycle_key()
    assert session.session_key != old
    assert session.exists(session.session_key) and not session.exists(old)


def test_cycle_key_of_a_new_session_is_nothing(engine: None, redis_server: RedisServer) -> None:
    session = SessionStore()
    session.cycle_key()
    assert session.session_key is None and redis_server.keys() == []


# ---- Login and logout ----------------------------------------------------------------------------


def test_req_11_login_changes_the_id_and_sets_the_principal(each_middleware: str) -> None:
    browser = serve(account)
    browser.get("/color/red")
    old = browser.jar[NAME]
    assert browser.get("/login").body == b"ada user:1"
    assert browser.jar[NAME] != old and not SessionStore().exists(old)
    assert browser.get().body == b"ada user:1"
    (info,) = store().sessions(principal(ada()))
    assert info.public_id == SessionStore(browser.jar[NAME]).public_id


def test_req_11_logging_in_again_changes_the_id_too(each_middleware: str) -> None:
    browser = serve(account)
    browser.get("/login")
    old = browser.jar[NAME]
    browser.get("/login")
    assert browser.jar[NAME] != old and not SessionStore().exists(old)


def test_login_as_somebody_else_begins_an_empty_session(each_middleware: str) -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/bob":
            login(request, django_site.bob(), "django.contrib.auth.backends.ModelBackend")
            return repr(request.session.get("color"))
        return account(request)

    browser = serve(view)
    browser.get("/login")
    browser.get("/color/red")
    assert browser.get("/bob").body == b"None"
    assert store().sessions("user:1") == [] and len(store().sessions("user:2")) == 1


def test_req_16_what_a_login_carries_can_be_named(each_middleware: str) -> None:
    with override_settings(COATCHECK_CARRY=["cart"]):
        browser = serve(account)
        browser.get("/cart/tea")
        browser.get("/planted/x")
        browser.get("/login")
        stored = SessionStore(browser.jar[NAME])
        assert stored["cart"] == "tea" and "planted" not in stored
        assert browser.get().body == b"ada user:1"


def test_req_25_31_logout_takes_the_session_and_the_cookie(
    each_middleware: str, redis_server: RedisServer
) -> None:
    browser = serve(account)
    browser.get("/login")
    answer = browser.get("/logout")
    assert answer.body == b"AnonymousUser None" and NAME not in browser.jar
    assert redis_server.keys() == []
    (cookie,) = answer.cookies
    assert "Path=/" in cookie and "SameSite=Lax" in cookie
    if each_middleware == OURS:
        assert "HttpOnly" in cookie


def test_req_26_log_out_everywhere_ends_all_others(each_middleware: str) -> None:
    def view(request: HttpRequest) -> Any:
        if request.path == "/everywhere":
            return repr(store().destroy_all(principal(request.user), keep=request.session))
        return account(request)

    here, there = serve(view), serve(view)
    here.get("/login")
    there.get("/login")
    assert here.get("/everywhere").body == b"(1, False)"
    assert here.get().body == b"ada user:1" and there.get().body == b"AnonymousUser None"


def test_req_12_a_new_password_changes_the_id_and_ends_the_others(each_middleware: str) -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/password":
            request.user.set_password("tea")
            request.user.save()
            update_session_auth_hash(request, request.user)
        return account(request)

    here, there = serve(view), serve(view)
    here.get("/login")
    there.get("/login")
    old = here.jar[NAME]
    here.get("/password")
    assert here.jar[NAME] != old and not SessionStore().exists(old)
    assert here.get().body == b"ada user:1" and there.get().body == b"AnonymousUser None"


def test_an_error_takes_back_a_login(each_middleware: str) -> None:
    def view(request: HttpRequest) -> Any:
        said = account(request)
        return (500, said) if request.path == "/login" else said

    browser = serve(view)
    browser.get("/color/red")
    old = browser.jar[NAME]
    browser.get("/login")
    assert browser.jar[NAME] == old and browser.get().body == b"AnonymousUser None"


# ---- Ended meanwhile -----------------------------------------------------------------------------


def test_req_24_what_ended_meanwhile_is_not_saved(engine: None, redis_server: RedisServer) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    SessionStore(session.session_key).flush()
    session["a"] = 2
    with pytest.raises(UpdateError) as caught:
        session.save()
    assert (
        isinstance(caught.value, (SessionEnded, SessionInterrupted)) and redis_server.keys() == []
    )


def test_req_24_under_djangos_middleware_it_is_interrupted(redis_server: RedisServer) -> None:
    def view(request: HttpRequest) -> str:
        request.session["path"] = request.path
        if request.path == "/overtaken":
            SessionStore(request.session.session_key).flush()
        return "ok"

    with django_site.settings(redis_server.url):
        browser = serve(view)
        browser.get()
        answer = browser.get("/overtaken")
    assert answer.status == 400 and answer.cookies == [] and redis_server.keys() == []


def test_an_id_that_was_replaced_gets_no_cookie(each_middleware: str) -> None:
    browser = serve(account)
    browser.get("/color/red")
    old = browser.jar[NAME]
    browser.get("/login")
    browser.jar[NAME] = old
    answer = browser.get()
    assert answer.body == b"AnonymousUser None" and answer.cookies == []
    answer = browser.get("/color/blue")
    assert answer.cookies == [] and browser.jar[NAME] == old


def test_a_session_of_an_id_that_was_replaced_cannot_be_saved_or_flushed(engine: None) -> None:
    session, late = SessionStore(), None
    session["a"] = 1
    session.save()
    late, old = SessionStore(session.session_key), SessionStore(session.session_key)
    assert late["a"] == 1
    session.cycle_key()
    session.save()
    with pytest.raises(SessionEnded) as caught:
        late.flush()
    assert caught.value.replaced
    assert old.stale and old.load() == {} and not old.exists(old.session_key)
    with pytest.raises(SessionEnded):
        old.save()


# ---- With what else Django has -------------------------------------------------------------------


def test_messages_in_the_session(each_middleware: str) -> None:
    def view(request: HttpRequest) -> str:
        if request.path == "/say":
            info(request, "hello")
            return ""
        return str([str(message) for message in get_messages(request)])

    storage = "django.contrib.messages.storage.session.SessionStorage"
    with override_settings(MESSAGE_STORAGE=storage):
        browser = serve(view)
        browser.get("/say")
        assert browser.get().body == b"['hello']" and browser.get().body == b"[]"


def test_the_csrf_token_in_the_session(redis_server: RedisServer, each_middleware: str) -> None:
    middleware = [each_middleware, "django.middleware.csrf.CsrfViewMiddleware", *REST]
    with override_settings(CSRF_USE_SESSIONS=True, MIDDLEWARE=middleware):
        browser = serve(lambda request: get_token(request))
        token = browser.get().body.decode()
        more = {"HTTP_X_CSRFTOKEN": token, "HTTP_REFERER": "https://shop.example.com/"}
        assert browser.get("/", method="POST", **more).status == 200
        more["HTTP_X_CSRFTOKEN"] = "x" * 32
        assert browser.get("/", method="POST", **more).status == 403


def test_the_test_client_has_the_session(each_middleware: str) -> None:
    serve(account)
    client = Client()
    session = client.session
    session["color"] = "red"
    session.save()
    assert client.get("/").content == b"AnonymousUser None"
    assert client.session["color"] == "red"
    client.force_login(ada())
    assert client.get("/").content == b"ada user:1"
    client.logout()
    assert client.get("/").content == b"AnonymousUser None" and store().sessions("user:1") == []


def test_a_subclass_may_be_the_engine(each_middleware: str) -> None:
    with override_settings(SESSION_ENGINE="django_engine"):
        browser = serve(lambda request: type(request.session).__module__)
        assert browser.get().body == b"django_engine"


def test_sessions_of_other_engines_are_left_alone(redis_server: RedisServer) -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        client = Client()
        client.force_login(ada())
        assert isinstance(client.session, CacheStore)


def test_the_signal_of_a_login_without_a_request_is_nobodys(engine: None) -> None:
    from django.contrib.auth.signals import user_logged_in

    user_logged_in.send(sender=type(ada()), request=None, user=ada())


def test_the_store_is_made_once_and_anew_when_settings_change(redis_server: RedisServer) -> None:
    with django_site.settings(redis_server.url):
        first = store()
        assert store() is first
        with override_settings(COATCHECK_PREFIX="other:"):
            assert store() is not first and "other:" in repr(store())


def test_head_and_redirects_save(each_middleware: str) -> None:
    def view(request: HttpRequest) -> Any:
        request.session["seen"] = request.session.get("seen", 0) + 1
        if request.path == "/redirect":
            return HttpResponse(status=302, headers={"Location": "/"})
        return request.session["seen"]

    browser = serve(view)
    browser.get("/", method="HEAD")
    browser.get("/redirect")
    assert browser.get().body == b"3"
