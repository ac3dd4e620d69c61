"""Sessions for Flask: ``Coatcheck(app)``, and ``flask.session`` is one of coatcheck's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Literal, cast

import flask
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import Headers
from werkzeug.exceptions import default_exceptions

from . import _core
from ._request import (
    REFUSED,
    RULES,
    Load,
    Rules,
    StreamedBody,
    Visit,
    refuse_unknown,
    with_lifetimes,
)
from .cookie import MAX_AGE_LIMIT, Cookie, CookieOfSettings
from .exceptions import ConfigError, Error, StoreUnavailable
from .session import Session as _Session
from .store import Store

_KEY: Final = "coatcheck"
_SETTING: Final = "COATCHECK_"
_PERMANENT: Final = "_permanent"
_REFRESH: Final = "SESSION_REFRESH_EACH_REQUEST"


def _that_can_be_said(name: str, doc: str) -> Any:
    """An attribute that the core knows, and that others may set to no effect."""

    def ignore(session: Session, value: bool) -> None:
        pass

    return property(vars(_core.BaseSession)[name].__get__, ignore, doc=doc)


class Session(_Session, SessionMixin):  # type: ignore[override]  # `new` is not to be set
    """A coatcheck session with what Flask's sessions have."""

    # What _Visit has to know.
    _written = False

    # Flask says the first where somebody asks for the session, who need not look at it; views say
    # the second, though what is changed inside a stored list or dict is seen.
    accessed = _that_can_be_said("accessed", "True once it was looked at.")
    modified = _that_can_be_said("modified", "True if a save would write.")

    @property
    def permanent(self) -> bool:
        """Whether the browser keeps the cookie when it is closed."""
        return bool(self.get(_PERMANENT, False))

    @permanent.setter
    def permanent(self, value: bool) -> None:
        if self.permanent != bool(value):
            with suppress(StoreUnavailable):  # COATCHECK_ON_UNAVAILABLE = "anonymous", read-only
                self[_PERMANENT] = bool(value)
                self._cookie_changed = True

    def login(self, principal: str, *, carry: Iterable[str] | Literal["all"]) -> None:
        # `permanent` says something about the cookie, not about who was here before.
        super().login(principal, carry=carry if isinstance(carry, str) else [*carry, _PERMANENT])

    def clear(self) -> None:
        """`destroy` it, which is what those mean who clear a session in Flask: at a logout, or
        before a login. What is stored afterwards is another session."""
        self.destroy()

    def save(self) -> str | None:
        if self.new and not self._new_id and list(self) == [_PERMANENT]:
            return None  # set for every visitor; a session begins when something else is stored
        written = self.modified
        session_id = super().save()
        self._written |= written
        return session_id


#: ``flask.session``, for type checkers: with `login`, `rotate`, `destroy` and the others.
session: Session = cast(Session, flask.session)


class Coatcheck:
    """Makes the sessions of an application coatcheck's.

        app = Flask(__name__)
        app.config["COATCHECK_URL"] = "redis://localhost:6379/0"
        app.config["COATCHECK_PREFIX"] = "shop:"
        Coatcheck(app)

    or ``Coatcheck().init_app(app)``. The settings are read then from ``app.config``: Flask's own,
    each option of a `Store` as ``COATCHECK_<OPTION>``, and those of
    `coatcheck.wsgi.SessionMiddleware` as ``COATCHECK_ON_GONE`` and so on. A ``store`` that exists
    takes the place of its options.
    """

    def __init__(self, app: flask.Flask | None = None, store: Store | None = None) -> None:
        if app is not None:
            self.init_app(app, store)

    def init_app(self, app: flask.Flask, store: Store | None = None) -> None:
        """Give an application its sessions. Where it had some already, perhaps from a factory that
        knows no store for tests, this one counts."""
        rules = _rules(app, store)
        app.session_interface = _Interface(rules)
        app.extensions[_KEY] = rules.store
        handlers = app.error_handler_spec[None][None]
        for kind in REFUSED:
            raised = kind is StoreUnavailable and rules.on_unavailable == "raise"
            if kind not in handlers and not raised:
                app.register_error_handler(kind, _answer)
        _follow_flask_login(app)

    @property
    def store(self) -> Store:
        """That of the current application."""
        return cast(Store, flask.current_app.extensions[_KEY])


# ---- Settings ------------------------------------------------------------------------------------


def _rules(app: flask.Flask, store: Store | None) -> Rules:
    ours = app.config.get_namespace(_SETTING)
    refuse_unknown(ours, lambda name: _SETTING + name.upper())
    rules = {name: ours.pop(name, default) for name, default in RULES.items()}
    if store is None:
        options = with_lifetimes(ours, _idle(app))
        store = Store(options.pop("url", None), **options)
    elif not isinstance(store, Store):
        raise ConfigError(f"Coatcheck(app, {store!r}): give a coatcheck.Store")
    return Rules(store, _cookie(app), **rules)


def _idle(app: flask.Flask) -> timedelta:
    return min(app.permanent_session_lifetime, timedelta(seconds=MAX_AGE_LIMIT))


def _cookie(app: flask.Flask) -> Cookie:
    flasks = SessionInterface()
    try:
        return CookieOfSettings(
            flasks.get_cookie_name(app),
            secure=flasks.get_cookie_secure(app),
            httponly=flasks.get_cookie_httponly(app),
            samesite=flasks.get_cookie_samesite(app),
            path=flasks.get_cookie_path(app),
            domain=flasks.get_cookie_domain(app) or None,
            partitioned=app.config.get("SESSION_COOKIE_PARTITIONED", False),
        )
    except ConfigError as exc:
        raise ConfigError(f"app.config: {exc}") from None


