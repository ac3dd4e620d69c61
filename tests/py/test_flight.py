"""One makes what many want at the same time, in threads and in the tasks of an event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from coatcheck.aio.shared_task import SharedTask, SharedTasks
from coatcheck.flight import Flight, Flights
from conftest import PATIENCE_S, in_thread, wait_for

KEY = "k"


class Maker:
    """Makes its value when it is let."""

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value = [1] if value is None else value
        self.error = error
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, flight: Flight) -> Any:
        self.begun.set()
        assert self.may_end.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        flight.land(self.value)
        return self.value


def under_way(flights: Flights, make: Maker) -> Callable[[], Any]:
    answer = in_thread(lambda: flights.run(KEY, flights.join(KEY), make))
    assert make.begun.wait(PATIENCE_S)
    return answer


def waiting(flights: Flights) -> Callable[[], Any]:
    """In a thread of its own, from now on."""
    flight = flights.join(KEY)
    assert not flight.is_ours()
    answer = in_thread(lambda: flight.wait(PATIENCE_S))
    wait_for(lambda: flight._awaited, "the other thread")
    return answer


# ---- Threads --------------------------------------------------------------------------------


def test_whoever_waits_gets_a_value_of_his_own() -> None:
    flights, make = Flights(), Maker([1, (2,)])
    first = under_way(flights, make)
    second, third = waiting(flights), waiting(flights)
    make.may_end.set()
    assert first() is make.value
    (two,), (three,) = second(), third()
    assert two == three == make.value
    assert two is not three and two is not make.value


def test_whoever_waits_gets_the_error() -> None:
    flights, make = Flights(), Maker(error=LookupError("gone"))
    first = under_way(flights, make)
    second = waiting(flights)
    make.may_end.set()
    for answer in (first, second):
        with pytest.raises(LookupError, match="gone"):
            answer()


def test_an_exit_is_for_nobody_else() -> None:
    flights, make = Flights(), Maker(error=SystemExit())
    first = under_way(flights, make)
    second = waiting(flights)
    make.may_end.set()
    with pytest.raises(SystemExit):
        first()
    assert second() is None


def test_what_does_not_land_is_for_nobody_else() -> None:
    flights, make = Flights(), Maker()
    first = in_thread(lambda: flights.run(KEY, flights.join(KEY), lambda _: make(Flight())))
    assert make.begun.wait(PATIENCE_S)
    second = waiting(flights)
    make.may_end.set()
    assert first() == [1]
    assert second() is None


def test_nobody_joins_a_flight_that_is_closed() -> None:
    flights = Flights()
    flight = flights.join(KEY)
    flights.close(KEY, flight)
    assert in_thread(lambda: flights.find(KEY))() is None
    another = in_thread(lambda: flights.join(KEY))()
    flights.close(KEY, flight)
    assert flights.find(KEY) is another


def test_a_value_that_cannot_be_packed_is_an_error_for_all() -> None:
    flights, make = Flights(), Maker(object())
    first = under_way(flights, make)
    second = waiting(flights)
    make.may_end.set()
    for answer in (first, second):
        with pytest.raises(TypeError):
            answer()


def test_nobody_joins_a_flight_that_is_over() -> None:
    flights, make = Flights(), Maker()
    make.may_end.set()
    assert flights.run(KEY, flights.join(KEY), make) == [1]
    with pytest.raises(ZeroDivisionError):
        flights.run(KEY, flights.join(KEY), lambda _: 1 // 0)
    assert in_thread(lambda: flights.join(KEY).is_ours())()


def test_who_comes_at_the_last_moment_looks_again() -> None:
    flight = Flight()
    flight.land([1])
    flight.end()
    assert flight.wait(PATIENCE_S) is None


def test_nobody_waits_for_ever() -> None:
    assert Flight().wait(0.001) is None


def test_a_thread_does_not_wait_for_itself() -> None:
    flights = Flights()
    outer = flights.join(KEY)
    assert flights.run(KEY, outer, lambda _: flights.join(KEY).is_ours())


def test_a_forked_process_does_not_wait_for_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    flights, make = Flights(), Maker()
    first = under_way(flights, make)
    assert not flights.join(KEY).is_ours()
    monkeypatch.setattr(os, "getpid", lambda: 0)
    assert flights.join(KEY).is_ours()
    make.may_end.set()
    first()


# ---- Tasks ----------------------------------------------------------------------------------


async def settle() -> None:
    """Whatever can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_tasks_get_values_of_their_own() -> None:
    async def main() -> None:
        tasks, may_end = SharedTasks(), asyncio.Event()
        value = [1, (2,)]

        async def make(shared: SharedTask) -> Any:
            await may_end.wait()
            shared.land(value)
            return value

        shared = tasks.start(KEY, make)
        assert tasks.find(KEY) is shared
        waiters = [asyncio.ensure_future(shared.wait(s)) for s in (None, 9, PATIENCE_S)]
        await settle()
        may_end.set()
        got = [answer[0] for answer in await asyncio.gather(*waiters) if answer]
        assert got == [value] * 3
        assert len({id(one) for one in got}) == 3
        assert tasks.find(KEY) is None

    asyncio.run(main())


