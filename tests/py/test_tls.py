"""TLS from Python: rediss://, the options of it, and what is refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from coatcheck import ConfigError, Store, StoreUnavailable, aio
from conftest import RedisServer
from faults import Loop, Proxy, Transport

CERTS = Path(__file__).parents[1] / "certs.sh"
PATIENCE_S = 60
SECRET = "SECRET-of-the-key"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    subprocess.run(["sh", str(CERTS), str(directory)], check=True, timeout=PATIENCE_S)
    return directory


@pytest.fixture(scope="module")
def tls_url(certs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that wants a certificate of its clients."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    files = {"cert-file": "server.crt", "key-file": "server.key", "ca-cert-file": "ca.crt"}
    options = [word for name in files for word in (f"--tls-{name}", str(certs / files[name]))]
    server = RedisServer(
        str(tmp_path_factory.mktemp("tls")),
        "--tls-port",
        str(port),
        "--bind",
        "127.0.0.1",
        *options,
    )
    server.start()
    yield f"rediss://localhost:{port}"
    server.stop()


def store(url: str, **options: str) -> Store:
    return Store(url, prefix="test:", timeout=10, **options)  # type: ignore[arg-type]


def test_a_session_goes_there_and_back(tls_url: str, certs: Path) -> None:
    with store(
        tls_url,
        tls_ca_file=str(certs / "ca.crt"),
        tls_cert_file=str(certs / "client.crt"),
        tls_key_file=str(certs / "locked.key"),
        tls_key_password="secret",
        tls_min_version="1.3",
    ) as tls:
        session = tls.new()
        session["cart"] = ["tea"]
        loaded = tls.load(session.save())
        assert loaded is not None
        assert loaded["cart"] == ["tea"]


def test_the_options_may_stand_in_the_url(tls_url: str, certs: Path) -> None:
    url = f"{tls_url}?tls_ca_file={certs / 'ca.crt'}&tls_cert_file={certs / 'client.pem'}"
    with store(url) as tls:
        assert tls.load("A" * 43) is None


def test_the_options_may_come_from_the_environment(
    tls_url: str, certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_TLS_CA_FILE", str(certs / "ca.crt"))
    monkeypatch.setenv("COATCHECK_TLS_CERT_FILE", str(certs / "client.pem"))
    with store(tls_url) as tls:
        assert tls.load("A" * 43) is None


def test_req_66_an_authority_that_nobody_trusts_is_refused(tls_url: str) -> None:
    with store(tls_url) as tls, pytest.raises(StoreUnavailable, match="tls_ca_file") as raised:
        tls.load("A" * 43)
    assert raised.value.code == "ca"


def test_req_66_another_name_is_refused(tls_url: str, certs: Path) -> None:
    other = store(tls_url, tls_ca_file=str(certs / "ca.crt"), tls_server_name="other.example")
    with other, pytest.raises(StoreUnavailable, match=r"other\.example") as raised:
        other.load("A" * 43)
    assert raised.value.code == "name"


def test_req_66_a_client_without_a_certificate_is_told_why(tls_url: str, certs: Path) -> None:
    stranger = store(tls_url, tls_ca_file=str(certs / "ca.crt"))
    with stranger, pytest.raises(StoreUnavailable, match="tls_cert_file") as raised:
        stranger.load("A" * 43)
    assert raised.value.code == "client"


def test_a_file_that_is_not_there_is_a_mistake_of_the_settings(tls_url: str) -> None:
    lost = store(tls_url, tls_ca_file="/nowhere/ca.pem")
    with lost, pytest.raises(ConfigError, match=r"tls_ca_file.*/nowhere/ca.pem does not exist"):
        lost.load("A" * 43)


@pytest.mark.parametrize("option", ["tls_ca_file", "tls_ca_dir", "tls_cert_file", "tls_key_file"])
def test_asyncio_names_the_file_that_is_not_there(tls_url: str, certs: Path, option: str) -> None:
    files = {
        "tls_ca_file": str(certs / "ca.crt"),
        "tls_cert_file": str(certs / "client.crt"),
        "tls_key_file": str(certs / "client.key"),
        option: "/nowhere/it.pem",
    }

    async def main() -> None:
        async with aio.Store(tls_url, prefix="test:", timeout=10, **files) as store:  # type: ignore[arg-type]
            with pytest.raises(ConfigError, match=rf"option {option}: /nowhere/it.pem .*No such"):
                await store.ping()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "options", "advice"),
    [
        ("redis://h", {"tls_ca_file": "/a"}, "rediss://"),
        ("redis://h", {"tls_min_version": "1.3"}, "rediss://"),
        ("unix:/a", {"tls_server_name": "h"}, "rediss://"),
        ("rediss://h", {"tls_key_file": "/a"}, "tls_cert_file"),
        ("rediss://h", {"tls_key_password": SECRET}, "tls_cert_file"),
        ("rediss://h", {"tls_min_version": "1.1"}, "1.2 or 1.3"),
        ("rediss://h", {"tls_server_name": "h" * 300}, "tls_server_name"),
        ("rediss://h", {"tls_verify": "0"}, "there is no option"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    url: str, options: dict[str, str], advice: str
) -> None:
    with pytest.raises(ConfigError, match=advice) as raised:
        store(url, **options)
    assert SECRET not in str(raised.value)


def test_req_51_the_password_of_the_key_is_in_no_message(tls_url: str, certs: Path) -> None:
    locked = store(
        tls_url,
        tls_ca_file=str(certs / "ca.crt"),
        tls_cert_file=str(certs / "client.crt"),
        tls_key_file=str(certs / "locked.key"),
        tls_key_password=SECRET,
    )
    with locked, pytest.raises(ConfigError, match="does not open it") as raised:
        locked.load("A" * 43)
    assert SECRET not in str(raised.value)
    assert SECRET not in repr(locked)


def test_pythons_own_tls_sees_no_error_of_ours(tls_url: str, certs: Path) -> None:
    port = int(tls_url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=str(certs / "ca.crt"))
    context.load_cert_chain(certs / "client.pem")
    with (
        store(tls_url) as tls,
        socket.create_connection(("localhost", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                tls.load("A" * 43)
            wrapped.sendall(b"PING\r\n")
            assert wrapped.recv(100) == b"+PONG\r\n"


# ---- asyncio, with Python's ssl ------------------------------------------------------------


async def ping_and_back(url: str, **options: str) -> None:
    async with aio.Store(url, prefix="test:", timeout=10, **options) as store:  # type: ignore[arg-type]
        session = store.new()
        session["cart"] = ["tea"]
        loaded = await store.load(await session.save() or "")
        assert loaded is not None and loaded["cart"] == ["tea"]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_asyncio_takes_the_same_options(tls_url: str, certs: Path, new_loop: Any) -> None:
    options = {
        "tls_ca_file": str(certs / "ca.crt"),
        "tls_cert_file": str(certs / "client.crt"),
        "tls_key_file": str(certs / "locked.key"),
        "tls_key_password": "secret",
        "tls_min_version": "1.3",
    }
    with closing(new_loop()) as loop:
        loop.run_until_complete(ping_and_back(tls_url, **options))
        loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.parametrize(
    ("options", "codes", "advice"),
    [
        ({"tls_cert_file": "client.pem"}, {"ca"}, "no authority.*tls_ca_file"),
        (
            {"tls_cert_file": "client.pem", "tls_ca_file": "ca.crt", "tls_server_name": "b.test"},
            {"name"},
            r"not for b\.test.*tls_server_name",
        ),
        # What the server says of it may be overtaken by the end of the connection.
        ({"tls_ca_file": "ca.crt"}, {"client", "reset", "closed"}, "tls_cert_file"),
    ],
)
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_req_66_asyncio_says_who_refuses_whom(
    tls_url: str, certs: Path, new_loop: Any, options: dict[str, str], codes: set[str], advice: str
) -> None:
    options = {
        name: str(certs / value) if name.endswith("_file") else value
        for name, value in options.items()
    }
    with (
        closing(new_loop()) as loop,
        pytest.raises(StoreUnavailable, match=advice) as caught,
    ):
        loop.run_until_complete(ping_and_back(tls_url, **options))
    assert caught.value.code in codes


@pytest.mark.parametrize(
    ("certificate", "code", "advice"),
    [
        ("expired", "expired", "has expired"),
        ("stranger", "ca", "no authority"),
        ("self", "ca", "no authority"),
        ("other", "name", "not for localhost"),
    ],
)
@pytest.mark.parametrize("face", ["blocking", "asyncio"])
def test_req_66_the_reason_for_which_a_certificate_is_refused_is_said(
    certs: Path, certificate: str, code: str, advice: str, face: str
) -> None:
    trusted = {"tls_ca_file": str(certs / "ca.crt")}
    with (
        presenting(certs, certificate) as url,
        pytest.raises(StoreUnavailable, match=advice) as caught,
    ):
        if face == "asyncio":
            asyncio.run(ping_and_back(url, **trusted))
        else:
            with store(url, **trusted) as tls:
                tls.ping()
    assert caught.value.code == code


@contextmanager
def presenting(certs: Path, name: str) -> Iterator[str]:
    """The URL of a port with this certificate; what comes after the handshake does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs / f"{name}.crt", certs / f"{name}.key")
    with closing(Loop()) as loop:
        proxy = Proxy(loop, "/nowhere", Transport("tls", "rediss", (), lambda: context))
        yield f"rediss://localhost:{proxy.port}"
        proxy.close()


def test_asyncio_asks_nobody_for_the_password_of_a_key(tls_url: str, certs: Path) -> None:
    options = {
        "tls_cert_file": str(certs / "client.crt"),
        "tls_key_file": str(certs / "locked.key"),
    }
    for password in ({}, {"tls_key_password": SECRET}):
        with pytest.raises(ConfigError) as caught:
            asyncio.run(ping_and_back(tls_url, **options, **password))
        assert SECRET not in str(caught.value)
