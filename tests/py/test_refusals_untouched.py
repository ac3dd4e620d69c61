"""A refusal touches nothing: no code of a value's own runs, and what changes meanwhile is packed
as it was at one moment."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from coatcheck import NotStorable, Session, Store, check, dumps, loads
from conftest import PATIENCE_S, in_thread
from test_refusals import HERE, Number, Plain, Point, saved, trap

# ---- No code of the value's own runs -------------------------------------------------------------


STRUCTURAL = {
    "__new__", "__init__", "__class__", "__dict__", "__doc__", "__weakref__", "__slots__",
    "__init_subclass__", "__set_name__", "__del__", "__module__", "__qualname__",
}  # fmt: skip

# Those that the built-in types have, and more.
SPECIAL = {
    name
    for kind in (object, int, str, float, bytes, bytearray, tuple, list, dict, set, type)
    for name, member in vars(kind).items()
    if name.startswith("__") and callable(member)
} - STRUCTURAL | {
    "__getattr__", "__bool__", "__bytes__", "__call__", "__next__", "__buffer__", "__fspath__",
    "__class_getitem__", "__get__", "__set__", "__delete__", "__missing__", "__complex__",
    "__length_hint__", "__copy__", "__deepcopy__", "__enter__", "__exit__", "__await__",
}  # fmt: skip


def hostile(*bases: type) -> type:
    """A class whose special methods, and whose metaclass's, all raise."""
    meta = type("Meta", (type,), {name: trap for name in SPECIAL})
    namespace = {name: trap for name in SPECIAL}
    namespace["__class__"] = property(trap)
    return type.__new__(meta, "Hostile", bases, {**namespace, "__module__": "shop.models"})


@pytest.mark.parametrize("base", [object, int, str, float, bytes, tuple, list, dict])
def test_no_code_of_a_refused_value_runs(base: type) -> None:
    value = base.__new__(hostile(base))
    for held in (value, [value], (value,), {"k": value}):
        with pytest.raises(NotStorable) as refusal:
            dumps(held)
        assert refusal.value.type == "shop.models.Hostile"
        assert [problem.type for problem in check(held)] == ["shop.models.Hostile"]
    with pytest.raises(NotStorable):
        dumps(type(value))


class Name(str):
    armed = False

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return trap() if Name.armed else str.__eq__(self, other)


@pytest.mark.parametrize("module", [5, None, Name("evil")])
def test_a_module_that_is_no_text_is_left_out(module: Any) -> None:
    value = type("Odd", (), {"__module__": module})()
    with pytest.raises(NotStorable) as refusal:
        dumps(value)
    assert refusal.value.type == "Odd"


def test_the_namespace_of_a_class_is_read_without_its_keys_own_code() -> None:
    value = type("Odd", (), {Name("__module__"): "evil"})()
    Name.armed = True
    try:
        with pytest.raises(NotStorable) as refusal:
            dumps(value)
    finally:
        Name.armed = False
    assert refusal.value.type == "Odd"


@pytest.mark.parametrize("base", [object, int, str, float, bytes, tuple])
def test_no_code_of_a_refused_key_runs(base: type) -> None:
    kind = hostile(base)
    key = base.__new__(kind)
    type.__setattr__(kind, "__hash__", lambda self: 1)  # or it could not be put into a dict
    held = {key: {1}}
    type.__setattr__(kind, "__hash__", trap)
    with pytest.raises(NotStorable) as refusal:
        dumps(held)
    assert refusal.value.type == "shop.models.Hostile"
    assert [(problem.path, problem.type) for problem in check(held)] == [
        ("value", "shop.models.Hostile"),
        ("value[<shop.models.Hostile>]", "set"),
    ]


def test_below_a_refused_key_a_path_shows_its_type() -> None:
    for key, shown in (
        (10**5000, "<int>"),
        (2**64, "<int>"),
        (-(2**63) - 1, "<int>"),
        (2**64 - 1, "18446744073709551615"),
        (-(2**63), "-9223372036854775808"),
        (math.inf, "inf"),
        ("\ud800", r"'\ud800'"),
        (Point(1, 2), f"<{HERE}.Point>"),
        ((1, (frozenset(), None)), "(1, (<frozenset>, None))"),
        (Number.ONE, f"<{HERE}.Number>"),
    ):
        assert check({key: [{1}]})[-1].path == f"value[{shown}][0]"


