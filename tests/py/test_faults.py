"""Every call of a store, while the connection fails at every byte of what it says and hears.

What must hold, whatever happens: nobody gets the session of another (the tag sees to it), nothing
hangs beyond the deadline, no connection stays behind, a failure of the connection is never "no
session", and the next call on a healthy path works.

Each test is for one transport and one driver. `make check-long` sets COAT_TEST_FAULTS=all, for
every byte; otherwise some are left out.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar

import pytest
from coatcheck import ForeignReply, StoreTimeout, StoreUnavailable, Uncertain
from conftest import (
    FEW_PERMISSIONS,
    PATIENCE_S,
    RedisClient,
    RedisServer,
    wait_for,
    wait_for_a_later_ms,
)
from drivers import DRIVERS, POOLED, Client, Held
from faults import ALWAYS, PLAIN, Fault, Kind, Loop, Proxy, Side, Transport

WORKERS = 8
GENEROUS_S = 8.0  # a deadline that no busy machine meets by itself
SHORT_S = 0.15  # one that a stalled connection meets
MARGIN_S = 0.25
WARM_S = 0.3  # a closed store's connections wait so long for another store
EVERY_BYTE = os.environ.get("COAT_TEST_FAULTS") == "all"
STEP = 1 if EVERY_BYTE else 11
THIN = 1 if EVERY_BYTE else 3  # for cases that take their time
# Who the user is changes what a server allows, not what becomes of it on the way.
TRANSPORTS = ["plain"] if FEW_PERMISSIONS else ["plain", "tls"]

CERTS = Path(__file__).parents[1] / "certs.sh"

Open = Callable[..., Client]


def tls(directory: Path) -> Transport:
    """TLS that ends in the proxy, with a certificate of the tests' own authority."""
    subprocess.run(["sh", str(CERTS), str(directory)], check=True, timeout=60)

    def context() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.crt", directory / "server.key")
        return context

    return Transport("tls", "rediss", (("tls_ca_file", str(directory / "ca.crt")),), context)


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Transport:
    return PLAIN if request.param == "plain" else tls(tmp_path_factory.mktemp("certs"))


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Open:
    return DRIVERS[request.param]


# ---- One place to fail ----------------------------------------------------------------------


