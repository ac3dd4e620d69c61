"""Whether the extension reads CPython's private structures where it knows them, and only there."""

from __future__ import annotations

import os
import sys
import sysconfig

from coatcheck import _core


def test_the_private_layout_is_in_use_where_it_is_known_and_wanted() -> None:
    """tests/run says which build this is."""
    known = (3, 11) <= sys.version_info < (3, 14)
    odd = any(sysconfig.get_config_var(name) for name in ("Py_DEBUG", "Py_GIL_DISABLED"))
    wanted = os.environ.get("COAT_TEST_LAYOUT") != "public"
    assert _core.cpython_internals is (known and wanted and not odd)
