"""A small shop, an ordinary WSGI application: the one that `make demo` runs.

    COATCHECK_URL=redis://... COATCHECK_PREFIX=shop: python3 app.py

It serves on a free port of the loopback interface, prints that port as its first line, and ends
when its standard input ends. The views below are all there is to using sessions.
"""

from __future__ import annotations

import socketserver
import sys
import threading
import wsgiref.simple_server
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from coatcheck import Cookie, NotStorable, Session
from coatcheck.wsgi import SessionMiddleware

Form = dict[str, str]
PATIENCE_S = 10


class Customer:
    """What an application likes to keep in a session, and should not."""

    def __init__(self, name: str) -> None:
        self.name = name


def home(session: Session, form: Form) -> str:
    return "welcome, {}".format(session.get("name", "stranger"))


def show(session: Session, form: Form) -> str:
    return repr(dict(session))


def start_cart(session: Session, form: Form) -> str:
    session["cart"] = [(form["sku"], int(form["count"]))]
    return repr(session["cart"])


def add_to_cart(session: Session, form: Form) -> str:
    session["cart"].append((form["sku"], int(form["count"])))
    return repr(session["cart"])


def choose(session: Session, form: Form) -> str:
    session[form["field"]] = form["value"]
    return "chosen"


def keep_customer(session: Session, form: Form) -> str:
    session["note"] = "set by the request that is about to fail"
    session["cart"] = [("tea", 2), {"for": Customer(form["name"])}]
    return "never reached"


def login(session: Session, form: Form) -> str:
    session.login("user:" + form["name"], carry=["cart"])
    session["name"] = form["name"]
    return "hello, " + form["name"]


def logout(session: Session, form: Form) -> str:
    session.destroy()
    return "goodbye"


# A request that takes its time: it reads its session, pauses, then changes what it has read.
paused = threading.Event()
go_on = threading.Event()


def slow_choose(session: Session, form: Form) -> str:
    cart = session["cart"]
    paused.set()
    resumed = go_on.wait(PATIENCE_S)
    paused.clear()
    go_on.clear()
    session[form["field"]] = form["value"]
    return f"chosen at last, {len(cart)} in the cart" if resumed else "nobody resumed me"


def wait_paused(session: Session, form: Form) -> str:
    return "paused" if paused.wait(PATIENCE_S) else "no request is paused"


def resume(session: Session, form: Form) -> str:
    go_on.set()
    return "resumed"


VIEWS = {
    "GET /": home,
    "GET /session": show,
    "POST /cart": start_cart,
    "POST /cart/add": add_to_cart,
    "POST /choose": choose,
    "POST /slow-choose": slow_choose,
    "POST /customer": keep_customer,
    "POST /login": login,
    "POST /logout": logout,
    "GET /paused": wait_paused,
    "POST /resume": resume,
}


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    view = VIEWS.get("{REQUEST_METHOD} {PATH_INFO}".format(**environ))
    length = int(environ.get("CONTENT_LENGTH") or 0)
    pairs = parse_qs(environ["wsgi.input"].read(length).decode())
    form = {name: values[0] for name, values in pairs.items()}
    status = "200 OK"
    try:
        body = view(environ["coatcheck.session"], form) if view else "no such page"
        if view is None:
            status = "404 Not Found"
    except NotStorable as refusal:
        status, body = "500 Internal Server Error", f"NotStorable: {refusal}"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [body.encode()]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    # Plain http, so the cookie cannot be Secure; behind https, leave the cookie argument out.
    app = SessionMiddleware(application, cookie=Cookie(secure=False))
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, Server, QuietHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
