"""Under which keys results of functions are cached: one for each call that means the same."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from coatcheck import NotStorable
from coatcheck.memoize import Keys
from hypothesis import given
from values import same, values


def plain(a: Any, b: Any = 2, c: Any = 3) -> None: ...


def rich(a: Any, /, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> None: ...


def keys(fn: Callable[..., Any] = plain, name: str | None = None, ignore: Any = ()) -> Any:
    made = Keys(fn, name, ignore)
    return lambda *args, **kwargs: made.key(args, kwargs)


@pytest.mark.parametrize("fn", [plain, rich])
def test_how_an_argument_is_passed_does_not_matter(fn: Callable[..., Any]) -> None:
    key = keys(fn)
    assert key(1) == key(1, 2) == key(1, b=2) == key(1, c=3, b=2)
    assert key(1, 5) == key(1, b=5) != key(1, c=5)


def test_names_of_further_arguments_come_in_any_order() -> None:
    key = keys(rich)
    assert key(1, x=1, y=2) == key(1, y=2, x=1) != key(1, x=2, y=1)


def test_further_arguments_are_no_others() -> None:
    key = keys(rich)
    seen = {key(1, 2, 3), key(1, 2, 3, 4), key(1, 2, (3, 4)), key(1, 2, c=4), key(1, 2, d=3)}
    assert len(seen) == 5


@given(values, values)
def test_values_have_one_key_if_and_only_if_they_are_the_same(one: Any, other: Any) -> None:
    key = keys(plain)
    assert (key(one) == key(other)) == same(one, other)


ALIKE = [0, 0.0, False, -0.0, "0", b"0", None, "", b"", (), [], {}, (0,), [0]]


def test_arguments_that_are_equal_but_not_the_same_have_keys_of_their_own() -> None:
    key = keys(plain)
    assert len({key(value) for value in ALIKE}) == len(ALIKE)
    assert len({key(n) for n in (1, 1.0, True)}) == 3


def test_a_key_is_short_whatever_the_arguments_are() -> None:
    key = keys(plain)
    assert len(key("x" * 10_000)) == len(key(1)) == len("m:test_memoize_keys.plain:") + 22


def test_the_key_of_a_call_never_changes() -> None:
    """Another process, and another release, has to find what this one has stored."""
    assert keys(plain, "n")(1, "two", [3.0]) == "m:n:4-XvK0bKEaWwPmpVzGDo2g"


def test_functions_have_keys_of_their_own() -> None:
    assert keys(plain)(1) != keys(rich)(1)
    assert keys(plain, "one")(1) != keys(plain, "two")(1)


def test_an_argument_that_cannot_be_stored_is_refused_with_its_path() -> None:
    with pytest.raises(NotStorable, match=r"^b\['x'\]\[0\]: set is not storable") as raised:
        keys(plain)(1, {"x": [{1}]})
    assert raised.value.path == "b['x'][0]"
    assert raised.value.type == "set"


@pytest.mark.parametrize("fn", [plain, rich])
def test_ignored_arguments_are_no_part_of_the_key(fn: Callable[..., Any]) -> None:
    key = keys(fn, ignore=["a"])
    assert key(object(), 5) == key(object(), 5) != key(object(), 6)
    assert keys(fn, ignore="a")(object()) == key(object())


def test_only_arguments_that_there_are_can_be_ignored() -> None:
    with pytest.raises(TypeError, match="ignore names self, but plain has no such argument"):
        Keys(plain, None, ("self",))


def test_a_call_that_the_function_would_refuse_is_refused() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        keys(plain)()
    with pytest.raises(TypeError, match="too many positional arguments"):
        keys(plain)(1, 2, 3, 4)


def test_what_its_name_does_not_tell_apart_needs_a_name() -> None:
    around = 1

    def closure() -> int:
        return around

    for fn in (lambda: 1, closure):
        with pytest.raises(TypeError, match="give name"):
            Keys(fn, None, ())
        assert Keys(fn, "mine", ()).key((), {}).startswith("m:mine:")
    with pytest.raises(TypeError, match="give name"):
        Keys(functools.partial(plain, 1), None, ())


@pytest.mark.parametrize("name", ["", "x" * 257, "ü" * 129])
def test_a_name_is_neither_empty_nor_too_long(name: str) -> None:
    with pytest.raises(ValueError, match="from 1 to 256 bytes"):
        Keys(plain, name, ())
