"""The WSGI scripts that Apache loads in the tests: as files with their settings at the top."""

from __future__ import annotations

#: The page of the demo.
PAGE = """
import os
os.environ.update(COATCHECK_URL=URL, COATCHECK_PREFIX="shop:")

from coatcheck import Cookie, Store
from coatcheck.wsgi import SessionMiddleware
import page_wsgi

# With each load of the script a store of its own.
page_wsgi.store = Store(show=["device"])
application = SessionMiddleware(page_wsgi.application, page_wsgi.store, cookie=Cookie(secure=False))
"""

#: The same in a framework, of which the function is named behind it.
FRAMEWORK = """
import os, sys
os.environ.update(COATCHECK_URL=URL, COATCHECK_PREFIX="shop:")
sys.path.append(FOLDER + "/frameworks")

import page_frameworks
application = page_frameworks.%s()
"""

# What follows can be asked to change a session, or what an application would keep there.
_ASKED = """
from urllib.parse import parse_qs

class Cart:
    def __init__(self):
        self.items = [("tea", 1)]

import page

# What an application keeps in memory outlives its script, which is loaded again.
kept = vars(page).setdefault("kept", Cart())

def answer(start_response, status, said):
    body = repr(said).encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def asked(environ):
    query = parse_qs(environ["QUERY_STRING"])
    return environ["PATH_INFO"], query.get("name", [""])[0]
"""

#: Sessions by coatcheck.
PLAIN = (
    _ASKED
    + """
from coatcheck import Cookie, NotStorable, Store
from coatcheck.wsgi import SessionMiddleware

def view(environ, start_response):
    session = environ["coatcheck.session"]
    what, name = asked(environ)
    try:
        if what == "/field":
            session[name] = name
        elif what == "/count":
            session.incr("count")
        elif what == "/cart":
            session["cart"] = kept.items
        elif what == "/object":
            session["cart"] = kept
        elif what == "/late":
            session["cart"].append(kept)
    except NotStorable as exc:
        return answer(start_response, "200 OK", str(exc))
    return answer(start_response, "200 OK", dict(session))

application = SessionMiddleware(view, Store(URL, prefix="plain:"), cookie=Cookie(secure=False))
"""
)

#: The negative control: one session, as a pickle in a file that is loaded and saved whole.
PICKLED = (
    _ASKED
    + """
import os, pickle, threading

def application(environ, start_response):
    what, name = asked(environ)
    try:
        with open(FOLDER + "/pickle", "rb") as file:
            session = pickle.load(file)
    except FileNotFoundError:
        session = {}
    except Exception as exc:
        return answer(start_response, "500 Internal Server Error", repr(exc))
    if what == "/field":
        session[name] = name
    elif what == "/count":
        session["count"] = session.get("count", 0) + 1
    elif what == "/object":
        session["cart"] = kept
    if what != "/look":
        try:
            saved = pickle.dumps(session)
        except Exception as exc:
            return answer(start_response, "500 Internal Server Error", repr(exc))
        part = f"{FOLDER}/part{os.getpid()}.{threading.get_ident()}"
        with open(part, "wb") as file:
            file.write(saved)
        os.replace(part, FOLDER + "/pickle")
    return answer(start_response, "200 OK", {k: str(type(v)) for k, v in session.items()})
"""
)
