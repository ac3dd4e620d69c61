"""Sessions as the extension keeps them: live objects, merging, laziness, threads, ends."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from coatcheck import (
    Corrupt,
    LimitExceeded,
    NotStorable,
    Session,
    SessionGone,
    Store,
    StoreUnavailable,
    _core,
)
from conftest import RedisServer, in_thread, wait_for


def stored(store: Store, **fields: Any) -> str:
    session = store.new()
    session.update(fields)
    session_id = session.save()
    assert session_id is not None
    return session_id


def load(store: Store, session_id: str) -> Session:
    session = store.load(session_id)
    assert session is not None
    return session


def busy(session: Session) -> bool:
    try:
        len(session)
    except RuntimeError:
        return True
    return False


# ---- Live objects --------------------------------------------------------------------------------


def test_a_field_is_one_object_before_and_after_a_save(store: Store) -> None:
    session = load(store, stored(store, cart=[1]))
    cart = session["cart"]
    cart.append(2)
    session.save()
    assert session["cart"] is cart
    cart.append(3)
    assert session.modified
    session.save()
    assert load(store, session.id or "")["cart"] == [1, 2, 3]


def test_a_change_deep_inside_is_seen_without_a_flag(store: Store) -> None:
    session = load(store, stored(store, a={"b": ({"c": []},)}))
    assert not session.modified
    session["a"]["b"][0]["c"].append({})
    assert session.modified
    assert load(store, session.save() or "")["a"] == {"b": ({"c": [{}]},)}


def test_a_change_that_is_taken_back_is_no_change(store: Store, redis_server: RedisServer) -> None:
    session = load(store, stored(store, cart=[1], n=1))
    session["cart"].append(2)
    session["cart"].pop()
    session["n"] = 2
    session["n"] = 1
    session["new"] = 1
    del session["new"]
    assert not session.modified
    with redis_server.monitor() as commands:
        session.save()
    assert commands == []


def test_what_was_only_read_is_not_written_over_a_change_of_another(store: Store) -> None:
    session_id = stored(store, a=[1], b=[1])
    reader, writer = load(store, session_id), load(store, session_id)
    assert (reader["a"], reader["b"]) == ([1], [1])
    writer["a"].append(2)
    writer.save()
    reader["b"].append(2)
    reader.save()
    assert dict(load(store, session_id)) == {"a": [1, 2], "b": [1, 2]}


def test_after_a_merge_an_object_that_is_not_current_is_let_go(store: Store) -> None:
    session_id = stored(store, theirs=[1], mine=[1], scalar=1, gone=[1])
    session, other = load(store, session_id), load(store, session_id)
    theirs, mine, _, _ = session["theirs"], session["mine"], session["scalar"], session["gone"]
    other.update(theirs=[2], scalar=2)
    del other["gone"]
    other.save()
    mine.append(2)
    session.save()
    assert session["theirs"] == [2]
    assert session["theirs"] is not theirs
    assert session["mine"] is mine
    assert session["scalar"] == 2
    assert "gone" not in session
    theirs.append("of no effect")
    assert not session.modified


def test_an_unstorable_value_put_in_later_is_refused_at_save(
    store: Store, redis_server: RedisServer
) -> None:
    session_id = stored(store, cart=[{"price": 1}], other=1)
    session = load(store, session_id)
    session["other"] = 2
    session["cart"][0]["price"] = {1}
    assert session.modified
    with redis_server.monitor() as commands:
        for _ in range(2):
            with pytest.raises(NotStorable) as refusal:
                session.save()
    assert commands == []
    assert refusal.value.path == "session['cart'][0]['price']"
    assert dict(load(store, session_id)) == {"cart": [{"price": 1}], "other": 1}
    session["cart"][0]["price"] = 3
    session.save()
    assert dict(load(store, session_id)) == {"cart": [{"price": 3}], "other": 2}


def test_a_refused_assignment_leaves_the_old_value(store: Store) -> None:
    session = load(store, stored(store, a=[1]))
    old = session["a"]
    with pytest.raises(NotStorable) as refusal:
        session["a"] = {"x": [1, {2}]}
    assert refusal.value.path == "session['a']['x'][1]"
    assert str(refusal.value).startswith("session['a']['x'][1]: set is not storable (")
    with pytest.raises(NotStorable):
        session["new"] = object()
    assert session["a"] is old
    assert list(session) == ["a"]
    assert not session.modified


@pytest.mark.parametrize("name", [5, None, b"a", ("a",), type("S", (str,), {})("a")])
def test_only_a_str_names_a_field(store: Store, name: Any) -> None:
    session = store.new()
    with pytest.raises(NotStorable, match="the name of a field is a str"):
        session[name] = 1
    assert not session


def test_a_name_with_a_lone_surrogate_is_refused_and_never_found(store: Store) -> None:
    session = store.new()
    with pytest.raises(NotStorable, match="surrogate"):
        session["\ud800"] = 1
    assert "\ud800" not in session
    assert session.get("\ud800", 5) == 5
    for use in (lambda: session["\ud800"], lambda: session.__delitem__("\ud800")):
        with pytest.raises(KeyError):
            use()
    assert list(session) == []


def test_a_subclass_of_str_finds_what_it_spells_without_its_own_code(store: Store) -> None:
    class Name(str):
        def __eq__(self, other: object) -> bool:
            raise AssertionError

        __hash__ = None  # type: ignore[assignment]

    session = store.new()
    session["a"] = [1]
    assert session[Name("a")] == [1]
    assert Name("a") in session
    del session[Name("a")]
    assert not session


def test_a_session_has_limits_and_says_which(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", max_bytes=500, max_depth=4, max_items=20) as store:
        session = store.new()
        session["fits"] = [[[1]]]
        for value, limit in (([[[[1]]]], "max_depth"), ("x" * 500, "max_bytes")):
            with pytest.raises(LimitExceeded) as refusal:
                session["over"] = value
            assert refusal.value.limit == limit
        with pytest.raises(LimitExceeded) as refusal:
            session["over"] = [1] * 20
        assert refusal.value.limit == "max_items"
        assert list(session) == ["fits"]
        session["grows"] = []
        session["grows"].extend("x" * 400 for _ in range(2))
        with pytest.raises(LimitExceeded):
            session.save()
        session["grows"].clear()
        assert dict(load(store, session.save() or "")) == {"fits": [[[1]]], "grows": []}


def test_a_value_that_the_others_leave_no_room_for_is_refused(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", max_bytes=700) as store:
        session = store.new()
        session["other"] = "x" * 400
        session["cart"] = cart = ["small"]
        for name in ("cart", "new"):
            with pytest.raises(LimitExceeded) as refusal:
                session[name] = ["x" * 400]
            assert refusal.value.limit == "max_bytes"
        assert list(session) == ["other", "cart"]
        assert session["cart"] is cart
        cart.append("kept")
        assert load(store, session.save() or "")["cart"] == ["small", "kept"]


def test_the_depth_that_can_be_assigned_can_be_loaded(redis_server: RedisServer) -> None:
    with Store(redis_server.url, prefix="t:", max_depth=5) as store:
        session = store.new()
        session["a"] = [[[[1]]]]
        with pytest.raises(LimitExceeded):
            session["b"] = [[[[[1]]]]]
        assert load(store, session.save() or "")["a"] == [[[[1]]]]


def test_a_nested_dict_with_equal_keys_is_corrupt_when_it_is_touched(
    store: Store, redis_server: RedisServer
) -> None:
    session_id = stored(store, good=1, bad={"aa": 1, "bb": 2})
    (key,) = redis_server.records()
    record = redis_server.cli("GET", key)
    redis_server.cli("SET", key, record.replace(b"\xa2bb", b"\xa2aa"), "KEEPTTL")
    session = load(store, session_id)
    assert session["good"] == 1
    with pytest.raises(Corrupt):
        session["bad"]


# ---- Walking -------------------------------------------------------------------------------------


def test_values_may_be_set_while_walking_and_names_may_not(store: Store) -> None:
    session = store.new()
    session.update(a=1, b=2)
    for name in session:
        session[name] = [name]
    assert dict(session) == {"a": ["a"], "b": ["b"]}
    for change in (
        lambda: session.__setitem__("c", 1),
        lambda: session.__delitem__("c"),
        lambda: session.login("u", carry=["a"]),
        session.destroy,
    ):
        session["b"] = 1
        names = iter(session)
        next(names)
        change()
        with pytest.raises(RuntimeError, match="changed during iteration"):
            list(names)


def test_a_walk_ends_and_stays_ended(store: Store) -> None:
    session = store.new()
    session["a"] = 1
    names = iter(session)
    assert iter(names) is names
    assert list(names) == ["a"]
    assert list(names) == []
    with pytest.raises(TypeError):
        type(names)()


# ---- Laziness ------------------------------------------------------------------------------------


def test_a_session_that_nobody_looks_at_sends_nothing(
    store: Store, redis_server: RedisServer
) -> None:
    session_id = stored(store, a=1)
    with redis_server.monitor() as commands:
        for presented in (session_id, None, "malformed"):
            session = store.session(presented)
            assert not session.accessed
            assert not session.modified
            assert session.save() is None
            assert not session.accessed
    assert commands == []


LOOKS = [
    lambda s: s.get("a"),
    len,
    list,
    lambda s: "a" in s,
    lambda s: s.id,
    lambda s: s.public_id,
    lambda s: s.new,
    lambda s: s.stale,
    lambda s: s.principal,
    lambda s: s.idle,
    lambda s: s.created_ms,
    lambda s: s.deadline_ms,
    lambda s: s.rotate(),
    lambda s: s.login("u", carry="all"),
    lambda s: setattr(s, "idle", 60),
    lambda s: s.__setitem__("a", 2),
]


@pytest.mark.parametrize("use", LOOKS, ids=range(len(LOOKS)))
def test_every_look_loads_it_once(store: Store, redis_server: RedisServer, use: Any) -> None:
    session = store.session(stored(store, a=1))
    with redis_server.monitor() as commands:
        use(session)
        assert session["a"]
    assert session.accessed
    assert [command[0] for command in commands] == ["GET", "PTTL"]


def test_one_that_is_not_loaded_is_ended_without_loading(
    store: Store, redis_server: RedisServer
) -> None:
    session_id = stored(store, a=1)
    session = store.session(session_id)
    with redis_server.monitor() as commands:
        assert session.destroy() is True
    assert {command[0] for command in commands} <= {"EVALSHA", "EVAL"}
    assert store.load(session_id) is None
    assert (session.new, dict(session), session.save()) == (True, {}, None)
    for presented in (session_id, "malformed", None):
        assert store.session(presented).destroy() is False


def test_what_is_written_after_the_end_is_a_session_of_its_own(store: Store) -> None:
    session_id = stored(store, cart=[1])
    session = load(store, session_id)
    cart = session["cart"]
    assert session.destroy() is True
    cart.append(2)
    assert (dict(session), session.modified, session.id) == ({}, False, None)
    session["flash"] = "bye"
    new_id = session.save()
    assert new_id not in (None, session_id)
    assert dict(load(store, new_id or "")) == {"flash": "bye"}
    assert store.load(session_id) is None


def test_a_session_that_is_gone_keeps_its_data_and_says_so_again(store: Store) -> None:
    session_id = stored(store, a=[1])
    session = load(store, session_id)
    session["a"].append(2)
    store.destroy(session_id)
    for _ in range(2):
        with pytest.raises(SessionGone) as gone:
            session.save()
        assert gone.value.replaced is False
        assert session["a"] == [1, 2]


def test_on_error_decides_what_a_failed_load_means(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:", timeout=5)
    session_id = stored(store, a=1)
    redis_server.stop()
    asked: list[Exception] = []

    def note(answer: Any) -> Any:
        return lambda exc: asked.append(exc) or answer

    for answer in (None, False, 0):
        session = store.session(session_id, on_error=note(answer))
        assert (session.new, session.id, dict(session)) == (True, None, {})
        session["fresh"] = 1
    session = store.session(session_id, on_error=note(True))
    assert (dict(session), session.modified, session.new) == ({}, False, True)
    for use in (
        lambda: session.__setitem__("a", 1),
        lambda: session.__delitem__("a"),
        lambda: setattr(session, "idle", 5),
        lambda: session.login("u", carry=[]),
        session.rotate,
        session.save,
        session.destroy,
    ):
        with pytest.raises(StoreUnavailable) as failure:
            use()
        assert failure.value is asked[-1]
    assert len(asked) == 4

    def other(exc: Exception) -> None:
        raise LookupError("mine") from exc

    session = store.session(session_id, on_error=other)
    for _ in range(2):
        with pytest.raises(LookupError, match="mine"):
            len(session)
    redis_server.start()


def test_on_error_may_not_touch_the_session(redis_server: RedisServer) -> None:
    store = Store("unix:/nonexistent/socket", prefix="t:")

    def touch(exc: Exception) -> None:
        session["a"] = 1

    session = store.session("A" * 43, on_error=touch)
    with pytest.raises(RuntimeError, match="one thread"):
        len(session)


# ---- Threads, closing, the collector -------------------------------------------------------------


def test_a_session_in_a_call_cannot_be_touched_by_another_thread(
    redis_server: RedisServer,
) -> None:
    store = Store(redis_server.url, prefix="t:", timeout=30)
    session = load(store, stored(store, a=[1]))
    session["a"].append(2)
    redis_server.pause()
    finish = in_thread(session.save)

    wait_for(lambda: busy(session), "the session to be busy")
    for use in (
        lambda: session["a"],
        lambda: session.__setitem__("a", 1),
        lambda: session.modified,
        lambda: session.id,
        session.save,
        session.destroy,
        session.rotate,
        lambda: session.login("u", carry="all"),
    ):
        with pytest.raises(RuntimeError, match="one thread at a time"):
            use()
    redis_server.resume()
    assert finish() == session.id
    assert session["a"] == [1, 2]


def test_a_merge_survives_code_that_runs_in_its_middle_and_prunes(
    store: Store, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A finalizer could do so too, when the collector runs where a refusal is made.
    session = load(store, stored(store, cart=[1], own=0))
    other = load(store, session.id or "")
    other["theirs"] = 1
    other.save()
    cart = session["cart"]
    session["own"] = 1
    bystanders: list[dict[str, int]] = []

    def prune(self: NotStorable, *args: object) -> None:
        Exception.__init__(self, *args)
        session.login("user:1", carry=[])
        bystanders.extend({} for _ in range(100))

    redis_server.pause()
    finish = in_thread(session.save)
    wait_for(lambda: busy(session), "the save")
    cart.append(object())
    monkeypatch.setattr(NotStorable, "__init__", prune)
    redis_server.resume()
    finish()
    assert len(bystanders) == 100
    assert not any(bystanders), "the fields went into somebody else's dict"
    assert dict(session) == {}


def test_threads_go_on_while_one_waits(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:", timeout=30)
    session_id = stored(store, a=1)
    redis_server.pause()
    finish = in_thread(lambda: store.load(session_id))
    assert sum(range(1000)) == 499500
    redis_server.resume()
    loaded = finish()
    assert loaded is not None and loaded["a"] == 1


def test_a_closed_store_ends_the_use_of_its_sessions(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:")
    session = load(store, stored(store, a=[1]))
    lazy = store.session(session.id)
    store.close()
    store.close()
    for one in (session, lazy):
        for use in (len, list, lambda s: s["a"], lambda s: s.save(), lambda s: s.destroy(),
                    lambda s: s.modified, lambda s: s.id):  # fmt: skip
            with pytest.raises(ValueError, match="closed"):
                use(one)
    for call in (store.new, store.ping, store.stats, lambda: store.load("x"),
                 lambda: store.destroy("x"), lambda: store.session(None)):  # fmt: skip
        with pytest.raises(ValueError, match="closed"):
            call()


def test_a_store_may_be_closed_while_a_call_is_under_way(redis_server: RedisServer) -> None:
    def connected() -> int:
        reply = redis_server.cli("INFO", "clients")
        return int(reply.partition(b"connected_clients:")[2].split()[0])

    before = connected()  # stores of other tests may have left some
    store = Store(redis_server.url, prefix="t:", timeout=30, max_idle=0.1)
    session_id = stored(store, a=1)
    redis_server.pause()
    session = store.new()
    session["a"] = 1
    calls = [in_thread(store.ping), in_thread(lambda: store.load(session_id))]
    save = in_thread(session.save)
    wait_for(lambda: busy(session), "the session to be busy")
    store.close()
    redis_server.resume()
    assert calls[0]() is None
    assert isinstance(calls[1](), Session)
    assert save() is not None
    with pytest.raises(ValueError, match="closed"):
        len(session)
    assert session.public_id is not None
    session = calls = save = None  # type: ignore[assignment]
    gc.collect()
    other = Store(redis_server.url, prefix="t:")

    def closed() -> bool:
        other.ping()  # what nobody uses any more goes with a later call
        return connected() <= before + 1

    wait_for(closed, "closing")


def test_a_session_keeps_its_store_alive(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:")
    session = store.new()
    reference = weakref.ref(store)
    del store
    gc.collect()
    assert reference() is not None
    session["a"] = 1
    assert session.save()
    del session
    gc.collect()
    assert reference() is None


def test_cycles_through_a_session_are_collected(store: Store) -> None:
    session = store.new()
    value: list[Any] = [1]
    session["a"] = value
    value.append(session)  # refused at the next save, and a cycle until then
    names = iter(session)
    names_of = {"names": names, "session": session}
    vars(session)["note"] = names_of
    cell: list[Any] = []
    lazy = store.session("A" * 43, on_error=cell.append)
    cell.append(lazy)
    references = [weakref.ref(session), weakref.ref(lazy)]
    del session, value, names, names_of, lazy, cell
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_store_and_its_session_in_one_cycle_are_collected(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:")
    session = store.new()
    session["a"] = [1]
    store.favourite = session  # type: ignore[attr-defined]
    references = [weakref.ref(session), weakref.ref(store)]
    del session, store
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_finalizer_that_touches_the_session_harms_nothing(store: Store) -> None:
    class Toucher(list):  # type: ignore[type-arg]
        def __del__(self) -> None:
            session["touched"] = len(session)
            session.pop("a", None)

    session = store.new()
    holder: list[Any] = [1]
    session["a"] = holder
    holder.append(Toucher())
    del holder
    session["a"] = 2
    assert session["touched"] == 1
    assert "a" not in session


# ---- Making them ---------------------------------------------------------------------------------


def test_arguments_of_the_wrong_kind_are_type_errors(store: Store) -> None:
    session = store.new()
    for use in (
        lambda: _core.Store([("url", "redis://h")], False, dict),
        lambda: _core.Store([("url", 5)], False, Session),
        lambda: _core.Store(["url"], False, Session),
        lambda: _core.Store(5, False, Session),
        lambda: _core.Session(),
        lambda: store.session(5),
        lambda: store.load(None),
        lambda: store.destroy(5),
        lambda: session.login(5, carry=[]),
        lambda: session.login("u"),
        lambda: session.login("u", []),
        lambda: session.login("u", carry="cart"),
        lambda: session.login("u", carry=[5]),
        lambda: session.login("u", carry=5),
        lambda: session.get(),
        lambda: session.get("a", 1, 2),
        lambda: setattr(session, "idle", "5"),
        lambda: delattr(session, "idle"),
    ):
        with pytest.raises(TypeError):
            use()  # type: ignore[no-untyped-call]
    assert dict(session) == {}


def test_a_null_character_ends_no_name_early(store: Store) -> None:
    session = store.new()
    session["a\0b"] = 1
    for use in (
        lambda: session.login("u\0v", carry="all"),
        lambda: session.login("u", carry=["a\0b"]),
    ):
        with pytest.raises(ValueError, match="null character"):
            use()
    assert load(store, session.save() or "")["a\0b"] == 1


def test_what_is_not_loaded_has_no_lock_to_give_back(store: Store) -> None:
    with pytest.raises(ValueError, match=r"^unlock: the session is not loaded"):
        store.session(None)._unlock()


def test_a_lone_surrogate_in_a_login_is_refused_with_its_place(store: Store) -> None:
    session = store.new()
    session["a"] = 1
    for use, path in (
        (lambda: session.login("\ud800", carry="all"), "principal"),
        (lambda: session.login("u", carry=["a", "\ud800"]), "carry[1]"),
    ):
        with pytest.raises(NotStorable, match="lone surrogate") as caught:
            use()
        assert (caught.value.path, caught.value.type) == (path, "str")
    assert (session.principal, dict(session)) == (None, {"a": 1})


def test_an_attribute_that_there_is_not_is_refused_with_advice(store: Store) -> None:
    session = store.new()
    with pytest.raises(AttributeError, match=r"'permanent'.*session\.idle"):
        session.permanent = True  # type: ignore[attr-defined]
    assert not hasattr(session, "permanent")
    assert not session.accessed
    session.idle = 60
    assert session.idle == 60


def test_a_subclass_declares_attributes_of_its_own(redis_server: RedisServer) -> None:
    class Basket(Session):
        currency: str | None = None

    class Shop(Store):
        session_type = Basket

    session = Shop(redis_server.url, prefix="t:").new()
    session.currency = "EUR"  # type: ignore[attr-defined]
    assert vars(session)["currency"] == "EUR"
    del session.currency  # type: ignore[attr-defined]
    assert session.currency is None  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        session.curency = "EUR"  # type: ignore[attr-defined]


def test_a_store_is_opened_once_and_by_its_own_init(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, prefix="t:")
    with pytest.raises(RuntimeError, match="once"):
        store.__init__(redis_server.url, prefix="t:")  # type: ignore[misc]
    assert store.new().new

    class Forgetful(Store):
        def __init__(self) -> None:
            pass

    with pytest.raises(ValueError, match="never opened"):
        Forgetful().new()
    Forgetful().close()
    assert repr(Forgetful()) == "<Store, never opened>"


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e9])
def test_the_timeout_of_a_ping_has_bounds(store: Store, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        store.ping(timeout=timeout)


def test_login_prunes_what_is_not_carried_and_keeps_what_is_changed(store: Store) -> None:
    session = load(store, stored(store, cart=[1], draft=[1], theme="dark"))
    cart, _ = session["cart"], session["draft"]
    cart.append(2)
    session.login("user:42", carry=(name for name in ("cart", "missing")))
    assert (list(session), session["cart"] is cart) == (["cart"], True)
    session["draft"] = "afresh"
    assert dict(load(store, session.save() or "")) == {"cart": [1, 2], "draft": "afresh"}
    assert session.principal == "user:42"
