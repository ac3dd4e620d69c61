"""
Caches of ours and of others, each as its own documentation makes one for plain values in Redis: as
pickles, which is what they do unless told otherwise, with hiredis to read replies.

Each is a `Client`, whose functions take an `Entries`; those of asyncio return awaitables. Expiry is
the same for all, and long.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from coatcheck import Cache, aio

from .redis_server import Server

PREFIX = "bench:"
TTL_S = 3600


@dataclass(frozen=True)
class Entries:
    """A value, the key that it lies under, and many keys with such a value each."""

    key: str
    keys: list[str]
    value: Any


@dataclass(frozen=True)
class Client:
    get: Callable[[Entries], Any]
    set: Callable[[Entries], Any]
    get_many: Callable[[Entries], Any]
    #: Of a function of one argument, one whose results are kept; None: it has no such thing.
    memoize: Callable[[Callable[[int], Any]], Callable[[int], Any]] | None


Make = Callable[[Server, ExitStack], Client]


# ---- Blocking ------------------------------------------------------------------------------------


def ours(server: Server, stack: ExitStack) -> Client:
    cache = stack.enter_context(Cache(server.tcp_url, prefix=PREFIX, ttl=TTL_S))
    return Client(
        get=lambda e: cache.get(e.key),
        set=lambda e: cache.set(e.key, e.value),
        get_many=lambda e: cache.get_many(e.keys),
        memoize=partial(_named, cache),
    )


def _named(cache: Any, fn: Any) -> Any:
    return cache.memoize(name="memoized")(fn)


def redis_py(server: Server, stack: ExitStack) -> Client:
    from redis import Redis

    client = stack.enter_context(Redis.from_url(server.tcp_url))

    def get(e: Entries) -> Any:
        found = client.get(e.key)
        return None if found is None else pickle.loads(found)

    def get_many(e: Entries) -> Any:
        found = client.mget(e.keys)
        return {
            key: pickle.loads(value)
            for key, value in zip(e.keys, found, strict=True)
            if value is not None
        }

    return Client(
        get=get,
        set=lambda e: client.set(e.key, pickle.dumps(e.value), ex=TTL_S),
        get_many=get_many,
        memoize=None,
    )


def _of_django(backend: str, server: Server, stack: ExitStack) -> Client:
    from django.conf import settings
    from django.utils.functional import empty

    if not settings.configured:
        settings.configure()
        stack.callback(setattr, settings, "_wrapped", empty)  # requests set it up in another way
    from django.utils.module_loading import import_string

    options = {"CLIENT_CLASS": "django_redis.client.DefaultClient"}
    params = {"TIMEOUT": TTL_S, "OPTIONS": options if "django_redis" in backend else {}}
    cache = import_string(backend)(server.tcp_url, params)
    return Client(
        get=lambda e: cache.get(e.key),
        set=lambda e: cache.set(e.key, e.value),
        get_many=lambda e: cache.get_many(e.keys),
        memoize=None,
    )


def django_redis(server: Server, stack: ExitStack) -> Client:
    return _of_django("django_redis.cache.RedisCache", server, stack)


def django(server: Server, stack: ExitStack) -> Client:
    return _of_django("django.core.cache.backends.redis.RedisCache", server, stack)


def dogpile(server: Server, stack: ExitStack) -> Client:
    from dogpile.cache import make_region

    region = make_region().configure(
        "dogpile.cache.redis",
        expiration_time=TTL_S,
        arguments={"url": server.tcp_url, "redis_expiration_time": TTL_S},
    )
    return Client(
        get=lambda e: region.get(e.key),
        set=lambda e: region.set(e.key, e.value),
        get_many=lambda e: dict(zip(e.keys, region.get_multi(e.keys), strict=True)),
        memoize=lambda fn: region.cache_on_arguments()(fn),
    )


# ---- asyncio -------------------------------------------------------------------------------------


def ours_aio(server: Server, stack: ExitStack) -> Client:
    cache = aio.Cache(server.tcp_url, prefix=PREFIX, ttl=TTL_S)
    return Client(
        get=lambda e: cache.get(e.key),
        set=lambda e: cache.set(e.key, e.value),
        get_many=lambda e: cache.get_many(e.keys),
        memoize=partial(_named, cache),
    )


def cashews(server: Server, stack: ExitStack) -> Client:
    from cashews import Cache as Cashews

    cache = Cashews()
    cache.setup(server.tcp_url, client_side=False)

    async def get_many(e: Entries) -> Any:
        return dict(zip(e.keys, await cache.get_many(*e.keys), strict=True))

    return Client(
        get=lambda e: cache.get(e.key),
        set=lambda e: cache.set(e.key, e.value, expire=TTL_S),
        get_many=get_many,
        memoize=lambda fn: cache(ttl=TTL_S, key="memoized:{n}")(fn),
    )


def aiocache(server: Server, stack: ExitStack) -> Client:
    from aiocache import RedisCache, cached
    from aiocache.serializers import PickleSerializer

    where = {"endpoint": "127.0.0.1", "port": server.port, "serializer": PickleSerializer()}
    cache = RedisCache(**where)

    async def get_many(e: Entries) -> Any:
        return dict(zip(e.keys, await cache.multi_get(e.keys), strict=True))

    return Client(
        get=lambda e: cache.get(e.key),
        set=lambda e: cache.set(e.key, e.value, ttl=TTL_S),
        get_many=get_many,
        memoize=lambda fn: cached(ttl=TTL_S, cache=RedisCache, **where)(fn),
    )


BLOCKING: dict[str, Make] = {
    "redis-py": redis_py,
    "django-redis": django_redis,
    "Django's": django,
    "dogpile.cache": dogpile,
}
AWAITED: dict[str, Make] = {"cashews": cashews, "aiocache": aiocache}
