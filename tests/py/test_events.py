"""What becomes of sessions, as both faces tell it: the option on_event (requirement 73)."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from typing import Any

import coatcheck
import pytest
from coatcheck import ConfigError, Corrupt, Event, SessionGone, Store, TooManySessions
from conftest import Browser, RedisServer, wait_for
from test_together import Face
from test_together import face as face

Serve = Callable[..., Browser]


def log_in(face: Face, store: Any, principal: str = "user:42") -> Any:
    session = store.new()
    session.login(principal, carry=())
    face.call(session.save())
    return session


def said(events: list[Event]) -> list[tuple[str, str | None, str | None]]:
    """What they say, but for the public ids; and there are no more of them."""
    found = [(event.kind, event.principal, event.reason) for event in events]
    events.clear()
    return found


# ---- The events ---------------------------------------------------------------------------------


def test_req_73_the_life_of_a_session_is_told(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    session = store.new()
    session["a"] = 1
    face.call(session.save())
    public_id = session.public_id
    session.login("user:42", carry="all")
    face.call(session.save())
    session.rotate()
    face.call(session.save())
    face.call(session.destroy())
    assert events == [
        Event("created", public_id, None, None),
        Event("logged_in", public_id, "user:42", None),
        Event("rotated", public_id, "user:42", None),
        Event("destroyed", public_id, "user:42", "logout"),
    ]


def test_a_request_that_reads_or_saves_tells_nothing(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    session_id = face.stored(store, a=1)
    events.clear()
    session = face.load(store, session_id)
    session["a"] = 2
    face.call(session.save())
    assert events == []


def test_req_73_an_unknown_id_is_refused_and_a_malformed_one_is_only_counted(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    assert face.load(store, "A" * 43) is None
    assert said(events) == [("refused", None, "unknown")]
    assert face.load(store, "no id") is None
    assert events == []
    assert store.stats()["coatcheck_malformed_ids_total"] == 1


def test_an_id_before_a_login_is_refused(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    old = face.stored(store, a=1)
    session = face.load(store, old)
    session.login("user:42", carry=())
    face.call(session.save())
    events.clear()
    assert face.load(store, old).stale
    assert said(events) == [("refused", None, "replaced")]


def test_req_73_a_session_before_not_before_has_expired(face: Face) -> None:
    session_id = log_in(face, face.open()).id
    events: list[Event] = []
    store = face.open(on_event=events.append, not_before=4_000_000_000)
    assert face.load(store, session_id) is None
    assert said(events) == [("expired", "user:42", "not_before")]


def test_req_73_a_session_past_its_deadline_has_expired(
    face: Face, redis_server: RedisServer
) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    session = log_in(face, store)
    events.clear()
    (key,) = redis_server.records()
    redis_server.cli("SETRANGE", key, 96, (1).to_bytes(8, "big"))  # see record.h
    assert face.load(store, session.id) is None
    assert events == [Event("expired", session.public_id, "user:42", "deadline")]


@pytest.mark.parametrize("refused", ["unknown", "replaced", "dead"])
def test_req_05_73_an_id_that_opens_nothing_is_reported_by_its_public_id(
    face: Face, refused: str
) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append, stale=0 if refused == "dead" else 60)
    session = log_in(face, store)
    old_id, public_id = session.id, session.public_id
    if refused == "unknown":
        face.call(session.destroy())
    else:
        session.rotate()
        face.call(session.save())
    events.clear()
    face.load(store, old_id)
    assert events == [Event("refused", public_id, None, refused)]
    assert len(public_id) == 12
    assert not any(public_id[i : i + 6] in old_id for i in range(7))


def test_each_session_that_others_end_is_told_with_what_ended_it(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    one, *others = (log_in(face, store) for _ in range(4))
    events.clear()
    face.call(store.destroy_one("user:42", one.public_id))
    assert events == [Event("destroyed", one.public_id, "user:42", "destroy_one")]
    events.clear()
    face.call(store.destroy_all("user:42", keep=others[0]))
    assert {event.public_id for event in events} == {other.public_id for other in others[1:]}
    assert said(events) == [("destroyed", "user:42", "destroy_all")] * 2


def test_a_login_at_the_cap_tells_whom_it_ended(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append, max_sessions=1)
    first = log_in(face, store)
    events.clear()
    second = log_in(face, store)
    assert events == [
        Event("destroyed", first.public_id, "user:42", "max_sessions"),
        Event("created", second.public_id, "user:42", None),
        Event("logged_in", second.public_id, "user:42", None),
    ]


def test_req_73_a_login_that_finds_no_place_is_refused(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append, max_sessions=1, on_max="refuse")
    log_in(face, store)
    events.clear()
    with pytest.raises(TooManySessions):
        log_in(face, store)
    assert said(events) == [("refused", "user:42", "max_sessions")]


def test_a_change_that_comes_too_late_is_dropped(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    session = log_in(face, store)
    face.call(store.destroy_all("user:42"))
    events.clear()
    session["a"] = 1
    with pytest.raises(SessionGone):
        face.call(session.save())
    assert said(events) == [("dropped", "user:42", "gone")]


def test_a_record_that_is_none_is_corrupt(face: Face, redis_server: RedisServer) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    session_id = face.stored(store, a=1)
    events.clear()
    redis_server.cli("SET", redis_server.records()[0], "what is this", "KEEPTTL")
    with pytest.raises(Corrupt):
        face.load(store, session_id)
    assert said(events) == [("corrupt", None, None)]


def test_a_renewal_is_told_when_offered_and_when_used(face: Face) -> None:
    events: list[Event] = []
    session_id = face.stored(face.open(), a=1)
    store = face.open(on_event=events.append, renew=1)

    def save() -> bool:
        nonlocal session
        session = face.load(store, session_id)
        face.call(session.save())
        return bool(events)

    session: Any = None
    wait_for(save, "the time for a renewal")
    assert said(events) == [("offered", None, None)]
    session = face.load(store, session.id)
    face.call(session.save())
    assert said(events) == [("renewed", None, None)]


def test_no_event_shows_an_id_or_a_field(face: Face) -> None:
    events: list[Event] = []
    store = face.open(on_event=events.append)
    ids = [face.stored(store, secret="of the session")]
    session = face.load(store, ids[0])
    session.login("user:42", carry="all")
    ids.append(face.call(session.save()))
    face.load(store, ids[0])
    face.call(session.destroy())
    text = repr(events)
    assert len(events) == 4
    assert "secret" not in text and not any(one[:20] in text or one[-20:] in text for one in ids)


# ---- Who is told --------------------------------------------------------------------------------


def test_it_is_told_in_the_thread_of_the_call(face: Face) -> None:
    threads: list[int] = []
    store = face.open(on_event=lambda _: threads.append(threading.get_ident()))
    face.stored(store, a=1)
    assert threads == [threading.get_ident()]


def test_the_function_may_use_the_store(redis_server: RedisServer) -> None:
    def again(event: Event) -> None:
        if event.reason == "logout":
            found.extend(store.sessions("user:42"))

    found: list[Any] = []
    with Store(redis_server.url, prefix="t:", on_event=again) as store:
        for _ in range(2):
            session = store.new()
            session.login("user:42", carry=())
            session.save()
        session.destroy()
        assert len(found) == 1


def test_the_function_may_not_touch_the_session_of_the_call(redis_server: RedisServer) -> None:
    def touch(_: Event) -> None:
        with pytest.raises(RuntimeError, match="in a call"):
            session["b"] = 1
        refused.append(True)

    refused: list[bool] = []
    with Store(redis_server.url, prefix="t:", on_event=touch) as store:
        session = store.new()
        session["a"] = 1
        session.save()
        assert refused == [True]


def test_what_the_function_raises_breaks_no_call_and_is_logged_once(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> None:
        raise LookupError(event.kind)

    store = face.open(on_event=fail)
    session_id = face.stored(store, a=1)
    face.stored(store, a=1)
    assert face.fields(store, session_id) == {"a": 1}
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[0] is LookupError
    assert record.name == "coatcheck.events" and record.levelname == "ERROR"


@pytest.mark.parametrize("wrong", [1, [], object()])
def test_what_cannot_be_called_is_refused(face: Face, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="option on_event"):
        face.open(on_event=wrong)


def test_a_coroutine_function_which_nobody_would_await_is_refused(face: Face) -> None:
    async def listen(_: Event) -> None: ...

    with pytest.raises(ConfigError, match="not awaited"):
        face.open(on_event=listen)


def test_another_word_is_refused(face: Face) -> None:
    with pytest.raises(ConfigError, match="log or none"):
        face.open(on_event="print")


def test_an_event_cannot_be_changed() -> None:
    event = Event("created", "AAAAAAAAAAAA", None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.kind = "refused"  # type: ignore[misc]


# ---- The log ------------------------------------------------------------------------------------


def test_req_73_the_log_has_a_line_for_each_event(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    store = face.open(on_event="log")
    with caplog.at_level(logging.INFO, "coatcheck"):
        session = log_in(face, store)
        public_id = session.public_id
        face.call(session.destroy())
        face.load(store, "A" * 43)
    assert caplog.messages[:3] == [
        f"session {public_id} of 'user:42': created",
        f"session {public_id} of 'user:42': logged_in",
        f"session {public_id} of 'user:42': destroyed (logout)",
    ]
    assert caplog.messages[3].endswith(": refused (unknown)")
    assert [record.levelname for record in caplog.records] == ["INFO"] * 3 + ["WARNING"]
    assert {record.name for record in caplog.records} == {"coatcheck.events"}


def test_a_principal_cannot_forge_a_line_of_the_log(
    face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    store = face.open(on_event="log")
    with caplog.at_level(logging.INFO, "coatcheck"):
        log_in(face, store, "x\nsession AAAAAAAAAAAA: destroyed")
    assert len(caplog.messages) == 2 and not any("\n" in line for line in caplog.messages)


def test_without_the_option_nothing_is_logged(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    store = face.open()
    with caplog.at_level(logging.DEBUG, "coatcheck"):
        face.call(log_in(face, store).destroy())
    assert caplog.records == []


def test_the_environment_may_ask_for_the_log(
    face: Face, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_ON_EVENT", "log")
    with caplog.at_level(logging.INFO, "coatcheck"):
        face.stored(face.open(), a=1)
        assert len(caplog.records) == 1
        face.stored(face.open(on_event=None), a=1)
        assert len(caplog.records) == 1


def test_a_function_is_told_in_place_of_the_log_of_the_environment(
    face: Face, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COATCHECK_ON_EVENT", "log")
    events: list[Event] = []
    with caplog.at_level(logging.INFO, "coatcheck"):
        face.stored(face.open(on_event=events.append), a=1)
    assert len(events) == 1 and caplog.records == []


# ---- The middleware -----------------------------------------------------------------------------


def test_what_the_middleware_drops_is_told(redis_server: RedisServer, serve: Serve) -> None:
    def view(session: Any) -> str:
        if "a" in session:
            store.destroy(session.id)
        session["a"] = session.get("a", 0) + 1
        return "done"

    events: list[Event] = []
    with Store(redis_server.url, prefix="t:", on_event=events.append) as store:
        browser = serve(view, store=store)
        browser.get()
        assert said(events) == [("created", None, None)]
        browser.get()
        assert said(events) == [("destroyed", None, "logout"), ("dropped", None, "gone")]


def test_the_package_names_it() -> None:
    assert coatcheck.Event is Event
