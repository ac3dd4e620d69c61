"""A pytest fixture for the tests of an application: ``coatcheck_store``."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator

import pytest

from .store import Store


@pytest.fixture
def coatcheck_store(_coatcheck_open: Callable[[], Store]) -> Iterator[Store]:
    """A `coatcheck.Store` without sessions, on a private server that runs until the tests end."""
    with _coatcheck_open() as store:
        yield store


@pytest.fixture(scope="session")
def _coatcheck_open() -> Iterator[Callable[[], Store]]:
    numbers = itertools.count()

    def open_store() -> Store:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("COATCHECK_")]:
                patch.delenv(name)
            return Store(f"embedded:{directory}", prefix=f"test{next(numbers)}:", allow_root=True)

    with tempfile.TemporaryDirectory(prefix="coatcheck-") as directory, open_store() as store:
        try:
            yield open_store
        finally:
            store.stop_embedded()
