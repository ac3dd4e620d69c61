"""Where the result of a function is cached: a key of the function and of its exact arguments."""

from __future__ import annotations

import functools
import inspect
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, cast

from ._core import dumps
from .exceptions import NotStorable

if TYPE_CHECKING:
    from typing_extensions import Self

    from .cache_options import TtlOf

P = ParamSpec("P")

# The tags of all results of a function, or a function of a call's arguments that returns them.
TagsOf: TypeAlias = "Iterable[str] | Callable[..., Iterable[str]]"

# Of a name, so that the key of an entry has room for it.
_NAME_MAX = 256

_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Keys:
    """The keys of one function's results.

    Arguments that Python calls equal but that are not of the same type, as 1, 1.0 and True, have
    keys of their own. How they were passed, by position, by name or as a default, is the same.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None, ignore: Iterable[str]) -> None:
        # Late: two interpreters with locks of their own that import it crash CPython 3.12.1.
        from hashlib import sha256

        signature = inspect.signature(fn)
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        if unknown := ignored - set(signature.parameters):
            raise TypeError(
                f"memoize: ignore names {', '.join(sorted(unknown))}, but"
                f" {_said(fn)} has no such argument"
            )
        self._prefix = f"m:{_name_of(fn, name)}:"
        self._sha256 = sha256
        self._signature = signature
        self._ignored = ignored
        parameters = list(signature.parameters.values())
        # Calls by position alone, where that is all there is to a call, are not bound.
        self._simple = not ignored and all(p.kind in _PLAIN for p in parameters)
        self._defaults = tuple(p.default for p in parameters if p.default is not p.empty)
        self._most = len(parameters)
        self._least = self._most - len(self._defaults)

    def key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        if self._simple and not kwargs and self._least <= len(args) <= self._most:
            values = args + self._defaults[len(args) - self._least :]
        else:
            values = self._bind(args, kwargs)
        try:
            packed = dumps(values, max_depth=None, max_bytes=None, max_items=None)
        except NotStorable as error:
            raise self._refused(error) from None
        digest = self._sha256(packed).digest()[:16]
        return self._prefix + urlsafe_b64encode(digest)[:22].decode("ascii")

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = []
        for name, value in bound.arguments.items():
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                value = {k: v for k, v in sorted(value.items()) if k not in self._ignored}
            values.append(None if name in self._ignored else value)
        return tuple(values)

    def _refused(self, error: NotStorable) -> NotStorable:
        """The same with the argument's name in place of its number."""
        number, _, rest = error.path.removeprefix("value[").partition("]")
        path = list(self._signature.parameters)[int(number)] + rest
        reason = str(error).removeprefix(error.path)
        said = NotStorable(
            f"{path}{reason}: an argument of a memoized function makes its key; pass an id, or name"
            " the argument in ignore"
        )
        said.path = path
        said.type = error.type
        return said


class MemoizedBase(Generic[P]):
    """A function whose results are cached: what is the same with and without ``await``."""

    def __init__(
        self,
        cache: Any,
        fn: Callable[P, Any],
        keys: Keys,
        ttl: TtlOf,
        tags: TagsOf = (),
        first: tuple[Any, ...] = (),
    ) -> None:
        functools.update_wrapper(cast("Any", self), fn)
        self._cache = cache
        self._fn = fn
        self._keys = keys
        self._ttl = ttl
        self._tags = tags if callable(tags) else _several(tags)
        self._first = first  # the object that it is a method of

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of a call in the cache."""
        return self._keys.key(self._first + args, kwargs)

    def _tagged(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Where the result of a call is: the cache, or the part of it with its tags."""
        named = self._tags
        tags = _several(named(*self._first, *args, **kwargs)) if callable(named) else named
        return self._cache.tagged(*tags) if tags else self._cache

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        if instance is None:
            return self
        return type(self)(self._cache, self._fn, self._keys, self._ttl, self._tags, (instance,))


def _several(tags: Iterable[str]) -> tuple[str, ...]:
    return (tags,) if isinstance(tags, str) else tuple(tags)


def _said(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__qualname__", None) or type(fn).__qualname__)


def _name_of(fn: Callable[..., Any], name: str | None) -> str:
    """What tells the function from all others that use the cache, in whatever process."""
    if name is not None:
        if not name or len(name.encode()) > _NAME_MAX:
            raise ValueError(f"memoize: name must have from 1 to {_NAME_MAX} bytes")
        return name
    if not hasattr(fn, "__qualname__"):
        raise TypeError(f"memoize: a {type(fn).__qualname__} has no name of its own; give name")
    if fn.__qualname__.endswith("<lambda>") or getattr(fn, "__closure__", None):
        raise TypeError(
            f"memoize: {fn.__qualname__} may be many functions, which its name does not tell apart:"
            " it is a lambda, or uses variables of a function around it; give name"
        )
    full = f"{fn.__module__}.{fn.__qualname__}"
    if len(full.encode()) > _NAME_MAX:
        raise ValueError(f"memoize: the name of {fn.__qualname__} is too long for a key; give name")
    return full
