"""What an engine alone cannot do: two cookies of our name, caches, and a store that is away."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from http.cookies import Morsel
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse

from .._request import AsyncVisit, Headers, Refusal, Rules, StreamedBody, Visit
from ..cookie import MAX_AGE_LIMIT, Cookie
from ..exceptions import SessionGone
from . import settings
from .engine import SessionStore, _in_djangos_words

_VISIT = "_coatcheck_visit"


class SessionMiddleware:
    """Stands where Django's ``SessionMiddleware`` stood, before whatever uses the session.

    The settings COATCHECK_ON_CORRUPT, COATCHECK_ON_UNAVAILABLE, COATCHECK_ON_GONE,
    COATCHECK_SAVE_ON_ERROR and COATCHECK_CACHE_CONTROL say what it does.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._awaits = iscoroutinefunction(get_response)
        if self._awaits:
            markcoroutinefunction(self)
        settings.engine()
        settings.rules()  # what is wrong with them is an error at the start

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if self._awaits:
            return self._acall(request)
        visit = _begin(request)
        try:
            response = self.get_response(request)
        except BaseException:
            visit.abandon()
            raise
        visit.look_back(request)
        if visit.refused:
            return response
        try:
            if visit.saves_every_request():
                _ = visit.session.new
            visit.commit(response.status_code)
        except Exception as exc:
            return _answer(request, response, visit, exc)
        return _finished(response, visit)

    async def _acall(self, request: HttpRequest) -> HttpResponse:
        visit = _begin(request)
        try:
            response = await cast("Awaitable[HttpResponse]", self.get_response(request))
        except BaseException:
            await visit.aabandon()
            raise
        visit.look_back(request)
        if visit.refused:
            return response
        try:
            if visit.saves_every_request():
                await visit.session._aget_session()
            await visit.acommit(response.status_code)
        except Exception as exc:
            return _answer(request, response, visit, exc)
        return _finished(response, visit)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A view has raised: is it ours to answer?"""
        visit: _Visit | None = getattr(request, _VISIT, None)
        if visit is None or isinstance(exception, SessionGone):
            return None
        refusal = visit.refusal(exception)
        return None if refusal is None else _refuse(request, visit, refusal, exception)


class _Visit(Visit):
    """One request's session; what begins with an a is awaited."""

    session: SessionStore

    def __init__(self, rules: Rules, request: HttpRequest) -> None:
        self.session_type = settings.engine()
        cookies = request.META.get("HTTP_COOKIE")
        super().__init__(
            rules,
            () if cookies is None else (cookies,),
            partial(_place_of, request),
            https=request.is_secure(),
        )
        self.rules = rules

    # A visit that awaits is the same but for these.
    acommit = cast(Any, AsyncVisit.commit)
    afinish = cast(Any, AsyncVisit.finish)
    aabandon = cast(Any, AsyncVisit.abandon)
    _asave_or_drop = cast(Any, AsyncVisit._asave_or_drop)

    def _save(self) -> None:
        self.session._save_changes()

    async def _asave(self) -> None:
        await self.session._asave_changes()

    def look_back(self, request: HttpRequest) -> None:
        """An application may have put another session in its place."""
        session = getattr(request, "session", None)
        if isinstance(session, SessionStore):
            self.session = session

    def saves_every_request(self) -> bool:
        every: bool = django_settings.SESSION_SAVE_EVERY_REQUEST
        return every and self._id is not None and self._state == "open"

    def _about_caches(self, headers: Headers, limit: tuple[str, str]) -> Headers:
        # Django's own cache, in some versions, keeps what is no-store, with its cookies and for
        # everybody who sends the same ones; what is private it never does.
        return [
            (name, f"{value}, private" if _is_only_no_store(name, value) else value)
            for name, value in super()._about_caches(headers, limit)
        ]

    def _cookie_to_set(self) -> Cookie:
        # Django sends the cookie with each change. A slow request would overwrite that of a login
        # meanwhile, so ours is sent for a new id, and lasts as long as the session may.
        cookie = super()._cookie_to_set()
        ends = self.session.deadline
        if ends is None or self.session.get_expire_at_browser_close():
            return cookie
        age = (ends - datetime.now(timezone.utc)) // timedelta(seconds=1)
        return dataclasses.replace(cookie, max_age=min(max(age, 1), MAX_AGE_LIMIT))


