"""Builds the Python package for pip (PEP 517): setuptools packs what configure and make have built.

Everything happens in a copy of the sources, so that they may be read-only and stay as they are.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from setuptools import build_meta
from setuptools.command.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent.parent

Settings = Mapping[str, str | list[str] | None] | None


def _version() -> str:
    header = (ROOT / "schema" / "coat_version.h").read_text()
    found = re.search(r'^#define COAT_VERSION +"(.+)"$', header, re.MULTILINE)
    if found is None:
        raise ValueError("schema/coat_version.h does not define COAT_VERSION as a string")
    return found[1]


VERSION = _version()


class PlatformWheel(bdist_wheel):
    """A wheel for this interpreter and platform: the extension was not built by setuptools."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False


# At the top people keep things of their own: environments, notes, the socket of an embedded:.
AT_TOP = re.compile(
    r"backend|configure|docs|LICENSE|Makefile|pybind|pyproject\.toml|schema|tests|[A-Z]+\.md"
)


def _not_sources(folder: str, names: list[str]) -> set[str]:
    strange = {n for n in names if n.startswith(".") or n.endswith((".egg-info", "__pycache__"))}
    if Path(folder) == ROOT:
        strange |= {n for n in names if not AT_TOP.fullmatch(n)}
    return strange


@contextlib.contextmanager
def _copy() -> Iterator[Path]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="coatcheck-") as scratch:
        copy = Path(scratch) / "coatcheck"
        shutil.copytree(ROOT, copy, ignore=_not_sources, symlinks=True)
        os.chdir(copy)
        try:
            yield copy
        finally:
            os.chdir(before)


def _run(*command: str) -> None:
    result = subprocess.run(command)
    if result.returncode != 0:
        raise SystemExit(f"{command[0]} failed: its words are above")


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    target = os.path.abspath(wheel_directory)
    with _copy() as copy:
        _run("./configure", f"--python={sys.executable}")
        _run("make", f"-j{os.cpu_count() or 1}", "python")
        for extension in (copy / "build/python/coatcheck").glob("_core*"):
            shutil.copy(extension, copy / "pybind/coatcheck")
        shutil.rmtree(copy / "build")
        return build_meta.build_wheel(target, config_settings)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    target = os.path.abspath(sdist_directory)
    with _copy() as copy:
        (copy / "MANIFEST.in").write_text("graft .\n")
        return build_meta.build_sdist(target, config_settings)


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    target = os.path.abspath(metadata_directory)
    with _copy():
        return build_meta.prepare_metadata_for_build_wheel(target, config_settings)
