"""The codecs that ours is compared with, each in the fastest way that its manual names."""

from __future__ import annotations

import json
import marshal
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from coatcheck import dumps, loads

from .frame import Asked
from .payloads import jsonable


@dataclass(frozen=True)
class Codec:
    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    takes: Callable[[Any], Any] = lambda value: value  # what it can encode of a value

    def can(self, value: object) -> bool:
        """Whether it can encode the value, and decode what it made of it."""
        try:
            self.decode(self.encode(self.takes(value)))
        except (TypeError, ValueError, OverflowError):
            return False
        return True


OURS = Codec("coatcheck", dumps, loads)


def msgspec() -> Codec:
    import msgspec

    return Codec("msgspec", msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode)


def ormsgpack() -> Codec:
    import ormsgpack

    return Codec("ormsgpack", ormsgpack.packb, ormsgpack.unpackb)


def msgpack() -> Codec:
    import msgpack

    return Codec("msgpack", msgpack.Packer().pack, msgpack.unpackb)


def standard_library() -> list[Codec]:
    return [
        Codec("marshal", marshal.dumps, marshal.loads),
        Codec("pickle", partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL), pickle.loads),
        Codec(
            "json",
            lambda value: json.dumps(value).encode(),
            json.loads,
            takes=jsonable,
        ),
    ]


def present(asked: Asked) -> list[Codec]:
    """Those that are installed."""
    packages = [make() for make in (msgspec, ormsgpack, msgpack) if asked.has(make.__name__)]
    return [*packages, *standard_library()]
