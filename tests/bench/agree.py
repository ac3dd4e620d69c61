"""Does coatcheck-bench find what redis-benchmark finds? The same value read by plain GET, by as
many connections, on a server of its own, in turns. Prints the throughput of both with the quartiles
of the rounds, and their ratio.

    python3 tests/bench/agree.py build/bin/coatcheck-bench [--rounds N] [--seconds S]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SIZE, PREFIX = "512", "agree:"


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ours(tool: str, socket: str, connections: int, seconds: float) -> float:
    """Operations per second of the baseline; as a workload, reads of one entry of a cache."""
    one_value = ("--sessions", "1", "--fields", "1", "--values", "bytes", "--size", SIZE)
    times = ("--duration", str(seconds), "--repeat", "1", "--warm-up", "0.2")
    found = output_of(
        *(tool, "cache", "--ratio", "1:0", "--baseline", "--url", f"unix:{socket}", *one_value),
        *("--threads", str(connections), "--prefix", PREFIX, "--json", "-", *times),
    )
    return float(json.loads(found)["sides"][1]["rows"][-1]["ops_per_s"]["median"])


def theirs(socket: str, connections: int, requests: int) -> float:
    """The value is as long as what the other has stored."""
    found = output_of(
        *("redis-benchmark", "-s", socket, "-c", str(connections), "-n", str(requests), "--csv"),
        *("GET", "value"),
    )
    return float(found.splitlines()[-1].split(",")[1].strip('"'))


def length_of_an_entry(tool: str, socket: str) -> int:
    """Seen while a run is under way."""
    args = ("--sessions", "1", "--fields", "1", "--values", "bytes", "--size", SIZE, "--baseline")
    running = subprocess.Popen(
        [tool, "cache", "--url", f"unix:{socket}", "--prefix", PREFIX, *args],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not (
            length := int(output_of("redis-cli", "-s", socket, "STRLEN", f"{PREFIX}baseline:0"))
        ):
            time.sleep(0.02)
    finally:
        running.terminate()
        running.wait()
    return length


def said(values: list[float], form: str) -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:{form}} ({low:{form}}..{high:{form}})"


def compare(tool: str, socket: str, connections: int, rounds: int, seconds: float) -> None:
    found: list[tuple[float, float]] = []
    requests = int(theirs(socket, connections, 20000) * seconds)
    for number in range(rounds):
        turns = [
            lambda: ours(tool, socket, connections, seconds),
            lambda: theirs(socket, connections, requests),
        ]
        values = [turn() for turn in (turns if number % 2 else turns[::-1])]
        found.append((values[0], values[1]) if number % 2 else (values[1], values[0]))
    print(
        f"{connections:11} {said([one for one, _ in found], '.0f'):28}"
        f" {said([other for _, other in found], '.0f'):28}"
        f" {said([one / other for one, other in found], '.3f')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agree-") as folder:
        socket = str(Path(folder) / "redis.sock")
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not Path(socket).exists():
                time.sleep(0.02)
            value = "x" * length_of_an_entry(asked.tool, socket)
            output_of("redis-cli", "-s", socket, "SET", "value", value)
            print(f"GET of {len(value)} bytes, operations per second, {asked.rounds} rounds")
            print("connections coatcheck-bench              redis-benchmark              ratio")
            for connections in (1, 2, 8):
                compare(asked.tool, socket, connections, asked.rounds, asked.seconds)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
