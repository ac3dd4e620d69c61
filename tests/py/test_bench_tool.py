"""The command coatcheck-bench: are its figures right, and does it leave nothing behind?"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import coatcheck
import pytest
from conftest import PATIENCE_S, RedisServer, wait_for
from topologies import cluster, sentinels

TOOL = Path(coatcheck.__file__).resolve().parents[2] / "bin" / "coatcheck-bench"
DONE, FAILURES, WRONG, NOT_AVAILABLE = range(4)
UNWRITTEN, INTERRUPTED = 5, 130
WORKLOADS = ("read", "write", "mixed", "login-logout", "conflict", "cache")
SHORT = ("--duration", "0.1", "--repeat", "3", "--warm-up", "0")


def start(*args: str, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if "COATCHECK" not in name}
    return subprocess.Popen(
        [TOOL, *args],
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*args: str, ends: int = DONE, **environment: str) -> tuple[str, str]:
    with start(*args, **environment) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ends, (process.returncode, out, err)
    assert bool(err) == (ends > FAILURES), err
    return out, err


def figures(*args: str, ends: int = DONE) -> Any:
    return json.loads(run(*args, "--json", "-", ends=ends)[0])


def row(found: Any, side: int = 0, name: str | None = None) -> Any:
    rows = found["sides"][side]["rows"]
    return rows[-1] if name is None else next(row for row in rows if row["name"] == name)


# ---- The command line ---------------------------------------------------------------------------


def test_help_says_what_its_figures_are() -> None:
    out, _ = run("--help")
    for words in (*WORKLOADS, "CLOCK_MONOTONIC", "coordinated omission", "0.05 %", "--zipf"):
        assert words in out
    assert max(map(len, out.splitlines())) <= 100


def test_the_version_is_the_packages() -> None:
    assert run("--version")[0] == f"coatcheck-bench {coatcheck.__version__}\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "no workload"),
        (["sing"], "--workload cannot be 'sing'"),
        (["read", "write"], "two workloads"),
        (["read", "--threads"], "lacks its value"),
        (["read", "--threads", "0"], "a whole number from 1 to 1024"),
        (["read", "--threads", "1.5"], "a whole number"),
        (["read", "--threads", "nan"], "a whole number"),
        (["read", "--size", "9g"], "lognormal:MEDIAN:SIGMA"),
        (["mixed", "--ratio", "0:0"], "9:1"),
        (["read", "--ratio", "1:1"], "for the workloads mixed and cache"),
        (["read", "--pipeline", "2"], "for the workload cache"),
        (["read", "--count", "5", "--duration", "1"], "not after both"),
        (["read", "--payload", "x.json", "--fields", "2"], "--payload says what is stored"),
        (["read", "--password", "sesame"], "can be seen by every user"),
        (["read", "--colour", "red"], "colour"),
        (["read", "--baseline", "--url", "redis+cluster://a"], "do not find their way"),
        (["read", "--baseline", "--url", "rediss://a"], "TLS"),
        (["read", "--json", "-", "--html", "-"], "only one of --json, --csv and --html"),
        (["read"], "COATCHECK_URL"),
    ],
)
def test_what_is_wrong_is_said(args: list[str], says: str) -> None:
    _, err = run(*args, ends=WRONG)
    assert says in err and err.startswith("coatcheck-bench: ") and err.count("\n") == 1
    assert "sesame" not in err


# ---- What is measured ---------------------------------------------------------------------------


@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_workload_beside_its_baseline(redis_server: RedisServer, workload: str) -> None:
    found = figures(workload, "--url", redis_server.url, "--baseline", "--threads", "3", *SHORT)
    assert redis_server.keys() == [] and found["keys_left"] == 0
    assert [side["name"] for side in found["sides"]] == ["coatcheck", "plain GET and SET"]
    for number, side in enumerate(found["sides"]):
        assert side["failed"] == {} and side["not_begun"] == 0
        last = row(found, number)
        assert last["count"] > 0 and len(last["ops_per_s"]["rounds"]) == 3
        assert last["ops_per_s"]["low"] <= last["ops_per_s"]["median"] <= last["ops_per_s"]["high"]
        percentiles = [us for _, us in last["percentiles_us"]]
        assert percentiles == sorted(percentiles) and percentiles[0] > 0
        assert sum(point[2] for point in side["timeline"]) == last["count"]
    ratio = [
        ours / plain
        for ours, plain in zip(
            *(row(found, side)["ops_per_s"]["rounds"] for side in (0, 1)), strict=True
        )
    ]
    assert found["ratio"]["ops_per_s"]["median"] == pytest.approx(sorted(ratio)[1], rel=1e-6)
    assert found["bytes_in_redis"]["low"] > 8 * 64
    if workload == "conflict":
        assert found["sides"][0]["lost_updates"] == 0


def test_round_trips_are_counted(redis_server: RedisServer) -> None:
    for workload, trips in (("read", 1), ("write", 2)):
        found = figures(workload, "--url", redis_server.url, "--baseline", *SHORT)
        for side in (0, 1):
            assert row(found, side)["round_trips"]["median"] == trips


def test_the_baseline_stores_the_same_bytes(redis_server: RedisServer) -> None:
    args = ("--url", redis_server.url, "--baseline", "--sessions", "20", "--size", "1..3k")
    with start("cache", *args) as process:
        keys = wait_for(lambda: len(redis_server.keys()) == 41 and redis_server.keys(), "the keys")
        prefix = keys[0].partition(b"baseline:")[0]
        for number in range(20):
            ours, plain = (
                redis_server.cli("GET", prefix + name + str(number).encode())
                for name in (b"c:k:entry:", b"baseline:")
            )
            assert ours == plain and ours is not None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert redis_server.keys() == []


def test_the_same_seed_stores_the_same(redis_server: RedisServer) -> None:
    def sizes(seed: str) -> Any:
        shape = ("--size", "lognormal:200:1", "--values", "nested", "--fields", "3")
        found = figures("read", "--url", redis_server.url, "--seed", seed, *shape, *SHORT)
        return found["bytes_in_redis"]

    assert sizes("7") == sizes("7") != sizes("8")


def test_a_recorded_payload(redis_server: RedisServer, tmp_path: Path) -> None:
    payload = tmp_path / "session.json"
    payload.write_text(json.dumps({"cart": [{"sku": "A-17", "n": 2}], "name": "\u00e9" * 3000}))
    for workload in ("write", "cache"):
        found = figures(workload, "--url", redis_server.url, "--payload", str(payload), *SHORT)
        assert found["bytes_in_redis"]["low"] > 6000
        assert found["settings"]["payload"] == str(payload)
    for text, says in (("[1]", "is no object"), ("{", "byte"), ('{"a": 1', "byte")):
        payload.write_text(text)
        _, err = run("read", "--url", redis_server.url, "--payload", str(payload), ends=WRONG)
        assert says in err
    _, err = run("read", "--url", redis_server.url, "--payload", "/no/such", ends=WRONG)
    assert "cannot be read" in err


def test_a_count_ends_a_round_exactly(redis_server: RedisServer) -> None:
    args = ("--url", redis_server.url, "--count", "500", "--threads", "4", "--repeat", "2")
    assert row(figures("read", *args, "--warm-up", "0"))["count"] == 1000


def test_many_keys_at_once_are_one_operation(redis_server: RedisServer) -> None:
    args = ("--url", redis_server.url, "--pipeline", "10", "--baseline", "--ratio", "1:1")
    found = figures("cache", *args, *SHORT)
    for side in (0, 1):
        assert row(found, side)["round_trips"]["median"] == 1
        assert {"get", "set", "all"} == {row["name"] for row in found["sides"][side]["rows"]}


# ---- Are the figures right? ---------------------------------------------------------------------


class Slow:
    """In front of a server: what reads a session, or has other words, passes some time later.
    `took` is how long that has really been, each time."""

    def __init__(self, path: str, delays: list[float], words: bytes = b"\r\nGET\r\n") -> None:
        self.path, self.delays, self.took, self.words = path, delays, list[float](), words
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.path)
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, slowly: bool) -> None:
        with suppress(OSError), target:
            while data := source.recv(1 << 16):
                if slowly and self.words in data:
                    begin = time.monotonic()
                    time.sleep(self.delays[len(self.took) % len(self.delays)])
                    self.took.append(time.monotonic() - begin)
                target.sendall(data)


def test_percentiles_are_those_of_a_server_with_known_delays(redis_server: RedisServer) -> None:
    delays = [0.002] * 90 + [0.010] * 9 + [0.050]
    random.Random(1).shuffle(delays)
    slow = Slow(redis_server.path, delays)
    args = ("--url", slow.url, "--count", "400", "--repeat", "1", "--warm-up", "0")
    found = row(figures("read", *args))
    slow.close()
    took = sorted(slow.took)
    assert found["count"] == len(took) == 400
    for name, at in (("p50_us", 199), ("p90_us", 359), ("p99_us", 395), ("max_us", 399)):
        # What comes to the delays is the way there and back: well below the next larger delay.
        assert took[at] * 1e6 < found[name]["median"] * 1.0005
        assert found[name]["median"] < took[at] * 1e6 + 4000
    assert found["mean_us"]["median"] == pytest.approx(1e6 * sum(took) / 400, abs=4000)


def stalled(server: RedisServer, *args: str) -> Any:
    """The figures of a run in whose midst the server stands still for a second."""
    args = ("read", "--url", server.url, "--timeout", "10", "--warm-up", "0", *args)
    with start(*args, "--duration", "3", "--repeat", "1", "--json", "-") as process:
        wait_for(lambda: len(server.keys()) > 1000, "the sessions")
        time.sleep(0.7)
        server.pause()
        time.sleep(1)
        server.resume()
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == DONE, err
    return row(json.loads(out))


def test_an_open_loop_shows_a_stall_that_a_closed_one_hides(redis_server: RedisServer) -> None:
    opened = stalled(redis_server, "--rate", "500")
    assert opened["p99.9_us"]["median"] > 700_000 and opened["count"] in (1500, 1501)
    assert opened["p90_us"]["median"] > 100_000  # a third of all had to wait
    closed = stalled(redis_server)
    assert closed["max_us"]["median"] > 700_000
    assert closed["p99.9_us"]["median"] < 100_000


def test_an_open_loop_says_when_it_does_not_keep_up(redis_server: RedisServer) -> None:
    slow = Slow(redis_server.path, [0.1])
    args = ("--url", slow.url, "--rate", "200", "--duration", "0.5", "--repeat", "1")
    found = figures("read", *args, "--warm-up", "0", "--sessions", "5", ends=FAILURES)
    slow.close()
    last = row(found)
    assert found["sides"][0]["not_begun"] + last["count"] == 101
    assert 0 < last["count"] < 101 and last["max_us"]["median"] > 4_000_000


# ---- What is left behind ------------------------------------------------------------------------


@contextmanager
def running(*args: str, server: RedisServer) -> Iterator[subprocess.Popen[str]]:
    """In the midst of its first round."""
    args = (
        "write",
        "--url",
        server.url,
        "--warm-up",
        "0",
        "--baseline",
        "--sessions",
        "300",
        *args,
    )
    with start(*args) as process:
        try:
            wait_for(lambda: len(server.keys()) == 601, "the sessions")
            time.sleep(0.3)
            assert process.poll() is None
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_cleans_up(redis_server: RedisServer, number: signal.Signals) -> None:
    with running("--threads", "4", server=redis_server) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == INTERRUPTED and err == "coatcheck-bench: interrupted\n"
    assert out == "" and redis_server.keys() == []


def test_what_was_complete_is_shown_of_an_interrupted_run(redis_server: RedisServer) -> None:
    with running("--duration", "0.2", "--repeat", "900", server=redis_server) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == INTERRUPTED and "keys left           0" in out


def test_all_keys_of_a_killed_run_end_by_themselves(redis_server: RedisServer) -> None:
    with running(server=redis_server) as process:
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    keys = redis_server.keys()
    assert len(keys) == 601
    assert all(0 < redis_server.cli("TTL", key) <= 86400 for key in keys)


def test_a_server_that_dies_is_said(redis_server: RedisServer) -> None:
    with running("--threads", "3", server=redis_server) as process:
        redis_server.kill()
        out, err = process.communicate(timeout=PATIENCE_S)
    redis_server.start()
    assert process.returncode == NOT_AVAILABLE and out == ""
    assert "connection refused" in err and "may be left" in err


def test_connections_that_are_cut_are_counted_and_made_again(redis_server: RedisServer) -> None:
    with running("--duration", "0.6", "--repeat", "1", server=redis_server) as process:
        redis_server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (DONE, FAILURES), err  # a load is simply repeated
    assert "keys left           0" in out and redis_server.keys() == []


@contextmanager
def a_server_that_says(words: bytes) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as client:
                        client.recv(1000)
                        client.sendall(words)

        threading.Thread(target=serve, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


def test_the_wrong_server_is_said() -> None:
    with a_server_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        _, err = run("read", "--url", url, "--timeout", "2", ends=NOT_AVAILABLE)
    assert err.startswith("coatcheck-bench: ") and len(err) < 400


def test_no_server_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _, err = run("read", "--url", f"redis://127.0.0.1:{port}", ends=NOT_AVAILABLE)
    assert "refused" in err and err.count("\n") == 1


def test_keys_of_others_are_never_touched(redis_server: RedisServer) -> None:
    redis_server.cli("SET", "app:s:mine", "1")
    redis_server.cli("SET", "elsewhere", "2")
    _, err = run("read", "--url", redis_server.url, "--prefix", "app:", ends=WRONG)
    assert "app:s:mine" in err and "take another prefix" in err
    run("read", "--url", redis_server.url, "--prefix", "other:", *SHORT)
    assert redis_server.keys() == [b"app:s:mine", b"elsewhere"]


def test_two_runs_do_not_share_a_prefix(redis_server: RedisServer) -> None:
    with running("--prefix", "mine:", server=redis_server) as process:
        _, err = run("read", "--url", redis_server.url, "--prefix", "mine:", ends=WRONG)
        assert "another coatcheck-bench" in err
        assert len(redis_server.keys()) == 601
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert redis_server.keys() == []


def test_a_run_whose_calls_are_in_a_hurry_cleans_up(redis_server: RedisServer) -> None:
    slow = Slow(redis_server.path, [0.2], b"\r\nSCAN\r\n")
    figures("read", "--url", slow.url, "--timeout", "0.1", "--sessions", "50", *SHORT)
    slow.close()
    assert redis_server.keys() == []


def test_what_no_session_may_hold_is_said(redis_server: RedisServer) -> None:
    for workload in ("read", "cache"):
        _, err = run(workload, "--url", redis_server.url, "--size", "2m", ends=WRONG)
        assert "max_bytes" in err and redis_server.keys() == []


def test_a_server_without_room_is_said(redis_server: RedisServer) -> None:
    redis_server.cli("CONFIG", "SET", "maxmemory", "2mb")
    try:
        args = ("--url", redis_server.url, "--size", "16k", "--sessions", "300")
        _, err = run("read", *args, ends=NOT_AVAILABLE)
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", "0")
    assert "cannot be stored" in err and redis_server.keys() == []


# ---- Other servers ------------------------------------------------------------------------------


def test_a_cluster() -> None:
    with cluster() as nodes:
        for workload in ("mixed", "cache"):
            found = figures(workload, "--url", nodes.url, "--sessions", "50", *SHORT)
            assert row(found)["count"] > 0 and found["keys_left"] == 0
        assert all(server.keys() == [] for server in nodes.servers)


def test_behind_sentinels() -> None:
    with sentinels(replicas=1, count=1) as nodes:
        found = figures("read", "--url", nodes.url, "--baseline", *SHORT)
        assert row(found, 1)["count"] > 0 and found["keys_left"] == 0


def test_the_baseline_has_the_credentials_and_the_database(redis_server: RedisServer) -> None:
    redis_server.cli("ACL", "SETUSER", "bench", "on", ">sesame", "~*", "&*", "+@all")
    try:
        args = ("read", "--baseline", *SHORT)
        who = {"COATCHECK_USERNAME": "bench", "COATCHECK_PASSWORD": "sesame"}
        out, _ = run(*args, "--url", f"{redis_server.url}?db=3", **who)
    finally:
        redis_server.cli("ACL", "DELUSER", "bench")
    assert "sesame" not in out and "db=3" in out


# ---- What is written ----------------------------------------------------------------------------


def test_csv_has_one_figure_in_a_line(redis_server: RedisServer) -> None:
    out, _ = run("mixed", "--url", redis_server.url, "--baseline", "--csv", "-", *SHORT)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {(line["side"], line["operation"]) for line in rows} == {
        (side, row)
        for side in ("coatcheck", "plain GET and SET")
        for row in ("read", "write", "all")
    }
    assert len(rows) == 2 * 3 * (7 + 7 + 9) and all(float(line["value"]) >= 0 for line in rows)


class Page(HTMLParser):
    """Notes what a page has, and that what it opens it closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.seen, self.text = list[str](), list[str](), ""
        self.links = list[str]()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href")
        ]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else(redis_server: RedisServer, tmp_path: Path) -> None:
    page, payload = tmp_path / "page.html", tmp_path / "<b>&.json"
    payload.write_text('{"a": 1}')
    page.write_text("what was there")
    args = ("--url", redis_server.url, "--baseline", "--payload", str(payload), *SHORT)
    out, _ = run("mixed", *args, "--html", str(page))
    assert "operations/s" in out
    found = Page(page.read_text())
    assert found.seen.count("svg") == 3 and "script" not in found.seen and found.links == []
    assert str(payload) in found.text and "http" not in page.read_text().replace("http-equiv", "")


def test_a_file_that_cannot_be_written_is_said(redis_server: RedisServer) -> None:
    args = ("--url", redis_server.url, *SHORT)
    assert "/no/such" in run("read", *args, "--json", "/no/such/file", ends=UNWRITTEN)[1]
    assert "cannot be written" in run("read", *args, "--csv", "/dev/full", ends=UNWRITTEN)[1]
    assert redis_server.keys() == []


def test_progress_is_for_terminals_only(redis_server: RedisServer) -> None:
    terminal, end = os.openpty()
    with ExitStack() as stack:
        stack.callback(os.close, terminal)
        args = [TOOL, "read", "--url", redis_server.url, "--duration", "0.6", "--repeat", "1"]
        subprocess.run(args, stdout=subprocess.DEVNULL, stderr=end, check=True, timeout=PATIENCE_S)
        os.close(end)
        shown = os.read(terminal, 1 << 16).decode()
    assert "warming up" in shown and "round 1 of 1" in shown and "operations/s" in shown
    assert shown.endswith("\r\x1b[K")
