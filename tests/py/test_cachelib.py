"""The cache as cachelib has it, and as a backend of Flask-Caching."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import flask
import pytest
from cachelib import BaseCache
from coatcheck import Cache as PlainCache
from coatcheck import ConfigError, NotStorable, StoreUnavailable
from coatcheck.cachelib import Cache
from conftest import RedisServer
from flask_caching import Cache as FlaskCaching
from markupsafe import Markup


@pytest.fixture
def cache(redis_server: RedisServer) -> Cache:
    return Cache(redis_server.url, prefix="shop:", ttl_jitter=0)


def ttl(server: RedisServer, key: str, prefix: str = "shop:") -> float | None:
    with PlainCache(server.url, prefix=prefix) as plain:
        return plain.ttl(key)


# ---- cachelib ------------------------------------------------------------------------------------


def test_it_is_one_of_cachelib(cache: Cache) -> None:
    assert isinstance(cache, BaseCache)
    own = {name for name in vars(BaseCache) if not name.startswith("_")}
    assert own - {"get_dict"} <= {*vars(Cache)}


@pytest.mark.parametrize("value", [True, 1, 1.0, "text", b"\0", [1, (2, [3])], {7: b"b"}, (), None])
def test_plain_data_comes_back_as_it_was(cache: Cache, value: Any) -> None:
    assert cache.set("key", value) is True
    assert repr(cache.get("key")) == repr(value) and cache.has("key")
    assert cache.get("none") is None and not cache.has("none")
    assert cache.get_many("none", "key") == [None, value]
    assert cache.get_dict("none", "key") == {"none": None, "key": value}


def test_what_is_not_is_refused(cache: Cache) -> None:
    for store in (cache.set, cache.add):
        with pytest.raises(NotStorable):
            store("key", {1})
    with pytest.raises(NotStorable):
        cache.set_many({"key": {1}})


def test_timeouts(cache: Cache, redis_server: RedisServer) -> None:
    cache.set("default", 1)
    cache.set("never", 1, 0)
    cache.set_many({"delta": 1}, timedelta(minutes=1))
    cache.inc("count")
    lives = [ttl(redis_server, key) for key in ("default", "never", "delta", "count")]
    assert lives == pytest.approx([300, math.inf, 60, 300], abs=1)
    with pytest.raises(ValueError, match="ttl must be"):
        cache.set("key", 1, -5)


def test_the_default_may_be_never(redis_server: RedisServer) -> None:
    cache = Cache(redis_server.url, 0, prefix="shop:")
    cache.set("key", 1)
    assert ttl(redis_server, "key") == math.inf


def test_adding_deleting_counting_and_clearing(cache: Cache) -> None:
    assert cache.add("key", 1) and not cache.add("key", 2) and cache.get("key") == 1
    assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]
    assert cache.delete("key") and not cache.delete("key")
    assert cache.delete_many("a", "none") == ["a", "none"] and not cache.has("a")
    assert cache.inc("n") == 1 and cache.inc("n", 5) == 6 and cache.dec("n", 10) == -4
    assert cache.dec("m") == -1
    assert cache.clear() is True and not cache.has("b")


def test_a_failure_is_an_exception() -> None:
    with pytest.raises(StoreUnavailable):
        Cache("unix:/nowhere", prefix="shop:").get("key")
    with pytest.raises(TypeError, match="default_timeout"):
        Cache("unix:/nowhere", prefix="shop:", ttl=5)
    with pytest.raises(ConfigError, match="prefix"):
        Cache("unix:/nowhere")


# ---- Flask-Caching -------------------------------------------------------------------------------


@pytest.fixture
def app(redis_server: RedisServer) -> Iterator[flask.Flask]:
    app = flask.Flask(__name__)
    app.config.update(
        CACHE_TYPE="coatcheck.flask_caching.Cache",
        CACHE_REDIS_URL=redis_server.url,
        CACHE_KEY_PREFIX="site:",
        CACHE_OPTIONS={"ttl_jitter": 0},
        DEBUG=True,  # in which nothing that a cache raises is swallowed
    )
    with app.app_context():
        yield app


def test_flask_caching_stores_under_its_prefix(app: flask.Flask, redis_server: RedisServer) -> None:
    cache = FlaskCaching(app)
    cache.set("key", (1, 2))
    assert cache.get("key") == (1, 2)
    assert redis_server.keys() == [b"site:c:k:key"]
    assert ttl(redis_server, "key", "site:") == pytest.approx(300, abs=1)
    assert cache.delete_many("key") == ["key"]


@pytest.mark.parametrize(
    "made",
    [
        lambda: "text",
        lambda: ("text", 202, {"X-Own": "yes"}),
        lambda: {"json": [1]},
        lambda: flask.Response("é", 203, {"X-Own": "yes", "Content-Type": "text/x-own"}),
        lambda: flask.jsonify(a=1),
        lambda: Markup("<b>bold</b>"),
    ],
)
def test_a_view_is_called_once(app: flask.Flask, made: Any) -> None:
    cache = FlaskCaching(app)
    asked: list[int] = []

    @app.route("/")
    @cache.cached(timeout=60)
    def view() -> Any:
        asked.append(1)
        return made()

    first, second = (app.test_client().get("/") for _ in range(2))
    assert asked == [1]
    assert (first.status, first.data, [*first.headers]) == (
        *(second.status, second.data),
        [*second.headers],
    )


def test_markup_stays_markup_and_nothing_else_becomes_it(app: flask.Flask) -> None:
    cache = FlaskCaching(app)
    cache.set("safe", Markup("<b>"))
    cache.set("text", "<b>")
    assert type(cache.get("safe")) is Markup and type(cache.get("text")) is str
    with pytest.raises(ValueError, match="stands for something else"):
        cache.set("key", ("coatcheck.flask_caching", "markup", "<script>"))


def test_memoized_functions_and_fragments(app: flask.Flask) -> None:
    cache = FlaskCaching(app)
    asked: list[int] = []

    @cache.memoize(60)
    def double(n: int) -> tuple[int, int]:
        asked.append(n)
        return n, 2 * n

    assert double(2) == double(2) == (2, 4) and asked == [2]
    cache.delete_memoized(double)
    assert double(2) == (2, 4) and asked == [2, 2]
    page = "{% cache 60, 'part' %}<i>{{ name }}</i>{% endcache %}"
    assert flask.render_template_string(page, name="<Ada>") == "<i>&lt;Ada&gt;</i>"
    assert flask.render_template_string(page, name="Grace") == "<i>&lt;Ada&gt;</i>"


def test_an_object_is_refused(app: flask.Flask) -> None:
    cache = FlaskCaching(app)

    @cache.memoize(60)
    def some() -> set[int]:
        return {1}

    with pytest.raises(NotStorable):
        some()


def test_places_and_mistakes(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    url = app.config.pop("CACHE_REDIS_URL")
    app.config.update(CACHE_REDIS_HOST="redis.example.com", CACHE_REDIS_DB=3)
    app.config.update(CACHE_REDIS_PASSWORD="secret")
    made = FlaskCaching(app).cache
    assert "redis://redis.example.com:6379/3" in repr(made._cache)  # type: ignore[attr-defined]
    del app.config["CACHE_REDIS_HOST"]
    monkeypatch.setenv("COATCHECK_CACHE_URL", url)
    assert url.partition("?")[0] in repr(FlaskCaching(app).cache._cache)  # type: ignore[attr-defined]
    for wrong, advice in (
        ({"CACHE_KEY_PREFIX": lambda: "x"}, "one text"),
        ({"CACHE_OPTIONS": {"socket_timeout": 5}}, "no option socket_timeout"),
    ):
        app.config.update(wrong)
        with pytest.raises(ConfigError, match=advice):
            FlaskCaching(app)
        app.config["CACHE_KEY_PREFIX"] = "site:"
