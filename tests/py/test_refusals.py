"""What is refused, how a refusal puts it, and that the container and the session stay as they
were."""

from __future__ import annotations

import array
import asyncio
import collections
import contextvars
import ctypes
import dataclasses
import datetime
import decimal
import email.message
import enum
import fractions
import functools
import gc
import hashlib
import http
import http.cookies
import importlib
import io
import ipaddress
import itertools
import logging
import math
import operator
import os
import pathlib
import pickle
import queue
import random
import re
import signal
import string
import struct
import sys
import threading
import time
import types
import typing
import unittest.mock
import urllib.parse
import uuid
import warnings
import weakref
import xml.etree.ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
from coatcheck import Corrupt, LimitExceeded, NotStorable, Session, Store, check, dumps, loads
from conftest import RedisServer
from hypothesis import given
from hypothesis import strategies as st
from values import same, scalars

# ---- What is refused -----------------------------------------------------------------------------


class Plain:
    pass


class Colour(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    pass


class Mapping(dict):  # type: ignore[type-arg]
    pass


Point = collections.namedtuple("Point", "x y")


def a_function() -> None:
    pass


HERE = __name__
DEFAULT = "store its plain data, for example a dict of its fields"
NAMED = "store a name and look it up"

REFUSED = [
    (Plain(), f"{HERE}.Plain", DEFAULT),
    (object(), "object", DEFAULT),
    (Colour.RED, f"{HERE}.Colour", "store value.value"),
    (Number.ONE, f"{HERE}.Number", "store value.value"),
    (Text("t"), f"{HERE}.Text", "store str(value)"),
    (Mapping(), f"{HERE}.Mapping", "store dict(value)"),
    (Point(1, 2), f"{HERE}.Point", "store tuple(value)"),
    (type("I", (int,), {})(5), f"{HERE}.I", "store int(value)"),
    (type("F", (float,), {})(5), f"{HERE}.F", "store float(value)"),
    (type("B", (bytes,), {})(), f"{HERE}.B", "store bytes(value)"),
    (type("L", (list,), {})(), f"{HERE}.L", "store list(value)"),
    (datetime.datetime(2026, 1, 1), "datetime.datetime", "store value.isoformat()"),
    (datetime.date(2026, 1, 1), "datetime.date", "store value.isoformat()"),
    (datetime.time(1), "datetime.time", "store value.isoformat()"),
    (datetime.timedelta(1), "datetime.timedelta", "store value.total_seconds()"),
    (decimal.Decimal("1.5"), "decimal.Decimal", "store str(value)"),
    (fractions.Fraction(1, 3), "fractions.Fraction", "store str(value)"),
    (uuid.UUID(int=1), "uuid.UUID", "store str(value)"),
    (pathlib.PurePosixPath("/a"), type(pathlib.PurePosixPath("/a")).__module__ + ".PurePosixPath",
     "store str(value)"),
    ({1}, "set", "store sorted(value) or list(value)"),
    (frozenset(), "frozenset", "store sorted(value) or list(value)"),
    (bytearray(b"x"), "bytearray", "store bytes(value)"),
    (memoryview(b"x"), "memoryview", "store bytes(value)"),
    (array.array("i"), "array.array", "store value.tolist()"),
    (collections.OrderedDict(), "collections.OrderedDict", "store dict(value)"),
    (collections.defaultdict(), "collections.defaultdict", "store dict(value)"),
    (collections.deque(), "collections.deque", "store list(value)"),
    (1j, "complex", "store (value.real, value.imag)"),
    (range(3), "range", "store list(value)"),
    ({}.keys(), "dict_keys", "store list(value)"),
    (Plain, "type", f"a class is code: {NAMED}"),
    (a_function, "function", f"a function is code: {NAMED}"),
    ([].append, "builtin_function_or_method", f"a function is code: {NAMED}"),
    (sys, "module", "a module is code: store its name"),
    (NotImplemented, "NotImplementedType", DEFAULT),
    (..., "ellipsis", DEFAULT),
]  # fmt: skip


@pytest.mark.parametrize(("value", "name", "advice"), REFUSED, ids=[r[1] for r in REFUSED])
def test_a_refusal_names_place_type_and_remedy(value: Any, name: str, advice: str) -> None:
    for held, path in (
        (value, "value"),
        ({"cart": [0, (1, value)]}, "value['cart'][1][1]"),
        (
            {("a", 1): {None: {b"k": {1.5: {True: value}}}}},
            "value[('a', 1)][None][b'k'][1.5][True]",
        ),
        ({(): {("é",): value}}, "value[()][('é',)]"),
    ):
        with pytest.raises(NotStorable) as refusal:
            dumps(held)
        assert refusal.value.path == path
        assert refusal.value.type == name
        assert str(refusal.value) == f"{path}: {name} is not storable ({advice})"


@pytest.mark.parametrize(
    ("key", "name", "why"),
    [
        (math.nan, "float", "only a finite one can; use repr(key)"),
        (-math.inf, "float", "only a finite one can; use repr(key)"),
        (2**64, "int", "it has more than 64 bits; use str(key)"),
        (-(2**63) - 1, "int", "it has more than 64 bits; use str(key)"),
        (2**5000, "int", "it has more than 64 bits; use str(key)"),
        (Point(1, 2), f"{HERE}.Point", "keys are str, bytes, bool, None, int of 64 bits, finite "
         "float, or tuples of these"),
        (frozenset(), "frozenset", "keys are str, bytes, bool, None, int of 64 bits, finite "
         "float, or tuples of these"),
        ("\ud800", "str", "it has a lone surrogate, so it is not UTF-8"),
    ],
)  # fmt: skip
def test_a_refused_key_is_named_with_its_dict(key: Any, name: str, why: str) -> None:
    for refused in (key, (1, key), ((key,),)):
        with pytest.raises(NotStorable) as refusal:
            dumps({"a": {refused: 1}})
        assert refusal.value.path == "value['a']"
        assert refusal.value.type == name
        assert str(refusal.value) == f"value['a']: {name} cannot be a key ({why})"


@pytest.mark.parametrize("key", [2**63, 2**64 - 1, -(2**63), 0, -0.0, True, None, b"", ()])
def test_keys_at_the_edge_are_stored(key: Any) -> None:
    assert same(loads(dumps({key: 1})), {key: 1})


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "é\ud83d", "😀\udc00", "\udcff" * 50])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(NotStorable, match="surrogate") as refusal:
        dumps([text])
    assert refusal.value.path == "value[0]"


