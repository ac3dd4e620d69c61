"""The cookie: what may be configured, what goes out, and what is read from hostile headers."""

from __future__ import annotations

import dataclasses
import email.message
import types
import urllib.request
from datetime import timedelta
from http.cookiejar import CookieJar
from http.cookies import SimpleCookie
from typing import Any

import pytest
from coatcheck import ConfigError, Cookie
from coatcheck.twins import as_sent, paths_of
from hypothesis import example, given
from hypothesis import strategies as st
from memory import peak

ID = "A" * 42 + "E"
OTHER = "B" * 42 + "E"


def attributes(header: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in header.split("; ")[1:]]
    return {name: value for name, _, value in pairs}


# ---- Settings ------------------------------------------------------------------------------


def test_req_32_33_34_35_42_the_defaults_are_the_strictest() -> None:
    assert Cookie().set(ID) == f"__Host-session={ID}; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_without_secure_the_prefix_is_gone() -> None:
    assert Cookie(secure=False).set(ID) == f"session={ID}; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("setting", [{"domain": "example.com"}, {"path": "/shop"}])
def test_req_35_secure_prefix_where_the_host_prefix_cannot_be(setting: dict[str, Any]) -> None:
    assert Cookie(**setting).name == "__Secure-session"


def test_every_attribute_is_in_its_place() -> None:
    cookie = Cookie(
        "s", httponly=False, samesite="none", path="/a", domain=".Example.com", max_age=60,
        partitioned=True,
    )  # fmt: skip
    assert cookie.set(ID) == (
        f"s={ID}; Max-Age=60; Path=/a; Domain=Example.com; Secure; SameSite=None; Partitioned"
    )


def test_samesite_none_the_object_leaves_the_attribute_out() -> None:
    cookie = Cookie(samesite=None)
    assert cookie.set(ID) == f"__Host-session={ID}; Path=/; Secure; HttpOnly"
    assert "SameSite" not in cookie.clear()


def test_max_age_may_be_a_timedelta() -> None:
    assert attributes(Cookie(max_age=timedelta(days=400)).set(ID))["Max-Age"] == "34560000"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"samesite": "None", "secure": False}, "use https"),
    ({"samesite": "Sometimes"}, "say 'Lax'"),
    ({"partitioned": True, "secure": False}, "say secure=True, or say partitioned=False"),
    ({"name": "__Host-s", "secure": False}, "say secure=True"),
    ({"name": "__Secure-s", "secure": False}, "say secure=True"),
    ({"name": "__host-S", "secure": False}, "say secure=True"),
    ({"name": "__Host-s", "domain": "example.com"}, "leave out the domain"),
    ({"name": "__hOsT-s", "path": "/a"}, "leave out the path"),
    ({"name": ""}, "cookie name"),
    ({"name": "a b"}, "cookie name"),
    ({"name": "a=b"}, "cookie name"),
    ({"name": "a;b"}, "cookie name"),
    ({"name": "a\r\nSet-Cookie: x"}, "cookie name"),
    ({"name": "s\n"}, "cookie name"),
    ({"name": "é"}, "cookie name"),
    ({"name": b"s"}, "cookie name"),
    ({"name": "Path"}, "another name"),
    ({"name": "max-age"}, "another name"),
    ({"name": "s" * 4054}, "shorten it"),
    ({"path": "shop"}, "begin with '/'"),
    ({"path": ""}, "begin with '/'"),
    ({"path": "/a;b"}, "percent-encode"),
    ({"path": "/a\r\nX: y"}, "percent-encode"),
    ({"path": "/a\n"}, "percent-encode"),
    ({"path": "/é"}, "percent-encode"),
    ({"path": "/a?b"}, "percent-encode"),
    ({"path": "/a#b"}, "percent-encode"),
    ({"path": "/" + "a" * 1024}, "at most 1024"),
    ({"path": None}, "cookie path"),
    ({"domain": ""}, "host name"),
    ({"domain": "a;b"}, "host name"),
    ({"domain": "a\nb"}, "host name"),
    ({"domain": "https://example.com"}, "host name"),
    ({"domain": "example.com:80"}, "host name"),
    ({"domain": "bücher.example"}, "xn--"),
    ({"domain": "a." * 127 + "a"}, "host name"),
    ({"domain": 1}, "host name"),
    ({"max_age": 0}, "400 days"),
    ({"max_age": -1}, "400 days"),
    ({"max_age": 34560001}, "400 days"),
    ({"max_age": 2**63}, "400 days"),
    ({"max_age": timedelta(days=401)}, "400 days"),
    ({"max_age": timedelta(milliseconds=900)}, "400 days"),
    ({"max_age": 1.5}, "whole seconds"),
    ({"max_age": True}, "whole seconds"),
    ({"max_age": "60"}, "whole seconds"),
]


