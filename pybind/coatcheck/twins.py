"""Where else a cookie of our name may lie, so that the browser sends two: what to expire then."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import accumulate

#: A host name, as in a cookie's Domain.
HOST = re.compile(r"[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*\Z")
#: As in a cookie's Path, which is compared with the path of a URL: that ends before ? and #.
PATH = re.compile(r"""/[!"$-:<->@-~]{0,1023}\Z""")

_PARENTS = 8
_FOLDERS = 32
_HEADERS_MAX = 3000  # bytes: proxies refuse a response with more headers, some beyond 4 KiB of all


def domains_of(host: str) -> Iterator[str]:
    """The domains for which a cookie could have been set that this host (a Host header, hostile)
    gets to see: a few, since the top ones are registries, where browsers allow none."""
    name = host.partition(":")[0].lower()
    if not HOST.match(name) or len(name) > 253 or name.replace(".", "").isdigit():
        return
    labels = name.split(".")
    for first in range(min(len(labels) - 1, _PARENTS)):
        yield ".".join(labels[first:])


def paths_of(target: str) -> Iterator[str]:
    """The paths for which a cookie could have been set that this request (the path of its URL,
    hostile) gets to see: each folder it lies in, with its slash and without, and itself."""
    path = re.split("[;?]", target, maxsplit=1)[0]  # no cookie's path goes beyond
    slashes = [i for i, c in enumerate(path) if c == "/"]
    ends = [end for slash in slashes[:_FOLDERS] for end in (slash, slash + 1)]
    for end in dict.fromkeys([1, *ends, len(path)]):
        if PATH.match(path, 0, end):
            yield path[:end]


def as_sent(path: str, encoding: str = "latin-1") -> str:
    """A path in which nothing is quoted any more, such as WSGI's, as it stands in the URL."""
    from urllib.parse import quote  # here, since only twins need it

    return quote(path, safe="/!$&'()*+,;=:@", encoding=encoding, errors="replace")


def one_response(always: list[str], others: list[str]) -> list[str]:
    """As many of these headers as proxies let through; of the others one at least, and from any of
    them on, so that each has its turn when the browser comes again."""
    if not others:
        return always
    first = int.from_bytes(os.urandom(4), "big") % len(others)
    turned = others[first:] + others[:first]
    room = _HEADERS_MAX - sum(map(len, always))
    fit = [
        header
        for header, used in zip(turned, accumulate(map(len, turned)), strict=True)
        if used <= room
    ]
    return always + (fit or turned[:1])
