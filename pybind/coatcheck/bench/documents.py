"""
Documents: what a session costs of which one field is read, or one small field is changed.

A session needs a server, and these ratios are not about one. So this measures what a session does
with its bytes, through a private type of the extension.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import cycle
from typing import Any

from coatcheck import dumps, loads
from coatcheck._core import _Document

from .frame import Asked
from .goals import FIRST_FIELD, HERE, LOOKUP, SAVE
from .measure import Length, Run, calls, ratio, take_turns
from .payloads import GOALS
from .report import Row

MANY_FIELDS, FEW_FIELDS = 10_000, 16

# By case: a scalar among the fields.
SMALL_FIELD = {"small": "login_at", "medium": "login_at", "large": "cursor"}


def _save(value: dict[str, Any], field: str) -> Callable[[object], object]:
    document = _Document(dumps(value))
    numbers = cycle([value[field] + 1, value[field] + 2])

    def change_and_save(_: object) -> int:
        document.set(field, next(numbers))
        return document.save()

    return change_and_save


def _lookups(fields: int) -> Run:
    value = {f"field-{i}": i for i in range(fields)}
    names = random.Random(fields).sample(list(value), FEW_FIELDS)
    return calls(lambda document: [document.get(name) for name in names], _Document(dumps(value)))


def _of_one_case(case: str, length: Length) -> list[Row]:
    value = GOALS[case]()
    data = dumps(value)
    field = SMALL_FIELD[case]
    times = take_turns(
        {
            "decode": calls(loads, data),
            "first field": calls(_Document.field_of, (data, field)),
            "encode": calls(dumps, value),
            "save": calls(_save(value, field), None),
        },
        length,
    )
    return [
        Row(
            "check, index, decode one field",
            case,
            "decoding all",
            ratio(times["decode"], times["first field"]),
            HERE.document(FIRST_FIELD.get(case)),
        ),
        Row(
            "save after one small change",
            case,
            "encoding all",
            ratio(times["encode"], times["save"]),
            HERE.document(SAVE.get(case)),
        ),
    ]


def compare(asked: Asked) -> list[Row]:
    rows = []
    for case in GOALS:
        rows += _of_one_case(case, asked.length(4.0))
    runs = {"few": _lookups(FEW_FIELDS), "many": _lookups(MANY_FIELDS)}
    times = take_turns(runs, asked.length(2.0))
    case, among = f"of {MANY_FIELDS} fields", f"of {FEW_FIELDS} fields"
    slower = ratio(times["few"], times["many"])
    rows.append(Row("look a field up", case, among, slower, HERE.document(LOOKUP)))
    return rows
