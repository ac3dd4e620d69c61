"""The user that the guide tells an administrator to make: enough, and nothing too much."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from coatcheck import Store, StoreDenied
from conftest import RedisServer, documented_acl, wait_for_a_later_ms

COMMANDS = [word[1:] for word in documented_acl() if word.startswith("+")]


@pytest.fixture
def documented_user(redis_server: RedisServer) -> Iterator[RedisServer]:
    redis_server.cli(*documented_acl())
    yield redis_server
    redis_server.cli("ACL", "DELUSER", "shop")


def open_store(server: RedisServer, prefix: str = "shop:", **options: str) -> Store:
    return Store(
        server.url,
        prefix=prefix,
        username="shop",
        password="secret",
        touch_below=1,
        max_sessions=1,
        **options,  # type: ignore[arg-type]
    )


def create_and_load(store: Store) -> None:
    session = store.new()
    session["cart"] = []
    assert store.load(session.save() or "") == {"cart": []}


def touch(store: Store) -> None:
    session = store.new()
    session["cart"] = []
    session.save()
    again = store.load(session.id or "")
    assert again is not None
    wait_for_a_later_ms()
    again.save()


def change_at_once(store: Store) -> None:
    session = store.new()
    session["cart"] = []
    session.save()
    one, other = store.load(session.id or ""), store.load(session.id or "")
    assert one is not None and other is not None
    one["a"] = other["b"] = 1
    one.save()
    other.save()
    assert store.load(session.id or "") == {"cart": [], "a": 1, "b": 1}


def login_rotate_logout(store: Store) -> None:
    session = store.new()
    session["cart"] = []
    session.save()
    session.login("user:42", carry="all")
    session.save()
    session.rotate()
    session.save()
    assert session.destroy() is True


def login_at_the_cap(store: Store) -> None:
    for _ in range(2):
        session = store.new()
        session.login("user:7", carry="all")
        session.save()


def list_and_destroy_all(store: Store) -> None:
    login_at_the_cap(store)
    (info,) = store.sessions("user:7")
    assert store.destroy_one("user:7", info.public_id) is True
    assert store.destroy_all("user:7") == (0, False)


def ping(store: Store) -> None:
    store.ping()


USES: list[Callable[[Store], None]] = [
    create_and_load,
    touch,
    change_at_once,
    login_rotate_logout,
    login_at_the_cap,
    list_and_destroy_all,
    ping,
]


@pytest.mark.parametrize("use", USES)
def test_req_67_the_documented_user_is_enough(
    documented_user: RedisServer, use: Callable[[Store], None]
) -> None:
    for _ in range(2):  # with scripts that the server does not know yet, and with those it does
        documented_user.cli("SCRIPT", "FLUSH")
        with open_store(documented_user) as store:
            use(store)
            use(store)


@pytest.mark.parametrize("command", COMMANDS)
def test_req_67_no_command_of_the_line_is_too_much(
    documented_user: RedisServer, command: str
) -> None:
    documented_user.cli("ACL", "SETUSER", "shop", f"-{command}")
    documented_user.cli("SCRIPT", "FLUSH")
    denied = 0
    with open_store(documented_user) as store:
        for use in USES:
            try:
                use(store)
            except StoreDenied as exc:
                assert exc.code == "NOPERM"
                denied += 1
    assert denied > 0


def test_req_67_the_line_opens_no_keys_of_others(documented_user: RedisServer) -> None:
    with open_store(documented_user, "other:") as store, pytest.raises(StoreDenied) as caught:
        create_and_load(store)
    assert caught.value.code == "NOPERM"


def test_another_database_needs_select(documented_user: RedisServer) -> None:
    with Store(
        f"{documented_user.url}?db=1", prefix="shop:", username="shop", password="secret"
    ) as store:
        with pytest.raises(StoreDenied) as caught:
            store.ping()
        assert caught.value.code == "NOPERM"
        documented_user.cli("ACL", "SETUSER", "shop", "+select")
        store.ping()


# What a connection asks for at its beginning is optional, and so are the topology's questions.
OPTIONAL = ("+info", "+client", "+role", "+cluster")


def test_req_67_what_is_optional_is_not_needed(documented_user: RedisServer) -> None:
    assert not set(OPTIONAL) & set(documented_acl())
    with documented_user.monitor() as seen, open_store(documented_user) as store:
        ping(store)
    assert [words[0] for words in seen][-1:] == ["PING"]


def carried_out(server: RedisServer) -> set[str]:
    """Which commands, since CONFIG RESETSTAT. MONITOR of Redis 6.2 shows none that administer."""
    lines = server.cli("INFO", "commandstats").decode()
    return set(re.findall(r"^cmdstat_(\w+).*:calls=[1-9]", lines, re.MULTILINE))


@pytest.mark.parametrize("permission", OPTIONAL[:2])
def test_req_67_what_is_optional_is_asked_of_who_may(
    documented_user: RedisServer, permission: str
) -> None:
    documented_user.cli("ACL", "SETUSER", "shop", permission)
    documented_user.cli("CONFIG", "RESETSTAT")
    with open_store(documented_user) as store:
        ping(store)
    assert permission[1:] in carried_out(documented_user)
