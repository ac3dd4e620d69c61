"""Our codec against others: dumps and loads of whole values, and documents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import documents
from .frame import Asked
from .goals import DECODE, ENCODE, ENCODE_DECODED, HERE
from .measure import Length, Run, calls, calls_with_new, ratio, take_turns
from .payloads import GOALS, OTHERS
from .peers import OURS, Codec, present
from .record import Found
from .report import Row, as_rows

DOCUMENTS = "documents"
PARTS = (*GOALS, *OTHERS, DOCUMENTS)

ENCODE_ONCE = "encode, each object once"  # just made by our decoder


def _encode(codec: Codec, value: object) -> Run:
    return calls(codec.encode, codec.takes(value))


def _encode_once(codec: Codec, value: object) -> Run:
    data = OURS.encode(value)
    return calls_with_new(codec.encode, partial(OURS.decode, data), 1 + 20_000 // len(data))


def _decode(codec: Codec, value: object) -> Run:
    return calls(codec.decode, codec.encode(codec.takes(value)))


def _compare(
    quantity: str,
    run: Callable[[Codec, object], Run],
    case: str,
    value: object,
    peers: list[Codec],
    length: Length,
) -> list[Row]:
    times = take_turns({codec.name: run(codec, value) for codec in [OURS, *peers]}, length)
    return [
        Row(
            quantity,
            case,
            peer.name,
            ratio(times[peer.name], times[OURS.name]),
            HERE.codec(quantity, case, peer.name),
        )
        for peer in peers
    ]


def _of_values(asked: Asked) -> list[Row]:
    peers = present(asked)
    rows = []
    for case, make in {**GOALS, **OTHERS}.items():
        if not asked.wants(case):
            continue
        value = make()
        able = [peer for peer in peers if peer.can(value)]
        first = [peer for peer in able if peer.name == "msgspec"]
        length = asked.length(4.0 if case in GOALS else 1.0)
        rows += _compare(ENCODE, _encode, case, value, able, length)
        decoded = OURS.decode(OURS.encode(value))
        if first:
            rows += _compare(ENCODE_DECODED, _encode, case, decoded, first, length / 2)
            rows += _compare(ENCODE_ONCE, _encode_once, case, value, first, length / 2)
        rows += _compare(DECODE, _decode, case, value, able, length)
    return rows


def measure(asked: Asked) -> Found:
    values = _of_values(asked)
    tables = [as_rows(values, "values", "Values, against other codecs")] if values else []
    if asked.wants(DOCUMENTS):
        rows = documents.compare(asked)
        tables.append(as_rows(rows, "documents", "Documents, against whole values"))
    return Found(tables)
