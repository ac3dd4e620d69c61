"""The command `coatcheck cache`, and values as JSON."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from coatcheck import Cache, Store, dumps
from conftest import RedisServer
from hypothesis import HealthCheck, example, given, settings
from test_cli import NOT_FOUND, OK, TOOL, UNAVAILABLE, USAGE, run
from values import same, values

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "docs"))

from pages import table  # noqa: E402

PREFIX = "shop:"


class Tool:
    """Runs it on one cache."""

    def __init__(self, url: str, **more: str) -> None:
        self.environment = {
            "COATCHECK_CACHE_URL": url,
            "COATCHECK_CACHE_PREFIX": PREFIX,
            **more,
        }

    def __call__(self, *args: str, ends: int = OK, says: str = "", reads: str = "") -> str:
        done = subprocess.run(
            [TOOL, "cache", *args], env=self.environment, input=reads.encode(), capture_output=True
        )
        assert done.returncode == ends, (done.stdout, done.stderr)
        assert says in done.stderr.decode() and bool(done.stderr) == (ends != OK), done.stderr
        return done.stdout.decode()


@pytest.fixture
def tool(redis_server: RedisServer) -> Tool:
    return Tool(redis_server.url)


@pytest.fixture
def cache(redis_server: RedisServer) -> Cache:
    return Cache(redis_server.url, prefix=PREFIX, ttl_jitter=0)


# ---- Values --------------------------------------------------------------------------------------

NAN = struct.unpack(">d", bytes.fromhex("7ff8000000000001"))[0]

NOTATION = [
    (None, "null"),
    (True, "true"),
    (0, "0"),
    (-1, "-1"),
    (2**63, "9223372036854775808"),
    (2**64 - 1, "18446744073709551615"),
    (2**64, '{"$int": "0x010000000000000000"}'),
    (-(2**63), "-9223372036854775808"),
    (-(2**63) - 1, '{"$int": "-0x008000000000000001"}'),
    (1.0, "1.0"),
    (-0.0, "-0.0"),
    (0.1, "0.1"),
    (1e300, "1e+300"),
    (math.nan, '{"$float": "nan"}'),
    (NAN, '{"$float": "0x7ff8000000000001"}'),
    (-math.inf, '{"$float": "-inf"}'),
    ("", '""'),
    ('a"\\\n\x1b\u202e\x00é\U0001f600', '"a\\"\\\\\\u000a\\u001b\\u202e\\u0000é\U0001f600"'),
    (b"", '{"$bytes": ""}'),
    (b"\0\xff", '{"$bytes": "AP8="}'),
    (b"abc", '{"$bytes": "YWJj"}'),
    ([], "[]"),
    ([1, [2]], "[1, [2]]"),
    ((), '{"$tuple": []}'),
    ((1, (2,)), '{"$tuple": [1, {"$tuple": [2]}]}'),
    ({}, "{}"),
    ({"a": 1, "b": {"c": None}}, '{"a": 1, "b": {"c": null}}'),
    ({"$a": 1}, '{"$dict": [["$a", 1]]}'),
    ({"$a": 1, "b": 2}, '{"$a": 1, "b": 2}'),
    ({"$bytes": "x"}, '{"$dict": [["$bytes", "x"]]}'),
    ({7: "x", (1, b"k"): [None]}, None),
]


@pytest.mark.parametrize(("value", "text"), NOTATION)
def test_each_value_has_its_notation(
    tool: Tool, cache: Cache, value: Any, text: str | None
) -> None:
    cache.set("key", value)
    said = tool("get", "key")
    assert text is None or said == text + "\n"
    json.loads(said)
    tool("set", "other", "-", reads=said)
    assert dumps(cache.get("other")) == dumps(value)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=values)
@example(value={"$tuple": [(b"", {(): {1.5: -(10**40)}})]})
def test_what_get_says_set_stores_again(tool: Tool, cache: Cache, value: Any) -> None:
    cache.set("key", value)
    tool("set", "other", "-", reads=tool("get", "key"))
    assert same(cache.get("other"), value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' {"a" : [ 1 , 2.50 ] }\n', {"a": [1, 2.5]}),
        ('"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\""', 'é\U0001f600/\b\f\n\r\t"'),
        ("1E2", 100.0),
        ("-0", 0),
        ('{"\\u0024bytes": "AA=="}', b"\0"),
        ('{"$int": "0x0"}', 0),
        ('{"$int": "-0x80"}', -128),
        ('{"$int": "0xFfF"}', 4095),
        ('{"$dict": []}', {}),
    ],
)
def test_other_ways_to_write_a_value(tool: Tool, cache: Cache, text: str, value: Any) -> None:
    tool("set", "key", text)
    assert dumps(cache.get("key")) == dumps(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "byte 0: here a value must begin"),
        ("tea", "byte 0: here a value must begin"),
        ("nul", "byte 0: here a value must begin"),
        ("'tea'", "byte 0: here a value must begin"),
        ("1 2", "byte 2: the value has ended"),
        ("[1, ]", "byte 4: here a value must begin"),
        ("[1", "byte 2: here a comma or ] is missing"),
        ('{"a": 1', "byte 7: here a comma or } is missing"),
        ("{a: 1}", "byte 1: here a name in double quotes"),
        ('{"a" 1}', "byte 5: a colon must follow"),
        ('"tea', "byte 0: this text has no end"),
        ('"tea\\', "byte 0: this text has no end"),
        ('"a\nb"', "byte 2: a control character"),
        ('"\\x"', "byte 1: a backslash is followed by"),
        ('"\\u12"', "byte 1: \\u is followed by four"),
        ('"\\ud800"', "byte 1: half of a pair"),
        ('"\\udc00\\ud800"', "byte 1: half of a pair"),
        ('"\\ud800\\u0041"', "byte 1: half of a pair"),
        ("01", "byte 0: a number begins"),
        ("-", "byte 0: a number begins"),
        ("1.", "byte 1: digits must follow the dot"),
        ("1e", "digits must follow the e"),
        ("1e+", "digits must follow the e"),
        ("+1", "byte 0: here a value must begin"),
        ("NaN", "byte 0: here a value must begin"),
        ("18446744073709551616", "an int beyond 64 bits is written"),
        ("-9223372036854775809", "an int beyond 64 bits is written"),
        ('{"$bytes": "AA"}', "$bytes is a text in base64"),
        ('{"$bytes": "A==="}', "$bytes is a text in base64"),
        ('{"$bytes": "AB=="}', "$bytes is a text in base64"),
        ('{"$bytes": "AA A"}', "$bytes is a text in base64"),
        ('{"$bytes": 1}', "$bytes is a text in base64"),
        ('{"$tuple": 1}', "$tuple is an array"),
        ('{"$dict": {}}', "$dict is an array of pairs"),
        ('{"$dict": [[1]]}', "each pair of a $dict"),
        ('{"$dict": [1]}', "each pair of a $dict"),
        ('{"$float": "NaN"}', "$float is"),
        ('{"$float": "0x123"}', "$float is"),
        ('{"$float": 1.5}', "$float is"),
        ('{"$int": "0x"}', "$int is a text"),
        ('{"$int": "12"}', "$int is a text"),
        ('{"$int": "0xg"}', "$int is a text"),
        ('{"$int": 5}', "$int is a text"),
        ('{"$set": [1]}', "there are $bytes, $tuple"),
        ('{"$bytes\\u0000": "AA=="}', "there are $bytes, $tuple"),
        ('{"a": 1, "a": 2}', "key twice"),
        ('{"$dict": [[1, 2], [1.0, 3]]}', "key twice"),
        ('{"$dict": [[[1], 2]]}', "key"),
        ("[" * 5000, "too many arrays"),
        ("[" * 100 + "]" * 100, "max_depth"),
    ],
)
def test_what_is_no_value_is_told_where_and_why(tool: Tool, text: str, why: str) -> None:
    tool("set", "key", "-", ends=USAGE, says=why, reads=text)
    tool("get", "key", ends=NOT_FOUND, says="there is no entry key under the prefix shop:")


def test_bytes_that_are_no_text_are_refused(tool: Tool) -> None:
    done = subprocess.run(
        [TOOL, "cache", "set", "key", "-"],
        env=tool.environment,
        input=b'["ok", "\xff"]',
        capture_output=True,
    )
    assert done.returncode == USAGE and b"byte 8: this is no UTF-8" in done.stderr


# ---- The commands --------------------------------------------------------------------------------


def test_set_with_its_conditions_and_ttls(tool: Tool, cache: Cache) -> None:
    tool("set", "key", "1", "--if-present", ends=NOT_FOUND, says="no entry key")
    tool("set", "key", "1", "--if-new")
    tool("set", "key", "2", "--if-new", ends=NOT_FOUND, says="an entry key already")
    tool("set", "key", "3", "--if-present")
    assert cache.get("key") == 3
    assert 299 < float(tool("ttl", "key")) <= 300
    tool("set", "key", "1", "--ttl", "5.5")
    assert 5 < float(tool("ttl", "key")) <= 5.5
    tool("set", "key", "1", "--ttl=none")
    assert tool("ttl", "key") == "none\n" and tool("ttl", "key", "--json") == '{"ttl": null}\n'
    tool("ttl", "other", ends=NOT_FOUND, says="no entry other")
    for wrong in ("0", "x", "", "1e10"):
        tool("set", "key", "1", "--ttl", wrong, ends=USAGE, says="--ttl must be seconds")


@pytest.mark.parametrize(
    ("more", "args", "ttl"),
    [
        ({"COATCHECK_CACHE_TTL": "70"}, (), 70),
        ({"COATCHECK_CACHE_TTL": "70"}, ("--url", "{url}?ttl=80&timeout=5"), 80),
        ({"COATCHECK_CACHE_TTL": "none"}, ("--ttl", "90"), 90),
        ({"COATCHECK_CACHE_TTL_JITTER": "0.5", "COATCHECK_CACHE_STALE_TTL": "5"}, (), 300),
    ],
)
def test_the_ttl_of_a_cache_is_found_where_python_finds_it(
    redis_server: RedisServer, more: dict[str, str], args: tuple[str, ...], ttl: int
) -> None:
    tool = Tool(redis_server.url, **more)
    tool("set", "key", "1", *(arg.replace("{url}", redis_server.url) for arg in args))
    assert ttl - 1 < float(tool("ttl", "key")) <= ttl


def test_an_option_before_the_command_is_as_good(redis_server: RedisServer) -> None:
    url = f"{redis_server.url}?ttl=80"
    done = run("--url", url, "--prefix", PREFIX, "cache", "set", "key", "1")
    assert done.returncode == OK
    assert run("cache", "ttl", "key", "--url", url, "--prefix", PREFIX).stdout[:2] in ("79", "80")


def test_counting(tool: Tool, cache: Cache) -> None:
    tool("incr", "n", "--if-present", ends=NOT_FOUND, says="no entry n")
    assert tool("incr", "n") == "1\n" and tool("incr", "n", "--json") == '{"value": 2}\n'
    assert tool("incr", "n", "10") == "12\n"
    assert tool("incr", "n", "--", "-20") == "-8\n"
    assert tool("incr", "m", "5", "--initial", "100") == "105\n"
    tool("incr", "n", "x", ends=USAGE, says="BY must be an int")
    cache.set("text", "x")
    tool("incr", "text", ends=USAGE, says="no int")


def test_deleting_keys_and_clearing(tool: Tool, cache: Cache, redis_server: RedisServer) -> None:
    cache.set_many({f"a{n}": n for n in range(20)})
    cache.set("b\u202e", 1)
    assert tool("del", "a0", "a1", "none", *(f"a{n}" for n in range(2, 9))) == "deleted: 9\n"
    assert {*tool("keys", "a*").split()} == {"key", *(f"a{n}" for n in range(9, 20))}
    assert "b\\u202e" in tool("keys")
    assert {row["key"] for row in json.loads(tool("keys", "b*", "--json"))["keys"]} == {"b\u202e"}
    said = json.loads(tool("stats", "--json"))
    assert said == {"entries": 12, "bytes": 12, "largest": 1}
    with Store(redis_server.url, prefix=PREFIX) as store:
        session = store.new()
        session["kept"] = 1
        session.save()
        assert tool("clear") == "deleted: 12\n" and tool("keys") == ""
        assert session.id is not None and store.load(session.id) is not None


def test_a_namespace_has_its_own_entries_until_it_is_invalidated(tool: Tool, cache: Cache) -> None:
    space = cache.namespace("user:42")
    space.set("cart", (1, 2))
    inside = ("--namespace", "user:42")
    assert tool("get", "cart", *inside) == '{"$tuple": [1, 2]}\n'
    tool("get", "cart", ends=NOT_FOUND, says="no entry cart")
    tool("set", "name", '"Ada"', *inside)
    assert space.get("name") == "Ada"
    assert sorted(tool("keys", *inside).split()) == ["cart", "key", "name"]
    assert json.loads(tool("stats", *inside, "--json"))["entries"] == 2
    assert tool("invalidate", "user:42", "other") == "invalidated: 1\n"
    tool("get", "cart", *inside, ends=NOT_FOUND, says="no entry cart")
    space.set("cart", 1)
    tool("clear", *inside)
    assert space.get("cart") is None


def test_json_puts_the_value_into_an_object(tool: Tool) -> None:
    tool("set", "key", '{"$tuple": [1]}')
    assert tool("get", "key", "--json") == '{"value": {"$tuple": [1]}}\n'


def test_help_and_page_name_each_command() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    said = run("--help").stdout
    commands = ("get", "set", "del", "ttl", "incr", "keys", "clear", "invalidate", "stats")
    for command in commands:
        assert f"  cache {command}" in said and f"| `coatcheck cache {command}" in page


def test_the_notations_of_the_page_are_values(tool: Tool, cache: Cache) -> None:
    for [cell, _] in table(ROOT / "docs" / "cli.md", "notation"):
        tool("set", "key", cell.strip("`"))
        assert tool("get", "key").strip() == cell.strip("`") or "$int" in cell


# ---- Mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ("get",),
        ("get", "a", "b"),
        ("set", "a"),
        ("set", "a", "1", "--if-new", "--if-present"),
        ("get", "a", "--ttl", "5"),
        ("incr", "a", "--if-new"),
        ("incr", "a", "--initial", "1", "--if-present"),
        ("keys", "a", "b"),
        ("drop", "a"),
        ("invalidate",),
        ("get", "a", "--values"),
    ],
)
def test_a_wrong_command_line_is_told_so(tool: Tool, args: tuple[str, ...]) -> None:
    tool(*args, ends=USAGE, says="see coatcheck --help")


def test_wrong_places_and_names(redis_server: RedisServer) -> None:
    Tool("unix:/nowhere")("get", "key", ends=UNAVAILABLE, says="/nowhere")
    Tool(redis_server.url)("get", "", ends=USAGE, says="from 1 to 512 bytes")
    wrong = Tool(redis_server.url, COATCHECK_CACHE_TIMEOOT="5")
    wrong("get", "key", ends=USAGE, says="COATCHECK_CACHE_TIMEOOT")
    Tool(redis_server.url)("get", "key", "--idle", "5", ends=USAGE, says="idle")
    # The variables of a store are not for a cache.
    done = run("cache", "get", "key", COATCHECK_URL=redis_server.url, COATCHECK_PREFIX=PREFIX)
    assert done.returncode == USAGE


def test_an_input_that_is_too_long_is_refused(tool: Tool) -> None:
    tool("set", "key", "-", reads=f'"{"x" * (2 << 20)}"', ends=USAGE, says="max_bytes")
