"""A session as a mapping, and its life in the hands of a program without middleware."""

from __future__ import annotations

import collections.abc
import copy
import operator
import pickle
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from coatcheck import Conflict, NotStorable, Session, SessionGone, Store, StoreUnavailable, aio
from conftest import RedisServer, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def session(store: Store) -> Session:
    return store.new()


def reloaded(store: Store, session: Session) -> Session:
    session_id = session.save()
    assert session_id is not None
    again = store.load(session_id)
    assert again is not None
    return again


# ---- A mapping -----------------------------------------------------------------------------


def test_it_is_a_mutable_mapping_and_no_dict(session: Session) -> None:
    assert isinstance(session, Session)
    assert isinstance(session, collections.abc.MutableMapping)
    assert not isinstance(session, dict)


def test_only_a_store_makes_one() -> None:
    with pytest.raises(TypeError, match="store"):
        Session()


METHODS: list[Callable[[Any], Any]] = [
    len,
    list,
    dict,
    bool,
    lambda m: list(reversed(m)),
    lambda m: list(m.keys()),
    lambda m: list(m.values()),
    lambda m: list(m.items()),
    lambda m: m["a"],
    lambda m: m["none"],
    lambda m: m[5],
    lambda m: m.get("a"),
    lambda m: m.get("none"),
    lambda m: m.get("none", 5),
    lambda m: m.get(5),
    lambda m: "a" in m,
    lambda m: "none" in m,
    lambda m: 5 in m,
    lambda m: m.pop("a"),
    lambda m: m.pop("none"),
    lambda m: m.pop("none", 7),
    lambda m: m.popitem(),
    lambda m: m.clear(),
    lambda m: m.setdefault("a", 9),
    lambda m: m.setdefault("new", [9]),
    lambda m: m.setdefault("new"),
    lambda m: m.update({"a": 9, "z": 8}),
    lambda m: m.update([("y", 1)], x=2),
    lambda m: m.update(),
    lambda m: m.__setitem__("a", 5),
    lambda m: m.__delitem__("a"),
    lambda m: m.__delitem__("none"),
    lambda m: m.copy(),
    lambda m: m | {"a": 0, "q": 1},
    lambda m: {"a": 0, "q": 1} | m,
    lambda m: operator.ior(m, {"q": 1}) is m,
    lambda m: operator.ior(m, [("q", 1)]) is m,
    lambda m: m | [("q", 1)],
    lambda m: m == {"a": 1, "b": [2], "c": (3, {"d": None})},
    lambda m: m == {"a": 1},
    lambda m: m == 5,
    lambda m: m != {"a": 1},
    lambda m: {**m},
]


@pytest.mark.parametrize("use", METHODS, ids=range(len(METHODS)))
@pytest.mark.parametrize("stored", [False, True])
def test_it_does_what_a_dict_does(
    store: Store, session: Session, use: Callable[[Any], Any], stored: bool
) -> None:
    def outcome(mapping: Any) -> Any:
        try:
            return use(mapping), dict(mapping)
        except (KeyError, TypeError) as exc:
            return type(exc), dict(mapping)

    fields = {"a": 1, "b": [2], "c": (3, {"d": None})}
    session.update(fields)
    if stored:
        session = reloaded(store, session)
    assert outcome(session) == outcome(copy.deepcopy(fields))


def test_an_empty_one_has_nothing_to_pop(session: Session) -> None:
    with pytest.raises(KeyError):
        session.popitem()
    assert not session


def test_sessions_are_equal_by_what_they_hold(store: Store) -> None:
    one, two = store.new(), store.new()
    assert one == two
    one["a"], two["a"] = [1], [1]
    assert one == two
    two["a"].append(2)
    assert one != two


def test_it_has_no_hash_as_a_dict_has_none(session: Session) -> None:
    with pytest.raises(TypeError):
        hash(session)


def test_the_operators_with_a_dict_give_a_plain_dict(session: Session) -> None:
    session["a"] = 1
    assert type(session | {"b": 2}) is dict
    assert type({"b": 2} | session) is dict
    assert type(session.copy()) is dict


def test_changing_it_while_walking_over_it_is_an_error(session: Session) -> None:
    session.update(a=1, b=2)
    with pytest.raises(RuntimeError):
        for name in session:
            del session[name]


def test_a_field_is_one_object(store: Store, session: Session) -> None:
    session["a"] = value = [1]
    assert session["a"] is session["a"] is value
    again = reloaded(store, session)
    assert again["a"] is again["a"] is again.get("a")


