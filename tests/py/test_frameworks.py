"""What must hold whatever the framework: which ids open a session, and what ends with them
(requirements 04, 07, 11 to 14, 25, 70 and 72)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from conftest import RedisServer
from frameworks import FRAMEWORKS, Shop
from frameworks import shop as shop
from sites import CREATED, UNTIL, now_ms

# ---- Ids that open nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("end", ["never made", "expired", "logged out", "replaced"])
def test_req_04_an_id_of_no_session_is_not_adopted(
    shop: Shop, redis_server: RedisServer, end: str
) -> None:
    browser, old_id = shop.visitor()
    match end:
        case "never made":
            old_id = "A" * 43
        case "expired":
            redis_server.cli("DEL", *redis_server.records())
        case "logged out":
            browser.get("/logout")
        case "replaced":
            browser.get("/rotate")
    browser = shop.browser(old_id)
    assert browser.get("/").body == b"None"
    browser.get("/blue")
    assert end == "replaced" or browser.jar[shop.name] != old_id
    assert shop.browser(old_id).get("/").body == b"None"


@pytest.mark.parametrize(
    "request_with",
    [
        lambda name, value: {"QUERY_STRING": f"{name}={value}"},
        lambda name, value: {"QUERY_STRING": f"session={value}&{name}={value}&sid={value}"},
        lambda name, value: {"PATH_INFO": f"/;{name}={value}", "REQUEST_URI": f"/;{name}={value}"},
        lambda name, value: {"SCRIPT_NAME": f"/{value}"},
        lambda name, value: {"HTTP_AUTHORIZATION": f"Bearer {value}", "HTTP_X_SESSION_ID": value},
        lambda name, value: {"HTTP_REFERER": f"https://shop.example.com/?{name}={value}"},
        lambda name, value: {"HTTP_SET_COOKIE": f"{name}={value}"},
        lambda name, value: {"HTTP_COOKIE": f"other={value}; {name}2={value}"},
        lambda name, value: posted("application/x-www-form-urlencoded", f"{name}={value}"),
        lambda name, value: posted("application/json", f'{{"{name}": "{value}"}}'),
        lambda name, value: posted("text/plain", value),
    ],
)
def test_req_07_an_id_that_is_not_in_our_cookie_is_ignored(
    shop: Shop, request_with: Callable[[str, str], dict[str, Any]]
) -> None:
    _, session_id = shop.visitor()
    elsewhere = request_with(shop.name, session_id)
    response = shop.browser().get(**{"path": "/", **elsewhere})
    assert b"red" not in response.body
    assert not any(session_id in cookie for cookie in response.cookies)
    assert shop.browser(session_id).get("/").body == b"red"


STRANGE = {
    "{name}={id}": "red",
    "\t{name} =\t{id} ": "red",
    ";;; ;{name}={id};;;": "red",
    "a b; (),/:?@; =; a=\xff; {name}={id}; $Path=/": "red",
    'a="x; {name}={id}': "red",
    "{name}; {name}={id}": "red",
    '{name}="{id}"': "None",
    "{name}={id}\xa0": "None",
    "{name}={id}\x00": "None",
    "\x0b{name}={id}": "None",
    "a=b\n{name}={id}": "None",
    "{name}={id}=": "None",
    "x {name}={id}": "None",
    "={name}={id}": "None",
    "a=b, {name}={id}": "None",
    'a="x; {name}={id}"': "None",
    "{name}={id}; {name}={id}": "None",
    "{name}=; {name}={id}": "None",
}


# Django's own middleware reads cookies itself.
OURS = [name for name in FRAMEWORKS if name != "Django with its own middleware"]


@pytest.mark.parametrize("shop", OURS, indirect=True)
def test_req_03_36_37_every_adapter_reads_a_strange_header_alike(shop: Shop) -> None:
    _, session_id = shop.visitor()
    for header, said in STRANGE.items():
        cookies = header.format(name=shop.name, id=session_id)
        response = shop.browser().get("/", HTTP_COOKIE=cookies)
        assert (response.status, response.body) == (200, said.encode()), header


def posted(kind: str, body: str) -> dict[str, Any]:
    return {
        "method": "POST",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body.encode()),
    }


# ---- Ids that change, and end -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/rotate"])
def test_req_11_12_14_a_new_id_is_the_only_one_that_works(shop: Shop, path: str) -> None:
    browser, old_id = shop.visitor()
    assert shop.browser(old_id).get("/").body == b"red"
    browser.get(path)
    assert browser.jar[shop.name] != old_id
    assert browser.get("/").body == b"red"
    assert shop.browser(old_id).get("/").body == b"None"


def test_req_13_a_renewed_id_reaches_the_browser_and_the_old_one_works_until_then(
    shop: Shop, redis_server: RedisServer
) -> None:
    browser, old_id = shop.visitor()
    (key,) = redis_server.records()
    redis_server.cli("SETRANGE", key, CREATED[0], (now_ms() - 7_200_000).to_bytes(8, "big"))
    browser.get("/blue")
    new_id = browser.jar[shop.name]
    assert new_id != old_id
    assert shop.browser(old_id).get("/").body == b"blue"
    for _ in range(2):
        browser.get("/green")
        assert browser.jar[shop.name] == new_id
        assert shop.browser(old_id).get("/").body == b"green"
    redis_server.cli("SETRANGE", key, UNTIL[0], (now_ms() - 1).to_bytes(8, "big"))
    assert shop.browser(old_id).get("/").body == b"None"
    assert browser.get("/").body == b"green"


def test_req_25_a_logout_leaves_nothing(shop: Shop, redis_server: RedisServer) -> None:
    browser, _ = shop.visitor()
    browser.get("/login")
    assert len(redis_server.keys()) == 2
    session_id = browser.jar[shop.name]
    browser.get("/logout")
    assert redis_server.keys() == []
    assert shop.browser(session_id).get("/").body == b"None"


@pytest.mark.parametrize("path", ["/logout", "/login", "/rotate"])
def test_req_70_what_could_not_reach_redis_says_so(
    shop: Shop, redis_server: RedisServer, path: str
) -> None:
    browser, session_id = shop.visitor()
    redis_server.stop()
    response = browser.get(path)
    assert response.status in (500, 503)  # the first only from Django's own middleware
    assert response.cookies == []
    assert browser.jar[shop.name] == session_id


def test_req_72_a_request_that_stores_nothing_writes_nothing(
    shop: Shop, redis_server: RedisServer
) -> None:
    browser = shop.browser()
    browser.get("/")  # whatever a framework does only once
    with redis_server.monitor() as seen:
        for path in ("/", "/rotate"):
            assert browser.get(path).cookies == []
    assert seen == []