def test_a_long_key_is_shown_shortened() -> None:
    with pytest.raises(NotStorable) as refusal:
        dumps({"k" * 5000: {1}})
    assert refusal.value.path == "value['" + "k" * 128 + "'...]"
    with pytest.raises(NotStorable) as refusal:
        dumps({b"k" * 5000: {1}})
    assert refusal.value.path == "value[b'" + "k" * 128 + "'...]"


def test_a_key_of_many_members_is_shown_shortened() -> None:
    deep: tuple[Any, ...] = (1,)
    for _ in range(40):
        deep = (deep, 1)
    for key in (tuple(range(4000)), deep, ("k" * 100, "k" * 5000, 3), ((),) * 4000):
        with pytest.raises(NotStorable) as refusal:
            dumps({key: {1}})
        start, end = refusal.value.path[: len("value[")], refusal.value.path[-1]
        assert (start, end) == ("value[", "]")
        shown = refusal.value.path[len(start) : -1]
        assert shown == repr(key) or ("..." in shown and len(shown) < 400)


def test_refusals_below_a_large_key_are_short() -> None:
    for key in ("k" * 200_000, b"k" * 200_000, tuple(range(4000))):
        assert max(len(str(problem)) for problem in check({key: [set()] * 10})) < 400


def test_a_refused_value_leaves_the_codec_fit_for_use() -> None:
    for _ in range(3):
        with pytest.raises(NotStorable):
            dumps(["x" * 1000, {1}])
        with pytest.raises(Corrupt):
            loads(b"\x92\x01")
        assert loads(dumps([1, 2])) == [1, 2]


