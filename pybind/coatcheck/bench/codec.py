"""Our codec against others: dumps and loads of whole values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .goals import DECODE, ENCODE, ENCODE_DECODED, HERE
from .measure import Run, calls, calls_with_new, ratio, take_turns
from .payloads import GOALS, OTHERS
from .peers import OURS, Codec, all_peers
from .report import Row

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
    seconds: float,
) -> list[Row]:
    times = take_turns({codec.name: run(codec, value) for codec in [OURS, *peers]}, seconds)
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


def compare(effort: float) -> list[Row]:
    peers = all_peers()
    rows = []
    for case, make in {**GOALS, **OTHERS}.items():
        value = make()
        able = [peer for peer in peers if peer.can(value)]
        seconds = (4.0 if case in GOALS else 1.0) * effort
        rows += _compare(ENCODE, _encode, case, value, able, seconds)
        decoded = OURS.decode(OURS.encode(value))
        rows += _compare(ENCODE_DECODED, _encode, case, decoded, able[:1], seconds / 2)
        rows += _compare(ENCODE_ONCE, _encode_once, case, value, able[:1], seconds / 2)
        rows += _compare(DECODE, _decode, case, value, able, seconds)
    return rows
