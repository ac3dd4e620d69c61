"""The session cookie: its settings, its ``Set-Cookie`` headers, and reading it from a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, AnyStr, Generic

from .exceptions import ConfigError
from .twins import HOST, PATH, domains_of, one_response, paths_of

if TYPE_CHECKING:
    from datetime import timedelta

#: What browsers keep of a cookie: longer ones are dropped, a longer Max-Age is cut.
MAX_NAME_AND_VALUE = 4096
MAX_AGE_LIMIT = 400 * 24 * 3600

_ID_LENGTH = 43
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[0-9A-Za-z_-]+\Z")
# Cookies of these names http.cookies refuses, and Django with it.
_ATTRIBUTE = re.compile(
    "(comment|domain|expires|httponly|max-age|partitioned|path|samesite|secure|version)\\Z", re.I
)
_SAMESITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


@dataclass(frozen=True, init=False)
class Cookie:
    """The settings of the session cookie, checked when it is made.

    The defaults are the strictest that browsers know: ``__Host-session``, ``Secure``, ``HttpOnly``,
    ``SameSite=Lax``, ``Path=/``, no ``Domain``, gone when the browser closes. Without a name of its
    own the cookie is called ``__Secure-session`` where a ``domain`` or another ``path`` is set, and
    ``session`` with ``secure=False``, which is for development over plain http only.

    ``samesite=None`` leaves the attribute out, and what it means then to the browser.

    ``max_age`` (seconds or a timedelta, at most 400 days) keeps the cookie when the browser closes.
    How long the session lives is the store's to say, whatever the cookie says.
    """

    name: str
    secure: bool
    httponly: bool
    samesite: str | None
    path: str
    domain: str | None
    max_age: int | None
    partitioned: bool

    def __init__(
        self,
        name: str | None = None,
        *,
        secure: bool = True,
        httponly: bool = True,
        samesite: str | None = "Lax",
        path: str = "/",
        domain: str | None = None,
        max_age: int | timedelta | None = None,
        partitioned: bool = False,
    ) -> None:
        if name is None:
            name = _default_name(secure, path, domain)
        self.__dict__.update(
            name=name,
            secure=bool(secure),
            httponly=bool(httponly),
            samesite=self._samesite(samesite),
            path=path,
            domain=_domain(domain),
            max_age=self._max_age(max_age),
            partitioned=bool(partitioned),
        )
        self._check()

    @staticmethod
    def _spelt(argument: str, value: object) -> str:
        """An argument as whoever configures the cookie would write it, for errors and advice."""
        return f"{argument}={value!r}"

    def _check(self) -> None:
        if not _matches(_TOKEN, self.name):
            raise ConfigError(
                f"cookie name {self.name!r}: only letters, digits and !#$%&'*+-.^_`|~ are allowed"
            )
        if _matches(_ATTRIBUTE, self.name):
            raise ConfigError(
                f"cookie name {self.name!r}: an attribute of cookies is called so, and libraries"
                " refuse it; give it another name"
            )
        if len(self.name) + _ID_LENGTH > MAX_NAME_AND_VALUE:
            raise ConfigError(
                f"cookie name of {len(self.name)} characters: with a session id of {_ID_LENGTH} it"
                f" must stay within the {MAX_NAME_AND_VALUE} bytes that browsers keep; shorten it"
            )
        if not _matches(PATH, self.path):
            raise ConfigError(
                f"cookie path {self.path!r}: must begin with '/', be at most 1024 characters, and"
                " hold no control character, space, ';', '?', '#' or non-ASCII (percent-encode"
                " these)"
            )
        if not self.secure:
            self._check_insecure()
        elif self._is_host_only_name() and self.domain is not None:
            raise ConfigError(
                f"cookie {self.name!r} with {self._spelt('domain', self.domain)}: browsers drop a"
                " __Host- cookie that has a Domain; leave out the domain, or name it '__Secure-...'"
            )
        elif self._is_host_only_name() and self.path != "/":
            raise ConfigError(
                f"cookie {self.name!r} with {self._spelt('path', self.path)}: browsers drop a"
                " __Host- cookie whose Path is not '/'; leave out the path, or name it"
                " '__Secure-...'"
            )

    def _check_insecure(self) -> None:
        insecure, secure = self._spelt("secure", False), self._spelt("secure", True)
        if self.name.lower().startswith(("__host-", "__secure-")):
            raise ConfigError(
                f"cookie {self.name!r} with {insecure}: browsers drop it; use https and say"
                f" {secure}, or give it a name without that prefix"
            )
        if self.samesite == "None":
            raise ConfigError(
                f"{self._spelt('samesite', 'None')} with {insecure}: browsers drop such a cookie;"
                f" use https and say {secure}, or say {self._spelt('samesite', 'Lax')}"
            )
        if self.partitioned:
            raise ConfigError(
                f"{self._spelt('partitioned', True)} with {insecure}: browsers drop such a cookie;"
                f" use https and say {secure}, or say {self._spelt('partitioned', False)}"
            )

    def _samesite(self, samesite: str | None) -> str | None:
        if samesite is None:
            return None
        if isinstance(samesite, str) and samesite.lower() in _SAMESITE:
            return _SAMESITE[samesite.lower()]
        raise ConfigError(
            f"{self._spelt('samesite', samesite)}: say 'Lax', 'Strict' or, with Secure, 'None';"
            " None leaves it out"
        )

    def _max_age(self, max_age: int | timedelta | None) -> int | None:
        if max_age is None:
            return None
        seconds = max_age if isinstance(max_age, int) else _whole_seconds(max_age)
        if type(seconds) is not int or not 1 <= seconds <= MAX_AGE_LIMIT:
            raise ConfigError(
                f"cookie {self._spelt('max_age', max_age)}: must be whole seconds or a timedelta,"
                f" from 1 second to 400 days ({MAX_AGE_LIMIT}), the longest that browsers keep a"
                " cookie"
            )
        return seconds

    def _is_host_only_name(self) -> bool:
        # Browsers compare the prefix, unlike the name, without regard to case.
        return self.name.lower().startswith("__host-")

    def read(self, headers: Iterable[str | bytes]) -> list[str]:
        """The values that a request's Cookie headers have for this cookie, at most two of them.

        Two mean that somebody else, a sibling domain perhaps, set a cookie of the same name, and
        that neither can be trusted. The headers are hostile input, and so are the values: however
        long and many the headers are, this needs no more memory, and a value that is longer than a
        browser's can be is cut.

        Cookies are separated by ``;``. Servers join split headers with a comma, but a comma also
        stands in the values of others' cookies: a name after it is ours only if it follows our own
        value, or any sibling domain could write a cookie of our name into a value of its own.
        """
        in_text, in_bytes = self._readers
        found: list[str] = []
        for header in headers:
            if isinstance(header, str):
                in_text.read(header, found)
            else:
                in_bytes.read(header, found)
            if len(found) > 1:
                break
        return found

    @cached_property
    def _readers(self) -> tuple[_Reader[str], _Reader[bytes]]:
        return _Reader(self.name, str), _Reader(self.name, str.encode)

    def set(self, value: str) -> str:
        """The value of a ``Set-Cookie`` header that gives the browser this cookie."""
        if not _matches(_VALUE, value) or len(self.name) + len(value) > MAX_NAME_AND_VALUE:
            raise ValueError("the value is not a session id, so it cannot stand in a cookie")
        age = "" if self.max_age is None else f"; Max-Age={self.max_age}"
        return (
            f"{self.name}={value}{age}{self._attributes(self.path, self.domain, self.partitioned)}"
        )

    def clear(self) -> str:
        """The value of a ``Set-Cookie`` header that takes this cookie from the browser."""
        return self._clear(self.path, self.domain, self.partitioned)

    def clear_twins(self, host: str, path: str = "/") -> list[str]:
        """``Set-Cookie`` headers that take this cookie away in each variant that may have made a
        twin of it: for the host alone and for the domains that it lies in, partitioned or not, and
        for the folders that the path of the request's URL lies in. Where these are too many for one
        response, it is some of them, and the requests that follow bring the others."""
        domains: list[str | None] = [None]
        paths = [self.path]
        if not self._is_host_only_name():
            domains += dict.fromkeys([*([self.domain] if self.domain else []), *domains_of(host)])
            paths += [other for other in paths_of(path) if other != self.path]
        headers = [
            self._clear(path, domain, partitioned)
            for path, domain, partitioned in product(
                paths, domains, (False, True)[: 1 + self.secure]
            )
        ]
        of_our_path = len(headers) // len(paths)
        return one_response(headers[:of_our_path], headers[of_our_path:])

    def _clear(self, path: str, domain: str | None, partitioned: bool) -> str:
        gone = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        return f"{self.name}={gone}{self._attributes(path, domain, partitioned)}"

    def _attributes(self, path: str, domain: str | None, partitioned: bool) -> str:
        attributes = [f"; Path={path}"]
        if domain is not None:
            attributes.append(f"; Domain={domain}")
        if self.secure:
            attributes.append("; Secure")
        if self.httponly:
            attributes.append("; HttpOnly")
        if self.samesite is not None:
            attributes.append(f"; SameSite={self.samesite}")
        if partitioned:
            attributes.append("; Partitioned")
        return "".join(attributes)


class CookieOfSettings(Cookie):
    """The cookie where a framework has the settings ``SESSION_COOKIE_...`` for it."""

    @staticmethod
    def _spelt(argument: str, value: object) -> str:
        return f"SESSION_COOKIE_{argument.upper()} = {value!r}"


class _Reader(Generic[AnyStr]):
    """Finds the cookies of one name in a header that is text, or bytes as ASGI has them."""

    def __init__(self, name: str, convert: Callable[[str], AnyStr]) -> None:
        value = rf"([^;,]{{0,{MAX_NAME_AND_VALUE}}})"
        pattern = rf"(?:\A|;|(,))[ \t]*{re.escape(name)}[ \t]*=[ \t]*{value}"
        self._pattern: re.Pattern[AnyStr] = re.compile(convert(pattern))
        self._name: AnyStr = convert(name)
        self._semicolon: AnyStr = convert(";")

    def read(self, header: AnyStr, found: list[str]) -> None:
        """Add its values, until there are two."""
        if header.count(self._name) > 1:
            self._read_all(header, found)
        elif (match := self._pattern.search(header)) and match.start(1) < 0:
            found.append(_text(match[2]))

    def _read_all(self, header: AnyStr, found: list[str]) -> None:
        ours = -1  # from where on a comma is in a part that begins with our name; -1: from nowhere
        for match in self._pattern.finditer(header):
            if match.start(1) < 0:
                ours = match.end()
            elif ours < 0 or header.find(self._semicolon, ours, match.start()) >= 0:
                ours = -1
                continue
            found.append(_text(match[2]))
            if len(found) > 1:
                return


def _text(value: AnyStr) -> str:
    text = value if isinstance(value, str) else value.decode("latin-1")
    # What was cut is no session id, and must not become one by having blanks at its end.
    return text.rstrip(" \t") if len(text) < MAX_NAME_AND_VALUE else text


def _default_name(secure: bool, path: str, domain: str | None) -> str:
    if not secure:
        return "session"
    return "__Host-session" if domain is None and path == "/" else "__Secure-session"


def _domain(domain: str | None) -> str | None:
    if domain is None:
        return None
    # A leading dot means nothing today, but old code and habits write it.
    bare = domain[1:] if isinstance(domain, str) and domain.startswith(".") else domain
    if not _matches(HOST, bare) or len(bare) > 253:
        raise ConfigError(
            f"cookie domain {domain!r}: must be a host name such as 'example.com', without scheme"
            " or port, and a name with other letters in its 'xn--' form"
        )
    return bare


def _whole_seconds(age: object) -> object:
    from datetime import timedelta  # here, as in session.py

    return age // timedelta(seconds=1) if isinstance(age, timedelta) else None


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.match(text) is not None