def test_what_does_not_land_is_for_no_other_task() -> None:
    async def main() -> None:
        tasks = SharedTasks()

        async def make(shared: SharedTask) -> Any:
            tasks.close(KEY, shared)
            assert tasks.find(KEY) is None
            return [1]

        shared = tasks.start(KEY, make)
        assert await asyncio.gather(shared.wait(None), shared.wait(1)) == [([1],), None]

    asyncio.run(main())


def test_tasks_get_the_error() -> None:
    async def main() -> None:
        async def make(_: SharedTask) -> Any:
            await asyncio.sleep(0)
            raise LookupError("gone")

        shared = SharedTasks().start(KEY, make)
        got = await asyncio.gather(shared.wait(1), shared.wait(1), return_exceptions=True)
        assert [type(one) for one in got] == [LookupError] * 2

    asyncio.run(main())


def test_the_first_may_be_cancelled_and_the_others_get_the_value() -> None:
    async def main() -> None:
        may_end = asyncio.Event()

        async def make(shared: SharedTask) -> Any:
            await may_end.wait()
            shared.land([1])
            return [1]

        shared = SharedTasks().start(KEY, make)
        first, second = (asyncio.ensure_future(shared.wait(s)) for s in (None, PATIENCE_S))
        await settle()
        first.cancel()
        await settle()
        assert first.cancelled()
        may_end.set()
        assert await second == ([1],)

    asyncio.run(main())


def test_what_nobody_waits_for_is_cancelled_and_over() -> None:
    async def main() -> None:
        tasks, ended = SharedTasks(), []

        async def make(_: SharedTask) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        shared = tasks.start(KEY, make)
        waiters = [asyncio.ensure_future(shared.wait(PATIENCE_S)) for _ in range(2)]
        await settle()
        assert ended == []
        for waiter in waiters:
            waiter.cancel()
        await settle()
        assert ended == [True]
        assert tasks.find(KEY) is None

    asyncio.run(main())


def test_one_that_cancels_itself_lets_the_others_look_again() -> None:
    async def main() -> None:
        async def make(_: SharedTask) -> Any:
            raise asyncio.CancelledError

        assert await SharedTasks().start(KEY, make).wait(1) is None

    asyncio.run(main())


def test_an_error_that_nobody_waits_for_is_no_complaint() -> None:
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *a: complaints.append(a))

        async def make(_: SharedTask) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError

        waiter = asyncio.ensure_future(SharedTasks().start(KEY, make).wait(PATIENCE_S))
        await settle()
        waiter.cancel()
        await settle()
        gc.collect()

    asyncio.run(main())
    gc.collect()
    assert complaints == []


def test_loops_do_not_wait_for_each_other() -> None:
    tasks = SharedTasks()

    async def main() -> None:
        tasks.start(KEY, lambda _: asyncio.Event().wait())
        assert tasks.find(KEY) is not None
        assert in_thread(lambda: asyncio.run(other()))() is None

    async def other() -> Any:
        return tasks.find(KEY)

    asyncio.run(main())
