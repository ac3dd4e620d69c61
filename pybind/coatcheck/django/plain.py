"""What Django itself puts into a cache that is no plain data, as plain data: the text of a template
fragment, and the response of a page."""

from __future__ import annotations

from http.cookies import Morsel
from typing import Any

from django.http import HttpResponse
from django.utils.safestring import SafeString

_MARK = "coatcheck.django"
_SAFE = "safe text"
_RESPONSE = "response"


def to_plain(value: Any) -> Any:
    """The value as it is stored. What is neither Django's nor plain data the cache refuses."""
    if type(value) is SafeString:
        return (_MARK, _SAFE, str.__str__(value))
    if isinstance(value, HttpResponse):
        return (_MARK, _RESPONSE, _of_response(value))
    if type(value) is tuple and value[:1] == (_MARK,):
        raise ValueError(f"a tuple that begins with {_MARK!r} stands for something else here")
    return value


def from_plain(value: Any) -> Any:
    """What `to_plain` was given: of a response an HttpResponse with the same content, headers and
    cookies, whatever kind it was."""
    if type(value) is not tuple or value[:1] != (_MARK,):
        return value
    _, kind, data = value
    return SafeString(data) if kind == _SAFE else _response(data)


def _of_response(response: HttpResponse) -> dict[str, Any]:
    cookies = [
        (morsel.key, morsel.value, morsel.coded_value, {k: str(v) for k, v in morsel.items() if v})
        for morsel in response.cookies.values()
    ]
    return {
        "status": response.status_code,
        "reason": str(response.reason_phrase),
        "charset": response._charset,
        "headers": [(str(name), str(text)) for name, text in response.items()],
        "cookies": cookies,
        "content": response.content,
    }


def _response(data: dict[str, Any]) -> HttpResponse:
    response = HttpResponse(
        data["content"],
        status=data["status"],
        reason=data["reason"],
        charset=data["charset"],
        headers=dict(data["headers"]),
    )
    for key, value, coded, attributes in data["cookies"]:
        morsel: Morsel[str] = Morsel()
        morsel.set(key, value, coded)
        morsel.update(attributes)
        dict.__setitem__(response.cookies, key, morsel)
    return response