# ---- A request -----------------------------------------------------------------------------------


class _Load(Load):
    """Where it fails, `answered` comes before the after_request functions of the application: those
    of Flask-Login look at each session."""

    def __call__(self, exc: Exception) -> bool:
        try:
            return super().__call__(exc)
        finally:
            if self.failure is not None and not self.answered and flask.has_request_context():
                flask.after_this_request(self._after_request)

    def _after_request(self, response: flask.Response) -> flask.Response:
        self.answered = True
        return response


class _Visit(Visit):
    """A visit whose cookie may outlive the browser."""

    session: Session
    session_type = Session
    load_type = _Load

    def _cookie_is_due(self) -> bool:
        # Where SESSION_REFRESH_EACH_REQUEST is set, Flask sends the cookie of a permanent session
        # each time. A slow request would overwrite that of a login meanwhile, so ours simply lasts.
        again = self.session._written and not flask.current_app.config[_REFRESH]
        return super()._cookie_is_due() or again

    def _cookie_to_set(self) -> Cookie:
        cookie = super()._cookie_to_set()
        if not self.session.permanent:
            return cookie
        ends = self.session.deadline
        age = _idle(flask.current_app)
        if flask.current_app.config[_REFRESH] and ends is not None:
            age = ends - datetime.now(timezone.utc)
        # The clock of whoever made it may have been ahead.
        seconds = min(max(age // timedelta(seconds=1), 1), MAX_AGE_LIMIT)
        return dataclasses.replace(cookie, max_age=seconds)


class _Interface(SessionInterface):
    """What Flask asks for sessions."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._warned = False

    def open_session(self, app: flask.Flask, request: flask.Request) -> Session:
        if not self._warned:
            self._warned = True
            _warn_of_plain_http(app, self._rules.cookie)
        visit = _Visit.of_environ(self._rules, request.environ)
        request.__dict__[_KEY] = visit
        return visit.session

    def save_session(
        self, app: flask.Flask, session: SessionMixin, response: flask.Response
    ) -> None:
        visit = _visit()
        if visit.refused:
            return
        try:
            visit.commit(response.status_code)
        except Exception as exc:
            # Flask asks nobody's errorhandler about what fails here.
            visit.refused = True
            page = app.make_response(app.handle_user_exception(exc))
            _become(response, app.process_response(page))
            return
        given = list(response.headers)
        headers = visit.headers(given)
        if headers[: len(given)] == given:
            for name, value in headers[len(given) :]:
                response.headers.add(name, value)
        else:
            response.headers = Headers(headers)
        if response.is_streamed and not response.direct_passthrough:
            response.response = StreamedBody(visit, cast("Iterable[bytes]", response.response))


def _visit() -> _Visit:
    """That of the current request."""
    visit: _Visit = flask.request.__dict__[_KEY]
    return visit


def _warn_of_plain_http(app: flask.Flask, cookie: Cookie) -> None:
    if not (cookie.secure or app.debug or app.testing):
        app.logger.warning(
            "the session cookie %s is sent over plain http, too, where others can read it: set"
            " SESSION_COOKIE_SECURE = True, or, while developing, debug",
            cookie.name,
        )


def _become(response: flask.Response, other: flask.Response) -> None:
    """Flask goes on with the response that it has, so that one has to be the other."""
    response.close()
    vars(response).update(vars(other))
    response.headers.setdefault("Cache-Control", "no-store")


def _answer(exc: Error) -> flask.Response:
    """What is ours to answer, where the application has no errorhandler for it: by one that it has
    for the status, or for each HTTPException."""
    refusal = _visit().refusal(exc)
    if refusal is None:
        raise exc
    app = flask.current_app
    if refusal.page is not None:
        response = app.make_response(app.ensure_sync(refusal.page)(exc))
        response.headers.setdefault("Cache-Control", "no-store")
        return response
    plain = app.response_class(refusal.text, refusal.status, refusal.headers)
    error = default_exceptions[refusal.status](refusal.text.decode(), plain)
    response = app.make_response(app.handle_http_exception(error))
    response.status_code = refusal.status  # though one for all errors may call each a 500
    for name, value in refusal.headers:
        if name in ("Cache-Control", "Retry-After"):
            response.headers.setdefault(name, value)
    return response


# ---- Flask-Login ---------------------------------------------------------------------------------


def _follow_flask_login(app: flask.Flask) -> None:
    try:
        import flask_login
    except ImportError:
        return
    flask_login.user_logged_in.connect(_logged_in, app)
    flask_login.user_loaded_from_cookie.connect(_logged_in, app)
    flask_login.user_login_confirmed.connect(_confirmed, app)
    flask_login.user_logged_out.connect(_logged_out, app)
    flask_login.session_protected.connect(_logged_out, app)


def _logged_in(app: flask.Flask, **_: object) -> None:
    # Flask-Login keeps what the session held, and views count on that.
    user = str(session["_user_id"])
    if session.principal not in (None, user):
        _begin_anew()
    session.login(user, carry="all")


def _confirmed(app: flask.Flask, **_: object) -> None:
    session.rotate()


def _logged_out(app: flask.Flask, **_: object) -> None:
    if session.principal is not None and "_user_id" not in session:
        _begin_anew()


def _begin_anew() -> None:
    """End the user's session; what Flask-Login leaves in it stays, in another one."""
    kept = session.copy()
    session.destroy()
    session.update(kept)
