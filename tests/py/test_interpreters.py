"""Several interpreters in one process: mod_wsgi's normal case.

What static state breaks shows when interpreter A is used again after B imported the module.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from conftest import RedisServer

# How to make an interpreter and run text in it, whatever this Python calls that. Each run raises
# what the text raised.
HARNESS = """
import sys, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def create(own_lock):
    if sys.version_info >= (3, 13):
        return interpreters.create("isolated" if own_lock else "legacy")
    return interpreters.create(isolated=own_lock)

def run(interpreter, text):
    failure = interpreters.run_string(interpreter, SETUP + text)
    assert failure is None, failure

SETUP = '''
import sys
sys.path[:0] = {path!r}
import gc
{importing}
from coatcheck._core import dumps, loads
from coatcheck.exceptions import Corrupt, LimitExceeded, NotStorable, SessionGone

class Session(_core.Session):
    pass

def refused(kind, call):
    try:
        call()
    except kind as exc:
        return exc
    raise AssertionError(kind)

class Plain:
    pass

def work(times):
    store = _core.Store([("url", {url!r}), ("prefix", "t:")], False, Session)
    for i in range(times):
        value = {{"a": [1, (2, 2**70)], "b": {{"text": "e" * i}}}}
        assert loads(dumps(value)) == value
        exc = refused(NotStorable, lambda: dumps([Plain()]))
        assert type(exc) is NotStorable and exc.path == "value[0]", exc
        refused(Corrupt, lambda: loads(b"\\\\xc1"))
        refused(LimitExceeded, lambda: dumps([[[]]], max_depth=2))
        session = store.new()
        session["cart"] = [i]
        session["cart"].append("x")
        refused(NotStorable, lambda: session.__setitem__("bad", Plain()))
        session_id = session.save()
        again = store.load(session_id)
        assert type(again) is Session and again["cart"] == [i, "x"]
        assert store.destroy(session_id)
        again["cart"] = 1
        refused(SessionGone, again.save)
    store.close()
    gc.collect()
'''
"""

SHARED_LOCK = "import coatcheck; from coatcheck import _core"

# The extension without the package around it: that imports datetime, and CPython's own, in several
# interpreters with locks of their own, crashes at least 3.12.1 and 3.13.0 without any help of ours.
OWN_LOCK = """
import importlib.util, types
if "coatcheck" not in sys.modules:
    package = types.ModuleType("coatcheck")
    package.__path__ = importlib.util.find_spec("coatcheck").submodule_search_locations
    sys.modules["coatcheck"] = package
from coatcheck import _core
"""

A_B_A = """
first, second = create({own_lock}), create({own_lock})
run(first, "work(3)")
run(second, "work(3)")
run(first, "work(3)")
run(second, "work(3)")
interpreters.destroy(second)
run(first, "work(3)")
third = create({own_lock})
run(third, "work(3)")
interpreters.destroy(third)
interpreters.destroy(first)
exec(SETUP + "work(3)", {{}})
print("all worked")
"""

AT_ONCE = """
failures = []

def thread():
    try:
        for _ in range(2):
            interpreter = create({own_lock})
            for _ in range(3):
                run(interpreter, "work(15)")
            interpreters.destroy(interpreter)
    except BaseException as exc:
        failures.append(exc)

threads = [threading.Thread(target=thread) for _ in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join()
assert not failures, failures
print("all worked")
"""


def run(script: str, redis_server: RedisServer, own_lock: bool) -> None:
    importing = OWN_LOCK if own_lock else SHARED_LOCK
    harness = HARNESS.format(path=sys.path, url=redis_server.url, importing=importing)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c",
         harness + textwrap.dedent(script).format(own_lock=own_lock)],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == "all worked\n"


@pytest.mark.parametrize("script", [A_B_A, AT_ONCE], ids=["A, B, A", "at once"])
def test_interpreters_that_share_a_lock(redis_server: RedisServer, script: str) -> None:
    run(script, redis_server, own_lock=False)


@pytest.mark.parametrize("script", [A_B_A, AT_ONCE], ids=["A, B, A", "at once"])
def test_interpreters_with_a_lock_of_their_own(redis_server: RedisServer, script: str) -> None:
    # Before 3.12 an isolated interpreter shares the lock: the same again, and true all the same.
    run(script, redis_server, own_lock=True)