def test_check_finds_all_offending_paths_at_once() -> None:
    problems = check({"a": Plain(), "b": [1, {2}, "\ud800", (1j,)], math.inf: 1, "c": {"d": len}})
    assert [problem.path for problem in problems] == [
        "value['a']",
        "value['b'][1]",
        "value['b'][2]",
        "value['b'][3][0]",
        "value",
        "value['c']['d']",
    ]
    assert all(type(problem) is NotStorable for problem in problems)


def test_check_ends_with_the_first_limit() -> None:
    problems = check([{1}, [[[]]], {2}], max_depth=2)
    assert [type(problem) for problem in problems] == [NotStorable, LimitExceeded]
    assert [problem.path for problem in problems] == ["value[0]", "value[1][0]"]


offenders = st.sampled_from([row[0] for row in REFUSED])


@given(
    st.recursive(scalars | offenders, lambda inner: st.lists(inner) | st.lists(inner).map(tuple))
)
def test_check_and_dumps_agree(value: Any) -> None:
    problems = check(value)
    if not problems:
        assert same(loads(dumps(value)), value)
        return
    with pytest.raises(NotStorable) as refusal:
        dumps(value)
    assert str(refusal.value) == str(problems[0])


# ---- More of the standard library ----------------------------------------------------------------


def trap(*_: Any, **__: Any) -> Any:
    raise AssertionError("code of the value's own was run")


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class IntPermission(enum.IntFlag):
    READ = 1
    WRITE = 2