class Place:
    """A client behind a proxy of its own, and another that is not, which says what is true."""

    numbers = count()
    calls: ClassVar[dict[str, type[Call]]]

    def __init__(
        self,
        server: RedisServer,
        loop: Loop,
        transport: Transport,
        driver: Open,
        timeout: float,
    ) -> None:
        self.admin = RedisClient(server.path)
        self.proxy = Proxy(loop, server.path, transport)
        self.timeout = timeout
        self.hits = 0  # cases that met their fault
        self._driver = driver
        self._options = {
            "prefix": "faults:",
            "timeout": str(timeout),
            "connect_timeout": str(timeout / 2),  # by default 0.5, which a busy machine may meet
            "touch_below": "1",
            "max_connections": "2",
            "max_idle": str(WARM_S),
            **dict(transport.options),
        }
        self.client = self.open()
        self.truth = DRIVERS["Python"](
            server.url,
            prefix="faults:",
            timeout=GENEROUS_S,
            connect_timeout=GENEROUS_S / 2,
            max_idle=WARM_S,
        )
        self.own_note = self.new_note()
        self.own_id = self.store(self.own_note)

    def open(self) -> Client:
        return self._driver(self.proxy.url("app:sesame@") + "/0", **self._options)

    def fresh(self) -> None:
        """A client that has not connected yet in the place of the one there was."""
        self.proxy.disarm()
        self.end()
        self.client = self.open()

    def end(self) -> None:
        """Any call of another store sees to what a closed store has left for the next one."""

        def has_ended() -> bool:
            self.truth.ping()
            return self.proxy.open == 0

        self.client.close()
        wait_for(has_ended, "the end of the connections of a closed store")

    def new_note(self) -> str:
        return f"note {next(self.numbers)}"

    def store(self, note: str) -> str:
        held = self.truth.new()
        held.note = note
        session_id = held.save()
        assert session_id is not None
        return session_id

    def note_of(self, session_id: str) -> str | None:
        """What is stored; None if the id opens nothing."""
        held = self.truth.load(session_id)
        return None if held is None or held.stale else held.note

    def patiently(self, call: Callable[[], Any]) -> Any:
        """Its result, as soon as the path is healthy again."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return call()
            except StoreUnavailable:
                assert time.monotonic() < end, "the path does not recover"
                time.sleep(0.01)

    def recovers(self, connections: int = 1) -> None:
        self.proxy.disarm()
        held = self.patiently(lambda: self.client.load(self.own_id))
        assert held is not None, "afterwards its own session is said not to be there"
        assert held.note == self.own_note, "afterwards it gets another session"
        wait_for(lambda: self.proxy.open <= connections, "the connections given up to end")

    def close(self) -> None:
        self.end()
        self.proxy.close()
        self.truth.close()
        self.admin.close()


# ---- The calls, and what may come of them ---------------------------------------------------


class Call:
    """One call: what is there before, the call itself, and what must hold afterwards."""

    held: Held
    id: str

    def __init__(self, place: Place, fresh: bool = False) -> None:
        self.place = place
        self.fresh = fresh
        self.note = place.new_note()

    def connect(self) -> None:
        """A connection that is ready; or, if a fresh one is wanted, none."""
        if self.fresh:
            self.place.fresh()
        else:
            self.place.patiently(self.place.client.ping)

    def load(self) -> Held:
        self.id = self.place.store(self.note)
        held = self.place.patiently(lambda: self.place.client.load(self.id))
        assert held is not None
        self.held = held
        return held

    def prepare(self) -> None:
        raise NotImplementedError

    def make(self) -> Any:
        raise NotImplementedError

    def judge(self, result: Any, failure: Exception | None) -> None:
        raise NotImplementedError

    def landed(self, failure: Exception | None, yes: bool, no: bool) -> None:
        """Where a write failed, the exception says whether it may have been done."""
        if failure is None:
            assert yes, "it succeeded and was not done"
        elif isinstance(failure, Uncertain | ForeignReply):
            assert yes or no
        else:
            assert no, "it is said not to have been done, and was"


class Ping(Call):
    def prepare(self) -> None:
        self.connect()

    def make(self) -> None:
        self.place.client.ping()

    def judge(self, result: Any, failure: Exception | None) -> None:
        pass


class Load(Call):
    def prepare(self) -> None:
        self.id = self.place.store(self.note)
        self.connect()

    def make(self) -> Held | None:
        return self.place.client.load(self.id)

    def judge(self, result: Held | None, failure: Exception | None) -> None:
        if failure is None:
            assert result is not None, "it is said not to be there"
            assert result.note == self.note, "it is another's"


class Create(Call):
    def prepare(self) -> None:
        self.connect()
        self.held = self.place.client.new()
        self.held.note = self.note

    def make(self) -> str | None:
        return self.held.save()

    def judge(self, result: str | None, failure: Exception | None) -> None:
        if failure is None:
            assert result is not None and self.place.note_of(result) == self.note


class Save(Call):
    def prepare(self) -> None:
        self.load().note = self.changed = self.note + " changed"

    def make(self) -> str | None:
        return self.held.save()

    def judge(self, result: str | None, failure: Exception | None) -> None:
        now = self.place.note_of(self.id)
        self.landed(failure, now == self.changed, now == self.note)


class SaveUnknown(Save):
    """The server has forgotten the script, and is sent its text."""

    def prepare(self) -> None:
        super().prepare()
        self.place.admin("SCRIPT", "FLUSH")


class Touch(Call):
    def prepare(self) -> None:
        self.load()
        wait_for_a_later_ms()

    def make(self) -> str | None:
        return self.held.save()

    def judge(self, result: str | None, failure: Exception | None) -> None:
        assert self.place.note_of(self.id) == self.note


class Rotate(Call):
    def prepare(self) -> None:
        self.load().rotate()

    def make(self) -> str | None:
        return self.held.save()

    def judge(self, result: str | None, failure: Exception | None) -> None:
        old = self.place.note_of(self.id)
        assert old in (None, self.note)
        if result is not None:
            assert result != self.id and self.place.note_of(result) == self.note
        self.landed(failure, old is None, old == self.note)


class Login(Rotate):
    def prepare(self) -> None:
        self.load().login("user:42")


class Destroy(Call):
    def prepare(self) -> None:
        self.load()

    def make(self) -> bool:
        return self.held.destroy()

    def judge(self, result: bool, failure: Exception | None) -> None:
        now = self.place.note_of(self.id)
        assert now in (None, self.note)
        self.landed(failure, now is None, now == self.note)


class DestroyById(Destroy):
    def prepare(self) -> None:
        self.id = self.place.store(self.note)
        self.connect()

    def make(self) -> bool:
        return self.place.client.destroy(self.id)


class LoginAnew(Create):
    """Two writes to two keys: what is acknowledged must be in the index, too."""

    def prepare(self) -> None:
        super().prepare()
        self.held.login(self.note)

    def judge(self, result: str | None, failure: Exception | None) -> None:
        super().judge(result, failure)
        if failure is None:
            assert self.place.truth.destroy_all(self.note) >= 1
            assert self.place.note_of(result or "") is None


class DestroyAll(Destroy):
    def prepare(self) -> None:
        held = self.place.truth.new()
        held.note = self.note
        held.login(self.note)
        self.id = held.save() or ""
        self.connect()

    def make(self) -> int:
        return self.place.client.destroy_all(self.note)

    def judge(self, result: int, failure: Exception | None) -> None:
        super().judge(result == 1, failure)
        assert failure is not None or result == 1


CALLS: dict[str, type[Call]] = {
    "ping": Ping,
    "load": Load,
    "create": Create,
    "save": Save,
    "touch": Touch,
    "rotate": Rotate,
    "login": Login,
    "destroy": Destroy,
    "destroy by id": DestroyById,
    "login anew": LoginAnew,
    "destroy all": DestroyAll,
}
ALL_CALLS = {**CALLS, "save anew": SaveUnknown}
Place.calls = ALL_CALLS


# ---- One case, and many ---------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    call: str
    fault: Fault
    fresh: bool = False  # the connection has yet to be made
    must_succeed: bool = False

    def __str__(self) -> str:
        return f"{self.call}{' on a fresh connection' if self.fresh else ''}, {self.fault}"


def one_try(case: Case, place: Place) -> float:
    """Raises AssertionError; returns by how much the call took longer than it may."""
    call = place.calls[case.call](place, case.fresh)
    place.proxy.disarm()
    call.prepare()
    result, failure = None, None
    place.proxy.arm(case.fault)
    began = time.monotonic()
    try:
        result = call.make()
    except StoreUnavailable as exc:
        failure = exc.with_traceback(None)  # which would keep the session, and so the store
    took = time.monotonic() - began
    hits = place.proxy.hits
    place.proxy.disarm()
    call.judge(result, failure)
    if case.must_succeed and failure is not None:
        raise AssertionError(f"it could have been repeated, but failed: {failure!r}")
    assert hits <= case.fault.times
    place.hits += hits > 0
    del call
    place.recovers()
    return took - place.timeout - max(MARGIN_S, place.timeout / 10)


def run_case(case: Case, place: Place) -> str | None:
    """What is wrong, or None."""
    before = place.hits
    try:
        # A machine that is busy elsewhere is late now and then, a call that hangs each time; and on
        # such a machine a fresh connection may be given up before it comes to its fault.
        late = [one_try(case, place)]
        while (late[-1] > 0 or place.hits == before) and len(late) < 3:
            late.append(one_try(case, place))
    except Exception as exc:
        return f"{case}: {type(exc).__name__}: {exc}"
    place.hits = before + (place.hits > before)
    return f"{case}: it hung {late} s too long" if late[-1] > 0 else None


@contextmanager
def places(make: Callable[[], Place], number: int) -> Iterator[list[Place]]:
    made = [make() for _ in range(number)]
    try:
        yield made
    finally:
        with ThreadPoolExecutor(number) as threads:  # each waits for its connections to end
            list(threads.map(Place.close, made))


def run_cases(cases: list[Case], make: Callable[[], Place], workers: int = WORKERS) -> None:
    """All of them, some at a time; what is left open afterwards is a leak."""
    before = open_files()
    with places(make, workers) as made, ThreadPoolExecutor(workers) as threads:
        free: SimpleQueue[Place] = SimpleQueue()
        for place in made:
            free.put(place)

        def work(case: Case) -> str | None:
            place = free.get()
            try:
                return run_case(case, place)
            finally:
                free.put(place)

        wrong = [what for what in threads.map(work, cases) if what]
        # Others may be some bytes shorter than the one that was measured (INFO tells of numbers).
        met = sum(place.hits for place in made)
    assert not wrong, "\n".join([f"{len(wrong)} of {len(cases)}:", *wrong[:20]])
    assert len(cases) - met <= max(2, 0.1 * len(cases)), (
        f"only {met} of {len(cases)} cases met their fault"
    )
    wait_for(lambda: open_files() <= before, "the sockets to be closed")


def open_files() -> int:
    """What closed stores have left too long is closed with the next store that is opened."""
    DRIVERS["Python"]("unix:/nowhere", prefix="faults:").close()
    return len(os.listdir("/proc/self/fd"))


def sampled(length: int) -> list[int]:
    """Positions in so many bytes, 0 and the end included."""
    return sorted({*range(0, length + 1, STEP), 1, length - 1, length} & set(range(length + 1)))


def lengths(name: str, place: Place, *, fresh: bool = False) -> dict[Side, int]:
    """How many bytes the call sends and gets when all is well, and the server knows the script."""
    call = place.calls[name](place, fresh)
    place.proxy.disarm()
    call.prepare()
    place.proxy.arm(None)
    call.make()
    call.judge(None, Uncertain())
    return {
        "request": len(place.proxy.passed("request")),
        "reply": len(place.proxy.passed("reply")),
    }


@pytest.fixture
def app_user(redis_server: RedisServer) -> Iterator[RedisServer]:
    """So that a greeting has a password in it."""
    redis_server.cli("ACL", "SETUSER", "app", "reset", "on", ">sesame", "~*", "&*", "+@all")
    yield redis_server
    redis_server.cli("ACL", "DELUSER", "app")


@pytest.fixture
def make_place(
    app_user: RedisServer, loop: Loop, transport: Transport, driver: Open
) -> Callable[[float], Callable[[], Place]]:
    return lambda timeout: lambda: Place(app_user, loop, transport, driver, timeout)


Make = Callable[[float], Callable[[], Place]]

SIDES: tuple[Side, ...] = ("request", "reply")


def sweep(
    make: Callable[[], Place],
    kind: Kind,
    *,
    sides: tuple[Side, ...] = SIDES,
    calls: Any = tuple(CALLS),
    fresh: bool = False,
    must_succeed: bool = False,
    times: int = 1,
    seconds: float = 0.0,
    thin: int = 1,
    workers: int = WORKERS,
) -> None:
    """A fault of one kind at every byte (every `thin` of those sampled) of these calls."""
    place = make()
    try:
        for name in calls:
            lengths(name, place)
        size = {name: lengths(name, place, fresh=fresh) for name in calls}
    finally:
        place.close()
    run_cases(
        [
            Case(name, Fault(kind, side, at, times, seconds), fresh, must_succeed)
            for name in calls
            for side in sides
            for at in sampled(size[name][side])[::thin]
        ],
        make,
        workers,
    )


# ---- The tests ------------------------------------------------------------------------------


def test_req_60_69_a_connection_that_is_cut_anywhere_is_replaced(make_place: Make) -> None:
    sweep(make_place(GENEROUS_S), "cut", must_succeed=True)


def test_req_60_69_a_connection_that_is_reset_anywhere_is_replaced(make_place: Make) -> None:
    sweep(make_place(GENEROUS_S), "reset", must_succeed=True)


def test_req_60_69_71_a_connection_that_stalls_anywhere_ends_at_the_deadline(
    make_place: Make,
) -> None:
    sweep(make_place(SHORT_S), "stall", thin=THIN)


def test_req_60_69_a_reply_that_comes_too_late_is_nobodys(make_place: Make) -> None:
    sweep(make_place(SHORT_S), "delay", seconds=1.5 * SHORT_S, thin=THIN)


def test_req_60_69_a_script_that_is_sent_anew_may_be_cut_anywhere(make_place: Make) -> None:
    # One at a time: its neighbours would teach the server the script.
    sweep(make_place(GENEROUS_S), "cut", calls=("save anew",), must_succeed=True, workers=1)


def test_a_delay_within_the_deadline_does_no_harm(make_place: Make) -> None:
    sweep(make_place(GENEROUS_S), "delay", seconds=0.02, must_succeed=True, thin=THIN)


def test_bytes_that_come_one_by_one_do_no_harm(make_place: Make) -> None:
    sweep(make_place(GENEROUS_S), "trickle", must_succeed=True, thin=4 * THIN)


def test_req_71_bytes_that_trickle_do_not_move_the_deadline(make_place: Make) -> None:
    sweep(make_place(SHORT_S), "trickle", seconds=0.02, thin=4 * THIN)


def test_req_60_69_bytes_that_come_twice_make_no_reply_of_another(make_place: Make) -> None:
    sweep(make_place(GENEROUS_S), "double", sides=("reply",))


@pytest.mark.parametrize("times", [1, ALWAYS], ids=["once", "always"])
@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_req_60_69_a_greeting_that_is_cut_anywhere_fails_closed(
    make_place: Make, kind: Kind, times: int
) -> None:
    # The greeting is long, for INFO answers with much.
    calls = ("ping", "load", "create")
    sweep(make_place(0.5), kind, calls=calls, fresh=True, times=times, thin=20 * THIN)


@pytest.mark.parametrize("times", [1, ALWAYS], ids=["once", "always"])
def test_req_60_69_71_a_greeting_that_stalls_anywhere_ends_at_the_deadline(
    make_place: Make, times: int
) -> None:
    # Half of the time is for connecting, which by TLS takes many at once a while.
    calls = ("ping", "load")
    sweep(make_place(0.6), "stall", calls=calls, fresh=True, times=times, thin=20 * THIN)


def test_req_61_replies_out_of_order_are_foreign(make_place: Make) -> None:
    place = make_place(GENEROUS_S)()
    try:
        call = Load(place)
        call.prepare()
        place.proxy.arm(Fault("reorder"))
        with pytest.raises(ForeignReply):
            call.make()
        assert place.proxy.hits == 1
        place.recovers()
    finally:
        place.close()


def at_once(makes: list[Callable[[], Any]]) -> list[tuple[Any, Exception | None]]:
    """Calls in threads of their own: result or failure of each."""

    def outcome(make: Callable[[], Any]) -> tuple[Any, Exception | None]:
        try:
            return make(), None
        except StoreUnavailable as exc:
            return None, exc.with_traceback(None)

    with ThreadPoolExecutor(len(makes)) as threads:
        return list(threads.map(outcome, makes))


def two_connections(place: Place) -> None:
    """Two calls that overlap leave two connections to be used again."""
    place.proxy.arm(Fault("delay", seconds=0.1, times=2))
    at_once([place.client.ping] * 2)
    place.proxy.disarm()


def swapped(place: Place, *names: str) -> list[Exception | None]:
    """Two calls at once, each of which gets the reply to the other; the failure of each."""
    for _ in range(10):
        failures = try_to_swap(place, *names)
        if failures is not None:
            return failures
    raise AssertionError("two calls at once do not meet the fault")


def try_to_swap(place: Place, *names: str) -> list[Exception | None] | None:
    """None: on a busy machine a connection was idle for too long, and was replaced."""
    calls = [CALLS[name](place) for name in names]
    for call in calls:
        call.prepare()
    wait_for(lambda: two_connections(place) or place.proxy.open == 2, "two connections")
    place.proxy.arm(Fault("swap", times=2))
    outcomes = at_once([call.make for call in calls])
    met = place.proxy.hits - place.proxy.new_hits
    for call, (result, failure) in zip(calls, outcomes, strict=True):
        if isinstance(call, Load):
            call.judge(result, failure)
    place.recovers(connections=2)
    return [failure for _, failure in outcomes] if met == 2 else None


@pytest.mark.parametrize("driver", POOLED, indirect=True)
def test_req_60_61_swapped_records_are_foreign(make_place: Make) -> None:
    place = make_place(GENEROUS_S)()
    try:
        for failure in swapped(place, "load", "load"):
            assert isinstance(failure, ForeignReply)
    finally:
        place.close()


@pytest.mark.parametrize("driver", POOLED, indirect=True)
@pytest.mark.parametrize("other", [name for name in CALLS if name != "load"])
def test_req_60_61_no_reply_to_another_call_is_a_session(make_place: Make, other: str) -> None:
    place = make_place(0.5)()
    try:
        assert isinstance(swapped(place, "load", other)[0], StoreUnavailable)
    finally:
        place.close()


def test_req_69_a_server_that_hangs_up_at_once_is_never_no_session(make_place: Make) -> None:
    place = make_place(0.5)()
    try:
        place.fresh()
        place.proxy.arm(Fault("cut", "request", 0, times=ALWAYS))
        for name in ("load", "destroy by id"):
            call = CALLS[name](place)
            call.id = place.own_id
            with pytest.raises(StoreUnavailable) as caught:
                call.make()
            assert not isinstance(caught.value, StoreTimeout)
        place.recovers()
    finally:
        place.close()