def _place_of(request: HttpRequest) -> tuple[str, str]:
    host = request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", "")
    return host, request.get_full_path().partition("?")[0]


def _begin(request: HttpRequest) -> _Visit:
    visit = _Visit(settings.rules(), request)
    request.session = visit.session
    setattr(request, _VISIT, visit)
    return visit


# ---- Responses -----------------------------------------------------------------------------------


def _finished(response: HttpResponse, visit: _Visit) -> HttpResponse:
    """The response with what the session adds to it, once it is committed."""
    name = visit.rules.cookie.name
    given = [*response.items()]
    if name in response.cookies:
        given.append(("Set-Cookie", response.cookies.pop(name).OutputString()))
    for number, (header, value) in enumerate(visit.headers(given)):
        if header == "Set-Cookie":
            # The last has the name, whatever stands before it.
            if name in response.cookies:
                dict.__setitem__(response.cookies, f"{name} {number}", response.cookies.pop(name))
            dict.__setitem__(response.cookies, name, _morsel(value))
        else:
            response[header] = value
    if response.streaming and getattr(response, "file_to_stream", None) is None:
        _finish_with_the_body(response, visit)
    return response


class _Morsel(Morsel):  # type: ignore[type-arg]
    """One cookie of a response; before Python 3.14 the standard library knows no Partitioned."""

    _reserved = {**Morsel._reserved, "partitioned": "Partitioned"}  # type: ignore[attr-defined]  # noqa: RUF012
    _flags = Morsel._flags | {"partitioned"}  # type: ignore[attr-defined]


def _morsel(set_cookie: str) -> _Morsel:
    pair, *attributes = set_cookie.split("; ")
    name, _, value = pair.partition("=")
    morsel = _Morsel()
    morsel.set(name, value, value)
    for attribute in attributes:
        key, equals, text = attribute.partition("=")
        morsel[key] = text if equals else True
    return morsel


def _is_only_no_store(name: str, value: str) -> bool:
    limits = value.lower() if name.lower() == "cache-control" else ""
    return "no-store" in limits and "private" not in limits


def _finish_with_the_body(response: Any, visit: _Visit) -> None:
    """What a streaming response changes later is saved when it ends, or nobody asks for more."""
    if response.is_async:
        response.streaming_content = _streamed(response.streaming_content, visit)
        response._resource_closers.append(visit.finish)
    else:
        response.streaming_content = StreamedBody(visit, response.streaming_content)


async def _streamed(body: AsyncIterator[bytes], visit: _Visit) -> AsyncIterator[bytes]:
    try:
        async for chunk in body:
            yield chunk
        await visit.afinish()
    except Exception:
        await visit.aabandon()
        raise


def _answer(
    request: HttpRequest, response: HttpResponse, visit: _Visit, exc: Exception
) -> HttpResponse:
    """Our answer in place of a response that must not be sent."""
    if isinstance(exc, SessionGone):
        with _in_djangos_words():
            raise exc
    refusal = visit.refusal(exc)
    if refusal is None:
        raise exc
    answer = _refuse(request, visit, refusal, exc)
    answer._resource_closers += response._resource_closers
    return answer


def _refuse(request: HttpRequest, visit: _Visit, refusal: Refusal, exc: Exception) -> HttpResponse:
    if refusal.page is not None:
        response: HttpResponse = refusal.page(request, exc)
        response.headers.setdefault("Cache-Control", "no-store")
        return response
    return HttpResponse(
        refusal.text,
        status=refusal.status,
        reason=refusal.reason,
        headers=dict(refusal.headers),
    )
