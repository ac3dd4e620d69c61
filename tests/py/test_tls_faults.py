"""TLS whose own bytes are harmed on their way: the handshake, and the records after it.

Unlike the proxy of test_faults.py, which ends TLS itself, this one stands before a server with TLS
and sees what passes on the wire.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from coatcheck import Store, StoreUnavailable
from conftest import wait_for
from drivers import DRIVERS, Client
from faults import ALWAYS, Fault, Kind, Loop, Proxy, Side
from test_faults import EVERY_BYTE
from topologies import Node, Starter, make_certs

MARGIN_S = 1.0  # for a busy machine; test_faults.py is strict about it
STEP = 3 if EVERY_BYTE else 131


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def server(certs: Path) -> Iterator[Node]:
    with Starter() as starter:
        yield starter.node(certs=certs)


class Wire:
    """A server with TLS behind a proxy that cannot read it, and a session there."""

    def __init__(self, loop: Loop, server: Node, certs: Path, driver: str) -> None:
        self.proxy = Proxy(loop, server.port)
        self.ca = str(certs / "ca.crt")
        self.driver = driver
        self.count = 0
        with Store(server.url, prefix="wire:") as truth:
            session = truth.new()
            session["note"] = "mine"
            self.id = session.save() or ""

    def open(self, timeout: float) -> Client:
        self.count += 1  # each with connections of its own
        return DRIVERS[self.driver](
            f"rediss://localhost:{self.proxy.port}",
            prefix="wire:",
            timeout=str(timeout),
            connect_timeout=str(timeout),
            tls_ca_file=self.ca,
            max_idle=str(100 + self.count),
        )

    def note(self, timeout: float) -> str | None:
        """As a client reads it that has yet to connect."""
        client = self.open(timeout)
        try:
            held = client.load(self.id)
            return None if held is None else held.note
        finally:
            client.close()

    def sizes(self) -> dict[Side, int]:
        self.proxy.arm(None)
        assert self.note(5) == "mine"
        return {
            "request": len(self.proxy.passed("request")),
            "reply": len(self.proxy.passed("reply")),
        }


@pytest.fixture(params=DRIVERS)
def wire(
    request: pytest.FixtureRequest,
    loop: Loop,
    server: Node,
    certs: Path,
) -> Iterator[Wire]:
    wire = Wire(loop, server, certs, request.param)
    yield wire
    wire.proxy.close()


@pytest.mark.parametrize("kind", ["cut", "reset", "stall", "trickle", "double"])
def test_req_60_66_69_tls_that_is_harmed_anywhere_fails_closed(wire: Wire, kind: Kind) -> None:
    timeout = 0.3 if kind == "stall" else 1.0
    thin = 1 if kind in ("cut", "reset") or EVERY_BYTE else 4
    for side, size in wire.sizes().items():
        for at in range(0, size, STEP * thin):
            wire.proxy.arm(Fault(kind, side, at, times=ALWAYS))
            began = time.monotonic()
            try:
                note = wire.note(timeout)
            except StoreUnavailable:
                assert kind != "trickle", f"at byte {at} of the {side}"
            else:
                assert note == "mine", f"at byte {at} of the {side}"
            assert time.monotonic() - began < timeout + MARGIN_S, f"at byte {at} of the {side}"
            assert wire.proxy.hits > 0 or at > 0.8 * size
    wire.proxy.disarm()
    wait_for(lambda: wire.note(5) == "mine", "the way to be healthy")
