"""Sessions for Pyramid: ``config.include("coatcheck.pyramid")`` makes ``request.session`` ours."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from inspect import isgenerator
from typing import TYPE_CHECKING, Any, Final, cast

from pyramid.interfaces import ISession
from pyramid.response import Response
from pyramid.settings import asbool
from pyramid.tweens import EXCVIEW
from zope.interface import implementer

from ._request import REFUSED, RULES, Rules, StreamedBody, Visit, refuse_unknown
from .cookie import Cookie
from .exceptions import ConfigError, Error, StoreUnavailable
from .session import Session as _Session
from .store import Store

if TYPE_CHECKING:
    from pyramid.config import Configurator
    from pyramid.registry import Registry
    from pyramid.request import Request

    Handler = Callable[[Request], Response]

_KEY: Final = "coatcheck"
_SETTING: Final = "coatcheck."

# The arguments of a cookie, by their settings.
_COOKIE: Final = {f"cookie_{field.name}": field.name for field in dataclasses.fields(Cookie)}

# Where Pyramid's own sessions have these.
_CSRF: Final = "_csrft_"
_FLASH: Final = "_f_"


@implementer(ISession)
class Session(_Session):
    """A coatcheck session with what Pyramid's sessions have."""

    @property
    def created(self) -> int:  # type: ignore[override]
        """When it was created, in seconds since 1970; 0 while it is not stored."""
        return self.created_ms // 1000

    def invalidate(self) -> None:
        """`destroy` it; what is stored afterwards is another session."""
        self.destroy()

    def changed(self) -> None:
        """Nothing is to be said: what is changed inside a stored list or dict is seen."""

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        """Keep a message for the next page that shows this queue."""
        messages = self.setdefault(_FLASH + queue, [])
        if allow_duplicate or msg not in messages:
            messages.append(msg)

    def pop_flash(self, queue: str = "") -> list[Any]:
        """The messages of a queue, which is empty then."""
        return cast("list[Any]", self.pop(_FLASH + queue, []))

    def peek_flash(self, queue: str = "") -> list[Any]:
        """The messages of a queue, which stay there."""
        return cast("list[Any]", self.get(_FLASH + queue, []))

    def new_csrf_token(self) -> str:
        """Another token against cross-site requests."""
        token = self[_CSRF] = secrets.token_hex(20)
        return token

    def get_csrf_token(self) -> str:
        """The session's token against cross-site requests; made where it has none."""
        return self.get(_CSRF) or self.new_csrf_token()


def includeme(config: Configurator) -> None:
    """Give an application its sessions, with the settings ``coatcheck.*`` of its ini file.

    ``request.session`` is a `Session`; the `Store` is what `get_store` says.
    """
    rules = _rules(config)
    config.registry[_KEY] = rules
    config.set_session_factory(_session)
    config.add_tween("coatcheck.pyramid.tween_factory", over=EXCVIEW)
    for kind in REFUSED:
        if kind is not StoreUnavailable or rules.on_unavailable != "raise":
            config.add_exception_view(_answer, context=kind)


def get_store(request: Request) -> Store:
    """That of a request's application."""
    # A property of the request would cost each of them, also those without a session, more than
    # all else here: Pyramid makes a class for each request that is to have one.
    rules: Rules = request.registry[_KEY]
    return cast(Store, rules.store)


# ---- Settings ------------------------------------------------------------------------------------


def _rules(config: Configurator) -> Rules:
    ours = {
        name.removeprefix(_SETTING): value
        for name, value in config.registry.settings.items()
        if name.startswith(_SETTING)
    }
    refuse_unknown(ours, lambda name: _SETTING + name, "store", *_COOKIE)
    rules = {name: ours.pop(name, default) for name, default in RULES.items()}
    rules["save_on_error"] = asbool(rules["save_on_error"])
    rules["cache_control"] = rules["cache_control"] or None
    rules["on_unavailable"] = _page(config, rules["on_unavailable"])
    cookie = _cookie({_COOKIE[name]: ours.pop(name) for name in _COOKIE if name in ours})
    return Rules(_make_store(ours), cookie, **rules)


