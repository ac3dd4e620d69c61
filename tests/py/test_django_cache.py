"""Django's cache, blocking and awaited."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from time import sleep
from typing import Any

import django_site
import pytest

django_site.set_up()

from coatcheck import Cache as PlainCache  # noqa: E402
from coatcheck import ConfigError, NotStorable, Store, StoreUnavailable  # noqa: E402
from conftest import RedisServer  # noqa: E402
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import caches  # noqa: E402
from django.core.checks import run_checks  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.template import Context, Engine  # noqa: E402
from django.test import RequestFactory, override_settings  # noqa: E402
from django.utils.safestring import SafeString, mark_safe  # noqa: E402
from django.views.decorators.cache import cache_page  # noqa: E402

BACKEND = "coatcheck.django.Cache"
OPTIONS = {"prefix": "shop:", "ttl_jitter": 0}


def settings(server: RedisServer, **more: Any) -> Any:
    setting = {"BACKEND": BACKEND, "LOCATION": server.url, "OPTIONS": OPTIONS, **more}
    return override_settings(CACHES={"default": setting})


class Caller:
    """The methods of Django's cache, or those that begin with an a in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self._loop is None:
            return getattr(caches["default"], name)  # type: ignore[no-any-return]
        loop = self._loop

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await getattr(caches["default"], f"a{name}")(*args, **kwargs)

        return lambda *args, **kwargs: loop.run_until_complete(awaited(*args, **kwargs))