@pytest.mark.parametrize(("settings", "advice"), BAD, ids=[repr(s)[:60] for s, _ in BAD])
def test_req_34_35_40_41_what_browsers_drop_is_a_config_error(
    settings: dict[str, Any], advice: str
) -> None:
    with pytest.raises(ConfigError, match=advice):
        Cookie(**settings)


def test_req_41_the_longest_name_leaves_room_for_an_id() -> None:
    pair = Cookie("s" * 4053).set(ID).partition(";")[0]
    assert len(pair) == 4096 + len("=")


def test_a_cookie_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cookie().secure = False  # type: ignore[misc]


def test_equal_settings_are_equal_cookies() -> None:
    assert Cookie(samesite="lax") == Cookie()
    assert hash(Cookie()) == hash(Cookie())
    assert Cookie(max_age=1) != Cookie()


# ---- Going out -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "a b", "a;b", "a\r\nX: y", "é", 'a"', "a" * 5000, "a\n"])
def test_req_40_no_value_but_an_id_goes_out(value: str) -> None:
    with pytest.raises(ValueError, match="not a session id") as caught:
        Cookie().set(value)
    assert value == "" or value not in str(caught.value)


@pytest.mark.parametrize(
    "cookie",
    [
        Cookie(),
        Cookie("s", path="/a", domain="example.com", samesite="Strict", max_age=9),
        Cookie(secure=False, httponly=False),
        Cookie(partitioned=True),
    ],
)
def test_req_31_clearing_has_the_same_name_path_domain_and_flags(cookie: Cookie) -> None:
    given, cleared = attributes(cookie.set(ID)), attributes(cookie.clear())
    assert cookie.clear().startswith(f"{cookie.name}=;")
    assert cleared.pop("Max-Age") == "0"
    assert cleared.pop("Expires") == "Thu, 01 Jan 1970 00:00:00 GMT"
    given.pop("Max-Age", None)
    assert cleared == given


def test_what_goes_out_is_what_the_standard_library_reads() -> None:
    morsel = SimpleCookie(Cookie("s", max_age=5, domain="example.com").set(ID))["s"]
    assert morsel.value == ID
    assert (morsel["max-age"], morsel["domain"], morsel["path"]) == ("5", "example.com", "/")
    assert morsel["secure"] is True and morsel["httponly"] is True


def test_req_37_twins_of_a_host_cookie_can_only_be_partitioned() -> None:
    assert [attributes(h).get("Partitioned") for h in Cookie().clear_twins("a.example.com")] == [
        None,
        "",
    ]


def test_req_37_twins_may_have_come_from_every_domain_above() -> None:
    cleared = Cookie("s").clear_twins("Shop.Example.co.uk:8080")
    domains = [(attributes(h).get("Domain"), "Partitioned" in attributes(h)) for h in cleared]
    assert domains == [
        (domain, partitioned)
        for domain in (None, "shop.example.co.uk", "example.co.uk", "co.uk")
        for partitioned in (False, True)
    ]


def test_req_37_twins_over_plain_http_cannot_be_partitioned() -> None:
    assert not any("Partitioned" in h for h in Cookie(secure=False).clear_twins("a.example.com"))


def test_req_37_the_configured_domain_is_among_the_twins() -> None:
    cleared = Cookie("s", domain="example.com").clear_twins("unrelated")
    assert [attributes(h).get("Domain") for h in cleared] == [None, None] + ["example.com"] * 2


@pytest.mark.parametrize("host", ["", "a;b.c", "a\r\nb.c", "[::1]:80", "127.0.0.1", "localhost"])
def test_req_40_a_host_header_that_names_no_domain_adds_none(host: str) -> None:
    assert not any("Domain" in header for header in Cookie("s").clear_twins(host))


