"""Sessions for any WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ._request import (
    CacheControl,
    Headers,
    OnCorrupt,
    OnGone,
    OnUnavailable,
    Rules,
    Visit,
    refuse_unknown,
)
from .cookie import Cookie
from .exceptions import ConfigError
from .store import Store, StoreOptions

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from typing_extensions import Unpack

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class SessionMiddleware:
    """Gives each request its session, and commits it before the response headers leave.

        app = SessionMiddleware(app, "redis://localhost:6379/0", prefix="shop:")

        def view(environ, start_response):
            session = environ["coatcheck.session"]

    Takes a `Store`, or a URL with the options of one; without either the environment tells.

    on_corrupt      the record cannot be read: ``"new"`` session, or ``"raise"``
    on_unavailable  the store cannot be used: ``"503"``, ``"raise"``, ``"anonymous"`` (an empty,
                    read-only session), or a WSGI application that answers instead of the 503, with
                    the exception in ``environ["coatcheck.error"]``
    on_gone         the session ended while the request was under way: ``"drop"`` what it changed,
                    or answer with an ``"error"`` 409
    save_on_error   also save where the application raised or answered 5xx
    cache_control   ``"auto"``: ``no-store`` with our cookie or for a principal, otherwise
                    ``private``; None: as the application says
    """

    def __init__(
        self,
        app: WSGIApplication,
        store_or_url: Store | str | None = None,
        *,
        cookie: Cookie = Cookie(),  # noqa: B008  (it is frozen)
        environ_key: str = "coatcheck.session",
        on_corrupt: OnCorrupt = "new",
        on_unavailable: OnUnavailable | WSGIApplication = "503",
        on_gone: OnGone = "drop",
        save_on_error: bool = False,
        cache_control: CacheControl = "auto",
        **store_options: Unpack[StoreOptions],
    ) -> None:
        if not callable(app):
            raise ConfigError(
                "SessionMiddleware(app, url, ...): the first argument is the WSGI application that"
                " it wraps"
            )
        refuse_unknown(store_options, str)
        if store_or_url is not None and not isinstance(store_or_url, (Store, str)):
            kind = type(store_or_url)
            raise ConfigError(
                f"a {kind.__module__}.{kind.__qualname__} is no store for WSGI: give a"
                " coatcheck.Store, or a URL"
            )
        if isinstance(store_or_url, Store) and store_options:
            raise ConfigError(
                f"{', '.join(store_options)}: options of a store that exists already;"
                " give them where it is made, or give its URL here"
            )
        if not isinstance(store_or_url, Store):
            store_or_url = Store(store_or_url, **store_options)
        self.app = app
        self.store = store_or_url
        self.environ_key = environ_key
        self._rules = Rules(
            self.store,
            cookie,
            on_corrupt=on_corrupt,
            on_unavailable=on_unavailable,
            on_gone=on_gone,
            save_on_error=save_on_error,
            cache_control=cache_control,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        visit = Visit.of_environ(self._rules, environ)
        environ[self.environ_key] = visit.session
        return _Response(visit, environ, start_response).run(self.app)


class _Response:
    """A response whose headers wait for the session to be committed: until the first chunk of the
    body that is not empty, the first `write`, or the end."""

    _body: Iterable[bytes] = ()
    _file: object = None
    _status: str | None = None
    _headers: Headers
    _exc_info: ExcInfo | None = None
    _started = False
    _write: Callable[[bytes], object]
    _failure: Exception | None = None

    def __init__(
        self,
        visit: Visit,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> None:
        self._visit = visit
        self._environ = environ
        self._start_response = start_response

    def run(self, app: WSGIApplication) -> Iterable[bytes]:
        wrap_file = self._environ.get("wsgi.file_wrapper")
        # A class stays where it is: servers ask whether the body is an instance of it.
        if wrap_file is not None and not isinstance(wrap_file, type):
            self._environ["wsgi.file_wrapper"] = self._remember_file(wrap_file)
        try:
            self._body = app(self._environ, self.start)
            if isinstance(wrap_file, type):
                is_file = isinstance(self._body, wrap_file)
            else:
                is_file = self._file is not None and self._body is self._file
            if is_file or isinstance(self._body, (list, tuple)):
                # Nothing of the application's runs any more, and the server knows better ways to
                # send these than chunk by chunk.
                if self._started:  # by write
                    self._visit.finish()
                else:
                    self._commit()
                return self._body
        except Exception as exc:
            return self._answer(exc)
        return self

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._body:
                if chunk:
                    self._commit()
                    yield chunk
            self._commit()
            self._visit.finish()
        except Exception as exc:
            yield from self._answer(exc)
        except GeneratorExit:  # nobody asks for the rest: close() saves
            raise
        except BaseException:
            self._visit.abandon()
            raise

    def close(self) -> None:
        try:
            self._close_body()
        finally:
            self._visit.finish()

    def start(
        self, status: str, headers: Headers, /, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """The start_response that the application gets."""
        try:
            if self._status is not None and exc_info is None:
                raise AssertionError("start_response was called twice, without exc_info")
            if self._started:
                # Too late to change anything: the server raises what is in exc_info, unless it
                # has not sent the headers yet.
                self._start_response(status, self._visit.headers(headers), exc_info)
            else:
                self._status, self._headers, self._exc_info = status, headers, exc_info
        finally:
            del exc_info  # it holds this frame
        return self.write

    def write(self, chunk: bytes) -> object:
        """The write that the application gets from `start`."""
        self._commit()
        return self._write(chunk)

    def _commit(self) -> None:
        if self._started:
            return
        if self._failure is not None:
            raise self._failure
        if self._status is None:
            raise AssertionError("the application sends a body without calling start_response")
        try:
            self._visit.commit(int(self._status[:3]))
        except Exception as exc:
            self._failure = exc  # an application that swallows it in write() gets it again
            raise
        exc_info, self._exc_info = self._exc_info, None
        headers = self._visit.headers(self._headers)
        self._started = True
        self._write = self._start_response(self._status, headers, exc_info)

    def _answer(self, exc: Exception) -> Iterable[bytes]:
        """Our answer to a request that failed; raises the exception again where there is none."""
        self._failure = None
        refusal = None if self._started else self._visit.refusal(exc)
        if refusal is None:
            self._visit.abandon()
        self._close_body()
        if refusal is None:
            try:
                raise exc
            finally:
                del exc  # it holds this frame
        if refusal.page is not None:
            self._environ["coatcheck.error"] = exc
            self._body = refusal.page(self._environ, self._start_response)
            return self._body
        exc.__traceback__ = None  # its frames hold the session, which keeps it
        self._start_response(f"{refusal.status} {refusal.reason}", refusal.headers)
        return [] if self._environ.get("REQUEST_METHOD") == "HEAD" else [refusal.text]

    def _close_body(self) -> None:
        body, self._body = self._body, ()
        close: Callable[[], object] | None = getattr(body, "close", None)
        if close is not None:
            close()

    def _remember_file(self, wrap_file: Callable[..., Any]) -> Callable[..., Any]:
        def file_wrapper(*args: Any) -> Any:
            self._file = wrap_file(*args)
            return self._file

        return file_wrapper