@pytest.fixture(params=["blocking", "awaited"])
def cache(
    request: pytest.FixtureRequest, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    with settings(redis_server):
        if request.param == "blocking":
            yield Caller(None)
            return
        # Nothing may fall back on a thread.
        monkeypatch.setattr("django.core.cache.backends.base.sync_to_async", None)
        loop = asyncio.new_event_loop()
        yield Caller(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def entry(server: RedisServer, key: str, version: int = 1) -> Any:
    """How it lies in Redis: as a caller of `coatcheck.Cache` finds it."""
    with PlainCache(server.url, prefix="shop:") as plain:
        return plain.ttl(f":{version}:{key}")


# ---- What is stored ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, True, 1, 1.0, 2**70, math.inf, "", "text", b"\0", [1, (2, [3])], {7: {"a": b"b"}}, ()],
)
def test_plain_data_comes_back_as_it_was(cache: Any, value: Any) -> None:
    cache.set("key", value)
    found = cache.get("key", "nothing")
    assert repr(found) == repr(value)
    assert cache.get_many(["key", "none"]) == {"key": value}
    assert cache.has_key("key") and not cache.has_key("none")
    assert cache.get_or_set("key", "other") == value


@pytest.mark.parametrize("method", ["set", "add", "set_many", "get_or_set"])
def test_what_is_not_is_refused_with_its_path(cache: Any, method: str) -> None:
    value = {"who": [object()]}
    with pytest.raises(NotStorable, match=r"\['who'\]\[0\]: object is not storable"):
        if method == "set_many":
            cache.set_many({"key": value})
        elif method == "get_or_set":
            cache.get_or_set("key", lambda: value)
        else:
            getattr(cache, method)("key", value)
    assert not cache.has_key("key")


@pytest.mark.parametrize("text", [SafeString("<b>"), mark_safe("")])
def test_safe_text_stays_safe(cache: Any, text: SafeString) -> None:
    cache.set("key", text)
    cache.set_many({"other": text, "plain": str.__str__(text)})
    cache.get_or_set("made", lambda: text)
    for key in ("key", "other", "made"):
        assert type(cache.get(key)) is SafeString and cache.get(key) == text
    assert type(cache.get("plain")) is str


def test_what_stands_for_safe_text_cannot_be_stored_as_such(cache: Any) -> None:
    with pytest.raises(ValueError, match="stands for something else"):
        cache.set("key", ("coatcheck.django", "safe text", "<script>"))
    cache.set("key", ["coatcheck.django", "safe text", "<script>"])
    assert cache.get("key") == ["coatcheck.django", "safe text", "<script>"]


def test_a_response_comes_back_with_its_headers_and_cookies(cache: Any) -> None:
    response = JsonResponse({"a": "é"}, status=203)
    response["Vary"] = "Cookie"
    response.set_cookie("seen", "a b;c", max_age=60, httponly=True, samesite="Lax")
    cache.set("key", response)
    found = cache.get("key")
    assert type(found) is HttpResponse and found.content == response.content
    assert found.status_code == 203 and found.reason_phrase == response.reason_phrase
    assert dict(found.items()) == dict(response.items())
    assert found.cookies.output() == response.cookies.output()


# ---- How Django's caches behave ------------------------------------------------------------------


def test_timeouts(cache: Any, redis_server: RedisServer) -> None:
    cache.set("default", 1)
    cache.set("some", 1, 60)
    cache.set("none", 1, None)
    assert 299 < entry(redis_server, "default") <= 300
    assert 59 < entry(redis_server, "some") <= 60
    assert entry(redis_server, "none") == math.inf
    assert cache.touch("some", 500) and 499 < entry(redis_server, "some") <= 500
    assert cache.touch("some") and 299 < entry(redis_server, "some") <= 300
    assert cache.touch("some", None) and entry(redis_server, "some") == math.inf
    assert not cache.touch("nothing")


@pytest.mark.parametrize("over", [0, -1, -0.5])
def test_a_timeout_that_is_over_stores_nothing_and_deletes(cache: Any, over: float) -> None:
    cache.set_many({key: 1 for key in "abcd"})
    cache.set("a", 2, over)
    cache.set_many({"b": 2}, over)
    assert cache.touch("c", over) and not cache.touch("c", over)
    assert cache.add("new", 1, over) and not cache.add("d", 1, over)
    assert cache.get_or_set("made", lambda: 5, over) == 5
    assert cache.get_many(["a", "b", "c", "d", "new", "made"]) == {"d": 1}


def test_versions_are_apart(cache: Any) -> None:
    cache.set("key", "one")
    cache.set("key", "two", version=2)
    cache.set_many({"key": "three"}, version=3)
    assert [cache.get("key", version=n) for n in (None, 1, 2, 3, 4)] == [
        *("one", "one", "two", "three"),
        None,
    ]
    assert cache.get_many(["key"], version=2) == {"key": "two"}
    assert cache.incr_version("key", version=3) == 4
    assert cache.get("key", version=3) is None and cache.get("key", version=4) == "three"
    assert cache.decr_version("key", version=2) == 1 and cache.get("key") == "two"
    cache.delete_many(["key"], version=4)
    assert not cache.has_key("key", version=4) and cache.delete("key") and not cache.delete("key")
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("key")


def test_counting(cache: Any) -> None:
    for method in (cache.incr, cache.decr):
        with pytest.raises(ValueError, match="Key 'n' not found"):
            method("n")
    cache.set("n", 5)
    assert cache.incr("n") == 6 and cache.incr("n", 10) == 16 and cache.decr("n", 20) == -4
    assert cache.get("n") == -4
    assert cache.get_or_set("fresh", 7) == 7 and cache.incr("fresh") == 8
    cache.set("text", "x")
    with pytest.raises(ValueError, match="no int"):
        cache.incr("text")


def test_add_and_get_or_set(cache: Any) -> None:
    assert cache.add("key", 1) and not cache.add("key", 2) and cache.get("key") == 1
    assert cache.get_or_set("made", lambda: [1]) == [1] and cache.get("made") == [1]
    assert cache.get_or_set("made", lambda: 1 / 0) == [1]
    assert cache.get_or_set("nothing", None) is None and cache.has_key("nothing")
    with pytest.raises(ZeroDivisionError):
        cache.get_or_set("fails", lambda: 1 / 0)


def test_clear_takes_what_is_ours_and_nothing_else(cache: Any, redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="shop:") as store:
        session = store.new()
        session["kept"] = True
        session.save()
        cache.set_many({"a": 1, "b": 2})
        cache.set("a", 1, version=2)
        cache.clear()
        assert cache.get("a") is None and cache.get("a", version=2) is None
        assert session.id is not None and store.load(session.id) is not None


def test_empty_batches(cache: Any) -> None:
    assert cache.get_many([]) == {} and cache.set_many({}) == []
    assert cache.delete_many([]) is None


def test_key_prefix_and_key_function(redis_server: RedisServer) -> None:
    with settings(redis_server, KEY_PREFIX="de", VERSION=3):
        caches["default"].set("key", 1)
        assert redis_server.keys() == [b"shop:c:k:de:3:key"]
    with settings(redis_server, KEY_FUNCTION=f"{__name__}.shouted"):
        caches["default"].set("key", 1)
        assert redis_server.cli("EXISTS", "shop:c:k:KEY!")
        assert caches["default"].get_many(["key"]) == {"key": 1}


def shouted(key: str, key_prefix: str, version: int) -> str:
    return f"{key.upper()}!"


def test_a_key_that_redis_could_take_and_nobody_read_is_refused(cache: Any) -> None:
    with pytest.warns(Warning), pytest.raises(ValueError, match="control characters"):
        cache.set("a\nb", 1)
    with pytest.warns(Warning), pytest.raises(ValueError, match="hash what is longer"):
        cache.get("a" * 600)


# ---- With Django ---------------------------------------------------------------------------------


def test_one_of_all_threads_makes_a_value(redis_server: RedisServer) -> None:
    made: list[int] = []

    def slow() -> int:
        made.append(get_ident())
        sleep(0.2)
        return 7

    with settings(redis_server), ThreadPoolExecutor(8) as pool:
        # Django gives each thread a backend of its own.
        found = pool.map(lambda _: caches["default"].get_or_set("key", slow), range(8))
        assert [*found] == [7] * 8 and len(made) == 1


def test_a_coroutine_function_makes_a_value(redis_server: RedisServer) -> None:
    made = 0

    async def slow() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(0.05)
        return made

    async def main() -> None:
        tasks = (caches["default"].aget_or_set("key", slow) for _ in range(5))
        assert await asyncio.gather(*tasks) == [1] * 5

    with settings(redis_server):
        asyncio.run(main())
        asyncio.run(main())  # in another event loop


def test_a_page_is_kept_and_served(redis_server: RedisServer) -> None:
    asked: list[str] = []

    @cache_page(60)
    def page(request: HttpRequest) -> HttpResponse:
        asked.append(request.path)
        return HttpResponse(f"page {len(asked)}", headers={"X-Own": "yes"})

    with settings(redis_server):
        for _ in range(3):
            response = page(RequestFactory().get("/shop"))
            assert response.content == b"page 1" and response["X-Own"] == "yes"
    assert asked == ["/shop"]


def test_a_fragment_of_a_template_is_kept_and_not_escaped(redis_server: RedisServer) -> None:
    template = Engine(libraries={"cache": "django.templatetags.cache"}).from_string(
        "{% load cache %}{% cache 60 fragment %}<b>{{ name }}</b>{% endcache %}"
    )
    with settings(redis_server):
        assert template.render(Context({"name": "<Ada>"})) == "<b>&lt;Ada&gt;</b>"
        assert template.render(Context({"name": "Grace"})) == "<b>&lt;Ada&gt;</b>"


def test_sessions_of_django_in_the_cache(redis_server: RedisServer) -> None:
    with settings(redis_server):
        session = SessionStore()
        session["cart"] = [("tea", 1)]
        session.save()
        assert SessionStore(session.session_key)["cart"] == [("tea", 1)]
        session["who"] = object()
        with pytest.raises(NotStorable):
            session.save()


def test_a_request_that_ends_closes_no_connection(redis_server: RedisServer) -> None:
    with settings(redis_server):
        caches["default"].set("key", 1)
        before = connections(redis_server)
        for _ in range(3):
            caches.close_all()
            assert caches["default"].get("key") == 1
        assert connections(redis_server) == before


def connections(server: RedisServer) -> int:
    """That there have ever been."""
    said = server.cli("INFO", "stats").decode()
    return int(said.partition("total_connections_received:")[2].split()[0])


def test_a_server_that_is_away_is_said(cache: Any) -> None:
    nowhere = {"BACKEND": BACKEND, "LOCATION": "unix:/nowhere", "OPTIONS": OPTIONS}
    with override_settings(CACHES={"default": nowhere}):
        for call in (lambda: cache.get("key"), lambda: cache.get_or_set("key", lambda: 1)):
            with pytest.raises(StoreUnavailable):
                call()


# ---- Mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ({"LOCATION": ["redis://a", "redis://b"]}, "redis.sentinel://"),
        ({"LOCATION": "redis://localhost/1", "OPTIONS": {}}, "prefix"),
        ({"LOCATION": "localhost:6379"}, "redis://"),
        ({"OPTIONS": {"prefix": "p:", "ttl": 5}}, "say it as TIMEOUT"),
        ({"OPTIONS": {"PREFIX": "p:", "url": "redis://x"}}, "say it as LOCATION"),
        ({"OPTIONS": {"prefix": "p:", "MAX_ENTRIES": 5}}, "maxmemory"),
        ({"OPTIONS": {"prefix": "p:", "CLIENT_CLASS": "x"}}, "there is no option client_class"),
        ({"OPTIONS": {"prefix": "p:", "idle": 5}}, "idle"),
    ],
)
def test_mistakes_are_errors_with_advice_that_a_check_meets(setting: Any, advice: str) -> None:
    given = {"BACKEND": BACKEND, "LOCATION": "redis://localhost/1", "OPTIONS": OPTIONS, **setting}
    with override_settings(CACHES={"default": given}):
        with pytest.raises(ConfigError, match=advice):
            caches["default"].get("key")
        with pytest.raises(ConfigError, match=advice):
            run_checks(tags=["caches"])


def test_the_environment_names_the_place(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_CACHE_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_CACHE_PREFIX", "env:")
    with override_settings(CACHES={"default": {"BACKEND": BACKEND}}):
        caches["default"].set("key", 1)
    assert redis_server.cli("KEYS", "env:*") == [b"env:c:k::1:key"]