def _page(config: Configurator, on_unavailable: Any) -> Any:
    if not isinstance(on_unavailable, str) or "." not in on_unavailable:
        return on_unavailable
    try:
        return config.maybe_dotted(on_unavailable)
    except ImportError as exc:
        raise ConfigError(
            f"coatcheck.on_unavailable = {on_unavailable}: {exc}; name a function, as in"
            " shop.views.closed"
        ) from exc


class _Cookie(Cookie):
    @staticmethod
    def _spelt(argument: str, value: object) -> str:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"{_SETTING}cookie_{argument} = {text}"


def _cookie(ours: dict[str, Any]) -> Cookie:
    options: dict[str, Any] = {name: None if value == "" else value for name, value in ours.items()}
    for name in ("secure", "httponly", "partitioned"):
        if name in options:
            options[name] = asbool(options[name])
    if isinstance(options.get("max_age"), str):
        options["max_age"] = _whole_number("coatcheck.cookie_max_age", options["max_age"])
    return _Cookie(**options)


def _whole_number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{name}={text!r}: must be whole seconds") from None


def _make_store(options: dict[str, Any]) -> Store:
    store = options.pop("store", None)
    if store is None:
        return Store(options.pop("url", None), **options)
    if not isinstance(store, Store):
        raise ConfigError(f"coatcheck.store={store!r}: give a coatcheck.Store")
    if options:
        raise ConfigError(
            f"{_names(options)}: options of a store that exists already; give them where it is made"
        )
    return store


def _names(options: dict[str, Any]) -> str:
    return ", ".join(_SETTING + name for name in options)


# ---- A request -----------------------------------------------------------------------------------


class _Visit(Visit):
    session_type = Session


def tween_factory(handler: Handler, registry: Registry) -> Handler:
    """Commits the session of each request; around the exception views, which may use it, too."""
    rules = registry[_KEY]

    def session_tween(request: Request) -> Response:
        visit = _visit(request, rules)
        try:
            response = handler(request)
        except BaseException:
            visit.abandon()
            raise
        try:
            _commit(visit, response)
        except Exception:
            _close(response)
            response = request.invoke_exception_view(reraise=True)
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return session_tween


def _session(request: Request) -> Session:
    """The session factory."""
    if _KEY not in request.__dict__:
        # Not by the tween: a subrequest, which has a response but no exception views of its own.
        request.add_response_callback(_commit_without_tween)
    return cast(Session, _visit(request, request.registry[_KEY]).session)


def _visit(request: Request, rules: Rules) -> _Visit:
    visit: _Visit | None = request.__dict__.get(_KEY)
    if visit is None:
        visit = request.__dict__[_KEY] = _Visit.of_environ(rules, request.environ)
    return visit


def _commit_without_tween(request: Request, response: Response) -> None:
    _commit(request.__dict__[_KEY], response)


def _commit(visit: _Visit, response: Response) -> None:
    if visit.refused:
        return
    visit.commit(response.status_int)
    response.headerlist = visit.headers(response.headerlist)
    # With a length, and no code of the application's that makes it: files and texts, which servers
    # know better ways to send.
    if isgenerator(response.app_iter) or response.content_length is None:
        response.app_iter = StreamedBody(visit, response.app_iter)


def _close(response: Response) -> None:
    close = getattr(response.app_iter, "close", None)
    if close is not None:
        close()


def _answer(exc: Error, request: Request) -> Response:
    """The exception view of what is ours to answer, where the application has none for it."""
    visit = _visit(request, request.registry[_KEY])
    refusal = visit.refusal(exc)
    if refusal is None:
        raise exc
    if refusal.page is None:
        return Response(refusal.text, refusal.status, refusal.headers)
    response = refusal.page(exc, request)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
