"""The page as a WSGI application: `app`, configured by the environment.

    COATCHECK_URL=redis://... COATCHECK_PREFIX=shop: gunicorn --chdir tests/demo page_wsgi:app

Run by itself it serves on a port of the loopback interface, over plain http, and says where.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import wsgiref.simple_server
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from coatcheck import Cookie, NotStorable, Session, Store
from coatcheck.wsgi import SessionMiddleware
from page import FOREIGN_FORM, Form, View, change, html, state

JSON = "application/json"


def view(session: Session, error: str = "") -> View:
    principal = session.principal
    devices = [] if principal is None else store.sessions(principal)
    return View(session, devices, session.public_id, error)


def act(session: Session, form: Form, browser: str) -> None:
    if form.path == "/logout":
        session.destroy()
    elif form.path == "/device" and session.principal is not None:
        store.destroy_one(session.principal, form["public_id"])
    elif form.path == "/everywhere" and session.principal is not None:
        store.destroy_all(session.principal)
        session.destroy()  # for the browser: it may forget the cookie
    else:
        change(session, form, browser)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    session = environ["coatcheck.session"]
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] == "POST":
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
            return answer(start_response, "403 Forbidden", FOREIGN_FORM)
        said = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        form = Form(path, {name: values[0] for name, values in parse_qs(said).items()})
        try:
            act(session, form, environ.get("HTTP_USER_AGENT", ""))
        except NotStorable as exc:
            return answer(start_response, "400 Bad Request", html(view(session, str(exc))))
        # Relative: the page may be mounted below another path.
        start_response("303 See Other", [("Location", "./"), ("Content-Length", "0")])
        return []
    if path not in ("", "/"):
        return answer(start_response, "404 Not Found", "no such page")
    if environ.get("HTTP_ACCEPT") == JSON:
        return answer(start_response, "200 OK", json.dumps(state(view(session))), JSON)
    return answer(start_response, "200 OK", html(view(session)))


def answer(
    start_response: Any, status: str, text: str, kind: str = "text/html; charset=utf-8"
) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


store = Store(show=["device"])
# Secure unless somebody says that there is no https.
app = SessionMiddleware(
    application, store, cookie=Cookie(secure=os.environ.get("PAGE_PLAIN_HTTP") != "1")
)


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    plain = SessionMiddleware(application, store, cookie=Cookie(secure=False))
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with wsgiref.simple_server.make_server(
        "127.0.0.1", port, plain, Server, QuietHandler
    ) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
