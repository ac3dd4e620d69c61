"""The command coatcheck."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coatcheck
import pytest
from coatcheck import Store
from conftest import RedisServer, documented_acl
from topologies import Topology, cluster, sentinels

TOOL = Path(coatcheck.__file__).resolve().parents[2] / "coatcheck"
OK, NOT_FOUND, USAGE, UNAVAILABLE, UNSAFE, UNWRITTEN = range(6)


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if "COATCHECK" not in name}
    return subprocess.run(
        [TOOL, *args], env=clean | environment, capture_output=True, text=True, timeout=60
    )


class Tool:
    """Runs it on one store."""

    def __init__(self, url: str, prefix: str = "test:") -> None:
        self.environment = {"COATCHECK_URL": url, "COATCHECK_PREFIX": prefix}

    def __call__(self, *args: str, ends: int = OK) -> str:
        done = run(*args, **self.environment)
        assert done.returncode == ends, (done.stdout, done.stderr)
        assert bool(done.stderr) == (ends in (NOT_FOUND, USAGE, UNAVAILABLE)), done.stderr
        return done.stdout

    def stderr(self, *args: str) -> str:
        return run(*args, **self.environment).stderr

    def json(self, *args: str, ends: int = OK) -> Any:
        return json.loads(self(*args, "--json", ends=ends))


@pytest.fixture
def tool(redis_server: RedisServer) -> Tool:
    return Tool(redis_server.url)


def stored(store: Store, principal: str | None = None, **fields: Any) -> str:
    """The public id of a new session."""
    session = store.new()
    session.update(fields)
    if principal:
        session.login(principal, carry="all")
    session.save()
    assert session.public_id is not None
    return session.public_id


# ---- The command line ---------------------------------------------------------------------------


def test_help_names_each_command_and_exit_code() -> None:
    done = run("--help")
    assert done.returncode == OK
    for word in ("ping", "doctor", "stats", "acl", "sessions show", "embedded stop", "4: unsafe"):
        assert word in done.stdout


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"coatcheck {coatcheck.__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("dance",),
        ("sessions",),
        ("sessions", "show"),
        ("sessions", "show", "a", "b"),
        ("sessions", "show", "abcdefghijkl", "--keep", "abcdefghijkl"),
        ("sessions", "destroy", "abcdefghijkl", "--values"),
        ("sessions", "destroy-all", ""),
        ("ping", "pong"),
        ("ping", "--timeout"),
        ("ping", "--timeout", "soon"),
        ("ping", "--colour", "red"),
        ("acl",),
    ],
)
def test_a_wrong_command_line_is_told_why(args: tuple[str, ...]) -> None:
    done = run(*args, COATCHECK_URL="unix:/nowhere", COATCHECK_PREFIX="" if "acl" in args else "t:")
    assert done.returncode == USAGE
    assert done.stdout in ("", "{}\n")
    assert done.stderr.startswith("coatcheck: ")


@pytest.mark.parametrize("command", ["acl", "--help", "--version"])
def test_a_full_disk_is_no_mistake_of_the_caller(command: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [TOOL, command, "--prefix", "shop:"], stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert done.returncode == UNWRITTEN
    assert b"could not be written: No space left on device" in done.stderr


def test_what_follows_two_dashes_is_no_option(tool: Tool, store: Store) -> None:
    public_id = stored(store, "--json")
    assert public_id in tool("sessions", "list", "--", "--json")
    assert "--help has no sessions under the prefix test:" in tool.stderr(
        "sessions", "list", "--", "--help"
    )


def test_without_a_url_it_says_how_to_give_one() -> None:
    done = run("ping")
    assert done.returncode == USAGE
    assert "COATCHECK_URL" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("--url", "redis://user:s3cret@localhost", "ping"),
        ("--password", "s3cret", "ping"),
        ("--password=s3cret", "ping"),
        ("--sentinel-password", "s3cret", "ping"),
        ("--tls-key-password", "s3cret", "ping"),
    ],
)
def test_a_password_among_the_arguments_is_refused_and_not_repeated(args: tuple[str, ...]) -> None:
    done = run(*args)
    assert done.returncode == USAGE
    assert "COATCHECK_PASSWORD" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_a_password_may_come_from_a_file_or_the_environment(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.cli("ACL", "SETUSER", "tool", "on", ">s3cret", "~*", "+@all")
    try:
        options = ("--url", redis_server.url, "--username", "tool")
        assert run(*options, "ping").returncode == UNAVAILABLE
        assert run(*options, "ping", COATCHECK_PASSWORD="s3cret").returncode == OK
        path = tmp_path / "password"
        path.write_text("s3cret\n")
        assert run(*options, "--password-file", str(path), "ping").returncode == OK
    finally:
        redis_server.cli("ACL", "DELUSER", "tool")


def test_a_store_that_is_away_is_unavailable(tool: Tool) -> None:
    for command in (["ping"], ["doctor"], ["stats"], ["sessions", "show", "abcdefghijkl"]):
        tool(*command, "--url", "unix:/nowhere", ends=UNAVAILABLE)


# ---- The server ---------------------------------------------------------------------------------


def test_ping_says_how_long_it_took(tool: Tool) -> None:
    assert re.fullmatch(r"answer: PONG\nmicroseconds: \d+\n", tool("ping"))
    assert tool.json("ping")["answer"] == "PONG"


def test_acl_prints_the_line_of_the_guide() -> None:
    words = documented_acl()
    line = run("acl", "--prefix", "shop:").stdout.split()
    assert [">secret" if word == ">PASSWORD" else word for word in line] == words


def test_a_prefix_that_is_too_long_is_refused() -> None:
    done = run("acl", COATCHECK_PREFIX="x" * 500)
    assert done.returncode == USAGE and "64" in done.stderr


@pytest.mark.parametrize("prefix", ["we[i]rd*:", """Anna's "own" [\\] shop:"""])
def test_the_line_makes_a_user_with_whom_a_store_works(
    redis_server: RedisServer, prefix: str
) -> None:
    said = run("acl", "--prefix", prefix).stdout
    line = shlex.split(said) if '"' in said else said.split()
    redis_server.cli(*(">pw" if word == ">PASSWORD" else word for word in line))
    user = line[2]
    try:
        with Store(redis_server.url, prefix=prefix, username=user, password="pw") as store:
            session = store.new()
            session["a"] = 1
            assert store.load(session.save() or "") is not None
    finally:
        redis_server.cli("ACL", "DELUSER", user)