def test_twins_of_a_deep_host_are_few() -> None:
    assert len(Cookie("s").clear_twins("a." * 120 + "com")) <= 20


@pytest.mark.parametrize(
    ("target", "paths"),
    [
        ("/", ["/"]),
        ("/cart", ["/", "/cart"]),
        ("/cart/", ["/", "/cart", "/cart/"]),
        ("/a/b", ["/", "/a", "/a/", "/a/b"]),
        ("/a%20b/c;x/d", ["/", "/a%20b", "/a%20b/", "/a%20b/c"]),
        ("/a?b/c", ["/", "/a"]),
        ("//a", ["/", "//", "//a"]),
        ("/a\r\nX: b/c", ["/"]),
        ("/a b", ["/"]),
        ("", []),
        ("*", []),
        ("http://example.com/a", []),
        ("/" + "a" * 1024 + "/b", ["/"]),
    ],
)
def test_req_37_twins_may_lie_in_each_folder_of_the_request(target: str, paths: list[str]) -> None:
    assert list(paths_of(target)) == paths
    cleared = Cookie("s", secure=False).clear_twins("", target)
    assert {attributes(header)["Path"] for header in cleared} == {"/", *paths}


def test_req_37_a_host_cookie_has_no_twins_in_folders() -> None:
    assert Cookie().clear_twins("example.com", "/a/b") == Cookie().clear_twins("example.com")


def test_req_37_our_own_path_comes_first_and_once() -> None:
    cleared = Cookie("s", path="/shop", secure=False).clear_twins("", "/shop/cart")
    assert attributes(cleared[0])["Path"] == "/shop"
    assert {attributes(header)["Path"] for header in cleared} == {
        "/shop",
        "/",
        "/shop/",
        "/shop/cart",
    }
    assert len(cleared) == 4


@pytest.mark.parametrize(
    ("host", "target"), [("a." * 40 + "com", "/x" * 400), ("a.b", "/" + "x" * 1023)]
)
def test_req_37_each_twin_has_its_turn_in_responses_that_stay_small(host: str, target: str) -> None:
    cookie = Cookie("s", secure=False)
    ours = set(cookie.clear_twins(host))
    everything = {
        header
        for path in paths_of(target)
        for header in Cookie("s", secure=False, path=path).clear_twins(host)
    }
    seen = set()
    for _ in range(100 * len(everything)):
        cleared = cookie.clear_twins(host, target)
        assert ours <= set(cleared) <= everything
        assert sum(map(len, cleared)) <= 3000 or len(cleared) == len(ours) + 1
        seen |= set(cleared)
        if seen == everything:
            break
    assert seen == everything


@pytest.mark.parametrize(
    ("path", "encoding", "sent"),
    [
        ("/a b", "latin-1", "/a%20b"),
        ("/caf\xc3\xa9", "latin-1", "/caf%C3%A9"),
        ("/caf\xe9", "utf-8", "/caf%C3%A9"),
        ("/100%;v=1", "latin-1", "/100%25;v=1"),
        ("/~me/(a)", "latin-1", "/~me/(a)"),
        ("/\ud800\r\n", "utf-8", "/%3F%0D%0A"),
    ],
)
def test_a_path_as_browsers_send_it(path: str, encoding: str, sent: str) -> None:
    assert as_sent(path, encoding) == sent


# ---- Reading -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "values"),
    [
        ([], []),
        ([""], []),
        ([f"s={ID}"], [ID]),
        ([f"a=1; s={ID}; b=2"], [ID]),
        ([f"a=1;s={ID};b=2"], [ID]),
        ([f"  s \t= {ID}\t; b"], [ID]),
        (["s="], [""]),
        (["s"], []),
        (["s; s"], []),
        (['s="x"'], ['"x"']),
        (["s=a=b"], ["a=b"]),
        (["xs=1; sx=2; s.=3"], []),
        ([f"S={ID}"], []),
        (["a=s=1"], []),
        ([";;;=;=s;s"], []),
    ],
)
def test_req_36_reading_a_cookie_by_its_exact_name(headers: list[str], values: list[str]) -> None:
    assert Cookie("s").read(headers) == values


