"""The exceptions: a tree to catch by, facts as attributes, and safe to send elsewhere."""

from __future__ import annotations

import copy
import inspect
import pickle

import coatcheck
import pytest
from coatcheck import exceptions

ALL = [
    value
    for value in vars(exceptions).values()
    if inspect.isclass(value) and issubclass(value, BaseException)
]

each = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


@each
def test_all_are_coatcheck_errors_and_exported(cls: type[Exception]) -> None:
    assert issubclass(cls, coatcheck.Error)
    assert getattr(coatcheck, cls.__name__) is cls
    assert cls.__name__ in coatcheck.__all__


@each
def test_none_is_an_oserror(cls: type[Exception]) -> None:
    assert not issubclass(cls, OSError)


@each
def test_one_survives_a_pickle_with_its_facts(cls: type[Exception]) -> None:
    exc = cls("what and why")
    facts = {name: f"a {name}" for name in ("path", "limit", "code") if hasattr(cls, name)}
    for name, fact in facts.items():
        setattr(exc, name, fact)
    for twin in (pickle.loads(pickle.dumps(exc)), copy.copy(exc)):
        assert type(twin) is cls
        assert str(twin) == "what and why"
        assert {name: getattr(twin, name) for name in facts} == facts


@each
def test_every_attribute_has_a_value_before_it_is_set(cls: type[Exception]) -> None:
    for name in inspect.get_annotations(cls, eval_str=True):
        assert not getattr(cls("text"), name)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        ("NotStorable", TypeError),
        ("LimitExceeded", ValueError),
        ("Corrupt", ValueError),
        ("UnknownFormat", coatcheck.Corrupt),
        ("StoreTimeout", coatcheck.StoreUnavailable),
        ("LockTimeout", coatcheck.StoreTimeout),
        ("ForeignReply", coatcheck.StoreUnavailable),
        ("Uncertain", coatcheck.StoreUnavailable),
        ("ConfigError", ValueError),
        ("StoreDenied", coatcheck.ConfigError),
    ],
)
def test_what_may_be_caught_together(cls: str, base: type[Exception]) -> None:
    assert issubclass(getattr(coatcheck, cls), base)


@pytest.mark.parametrize("cls", ["Busy", "LockLost", "SessionGone", "Conflict", "StoreDenied"])
def test_what_is_not_a_store_that_is_unavailable(cls: str) -> None:
    assert not issubclass(getattr(coatcheck, cls), coatcheck.StoreUnavailable)