def test_stats_counts_what_is_there(redis_server: RedisServer, tool: Tool, store: Store) -> None:
    for i in range(700):  # more than one step of a scan
        stored(store, f"user:{i}" if i % 7 == 0 else None, n=i)
    redis_server.cli("SET", "test:s:{" + "A" * 24 + "}", "nonsense")
    redis_server.cli("SET", "other:s:{" + "A" * 24 + "}", "nonsense")
    found = tool.json("stats")
    assert found["sessions"] == 700
    assert found["with_principal"] == 100
    assert found["corrupt"] == found["without_ttl"] == 1
    assert found["largest"] < found["bytes"] < 700 * 300


# ---- doctor -------------------------------------------------------------------------------------


def findings(tool: Tool, ends: int) -> dict[str, str]:
    return {row["check"]: row["finding"] for row in tool.json("doctor", ends=ends)["checks"]}


def test_with_verify_a_nonce_ends_what_every_node_is_asked(
    redis_server: RedisServer, tool: Tool, store: Store
) -> None:
    stored(store, a=1)
    tool.environment["COATCHECK_VERIFY"] = "1"
    with redis_server.monitor() as seen:
        assert tool.json("stats")["sessions"] == 1
    names = [command[0] for command in seen]
    assert names.count("SCAN") == 3
    for at, name in enumerate(names):
        if name in ("SCAN", "STRLEN"):
            assert names[at + 1] == "PING" and len(seen[at + 1][1]) == 32


