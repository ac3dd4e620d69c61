"""The page of the demo's shop, as HTML, and what its two applications share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

from coatcheck import SessionInfo

GOODS = ("tea", "cup", "kettle")

#: SameSite keeps the session from it. But what it stores would begin another one, whose cookie
#: takes the place of the one that was not sent.
FOREIGN_FORM = "The form was sent by another site."


class Customer:
    """What an application likes to keep in a session, and should not."""

    def __init__(self, name: str) -> None:
        self.name = name


class Form(NamedTuple):
    """A form that was sent: where to, and what it said."""

    path: str
    said: dict[str, str]

    def __getitem__(self, name: Any) -> str:
        return self.said.get(name, "")


@dataclass(frozen=True)
class View:
    """What the page shows."""

    fields: Mapping[str, Any]
    devices: list[SessionInfo]
    here: str | None  # the public id of this one
    error: str = ""


def change(session: Any, form: Form, browser: str) -> bool:
    """What a form does to the session without waiting for the store; False: it is none of these."""
    if form.path == "/login":
        session.login("user:" + (form["name"] or "nobody"), carry=["cart"])
        session["name"] = form["name"] or "nobody"
        session["device"] = device(browser)
    elif form.path == "/cart":
        session.setdefault("cart", []).append((form["sku"], 1))
    elif form.path == "/object":
        session["customer"] = {"who": [Customer(session.get("name", "stranger"))]}
    else:
        return False
    return True


def device(browser: str) -> str:
    """How a list calls it."""
    known = ("Firefox", "Edg", "Chrome", "Safari", "curl")
    return next((name for name in known if name in browser), browser.partition("/")[0]) or "unknown"


def state(view: View) -> dict[str, Any]:
    """The same for programs, as JSON has it."""
    return {
        "name": view.fields.get("name"),
        "cart": [list(item) for item in view.fields.get("cart", [])],
        "devices": [info.public_id for info in view.devices],
        "here": view.here,
    }


def html(view: View) -> str:
    name = view.fields.get("name")
    parts = [_hello(name), _cart(view.fields.get("cart", []))]
    if name is not None:
        parts.append(_devices(view))
    parts.append(_object(view.error))
    return _PAGE.replace("<!-- here -->", "\n".join(parts))


def _hello(name: str | None) -> str:
    if name is None:
        return """<section><h2>Welcome, stranger</h2>
<form method="post" action="login"><input name="name" placeholder="your name" required
 autocomplete="off"> <button>Log in</button></form>
<p class="note">Any name will do. The login changes the session's id and keeps the cart.</p>
</section>"""
    return f"""<section><h2>Welcome, <span id="name">{escape(name)}</span></h2>
<form method="post" action="logout"><button>Log out</button></form></section>"""


def _cart(cart: list[tuple[str, int]]) -> str:
    items = "".join(f"<li>{escape(sku)} &times; {count}</li>" for sku, count in cart)
    buttons = "".join(f'<button name="sku" value="{sku}">{sku}</button> ' for sku in GOODS)
    return f"""<section><h2>Your cart</h2>
<ul id="cart">{items or '<li class="none">nothing yet</li>'}</ul>
<form method="post" action="cart">add {buttons}</form>
<p class="note">A list of tuples, changed in place:
<code>session["cart"].append((sku, 1))</code></p>
</section>"""


def _devices(view: View) -> str:
    rows = "".join(_device(info, info.public_id == view.here) for info in view.devices)
    return f"""<section><h2>Your devices</h2><table id="devices">{rows}</table>
<form method="post" action="everywhere"><button>Log out everywhere</button></form></section>"""


def _device(info: SessionInfo, here: bool) -> str:
    button = f"""<form method="post" action="device"><button name="public_id"
 value="{info.public_id}">end</button></form>"""
    since = f"since {info.created:%H:%M:%S}"
    what = escape(str(info.shown.get("device", "unknown")))
    return f"<tr><td>{what}</td><td>{since}</td><td>{'this one' if here else button}</td></tr>"


def _object(error: str) -> str:
    said = f'<p id="error">{escape(error)}</p>' if error else ""
    return f"""<section><h2>An object of a class</h2>
<form method="post" action="object"><button>Try to store one</button></form>
<p class="note"><code>session["customer"] = {{"who": [Customer(name)]}}</code></p>
{said}</section>"""


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>coatcheck: the shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #f4f1ec; color: #2b2a28 }
main { max-width: 40rem; margin: 0 auto; padding: 1.5rem 1rem }
header { display: flex; align-items: baseline; gap: .75rem }
h1 { margin: 0; font-size: 1.5rem } h2 { margin: 0 0 .5rem; font-size: 1.1rem }
section { background: #fff; border-radius: .5rem; padding: 1rem 1.25rem; margin-top: 1rem;
 box-shadow: 0 1px 3px rgb(0 0 0 / 12%) }
ul { margin: .25rem 0 .75rem; padding-left: 1.25rem } .none, .note { color: #76716a }
.note { font-size: .875rem; margin: .75rem 0 0 }
table { border-collapse: collapse; width: 100%; margin-bottom: .75rem }
td { padding: .25rem .5rem .25rem 0; border-top: 1px solid #e8e3db } tr:first-child td { border: 0 }
td:last-child { text-align: right } td form { display: inline }
button { font: inherit; padding: .2rem .75rem; border: 1px solid #8a6d3b; border-radius: .35rem;
 background: #fff8ea; cursor: pointer } button:hover { background: #f7e7c6 }
input { font: inherit; padding: .2rem .5rem; border: 1px solid #b9b2a7; border-radius: .35rem }
code { font-size: .85em } #error { margin: .75rem 0 0; padding: .5rem .75rem; border-radius: .35rem;
 background: #fdecea; color: #8c1d18; overflow-wrap: anywhere }
</style></head>
<body><main><header><h1>The shop</h1><span class="note">sessions by coatcheck</span></header>
<!-- here -->
</main></body></html>
"""
