"""Pytest fixtures for the tests of an application: ``coatcheck_store``, ``coatcheck_url`` and
``coatcheck_client``."""

from __future__ import annotations

import inspect
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from .exceptions import Error
from .store import Store

if TYPE_CHECKING:
    import httpx


@pytest.fixture
def coatcheck_url(_coatcheck_urls: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store without sessions, on a private server that runs until the tests end; with
    its prefix, so that nothing else is to be configured.

    During the test it is all that the environment says: an application that is configured by
    ``COATCHECK_...`` has this store, and none can reach a real one by accident.
    """
    url = next(_coatcheck_urls)
    _forget_settings(monkeypatch)
    monkeypatch.setenv("COATCHECK_URL", url)
    return url


@pytest.fixture
def coatcheck_store(coatcheck_url: str) -> Iterator[Store]:
    """A `coatcheck.Store` without sessions, at ``coatcheck_url``."""
    with Store(coatcheck_url) as store:
        yield store


@pytest.fixture
def coatcheck_client() -> Iterator[Callable[..., httpx.Client | httpx.AsyncClient]]:
    """Makes a browser for an application: ``client = coatcheck_client(app)``.

    A client of httpx that calls the application without a network, over https, so that a Secure
    cookie comes back: an ``httpx.Client`` for a WSGI application, for an ASGI application an
    ``httpx.AsyncClient``, which is for the event loop of one test, and the test closes. Each has
    cookies of its own. More arguments are httpx's.
    """
    with ExitStack() as clients:

        def client(app: Any, **options: Any) -> httpx.Client | httpx.AsyncClient:
            try:
                import httpx
            except ModuleNotFoundError:
                pytest.fail("coatcheck_client needs httpx: pip install httpx", pytrace=False)

            options.setdefault("base_url", "https://testserver")
            if _is_asgi(app):
                return httpx.AsyncClient(transport=httpx.ASGITransport(app), **options)
            return clients.enter_context(
                httpx.Client(transport=httpx.WSGITransport(app), **options)
            )

        yield client


@pytest.fixture(scope="session")
def _coatcheck_urls() -> Iterator[Iterator[str]]:
    with tempfile.TemporaryDirectory(prefix="coatcheck-") as directory, _ended_with_us(directory):
        server = _server_in(directory)
        with pytest.MonkeyPatch.context() as patch:
            _forget_settings(patch)
            store = _private_store(server)
        with store:
            try:
                yield (f"{server}&prefix=test{number}:" for number in itertools.count())
            finally:
                store.stop_embedded()


def _server_in(directory: str) -> str:
    return f"embedded:{directory}?allow_root=1"


@contextmanager
def _ended_with_us(directory: str) -> Iterator[None]:
    """Also where the run is killed and cleans up nothing: a second process sees the end of its
    standard input then, and does it."""
    clean_up = f"from {__name__} import _clean_up; _clean_up(sys.argv[1])"
    watcher = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.stdin.read(); {clean_up}", directory],
        stdin=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,  # Ctrl-C is for the tests, which then clean up themselves
    )
    try:
        yield
    finally:
        watcher.kill()
        watcher.communicate()


def _clean_up(directory: str) -> None:
    with Store(_server_in(directory), prefix="test:") as store:
        store.stop_embedded()
    shutil.rmtree(directory)


def _private_store(server: str) -> Store:
    try:
        return Store(server, prefix="test:")
    except Error as exc:
        pytest.fail(
            f"no private server for the tests: {exc}\n(the fixtures of coatcheck use no other; it"
            f" is started in a folder of {tempfile.gettempdir()}, and TMPDIR may name another)",
            pytrace=False,
        )


def _forget_settings(patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("COATCHECK_")]:
        patch.delenv(name)


def _is_asgi(app: Any) -> bool:
    """A coroutine function, or an object that is called as one."""
    call = app if inspect.isroutine(app) else getattr(app, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(call)
