"""Options from the environment: COATCHECK_<OPTION>, below the URL and below an argument."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from coatcheck import ConfigError, LimitExceeded, Store, aio
from coatcheck.store import is_given
from coatcheck.wsgi import SessionMiddleware
from conftest import RedisServer


def ttl_of_a_new_session(server: RedisServer, store: Store) -> int:
    with store:
        session = store.new()
        session["a"] = 1
        session.save()
    (key,) = server.records()
    return round(server.cli("PTTL", key) / 1000)


@pytest.fixture
def url(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COATCHECK_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_PREFIX", "env:")
    return redis_server.url


def test_a_store_wholly_from_the_environment(
    url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_IDLE", "100")
    assert ttl_of_a_new_session(redis_server, Store()) == 100
    assert redis_server.records()[0].startswith(b"env:s:")


def test_the_url_wins_over_the_environment(
    url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_IDLE", "100")
    assert ttl_of_a_new_session(redis_server, Store(url + "?idle=200")) == 200


def test_an_argument_wins_over_both(
    url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_IDLE", "100")
    store = Store(url + "?idle=200", idle=300)
    assert ttl_of_a_new_session(redis_server, store) == 300


def test_an_argument_that_lifts_an_option_wins_too(
    url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_IDLE", "100")
    store = Store(idle=None, lifetime=500)
    assert ttl_of_a_new_session(redis_server, store) == 500


@pytest.mark.parametrize(
    ("query", "variable", "options", "given"),
    [
        ("", None, {}, False),
        ("?idle=60", None, {}, True),
        ("?lifetime=60", None, {}, False),
        ("?lifetime=60&%69dle=60", None, {}, True),
        ("", "60", {}, True),
        ("", "", {}, False),
        ("", None, {"idle": 60}, True),
        ("", None, {"idle": None}, True),
    ],
)
def test_what_counts_as_given_is_what_a_store_takes(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    variable: str | None,
    options: dict[str, Any],
    given: bool,
) -> None:
    if variable is not None:
        monkeypatch.setenv("COATCHECK_IDLE", variable)
    with Store(url + query, **options) as store:
        assert (store.new().idle != 1800) is given
    assert is_given("idle", {"url": url + query, **options}) is given
    monkeypatch.setenv("COATCHECK_URL", url + query)
    assert is_given("idle", options) is given


def test_none_is_no_value_where_it_lifts_nothing(url: str) -> None:
    assert not is_given("lifetime", {"lifetime": None})


def test_none_in_the_environment_lifts_an_option(
    url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_IDLE", "none")
    monkeypatch.setenv("COATCHECK_LIFETIME", "500")
    assert ttl_of_a_new_session(redis_server, Store()) == 500


def test_limits_from_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COATCHECK_MAX_BYTES", "1000")
    with Store() as store, pytest.raises(LimitExceeded):
        store.new()["a"] = "x" * 1000


def test_a_wrong_value_names_the_variable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COATCHECK_IDLE", "soon")
    with pytest.raises(ConfigError, match=r"(?i)idle.*soon|soon.*idle"):
        Store()


def test_a_password_from_the_environment_is_in_no_message(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_PASSWORD", "sesame")
    with Store() as store, pytest.raises(ConfigError) as caught:
        store.ping()
    assert "sesame" not in str(caught.value)


def test_the_environment_is_read_when_the_store_is_made(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_URL", redis_server.url)
    monkeypatch.setenv("COATCHECK_PREFIX", "env:")
    with Store() as store:
        monkeypatch.setenv("COATCHECK_URL", "redis://elsewhere")
        store.ping()


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("COATCHECK_IDEL", "did you mean idle?"),
        ("COATCHECK_MAX_CONNECTION", "did you mean max_connections?"),
        ("COATCHECK_idle", "no such option.*COATCHECK_IDLE"),
        ("COATCHECK_ID_6379_TCP", "no such option"),
        ("COATCHECK_" + 200 * "A", "no such option"),
    ],
)
def test_a_variable_that_is_no_options_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch, variable: str, advice: str
) -> None:
    monkeypatch.setenv(variable, "sesame")
    with pytest.raises(
        ConfigError, match=f"the environment: {variable[:60]}.*({advice})"
    ) as caught:
        Store()
    assert "sesame" not in str(caught.value)


def test_one_that_says_nothing_and_one_of_others_are_not(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_IDEL", "")
    monkeypatch.setenv("COATCHECKED_IDLE", "1")
    monkeypatch.setenv("COATCHECK_SERVICE_HOST", "10.0.0.1")  # as Kubernetes does
    monkeypatch.setenv("COATCHECK_PORT", "tcp://10.0.0.1:6379")
    monkeypatch.setenv("COATCHECK_PORT_6379_TCP_ADDR", "10.0.0.1")
    Store().close()


# ---- Lifetimes that are none ----------------------------------------------------------------

LIFETIMES = ["idle", "lifetime", "anonymous_idle", "renew", "grace", "stale", "lock_ttl"]
MAY_BE_ZERO = ["grace", "stale"]
NO_LIFETIMES = [
    *(-0.001, -1, -1.5, -1800, -(2**31), -(2**31) - 1, -(2**32) + 1, -(2**63), -(2**63) - 1),
    *(2**31, 2**32, 2**32 + 1800, 2**63 - 1, 2**63, 2**64, 2**64 + 1800, 10**30, 1e300),
]


def in_the_url(url: str, name: str, value: float) -> Store:
    return Store(f"{url}?{name}={value}", prefix="env:")


def in_the_environment(url: str, name: str, value: float) -> Store:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COATCHECK_" + name.upper(), str(value))
        return Store(url, prefix="env:")


def as_an_argument(url: str, name: str, value: Any) -> Store:
    return Store(url, prefix="env:", **{name: value})


def as_a_timedelta(url: str, name: str, value: float) -> Store:
    try:
        duration = timedelta(seconds=value)
    except OverflowError:
        raise ConfigError(f"{name} cannot even be said") from None
    return Store(url, prefix="env:", **{name: duration})  # type: ignore[arg-type]


def of_a_middleware(url: str, name: str, value: Any) -> Store:
    return SessionMiddleware(print, url, prefix="env:", **{name: value}).store


def with_asyncio(url: str, name: str, value: Any) -> aio.Store:
    return aio.Store(url, prefix="env:", **{name: value})


WAYS: list[Callable[[str, str, Any], Any]] = [
    in_the_url,
    in_the_environment,
    as_an_argument,
    as_a_timedelta,
    of_a_middleware,
    with_asyncio,
]


@pytest.mark.parametrize("name", LIFETIMES)
@pytest.mark.parametrize("way", WAYS)
def test_req_23_what_is_no_lifetime_is_refused_whoever_says_it(
    url: str, name: str, way: Callable[..., Any]
) -> None:
    zero = [] if name in MAY_BE_ZERO else [0, 0.0]
    for value in [*zero, *NO_LIFETIMES]:
        with pytest.raises(ConfigError, match=name):
            way(url, name, value)
            pytest.fail(f"{name}={value} is taken")


@pytest.mark.parametrize("way", [w for w in WAYS if w is not with_asyncio])
def test_req_23_the_shortest_and_the_longest_lifetimes_are_right(
    url: str, redis_server: RedisServer, way: Callable[..., Store]
) -> None:
    for name, value, right in [
        ("idle", 1, 1),
        ("idle", 2**31 - 1, 12 * 3600),  # then the other one counts
        ("lifetime", 1, 1),
        ("lifetime", 34_560_000, 1800),
        ("anonymous_idle", 2**31 - 1, 12 * 3600),
    ]:
        redis_server.cli("FLUSHALL")
        with way(url, name, value) as store:
            session = store.new()
            session["a"] = 1
            session.save()
        with suppress(ValueError):  # one of a second may be over already
            (key,) = redis_server.records()
            left = redis_server.cli("PTTL", key) / 1000
            assert right - 5 < left <= right, name
