"""Several interpreters in one process: mod_wsgi's normal case.

What static state breaks shows when interpreter A is used again after B imported the module.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import coatcheck
import pytest
from conftest import RedisServer

# Another Python and its package may stand in: tests/run finds them.
PYTHON = os.environ.get("COAT_TEST_PYTHON", sys.executable)
PACKAGES = os.environ.get("COAT_TEST_PACKAGES", str(Path(coatcheck.__file__).parents[1]))

# How to make an interpreter and run text in it, whatever this Python calls that. Each run raises
# what the text raised.
HARNESS = """
import os, sys, threading
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
sys.path.insert(0, {packages!r})
import functools
import gc
import time
import coatcheck
from coatcheck import Cache, Cookie, Corrupt, LimitExceeded, NotStorable, Session, SessionGone
from coatcheck import Store, check, dumps, loads
from coatcheck.wsgi import SessionMiddleware

def refused(kind, call):
    try:
        call()
    except kind as exc:
        return exc
    raise AssertionError(kind)

class Plain:
    pass

def use_the_codec(i):
    value = {{"a": [1, (2, 2**70)], "b": {{"text": "e" * i}}, "c": ["ж", b"", 0.5, None, True]}}
    rows = [{{"id": n, "name": str(i), f"column {{i % 3}}": []}} for n in range(20)]
    assert loads(dumps(value)) == value
    assert loads(dumps(rows)) == rows
    exc = refused(NotStorable, lambda: dumps([Plain()]))
    assert type(exc) is NotStorable and exc.path == "value[0]", exc
    assert [type(exc) for exc in check([Plain(), {{1}}])] == [NotStorable] * 2
    refused(Corrupt, lambda: loads(b"\\\\xc1"))
    refused(LimitExceeded, lambda: dumps([[[]]], max_depth=2))

def view(environ, start_response):
    session = environ["coatcheck.session"]
    session["visits"] = session.get("visits", 0) + 1
    start_response("200 OK", [])
    return [b"%d" % session["visits"]]

def visit(app, cookie):
    headers = []
    def start_response(status, all_headers, exc_info=None):
        headers.extend(all_headers)
    body = app({{"wsgi.url_scheme": "https", "HTTP_COOKIE": cookie}}, start_response)
    set_cookie = dict(headers).get("Set-Cookie", cookie)
    return b"".join(body), set_cookie.partition(";")[0]

made = []

def use_a_cache(cache, name, i):
    key = f"{{name}}:{{i}}"
    space = cache.namespace(name)

    # CPython 3.12.1 crashes where two of them with locks of their own have imported hashlib.
    @(cache.memoize(ttl=60) if sys.version_info[:3] != (3, 12, 1) else functools.cache)
    def double(number, of):
        made.append(of)
        return (2 * number, Plain.__name__)

    for where in (cache, space):
        where.set(key, {{"n": (i, 2.0)}})
        assert where.get(key) == {{"n": (i, 2.0)}}
        assert where.get_many([key, "none"]) == {{key: {{"n": (i, 2.0)}}}}
        assert where.get_or_set(key + "?", lambda: made.append(key) or [i], ttl=60) == [i]
        refused(NotStorable, lambda: where.set(key, Plain()))
    assert double(i, name) == double(i, name) == (2 * i, "Plain")
    assert made.count(name) == i + 1 and made.count(key) == 2
    assert space.invalidate() == 1 and space.get(key) is None
    assert cache.delete_many([key, key + "?"]) == 2

def work(times):
    name = str(id(made)) + str(len(made)) + str(time.monotonic_ns())
    with Cache({url!r}, prefix="t:") as cache:
        for i in range(times):
            use_a_cache(cache, name, i)
    store = Store({url!r}, prefix="t:", idle=60.0)
    app = SessionMiddleware(view, store, cookie=Cookie(max_age=600))
    for i in range(times):
        use_the_codec(i)
        first, cookie = visit(app, "")
        second, _ = visit(app, cookie)
        assert (first, second) == (b"1", b"2")
        assert store.destroy(cookie.partition("=")[2])
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
if failures:
    print(*failures, file=sys.stderr, flush=True)
    os._exit(1)  # the interpreters that are left would be waited for
print("all worked")
"""


def run(script: str, redis_server: RedisServer, own_lock: bool) -> None:
    harness = HARNESS.format(packages=PACKAGES, url=redis_server.url)
    done = subprocess.run(
        [PYTHON, "-X", "faulthandler", "-W", "ignore", "-c",
         harness + textwrap.dedent(script).format(own_lock=own_lock)],
        capture_output=True,
        text=True,
        timeout=60,
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


def test_what_importing_us_imports_is_ready_for_a_lock_of_its_own() -> None:
    # CPython 3.12.1 and 3.13.0 crash where two such interpreters import datetime at once, 3.12.1
    # where they have imported hashlib. asyncio is for those who use it.
    imported = "import sys, coatcheck.wsgi; print(*sys.modules)"
    done = subprocess.run(
        [PYTHON, "-c", imported],
        env={**os.environ, "PYTHONPATH": PACKAGES},
        capture_output=True,
        text=True,
        check=True,
    )
    unwanted = {"datetime", "_datetime", "asyncio", "_decimal", "_ctypes", "hashlib"}
    assert unwanted.isdisjoint(done.stdout.split())