def test_a_good_server_is_not_unsafe(tool: Tool, store: Store) -> None:
    stored(store, a=1)
    found = findings(tool, OK)
    assert set(found.values()) <= {"ok", "warning"}
    for check in ("eviction", "version", "role", "ttl", "records"):
        assert found[check] == "ok"


def test_a_prefix_without_records_is_a_warning_that_names_it(tool: Tool, store: Store) -> None:
    stored(store, a=1)
    tool.environment["COATCHECK_PREFIX"] = "tset:"
    rows = {row["check"]: row for row in tool.json("doctor")["checks"]}
    assert rows["records"]["finding"] == "warning" and "tset:" in rows["records"]["text"]


def test_a_server_that_may_evict_is_unsafe(redis_server: RedisServer, tool: Tool) -> None:
    redis_server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert findings(tool, UNSAFE)["eviction"] == "unsafe"
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_a_server_that_is_nearly_full_is_unsafe(redis_server: RedisServer, tool: Tool) -> None:
    redis_server.cli("CONFIG", "SET", "maxmemory", "1mb")
    try:
        assert findings(tool, UNSAFE)["memory"] == "unsafe"
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", "0")


def test_a_record_without_ttl_is_unsafe(
    redis_server: RedisServer, tool: Tool, store: Store
) -> None:
    stored(store, a=1)
    (key,) = redis_server.records()
    redis_server.cli("PERSIST", key)
    assert findings(tool, UNSAFE)["ttl"] == "unsafe"


def test_a_record_that_is_none_is_unsafe(redis_server: RedisServer, tool: Tool) -> None:
    redis_server.cli("SET", "test:s:{" + "A" * 24 + "}", "nonsense", "EX", "100")
    assert findings(tool, UNSAFE)["records"] == "unsafe"


def test_members_of_ended_sessions_are_counted(redis_server: RedisServer, tool: Tool) -> None:
    key = "test:p:{" + "B" * 24 + "}"
    later = int(time.time() * 1000) + 60_000
    for i in range(1500):  # more than one step of a walk
        redis_server.cli("ZADD", key, str(later), f"{i:024d}")
    rows = {row["check"]: row for row in tool.json("doctor")["checks"]}
    assert rows["index"]["finding"] == "warning"
    assert rows["index"]["text"].startswith("1500 of 1500 ")


def test_a_list_of_another_type_is_unsafe(redis_server: RedisServer, tool: Tool) -> None:
    redis_server.cli("SET", "test:p:{" + "B" * 24 + "}", "nonsense", "EX", "100")
    assert findings(tool, UNSAFE)["records"] == "unsafe"


@pytest.mark.parametrize("missing", ["getrange", "strlen", "pttl"])
def test_a_permission_that_is_missing_is_not_blamed_on_the_records(
    redis_server: RedisServer, tool: Tool, store: Store, missing: str
) -> None:
    stored(store, a=1)
    redis_server.cli("ACL", "SETUSER", "doc", "on", "nopass", "~test:*", "+@all", f"-{missing}")
    try:
        for command in ("doctor", "stats"):
            done = run("--username", "doc", command, COATCHECK_PASSWORD="x", **tool.environment)
            assert done.returncode == UNAVAILABLE
            assert "NOPERM" in done.stderr
            assert "doctor and stats need +scan and +strlen" in done.stderr
    finally:
        redis_server.cli("ACL", "DELUSER", "doc")


def test_without_info_it_says_what_is_not_known(redis_server: RedisServer, tool: Tool) -> None:
    commands = ("+ping", "+scan", "+time", "+getrange", "+pttl", "+strlen", "+zrange")
    redis_server.cli("ACL", "SETUSER", "doc", "on", "nopass", "~test:*", *commands)
    try:
        rows = json.loads(
            run("--username", "doc", "--json", "doctor",
                COATCHECK_PASSWORD="x", **tool.environment).stdout
        )["checks"]  # fmt: skip
        assert [row["finding"] for row in rows if row["check"] == "info"] == ["unknown"]
    finally:
        redis_server.cli("ACL", "DELUSER", "doc")


