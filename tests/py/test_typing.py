"""The package is typed for its users: what is wrong in their modules, mypy says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import coatcheck
import pytest

SAMPLES = [str(sample) for sample in Path(__file__).parent.glob("typing_*.py")]


def mypy(*arguments: str, cwd: Path) -> str:
    package = str(Path(coatcheck.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": package, "MYPYPATH": package, "PATH": "", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(coatcheck.__file__).with_name("py.typed").exists()
    assert Path(coatcheck.__file__).with_name("_core.pyi").exists()


def test_modules_of_users_are_right_and_wrong_ones_are_seen(tmp_path: Path) -> None:
    wrong = {
        "Store('redis://x', prefx='a:')": "Unexpected keyword argument",
        "Store('redis://x', on_conflict='ours')": "incompatible type",
        "Store('redis://x').load(5)": "incompatible type",
        "Store('redis://x').new().login('user:1')": "Missing named argument",
        "Store('redis://x').new()[5]": "Invalid index type",
        "Cache('redis://x', idle=5)": "Unexpected keyword argument",
        "Cache('redis://x').set('a', 1, only_if='absent')": "incompatible type",
        "Cookie('s', 'Lax')": "Too many positional arguments",
        "SessionMiddleware(None)": "incompatible type",
        "Coatcheck('shop')": "incompatible type",
        "session.login('user:1')": "Missing named argument",
        "session.permanent = 'yes'": "Incompatible types in assignment",
        "store().destroy_all(5)": "incompatible type",
        "SessionStore(5)": "incompatible type",
    }
    head = "from coatcheck import Cache, Cookie, Store; "
    head += "from coatcheck.flask import Coatcheck, session\n"
    head += "from coatcheck.wsgi import SessionMiddleware\n"
    head += "from coatcheck.django import SessionStore, store\n"
    (tmp_path / "wrong.py").write_text(head + "\n".join(wrong) + "\n")
    said = mypy(*SAMPLES, "wrong.py", cwd=tmp_path)
    assert "typing_" not in said
    for number, (code, reason) in enumerate(wrong.items(), 4):
        assert re.search(rf"^wrong\.py:{number}: error: .*{reason}", said, re.MULTILINE), code


CORE_TYPES = [
    "BaseSession",
    "Session",
    "BaseStore",
    "Store",
    "BaseCache",
    "Scan",
    "Fill",
    "Cache",
    "BaseView",
    "View",
    "Driver",
    "Channel",
    "Call",
]


@pytest.mark.parametrize("name", CORE_TYPES)
def test_the_stub_has_what_the_extension_has(name: str) -> None:
    from coatcheck import _core

    stub = Path(coatcheck.__file__).with_name("_core.pyi").read_text()
    body = "".join(
        re.split(rf"\nclass {part}\b.*:", stub)[1].partition("\nclass ")[0]
        for part in (name, *re.findall(rf"\nclass {name}\b.*\b(_Entries)\b", stub))
    )
    declared = set(re.findall(r"^    (?:def )?(\w+)[(:]", body, re.MULTILINE))
    real = {attribute for attribute in vars(getattr(_core, name)) if attribute[0] != "_"}
    assert real == {attribute for attribute in declared if attribute[0] != "_"}