class NamedPair(typing.NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Item:
    sku: str


class Slotted:
    __slots__ = ("x",)


def a_generator() -> Iterator[int]:
    yield 1


def closed_coroutine() -> Any:
    coroutine = asyncio.sleep(0)
    coroutine.close()
    return coroutine


def a_traceback() -> Any:
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__


ISOFORMAT = "store value.isoformat()"
LIST = "store list(value)"
TUPLE = "store tuple(value)"
DICT = "store dict(value)"
STR = "store str(value)"
INT = "store int(value)"
VALUE = "store value.value"
A_CLASS = f"a class is code: {NAMED}"
A_FUNCTION = f"a function is code: {NAMED}"

STANDARD: list[tuple[Any, str]] = [
    (Permission.READ | Permission.WRITE, VALUE),
    (IntPermission.READ, VALUE),
    (http.HTTPStatus.OK, VALUE),
    (signal.SIGTERM, VALUE),
    (NamedPair(1, 2), TUPLE),
    (time.gmtime(0), TUPLE),
    (os.stat("/"), TUPLE),
    (sys.version_info, TUPLE),
    (urllib.parse.urlsplit("http://localhost/"), TUPLE),
    (Item("a"), DEFAULT),
    (Slotted(), DEFAULT),
    (types.SimpleNamespace(a=1), DEFAULT),
    (types.MappingProxyType({"a": 1}), DICT),
    (collections.Counter("aab"), DICT),
    (collections.OrderedDict(a=1), DICT),
    (collections.defaultdict(list, a=[]), DICT),
    (http.cookies.SimpleCookie(), DICT),
    (collections.ChainMap({"a": 1}), DEFAULT),
    (collections.UserDict(a=1), DEFAULT),
    (collections.UserList([1]), DEFAULT),
    (collections.UserString("a"), DEFAULT),
    (collections.deque([1, 2]), LIST),
    ({"a": 1}.keys(), LIST),
    ({"a": 1}.values(), LIST),
    ({"a": 1}.items(), LIST),
    (a_generator(), LIST),
    (range(2), LIST),
    (iter([1]), DEFAULT),
    (iter({"a": 1}), DEFAULT),
    (map(str, [1]), DEFAULT),
    (zip([1], [2], strict=False), DEFAULT),
    (filter(None, [1]), DEFAULT),
    (enumerate([1]), DEFAULT),
    (reversed([1]), DEFAULT),
    (itertools.count(), DEFAULT),
    (itertools.chain([1]), DEFAULT),
    (slice(1, 2), DEFAULT),
    ({1, 2}, "store sorted(value) or list(value)"),
    (frozenset([1]), "store sorted(value) or list(value)"),
    (bytearray(b"ab"), "store bytes(value)"),
    (memoryview(b"ab"), "store bytes(value)"),
    (array.array("d", [1.5]), "store value.tolist()"),
    (ctypes.c_int(1), DEFAULT),
    (pickle.PickleBuffer(b"ab"), DEFAULT),
    (1 + 2j, "store (value.real, value.imag)"),
    (datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc), ISOFORMAT),
    (datetime.date(2026, 1, 1), ISOFORMAT),
    (datetime.time(12), ISOFORMAT),
    (datetime.timedelta(seconds=1.5), "store value.total_seconds()"),
    (datetime.timezone.utc, DEFAULT),
    (decimal.Decimal("NaN"), STR),
    (decimal.getcontext(), DEFAULT),
    (fractions.Fraction(1, 3), STR),
    (uuid.UUID(int=1), STR),
    (ipaddress.ip_address("::1"), STR),
    (ipaddress.ip_network("10.0.0.0/8"), STR),
    (pathlib.Path("/a"), STR),
    (pathlib.PureWindowsPath("c:/a"), STR),
    (os.environ, DEFAULT),
    (re.compile("a"), DEFAULT),
    (re.match("a", "a"), DEFAULT),
    (io.BytesIO(b"ab"), DEFAULT),
    (io.StringIO("ab"), DEFAULT),
    (functools.partial(print), DEFAULT),
    (functools.lru_cache(a_function), DEFAULT),
    (operator.itemgetter(0), DEFAULT),
    (lambda: None, A_FUNCTION),
    (a_function, A_FUNCTION),
    (len, A_FUNCTION),
    (threading.Event().set, f"a method is code: {NAMED}"),
    (staticmethod(a_function), DEFAULT),
    (classmethod(a_function), DEFAULT),
    (property(), DEFAULT),
    (int, A_CLASS),
    (enum.Enum, A_CLASS),
    (list[int], DEFAULT),
    (int | str, DEFAULT),
    (math, "a module is code: store its name"),
    (sys._getframe(), DEFAULT),
    (a_traceback(), DEFAULT),
    (a_function.__code__, DEFAULT),
    (closed_coroutine(), DEFAULT),
    (ValueError("no"), DEFAULT),
    (weakref.ref(Plain), DEFAULT),
    (weakref.proxy(Plain), DEFAULT),
    (threading.Lock(), DEFAULT),
    (threading.RLock(), DEFAULT),
    (threading.local(), DEFAULT),
    (threading.current_thread(), DEFAULT),
    (contextvars.ContextVar("a"), DEFAULT),
    (queue.Queue(), DEFAULT),
    (logging.getLogger("a"), DEFAULT),
    (email.message.Message(), DEFAULT),
    (xml.etree.ElementTree.Element("a"), DEFAULT),
    (string.Template("a"), DEFAULT),
    (random.Random(1), DEFAULT),
    (hashlib.sha256(), DEFAULT),
    (struct.Struct("b"), DEFAULT),
    (unittest.mock.Mock(), DEFAULT),
    (unittest.mock.MagicMock(), DEFAULT),
    (NotImplemented, DEFAULT),
    (object(), DEFAULT),
]