@pytest.mark.parametrize("name", [5, None, b"a", ("a",)])
def test_a_field_has_a_name_that_is_text(session: Session, name: Any) -> None:
    with pytest.raises(NotStorable, match="name of a field"):
        session[name] = 1
    assert len(session) == 0


def test_a_refused_update_leaves_the_refused_field_alone(session: Session) -> None:
    session["a"] = [1]
    with pytest.raises(NotStorable, match=r"session\['a'\]\[1\]"):
        session["a"] = [1, object()]
    assert session == {"a": [1]}


def test_it_cannot_be_pickled(session: Session) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(session)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
verbs = st.sampled_from(["set", "delete", "append", "save", "load"])
steps = st.lists(st.tuples(verbs, st.sampled_from("abc"), values), max_size=12)


@settings(max_examples=60)
@given(steps)
def test_it_keeps_what_a_dict_would_keep(store: Store, steps: list[Any]) -> None:
    model: dict[str, Any] = {}
    session: Any = store.new()
    for verb, name, value in steps:
        if verb == "set":
            session[name] = value
            model[name] = copy.deepcopy(value)
        elif verb == "delete":
            assert session.pop(name, None) == model.pop(name, None)
        elif verb == "append" and type(model.get(name)) is list:
            session[name].append(1)
            model[name].append(1)
        elif verb == "save":
            session.save()
        elif verb == "load" and session.save() is not None:
            session = store.load(session.id)
        assert session == model
        assert list(session) == list(model)


# ---- What it tells about itself ------------------------------------------------------------


def test_a_new_one_has_no_id_and_no_times(session: Session) -> None:
    assert (session.new, session.modified, session.stale) == (True, False, False)
    assert (session.id, session.public_id, session.principal) == (None, None, None)
    assert (session.created, session.deadline) == (None, None)


def test_a_stored_one_has_aware_times(session: Session) -> None:
    session["a"] = 1
    assert session.modified
    before = datetime.now(timezone.utc) - timedelta(milliseconds=1)
    session.save()
    assert not session.new and not session.modified
    assert session.created is not None and session.deadline is not None
    assert before <= session.created <= datetime.now(timezone.utc)
    assert session.created.tzinfo is timezone.utc
    assert session.deadline == session.created + timedelta(hours=12)


def test_req_51_its_repr_shows_neither_id_nor_fields(store: Store, session: Session) -> None:
    assert repr(session) == "<Session, not looked at>"
    session["secret"] = "sesame"
    assert repr(session) == "<Session, new>"
    session_id = session.save()
    assert session_id is not None
    text = repr(session)
    assert text == f"<Session {session.public_id}>"
    assert session_id not in text and "sesame" not in text


def test_its_repr_loads_nothing() -> None:
    with Store("unix:/nonexistent/s", prefix="test:") as nowhere:
        assert repr(nowhere.session("A" * 43)) == "<Session, not looked at>"


def test_a_deadline_beyond_the_last_datetime_is_the_last(
    store: Store, redis_server: RedisServer
) -> None:
    session = store.new()
    session["a"] = 1
    session_id = session.save()
    (key,) = redis_server.records()
    redis_server.cli("SETRANGE", key, 96, (2**53 - 1).to_bytes(8, "big"))
    loaded = store.load(session_id or "")
    assert loaded is not None and loaded.deadline_ms == 2**53 - 1
    assert loaded.deadline == datetime(9999, 12, 31, 23, 59, 59, 999000, timezone.utc)