def test_the_name_of_a_class_is_plain_text_whatever_it_was_set_to() -> None:
    kind = type("Odd", (), {"__module__": "shop"})
    kind.__qualname__ = Name("Outer.Odd")
    Name.armed = True
    try:
        with pytest.raises(NotStorable) as refusal:
            dumps(kind())
    finally:
        Name.armed = False
    assert refusal.value.type == "shop.Outer.Odd"
    assert type(refusal.value.type) is str
    kind.__module__ = "builtins"
    with pytest.raises(NotStorable) as refusal:
        dumps(kind())
    assert type(refusal.value.type) is str


# ---- Values that change while they are packed ----------------------------------------------------


@contextmanager
def beside(change: Callable[[int], object], times: int = 100) -> Iterator[Iterator[None]]:
    """Rounds beside another thread that makes change after change, until there was a change between
    two rounds so many times."""
    ended = threading.Event()
    made = 0

    def run() -> None:
        nonlocal made
        while not ended.is_set():
            change(made)
            made += 1

    def rounds() -> Iterator[None]:
        end = time.monotonic() + PATIENCE_S
        seen = switches = 0
        while switches < times:
            assert time.monotonic() < end, f"only {switches} changes between rounds"
            yield
            switches += made != seen
            seen = made

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    join = in_thread(run)
    try:
        yield rounds()
    finally:
        ended.set()
        join()
        sys.setswitchinterval(interval)


@contextmanager
def at_each_collection(change: Callable[[int], object]) -> Iterator[list[int]]:
    """The collector runs as often as it can, and each time a change is made before and after."""
    made: list[int] = []

    def callback(phase: str, info: dict[str, int]) -> None:
        made.append(len(made))
        change(len(made))

    thresholds = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1, 1, 1)
    try:
        yield made
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(callback)


def test_a_list_that_another_thread_changes_is_packed_as_it_was_at_one_moment() -> None:
    held: list[Any] = [[0], "end"]

    def change(n: int) -> None:
        held[0][:] = [n % 50] * (n % 50 + 1)

    states = set()
    with beside(change) as rounds:
        for _ in rounds:
            seen, end = loads(dumps(held))
            assert seen == [seen[0]] * (seen[0] + 1)
            assert end == "end"
            states.add(seen[0])
    assert len(states) > 1


def test_a_dict_that_another_thread_changes_is_packed_as_it_was_at_one_moment() -> None:
    held: dict[Any, Any] = {"a": 0, "inner": {}}

    def change(n: int) -> None:
        held[f"key {n}"] = [n]
        held["inner"] = {str(i): n for i in range(n % 40)}
        del held[f"key {n}"]

    states = set()
    with beside(change) as rounds:
        for _ in rounds:
            seen = loads(dumps(held))
            assert len(seen) in (2, 3)
            assert seen["a"] == 0
            assert len(set(seen["inner"].values())) < 2
            assert list(seen["inner"]) == [str(i) for i in range(len(seen["inner"]))]
            states.add((len(seen), len(seen["inner"])))
    assert len(states) > 2


def test_what_another_thread_makes_unstorable_is_refused_or_not_there() -> None:
    held: list[Any] = [0, {"x": 1}]

    def change(n: int) -> None:
        held[1]["x"] = {n} if n % 2 else n

    outcomes = set()
    with beside(change) as rounds:
        for _ in rounds:
            try:
                outcomes.add(type(loads(dumps(held))[1]["x"]))
            except NotStorable as error:
                assert (error.path, error.type) == ("value[1]['x']", "set")
                outcomes.add(set)
            assert {problem.path for problem in check(held)} <= {"value[1]['x']"}
    assert outcomes == {int, set}


@pytest.mark.parametrize("unstorable", [False, True])
def test_what_the_collector_s_callbacks_change_is_packed_as_it_was(unstorable: bool) -> None:
    last: Any = Plain() if unstorable else 0
    held: dict[str, Any] = {}

    def change(n: int) -> None:
        held.clear()
        held.update({f"k{n % 30}-{i}": [(n % 30, [])] for i in range(n % 30)})
        held["last"] = [last] * 3

    change(0)
    with at_each_collection(change) as made:
        for _ in range(300):
            problems = check(held)
            assert len(problems) == (3 if unstorable else 0)
            assert all(problem.path.startswith("value['last'][") for problem in problems)
            try:
                seen = loads(dumps(held))
            except NotStorable as error:
                assert unstorable
                assert error.path == "value['last'][0]"
                continue
            assert not unstorable
            assert seen.pop("last") == [0, 0, 0]
            assert all(v == [(len(seen), [])] for v in seen.values())
            assert list(seen) == [f"k{len(seen)}-{i}" for i in range(len(seen))]
    assert len(made) > 100