# From PyPI: the package, the value, the advice. A page of a web application is full of these.
THIRD_PARTY = [
    ("markupsafe", "markupsafe.Markup('<b>')", STR),
    ("markupsafe", "markupsafe.escape('<b>')", STR),
    ("django.utils.safestring", "django.utils.safestring.mark_safe('<b>')",
     "store str.__str__(value)"),
    ("django.utils.functional", "django.utils.functional.lazystr('a')", STR),
    ("django.utils.functional", "django.utils.functional.SimpleLazyObject(trap)", DEFAULT),
    ("django.utils.datastructures", "django.utils.datastructures.MultiValueDict({'a': ['b']})",
     DICT),
    ("werkzeug.datastructures", "werkzeug.datastructures.MultiDict([('a', 'b')])", DICT),
    ("werkzeug.datastructures", "werkzeug.datastructures.ImmutableList(['a'])", LIST),
    ("werkzeug.datastructures", "werkzeug.datastructures.Headers()", DEFAULT),
    ("multidict", "multidict.CIMultiDict(a='b')", DEFAULT),
    ("multidict", "multidict.istr('a')", STR),
    ("numpy", "numpy.float64(1.5)", "store value.item()"),
    ("numpy", "numpy.int64(1)", "store value.item()"),
    ("numpy", "numpy.uint8(1)", "store value.item()"),
    ("numpy", "numpy.bool_(True)", "store value.item()"),
    ("numpy", "numpy.str_('a')", "store value.item()"),
    ("numpy", "numpy.bytes_(b'a')", "store value.item()"),
    ("numpy", "numpy.array([[1, 2], [3, 4]])", "store value.tolist()"),
    ("numpy", "numpy.array(1.5)", "store value.tolist()"),
    ("numpy", "numpy.array([], dtype=object)", "store value.tolist()"),
    ("numpy", "numpy.dtype('i4')", DEFAULT),
    ("dateutil.relativedelta", "dateutil.relativedelta.relativedelta(days=1)", DEFAULT),
    ("dateutil.tz", "dateutil.tz.tzutc()", DEFAULT),
    ("attr", "attr.make_class('Item', ['sku'])(1)", DEFAULT),
    ("attr", "attr.make_class('Text', ['n'], bases=(int,), cmp=False)(1)", INT),
    ("frozendict", "frozendict.frozendict(a=1)", DICT),
    ("bidict", "bidict.bidict(a=1)", DEFAULT),
    ("sortedcontainers", "sortedcontainers.SortedDict(a=1)", DICT),
    ("sortedcontainers", "sortedcontainers.SortedList([1])", DEFAULT),
    ("packaging.version", "packaging.version.Version('1.0')", DEFAULT),
    ("msgpack", "msgpack.ExtType(1, b'')", TUPLE),
    ("msgpack", "msgpack.Timestamp(1)", DEFAULT),
]  # fmt: skip


def third_party(module: str, expression: str) -> Any:
    """The value. In the short run a missing package is left out, by name; otherwise an error."""
    package = module.partition(".")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(module)
            names = {package: importlib.import_module(package), "trap": trap}
            return eval(expression, names)
    except ModuleNotFoundError:
        if os.environ.get("mode") != "test":  # noqa: SIM112
            raise
        pytest.skip(f"{package} is missing")


def full_name(kind: type) -> str:
    """The name of a class with its module, from the class itself."""
    module = type.__getattribute__(kind, "__module__")
    name = type.__getattribute__(kind, "__qualname__")
    return name if module == "builtins" else f"{module}.{name}"


def outline(value: Any) -> Any:
    """Which objects stand where."""
    if type(value) is dict:
        return id(value), [(id(key), outline(member)) for key, member in value.items()]
    if type(value) in (list, tuple):
        return id(value), [outline(member) for member in value]
    return id(value)


def assert_refused(value: Any, advice: str) -> None:
    """Alone and in containers; the containers stay as they were."""
    name = full_name(type(value))
    for held, path in (
        (value, "value"),
        ([value], "value[0]"),
        ({"cart": [0, {"price": (1, value)}]}, "value['cart'][1]['price'][1]"),
    ):
        before = outline(held)
        with pytest.raises(NotStorable) as refusal:
            dumps(held)
        assert str(refusal.value) == f"{path}: {name} is not storable ({advice})"
        assert (refusal.value.path, refusal.value.type) == (path, name)
        assert [str(problem) for problem in check(held)] == [str(refusal.value)]
        assert outline(held) == before
    assert_follows(value, advice)


def assert_follows(value: Any, advice: str) -> None:
    """Whoever does what the advice says has something that can be stored."""
    if advice.startswith("store ") and advice not in (DEFAULT,):
        for expression in advice.removeprefix("store ").split(" or "):
            dumps(eval(expression, {"value": value}))


standard = pytest.mark.parametrize(
    ("value", "advice"), STANDARD, ids=[full_name(type(row[0])) for row in STANDARD]
)


@standard
def test_a_type_of_the_standard_library_is_refused(value: Any, advice: str) -> None:
    assert_refused(value, advice)


@pytest.mark.parametrize(
    ("module", "expression", "advice"), THIRD_PARTY, ids=[row[1] for row in THIRD_PARTY]
)
def test_a_type_of_another_package_is_refused(module: str, expression: str, advice: str) -> None:
    assert_refused(third_party(module, expression), advice)