@pytest.mark.parametrize(
    "headers",
    [
        [f"s={ID}; s={OTHER}"],
        [f"s={ID}; s={ID}"],
        [f"s={ID}", f"s={OTHER}"],
        [f"s={ID},s={OTHER}"],
        [f"s={ID}, a=1, s={OTHER}"],
        [f"s={ID}; a=1; s="],
    ],
)
def test_req_37_two_cookies_of_our_name_are_two(headers: list[str]) -> None:
    assert len(Cookie("s").read(headers)) == 2


@pytest.mark.parametrize(
    "headers", [[f"s={ID}", "a=1"], ["a=1", f"s={ID}"], [f"s={ID},a=1"], [f"s={ID}, a=1; b=2"]]
)
def test_req_38_split_headers_are_tolerated(headers: list[str]) -> None:
    assert Cookie("s").read(headers) == [ID]


def test_a_sibling_domain_cannot_write_our_name_into_its_own_cookies_value() -> None:
    assert Cookie().read([f"theme=dark,__Host-session={OTHER}"]) == []
    assert Cookie().read([f"theme=dark,__Host-session={OTHER}; __Host-session={ID}"]) == [ID]


def test_req_03_a_thousand_twins_cost_no_more_than_two() -> None:
    assert Cookie("s").read(["s=1; " * 1000]) == ["1", "1"]


@pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "bytes"])
def test_req_03_a_value_too_long_for_an_id_does_not_become_one(as_bytes: bool) -> None:
    for blanks in (1, 4000, 5000, 1_000_000):
        headers = [f"s={ID}{' ' * blanks}{end}" for end in ("", "x")]
        good, bad = (Cookie("s").read([h.encode() if as_bytes else h]) for h in headers)
        assert good in ([ID], [ID + 4053 * " "])
        assert bad != [ID] and len(bad[0]) <= 4096


# Each is said over and over.
HOSTILE = [
    "a=1; ",
    ";",
    ",",
    " ",
    "=",
    "s",
    "s=",
    "x=s=1, ",
    "as=1,s=1; ",
    "é",
    "s ;",
    "s=1,",
    "\t",
]


@pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "bytes"])
@pytest.mark.parametrize("begin", ["", "s=", "s", "a=1,"])
def test_req_03_memory_does_not_grow_with_the_header(begin: str, as_bytes: bool) -> None:
    cookie = Cookie("s")
    cookie.read(["s=1"])
    for piece in HOSTILE:
        header: str | bytes = begin + piece * (100_000 // len(piece))
        if isinstance(header, str) and as_bytes:
            header = header.encode("latin-1")
        with peak() as one:
            cookie.read([header])
        with peak() as many:
            cookie.read(begin + piece for _ in range(1000))
        assert max(one.bytes, many.bytes) < 16_000, piece


@given(st.lists(st.text(st.sampled_from('s=;, \t"\\\r\nA\0é\ud800'), max_size=80), max_size=3))
@example(["s=s=;s=,s="])
def test_req_03_any_header_is_read_without_failure(headers: list[str]) -> None:
    values = Cookie("s").read(headers)
    in_bytes = [header.encode("latin-1", "replace") for header in headers]
    assert Cookie("s").read(in_bytes) == [v.replace("\ud800", "?") for v in values]
    assert len(values) <= 2
    assert all(";" not in value and "," not in value for value in values)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "s2", "S", "session"]), st.text('abc=" ', max_size=9)),
        max_size=5,
    ),
    st.integers(0, 5),
)
def test_our_cookie_is_found_among_any_others(others: list[tuple[str, str]], at: int) -> None:
    pairs = [f"{name}={value}" for name, value in others]
    pairs.insert(at, f"s={ID}")
    assert Cookie("s").read(["; ".join(pairs)]) == [ID]


def test_a_cookie_jar_accepts_and_forgets_the_cookie() -> None:
    jar = CookieJar()
    request = urllib.request.Request("https://shop.example.com/")

    def receive(cookie: str) -> None:
        headers = email.message.Message()
        headers["Set-Cookie"] = cookie
        response: Any = types.SimpleNamespace(info=lambda: headers)
        jar.extract_cookies(response, request)

    receive(Cookie().set(ID))
    assert [(c.name, c.value, c.secure) for c in jar] == [("__Host-session", ID, True)]
    receive(Cookie().clear())
    assert list(jar) == []