# ---- Sessions -----------------------------------------------------------------------------------

VALUES = {
    "cart": [("sku-1", 2), ("one",)],
    "none": None,
    "yes": True,
    "bytes": b"\x00'\xff",
    "text": "it's\n\\ naïve",
    "float": [0.1, 1e300, -0.0, 3.0],
    "ints": [-1, 2**63, 2**64 - 1, 2**100, -(2**100)],
    "dict": {1: {"x": []}, (1, 2): ()},
}


def test_show_hides_values_unless_asked_for(tool: Tool, store: Store) -> None:
    public_id = stored(store, "user:1", **VALUES)
    text = tool("sessions", "show", public_id)
    assert "user:1" in text and "cart" in text and "sku-1" not in text
    shown = tool.json("sessions", "show", public_id)
    assert "sku" not in json.dumps(shown)
    assert shown["principal"] == "user:1" and shown["idle"] == 1800
    assert [row["field"] for row in shown["fields"]] == list(VALUES)


def test_values_are_shown_as_python_would_write_them(tool: Tool, store: Store) -> None:
    public_id = stored(store, **VALUES)
    shown = tool.json("sessions", "show", "--values", public_id)
    assert shown["principal"] is None
    assert {row["field"]: eval(row["value"]) for row in shown["fields"]} == VALUES


def test_what_a_terminal_would_obey_is_escaped(tool: Tool, store: Store) -> None:
    public_id = stored(store, "mallory\x1b[2J", **{"\x1b]0;x\x07": "\x9b1m"})
    text = tool("sessions", "show", "--values", public_id)
    assert not set(text) & {"\x1b", "\x07", "\x9b"}
    assert r"mallory\x1b[2J" in text
    assert tool.json("sessions", "show", public_id)["principal"] == "mallory\x1b[2J"