def test_a_lazy_text_of_flask_babel_is_refused_with_the_advice_to_take_its_text() -> None:
    def fails(*_: object) -> str:
        raise RuntimeError("there is no request whose language it could be in")

    members = {"__module__": "flask_babel.speaklater", "__str__": fails, "__getattr__": fails}
    lazy = type("LazyString", (), {**members, "__hash__": fails, "__eq__": fails})()
    with pytest.raises(NotStorable) as refusal:
        dumps({"title": lazy})
    assert str(refusal.value) == (
        f"value['title']: flask_babel.speaklater.LazyString is not storable ({STR})"
    )


STORABLE = {type(None), bool, int, float, str, bytes, list, tuple, dict}


def test_every_type_that_lives_in_this_process_is_refused() -> None:
    one_of_each = {type(value): value for value in gc.get_objects() if type(value) not in STORABLE}
    classes = [kind for kind in gc.get_objects() if issubclass(type(kind), type)]
    assert len(one_of_each) > 100
    assert len(classes) > 1000
    for value in [*one_of_each.values(), *classes]:
        with pytest.raises(NotStorable) as refusal:
            dumps({"a": [value]})
        assert refusal.value.path == "value['a'][0]"
        name = type(value).__dict__.get("__module__")
        assert type(refusal.value.type) is str
        if type(name) is str:
            assert refusal.value.type == full_name(type(value))


def test_what_can_be_hashed_is_refused_as_a_key_too() -> None:
    for value, _ in STANDARD:
        try:
            held = {"a": {1: {value: 1}}}
        except TypeError:
            continue
        before = outline(held)
        with pytest.raises(NotStorable) as refusal:
            dumps(held)
        name = full_name(type(value))
        assert str(refusal.value).startswith(f"value['a'][1]: {name} cannot be a key (")
        assert (refusal.value.path, refusal.value.type) == ("value['a'][1]", name)
        assert outline(held) == before


# ---- Sessions stay as they were ------------------------------------------------------------------


def saved(store: Store, **content: Any) -> Session:
    session = store.new()
    session.update(content)
    session = store.load(session.save() or "")  # type: ignore[assignment]
    assert session is not None
    return session


def test_a_refused_assignment_changes_nothing(store: Store, redis_server: RedisServer) -> None:
    session = saved(store, cart=[1], other=(2,))
    cart = session["cart"]
    with redis_server.monitor() as commands:
        for value, advice in STANDARD:
            for name in ("cart", "new"):
                with pytest.raises(NotStorable) as refusal:
                    session[name] = {"x": [value]}
                kind = full_name(type(value))
                assert str(refusal.value) == (
                    f"session['{name}']['x'][0]: {kind} is not storable ({advice})"
                )
            with pytest.raises(NotStorable):
                session.setdefault("new", value)
            assert not session.modified
            assert session["cart"] is cart
            assert session.copy() == {"cart": [1], "other": (2,)}
        session.save()
    assert commands == []


def test_a_value_put_in_later_is_refused_at_the_save_and_nothing_is_sent(
    store: Store, redis_server: RedisServer
) -> None:
    session = saved(store, cart=[1], other=2)
    session["other"] = 3
    cart = session["cart"]
    with redis_server.monitor() as commands:
        for value, advice in STANDARD:
            cart.append({"x": value})
            with pytest.raises(NotStorable) as refusal:
                session.save()
            assert str(refusal.value) == (
                f"session['cart'][1]['x']: {full_name(type(value))} is not storable ({advice})"
            )
            assert session["cart"] is cart
            assert cart.pop()["x"] is value
    assert commands == []
    again = store.load(session.save() or "")
    assert again is not None
    assert again.copy() == {"cart": [1], "other": 3}


def test_a_refusal_holds_no_reference_to_the_value() -> None:
    value = Plain()
    held = {"a": [value]}
    count = sys.getrefcount(value)
    for call in (dumps, check):
        try:
            problems = call(held)
        except NotStorable as error:
            problems = [error]
        assert sys.getrefcount(value) == count
        del problems
