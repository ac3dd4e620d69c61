"""A backend for Flask-Caching: ``CACHE_TYPE = "coatcheck.flask_caching.Cache"``."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import flask
from flask_caching.backends.base import BaseCache
from markupsafe import Markup

from .cachelib import Cache as _Cache
from .exceptions import ConfigError

_MARK = "coatcheck.flask_caching"
_SAFE = "markup"
_RESPONSE = "response"


class Cache(_Cache, BaseCache):
    """Plain data of exact types, the responses of views, and Markup; no pickle.

    ``CACHE_REDIS_URL``, or ``CACHE_REDIS_HOST``, ``_PORT``, ``_DB`` and ``_PASSWORD``, say where;
    ``CACHE_KEY_PREFIX`` is the prefix, ``CACHE_OPTIONS`` are those of `coatcheck.Cache`.
    """

    @classmethod
    def factory(
        cls, app: flask.Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]
    ) -> Cache:
        prefix = config["CACHE_KEY_PREFIX"]
        if callable(prefix):
            raise ConfigError("CACHE_KEY_PREFIX is a function: a prefix is one text, as 'shop:'")
        if prefix:
            kwargs.setdefault("prefix", prefix)
        if config.get("CACHE_REDIS_PASSWORD"):
            kwargs.setdefault("password", config["CACHE_REDIS_PASSWORD"])
        if not args and (url := _url(config)) is not None:
            args = [url]
        return cls(*args, **kwargs)

    def _plain(self, value: Any) -> Any:
        if type(value) is Markup:
            return (_MARK, _SAFE, str.__str__(value))
        if isinstance(value, flask.Response):
            value.freeze()
            headers = [(str(name), str(text)) for name, text in value.headers]
            return (_MARK, _RESPONSE, (value.status, headers, value.get_data()))
        if type(value) is tuple and value[:1] == (_MARK,):
            raise ValueError(f"a tuple that begins with {_MARK!r} stands for something else here")
        return value

    def _read(self, value: Any) -> Any:
        if type(value) is not tuple or value[:1] != (_MARK,):
            return value
        _, kind, data = value
        if kind == _SAFE:
            return Markup(data)
        status, headers, body = data
        return flask.current_app.response_class(body, status, headers)


def _url(config: dict[str, Any]) -> str | None:
    if config.get("CACHE_REDIS_URL"):
        return str(config["CACHE_REDIS_URL"])
    if not config.get("CACHE_REDIS_HOST"):
        return None
    host = quote(str(config["CACHE_REDIS_HOST"]), safe="[]:.-_")
    return (
        f"redis://{host}:{config.get('CACHE_REDIS_PORT', 6379)}/{config.get('CACHE_REDIS_DB', 0)}"
    )