def test_a_deep_value_survives_callbacks_that_take_it_apart() -> None:
    def fresh() -> list[Any]:
        value: list[Any] = [{"x": [(i, str(i) * 50)]} for i in range(50)]
        value.append({1})
        return value

    held: list[Any] = fresh()

    def change(n: int) -> None:
        for member in held:
            if type(member) is dict:
                member.clear()
        held[:] = fresh()

    with at_each_collection(change):
        for _ in range(100):
            with pytest.raises(NotStorable) as refusal:
                dumps(held)
            assert refusal.value.path == "value[50]"
            assert [problem.path for problem in check(held)] == ["value[50]"]


def test_a_session_survives_callbacks_that_change_its_fields(store: Store) -> None:
    session = saved(store, cart=[0], other={"n": 0})
    cart, other = session["cart"], session["other"]

    def change(n: int) -> None:
        cart[:] = [n] * (n % 20 + 1)
        other["n"] = n
        with contextlib.suppress(RuntimeError):  # the session is in use
            session["more"] = [n] * (n % 20 + 1)

    with at_each_collection(change):
        for _ in range(50):
            session.save()
            again = store.load(session.id or "")
            assert again is not None
            seen = again.copy()
            assert set(seen) <= {"cart", "other", "more"}
            assert seen["cart"] == [seen["cart"][0]] * (seen["cart"][0] % 20 + 1)


def test_a_session_survives_callbacks_that_save_it(store: Store) -> None:
    session = saved(store, cart=[-1], other=-1)
    other = store.load(session.id or "")
    assert other is not None
    assert session["cart"] == [-1]

    def change(n: int) -> None:
        with contextlib.suppress(RuntimeError):  # the session is in use
            session.save()

    with at_each_collection(change):
        for n in range(50):
            other["other"] = n
            other.save()  # so that the next save has to merge
            session["cart"].append(n)
            session.save()
    again = store.load(session.id or "")
    assert again is not None
    assert again.copy() == {"cart": list(range(-1, 50)), "other": 49}


class Dying:
    """Its end does something to the session that held it."""

    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()


@pytest.mark.parametrize(
    "end",
    [
        lambda session: session.__setitem__("cart", [0] * 9),
        lambda session: session.__delitem__("cart"),
        lambda session: session.login("user:42", carry=["other"]),
        lambda session: session.destroy(),
        lambda session: session.clear(),
    ],
    ids=["set", "delete", "login", "destroy", "clear"],
)
@pytest.mark.parametrize(
    "last_words",
    [
        lambda session: session.__setitem__("cart", ["last"]),
        lambda session: session.pop("cart", None),
        lambda session: session.update({str(n): [n] for n in range(50)}),
        lambda session: session.login("user:42", carry=[]),
        lambda session: session.save(),
        lambda session: session.destroy(),
    ],
    ids=["sets", "deletes", "sets many", "logs in", "saves", "destroys"],
)
def test_a_session_survives_the_finalizers_of_what_it_held(
    store: Store, end: Callable[[Session], object], last_words: Callable[[Session], object]
) -> None:
    session = saved(store, cart=[1], other=[2])
    made: list[int] = []

    def speak() -> None:
        made.append(len(made))
        last_words(session)

    session["cart"].append(Dying(speak))
    assert session["other"] == [2]
    end(session)
    assert made == [0]
    seen = session.copy()
    session_id = session.save()
    again = None if session_id is None else store.load(session_id)
    assert ({} if again is None else again.copy()) == seen


def test_a_session_survives_a_thread_that_changes_its_fields(store: Store) -> None:
    session = saved(store, cart=[0], other={"n": 0})
    cart, other = session["cart"], session["other"]

    def change(n: int) -> None:
        cart[:] = [n] * (n % 20 + 1)
        other[str(n)] = n
        del other[str(n)]

    with beside(change, 25) as rounds:
        for _ in rounds:
            session.save()
            again = store.load(session.id or "")
            assert again is not None
            seen = again.copy()
            assert seen["cart"] == [seen["cart"][0]] * (seen["cart"][0] % 20 + 1)
            assert len(seen["other"]) in (1, 2)


def test_bytes_that_another_thread_changes_are_read_as_they_were_at_one_moment() -> None:
    states = [dumps(["x" * 40, n] * 20) for n in (1, 2)]
    assert len(states[0]) == len(states[1])
    data = bytearray(states[0])

    def change(n: int) -> None:
        data[:] = states[n % 2]

    outcomes = set()
    with beside(change) as rounds:
        for _ in rounds:
            outcomes.add(dumps(loads(data)))
    assert outcomes == set(states)
