"""A process whose wall clock is wrong by some seconds, while its monotonic clock goes as ever.

`shifted_clock.c` is built and preloaded. A child that was started with `environment()` begins with
that shift, and may change it with `shift()`; so may each process that it forks, for itself.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shifted_clock.c")


def build(directory: Path) -> Path:
    """The library, in this directory."""
    library = directory / "shifted_clock.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    command = [compiler, "-shared", "-fPIC", "-D_GNU_SOURCE", str(SOURCE), "-o", str(library)]
    subprocess.run(command, check=True, timeout=60)
    return library


def environment(library: Path, seconds: int = 0) -> dict[str, str]:
    """For a child: this process's own, and a clock that is ahead by so much (behind, if < 0)."""
    # A sanitizer must remain the first.
    preload = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(library)]))
    return {**os.environ, "LD_PRELOAD": preload, "COAT_TEST_CLOCK_SHIFT": str(seconds)}


def can_shift() -> bool:
    """Whether this process was started with the library."""
    return hasattr(ctypes.CDLL(None), "shift_clock")


def shift(seconds: int) -> None:
    """Of this process, from now on."""
    ctypes.CDLL(None).shift_clock(ctypes.c_long(seconds))


def start_again() -> None:
    """The program anew, from its first line, unless it has such a clock already."""
    if can_shift():
        # Not for its children, such as servers.
        *others, loaded = os.environ.pop("LD_PRELOAD").split()
        os.environ.pop("COAT_TEST_CLOCK_SHIFT")
        if others:
            os.environ["LD_PRELOAD"] = " ".join(others)
        shutil.rmtree(Path(loaded).parent)
        return
    library = build(Path(tempfile.mkdtemp(prefix="coat-clock-")))
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment(library))


@pytest.fixture(scope="session")
def shifted_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, built."""
    return build(tmp_path_factory.mktemp("clock"))