@pytest.mark.parametrize("name", ["id", "new", "modified", "principal", "created", "public_id"])
def test_what_it_tells_cannot_be_set(session: Session, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(session, name, "x")


def test_idle_can_be_set_for_one_session(store: Store, redis_server: RedisServer) -> None:
    session = store.new()
    session["a"] = 1
    session.idle = 60
    again = reloaded(store, session)
    (key,) = redis_server.records()
    assert 50 < redis_server.cli("TTL", key) <= 60
    assert again.idle == 60
    again.idle = None
    assert reloaded(store, again).idle is None
    assert redis_server.cli("TTL", key) > 43000


@pytest.mark.parametrize(
    "idle",
    [
        *(0, -1, -1800, -(2**31), -(2**63), 2**31, 2**32 + 1800, 2**63, 2**64 + 1800, 10**30),
        *(0.0, -0.5, 1e300, float("nan"), float("inf"), float("-inf")),
    ],
    ids=repr,
)
def test_req_23_idle_has_bounds(session: Session, idle: Any) -> None:
    with pytest.raises(ValueError, match="idle"):
        session.idle = idle


# ---- Saving, and what others did meanwhile --------------------------------------------------


def test_nothing_changed_means_nothing_is_sent(store: Store, redis_server: RedisServer) -> None:
    session = store.new()
    session["a"] = [1]
    session = reloaded(store, session)
    with redis_server.monitor() as seen:
        session["a"].append(2)
        session["a"].pop()
        session["b"] = 1
        del session["b"]
        assert not session.modified
        session.save()
    assert seen == []


def test_changes_of_two_requests_are_both_kept(store: Store, session: Session) -> None:
    session.update(kept=[0], gone=1)
    one = reloaded(store, session)
    two = reloaded(store, session)
    one["one"] = 1
    two["two"] = 2
    del two["gone"]
    two["kept"].append(1)
    one.save()
    two.save()
    assert two == reloaded(store, two) == {"kept": [0, 1], "one": 1, "two": 2}


@pytest.mark.parametrize(("policy", "winner"), [("mine", "two"), ("theirs", "one")])
def test_one_field_of_two_requests_goes_by_the_policy(
    redis_server: RedisServer, policy: Any, winner: str
) -> None:
    with Store(redis_server.url, prefix="test:", on_conflict=policy) as store:
        session = store.new()
        session["who"] = "none"
        one, two = reloaded(store, session), reloaded(store, session)
        one["who"], two["who"] = "one", "two"
        one.save()
        two.save()
        assert two["who"] == reloaded(store, two)["who"] == winner
        assert store.stats()["coatcheck_conflicts_total"] == 1


def test_the_policy_raise_names_the_field_and_writes_nothing(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:", on_conflict="raise") as store:
        session = store.new()
        session["who"] = "none"
        one, two = reloaded(store, session), reloaded(store, session)
        one["who"], two["who"] = "one", "two"
        one.save()
        with pytest.raises(Conflict, match="who") as caught:
            two.save()
        assert "who" in caught.value.path
        assert reloaded(store, one)["who"] == "one"


def test_req_24_a_session_that_ended_stays_ended(
    store: Store, session: Session, redis_server: RedisServer
) -> None:
    session["a"] = 1
    one, two = reloaded(store, session), reloaded(store, session)
    assert one.destroy() is True
    two["b"] = 2
    with pytest.raises(SessionGone) as caught:
        two.save()
    assert caught.value.replaced is False
    assert redis_server.keys() == []


def test_req_14_a_login_elsewhere_replaces_the_id(store: Store, session: Session) -> None:
    session["a"] = 1
    one, two = reloaded(store, session), reloaded(store, session)
    old = one.id
    assert old is not None
    one.login("user:1", carry="all")
    one.save()
    two["b"] = 2
    with pytest.raises(SessionGone) as caught:
        two.save()
    assert caught.value.replaced is True
    stale = store.load(old)
    assert stale is not None and stale.stale and dict(stale) == {}
    with pytest.raises(SessionGone):
        stale.destroy()
    assert store.destroy(old) is False
    assert dict(reloaded(store, one)) == {"a": 1}


def test_a_failed_save_leaves_the_session_as_it_was(
    store: Store, session: Session, redis_server: RedisServer
) -> None:
    session["a"] = [1]
    session.save()
    session["a"].append(2)
    redis_server.stop()
    with pytest.raises(StoreUnavailable):
        session.save()
    assert session.modified and session == {"a": [1, 2]}


# ---- Login, privilege, end -----------------------------------------------------------------


def test_req_16_login_carries_what_is_named_and_nothing_else(
    store: Store, session: Session
) -> None:
    session.update(cart=["tea"], note=1)
    session.save()
    session.login("user:1", carry=["cart", "none"])
    assert session == {"cart": ["tea"]}
    again = reloaded(store, session)
    assert (again.principal, dict(again)) == ("user:1", {"cart": ["tea"]})


def test_req_16_what_is_carried_has_to_be_said(session: Session) -> None:
    with pytest.raises(TypeError, match="carry"):
        session.login("user:1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="carry"):
        session.login("user:1", carry="cart")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("principal", "refusal"),
    [("", ValueError), ("x" * 256, ValueError), ("a\0b", ValueError), ("\ud800", NotStorable)],
)
def test_a_principal_is_a_short_text(
    session: Session, principal: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        session.login(principal, carry="all")
    assert session.principal is None


def test_another_principal_needs_another_session(store: Store, session: Session) -> None:
    session.login("user:1", carry="all")
    again = reloaded(store, session)
    with pytest.raises(ValueError, match="destroy"):
        again.login("user:2", carry="all")
    again.destroy()
    again.login("user:2", carry="all")
    assert reloaded(store, again).principal == "user:2"


def test_req_15_rotation_keeps_the_deadline_and_login_does_not(
    store: Store, session: Session
) -> None:
    session["a"] = 1
    session.save()
    old, deadline = session.id, session.deadline
    session.rotate()
    session.save()
    assert session.id != old and session.deadline == deadline
    wait_for(lambda: time.time() * 1000 > session.created_ms + 1, "the clock")
    session.login("user:1", carry="all")
    session.save()
    assert session.deadline is not None and deadline is not None and session.deadline > deadline


def test_the_public_id_outlives_a_rotation(session: Session) -> None:
    session["a"] = 1
    session.save()
    public_id = session.public_id
    session.rotate()
    session.save()
    assert session.public_id == public_id is not None and len(public_id) == 12


def test_after_its_end_it_is_a_new_one(store: Store, session: Session) -> None:
    session["a"] = 1
    old = session.save()
    assert session.destroy() is True
    assert session.new and session.id is None and session == {}
    session["b"] = 2
    assert session.save() != old
    assert reloaded(store, session) == {"b": 2}


def test_req_70_an_end_that_could_not_be_told_raises(
    store: Store, session: Session, redis_server: RedisServer
) -> None:
    session["a"] = 1
    session_id = session.save()
    redis_server.stop()
    with pytest.raises(StoreUnavailable):
        session.destroy()
    assert session == {"a": 1} and session.id == session_id


# ---- The session of a request ---------------------------------------------------------------


def test_one_is_loaded_when_it_is_looked_at(store: Store, redis_server: RedisServer) -> None:
    session = store.new()
    session["a"] = 1
    session_id = session.save()
    with redis_server.monitor() as seen:
        lazy = store.session(session_id)
        assert not lazy.accessed and not lazy.modified
        assert lazy.save() is None
    assert seen == []
    assert lazy["a"] == 1 and lazy.accessed


@pytest.mark.parametrize("session_id", [None, "", "A" * 43, "A" * 42 + "B", "\ud800"])
def test_req_04_an_id_that_opens_nothing_is_a_new_session(store: Store, session_id: Any) -> None:
    session = store.session(session_id)
    assert session.new and session == {}
    session["a"] = 1
    assert session.save() != session_id


def test_a_failed_load_is_asked_about_and_may_be_repeated(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="test:") as store:
        session = store.new()
        session["a"] = 1
        lazy = store.session(session.save())
        redis_server.stop()
        with pytest.raises(StoreUnavailable):
            lazy.get("a")
        redis_server.start()
        wait_for(lambda: answers(store), "the end of the pause after a failed connect")
        assert lazy.get("a") is None  # the server has forgotten it, but answers


def answers(store: Store) -> bool:
    try:
        store.ping()
    except StoreUnavailable:
        return False
    return True


def test_a_failed_load_may_give_an_empty_session_that_cannot_be_written() -> None:
    asked: list[Exception] = []

    def on_error(exc: Exception) -> bool:
        asked.append(exc)
        return True

    with Store("unix:/nonexistent/s", prefix="test:") as store:
        session = store.session("A" * 43, on_error=on_error)
        assert dict(session) == {} and session.id is None
        for change in (
            lambda: session.__setitem__("a", 1),
            lambda: session.login("user:1", carry="all"),
            session.rotate,
            session.save,
            session.destroy,
        ):
            with pytest.raises(StoreUnavailable):
                change()
    assert len(asked) == 1


def test_a_session_of_a_request_is_of_the_type_that_is_asked_for(store: Store) -> None:
    class Own(Session):
        pass

    assert type(store.session(None, type=Own)) is Own
    assert type(store.session(None, type=None)) is Session
    for wrong in (dict, aio.Session, 1):
        with pytest.raises(TypeError, match="must be a subclass of"):
            store.session(None, type=wrong)  # type: ignore[arg-type]


def test_repr_never_raises() -> None:
    store = Store("unix:/nowhere/redis.sock", prefix="t:")
    session = store.session("A" * 43)
    with pytest.raises(StoreUnavailable):
        session.destroy()
    assert repr(session) == "<Session, not usable now>"