@pytest.mark.parametrize("turn", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069")
def test_what_turns_the_direction_of_text_is_escaped(tool: Tool, store: Store, turn: str) -> None:
    public_id = stored(store, f"eve{turn}", name=f"{turn}x")
    text = tool("sessions", "show", "--values", public_id)
    assert turn not in text
    assert text.count(f"\\u{ord(turn):04x}") == 2
    assert turn not in tool.stderr("sessions", "list", f"no{turn}")


def test_a_session_that_is_not_there_is_not_found(tool: Tool) -> None:
    said = tool.stderr("sessions", "show", "abcdefghijkl")
    assert "there is no session abcdefghijkl under the prefix test:" in said
    tool("sessions", "show", "abcdefghijkl", ends=NOT_FOUND)
    tool("sessions", "show", "abc", ends=USAGE)


def test_req_27_the_sessions_of_a_principal_are_listed(tool: Tool, store: Store) -> None:
    public_ids = {stored(store, "user:1", device=f"phone {n}", secret="x") for n in range(3)}
    stored(store, "user:2")
    rows = tool.json("sessions", "list", "user:1")["sessions"]
    assert {row["public_id"] for row in rows} == public_ids
    assert all("shown" not in row for row in rows)
    rows = tool.json("sessions", "list", "user:1", "--show", "device")["sessions"]
    assert {row["shown"] for row in rows} == {f"device='phone {n}'" for n in range(3)}
    assert "secret" not in tool("sessions", "list", "user:1")
    tool("sessions", "list", "user:3", ends=NOT_FOUND)


@pytest.mark.parametrize("principal", [None, "user:1"])
def test_req_27_a_session_is_destroyed_by_its_public_id(
    redis_server: RedisServer, tool: Tool, store: Store, principal: str | None
) -> None:
    public_id = stored(store, principal, a=1)
    other = stored(store, principal, a=2)
    assert tool.json("sessions", "destroy", public_id) == {"destroyed": public_id}
    tool("sessions", "destroy", public_id, ends=NOT_FOUND)
    tool("sessions", "show", other)
    indexes = redis_server.cli("KEYS", "test:p:*")
    assert [redis_server.cli("ZCARD", key) for key in indexes] == [1] * (principal is not None)


def test_req_27_all_sessions_of_a_principal_are_destroyed_or_all_but_one(
    tool: Tool, store: Store
) -> None:
    first, *_ = [stored(store, "user:1", n=n) for n in range(4)]
    other = stored(store, "user:2", n=0)
    assert tool.json("sessions", "destroy-all", "user:1", "--keep", first) == {
        "destroyed": 3,
        "kept": first,
    }
    tool("sessions", "show", first)
    assert tool.json("sessions", "destroy-all", "user:1") == {"destroyed": 1}
    assert tool.json("sessions", "destroy-all", "user:1") == {"destroyed": 0}
    assert tool.json("sessions", "destroy-all", "user:1", "--keep", first)["kept"] is None
    tool("sessions", "show", other)


@pytest.mark.parametrize(
    "args",
    [
        ("sessions", "list", "user:1", "--show", "a"),
        ("sessions", "show", "ID", "--values"),
        ("sessions", "destroy", "ID"),
        ("sessions", "destroy-all", "user:1"),
        ("stats",),
        ("doctor",),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_req_08_28_what_it_says_shows_no_id_and_opens_nothing(
    tool: Tool, store: Store, args: tuple[str, ...], form: tuple[str, ...]
) -> None:
    session, other = store.new(), store.new()
    for one in (session, other):
        one["a"] = 1
        one.login("user:1", carry="all")
        one.save()
    words = [session.public_id if word == "ID" else word for word in args]
    done = run(*(word or "" for word in words), *form, **tool.environment)
    said = done.stdout + done.stderr
    assert said
    for session_id in (session.id or "", other.id or ""):
        assert not any(session_id[i : i + 8] in said for i in range(36))
    for word in set(re.findall(r"[\w-]+", said)):
        for guess in (word, word.ljust(43, "A"), (word * 43)[:43]):
            assert store.load(guess) is None


# ---- Topologies ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["cluster", "sentinels"])
def topology(request: pytest.FixtureRequest) -> Iterator[Topology]:
    started = cluster(3, replicas=False) if request.param == "cluster" else sentinels(1, 1)
    with started as topology:
        yield topology


def test_every_node_is_looked_at(topology: Topology) -> None:
    tool = Tool(topology.url)
    with Store(topology.url, prefix="test:") as store:
        public_ids = [stored(store, n=n) for n in range(30)]
    assert tool.json("stats")["sessions"] == 30
    for public_id in public_ids[:5]:
        assert tool.json("sessions", "show", public_id)["public_id"] == public_id
        tool("sessions", "destroy", public_id)
        tool("sessions", "show", public_id, ends=NOT_FOUND)
    found = tool.json("doctor")["checks"]
    masters = 3 if "cluster" in topology.url else 1
    assert len({row["node"] for row in found if row["check"] == "version"}) == masters


# ---- embedded: ----------------------------------------------------------------------------------


def test_an_embedded_server_is_stopped_by_its_directory(tmp_path: Path) -> None:
    directory = str(tmp_path / "e")
    assert run("embedded", "stop", directory).returncode == NOT_FOUND
    with Store(f"embedded:{directory}", allow_root=True) as store:
        public_id = stored(store, a=1)
        done = run("embedded", "stop", directory)
        assert (done.returncode, done.stdout, done.stderr) == (OK, "embedded: stopped\n", "")
        assert run("embedded", "stop", directory).returncode == NOT_FOUND
    with Store(f"embedded:{directory}", allow_root=True) as store:
        tool = Tool(f"embedded:{directory}?allow_root=1", "coatcheck:")
        assert tool.json("sessions", "show", public_id)["public_id"] == public_id
        store.stop_embedded()
