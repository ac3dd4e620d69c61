"""mod_wsgi 6, whose WSGIPerInterpreterGIL gives each interpreter a lock of its own.

Not among the tests that pytest finds by itself: it takes another mod_wsgi than Debian's, which
tests/run installs. The scripts keep clear of datetime and all that imports it, wsgiref and email
among others: CPython 3.12.1 and 3.13.0 themselves crash where two such interpreters do that at
once, without anything of ours.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from scripts import PLAIN
from test_apache import MODES, Apache, Ask, touch
from test_apache import apache as apache
from test_apache import asker as asker

#: CPython refuses modules of the old kind in an interpreter that has its own lock, and only there.
WHOSE_LOCK = """
def application(environ, start_response):
    said = {}
    for module in ("readline", "_curses", "_testsinglephase"):
        try:
            __import__(module)
        except ModuleNotFoundError:
            continue
        except ImportError as exc:
            said[module] = str(exc)
        else:
            said[module] = "imported"
    body = repr(said).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
GROUPS = ("one", "two")
EACH = 200


def two_groups(apache: Apache, mode: str) -> None:
    """In one process, each with an interpreter of its own."""
    for group in GROUPS:
        apache.mount(f"/{group}", apache.script(group, PLAIN), mode, group=group)
    apache.mount("/lock", apache.script("lock", WHOSE_LOCK), mode, group="one")
    apache.start(mode, "event", processes=1)


def counts() -> list[str]:
    return [f"/{group}/count" for _ in range(EACH) for group in GROUPS]


@pytest.mark.parametrize("mode", MODES)
def test_two_interpreters_with_their_own_locks_work_on_one_session(
    apache: Apache, asker: Ask, mode: str
) -> None:
    two_groups(apache, mode)
    ask = asker()
    ask("/one/field?name=first")
    fields = [f"/{group}/field?name={group}{i}" for i in range(EACH) for group in GROUPS]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, [path for pair in zip(counts(), fields, strict=True) for path in pair]))
    kept = ask("/two/look")
    assert kept["count"] == 2 * EACH and len(kept) == 2 * EACH + 2
    for group in GROUPS:
        assert "is not storable" in ask(f"/{group}/object")
    said = ask("/lock").values()
    assert said and all("does not support loading in subinterpreters" in text for text in said)
    assert "Segmentation fault" not in apache.log.read_text(), apache.log.read_text()


@pytest.mark.parametrize("mode", MODES)
def test_scripts_are_touched_under_load(apache: Apache, asker: Ask, mode: str) -> None:
    two_groups(apache, mode)
    ask = asker()
    ask("/one/field?name=first")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, path) for path in counts()]
        for done in range(40, len(asked), 80):
            asked[done].result()
            for group in GROUPS:
                touch(apache.folder / f"{group}.wsgi")
        for answer in asked:
            answer.result()
    assert ask("/two/look")["count"] == 2 * EACH
    assert "Segmentation fault" not in apache.log.read_text(), apache.log.read_text()
