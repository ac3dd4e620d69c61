"""The page in each framework, as JSON alone, configured by the environment: each function makes it.

    COATCHECK_URL=... COATCHECK_PREFIX=shop: gunicorn --chdir tests/demo 'page_frameworks:flask()'

A framework is imported by the function that makes an application of it, and by no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from page import Form, View, change, state

PLAIN_HTTP = {"coatcheck.cookie_secure": "false"}


def shown(session: Mapping[str, Any]) -> dict[str, Any]:
    return state(View(session, [], None))


def act(session: Any, form: Form) -> None:
    if form.path == "/logout":
        session.destroy()
    else:
        change(session, form, "")


def flask() -> Any:
    from coatcheck.flask import Coatcheck
    from flask import Flask, redirect, request, session

    app = Flask("shop")
    Coatcheck(app)

    @app.get("/")
    def look() -> Any:
        return shown(session)

    @app.post("/<path:path>")
    def sent(path: str) -> Any:
        act(session, Form(f"/{path}", request.form.to_dict()))
        return redirect("/", 303)

    return app


def pyramid() -> Any:
    from pyramid.config import Configurator
    from pyramid.httpexceptions import HTTPSeeOther
    from pyramid.request import Request

    def look(request: Request) -> Any:
        return shown(request.session)

    def sent(request: Request) -> Any:
        act(request.session, Form(request.path_info, dict(request.POST)))
        return HTTPSeeOther("/")

    with Configurator(settings=PLAIN_HTTP) as config:
        config.include("coatcheck.pyramid")
        config.add_route("all", "/*path")
        config.add_view(look, route_name="all", request_method="GET", renderer="json")
        config.add_view(sent, route_name="all", request_method="POST")
        return config.make_wsgi_app()


def django() -> Any:
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse

    def page(request: HttpRequest) -> HttpResponse:
        if request.method == "GET":
            return JsonResponse(shown(request.session))
        act(request.session, Form(request.path_info, request.POST.dict()))
        return HttpResponseRedirect("/", status=303)

    set_up_django(page)
    return WSGIHandler()


def django_async() -> Any:
    from django.core.handlers.asgi import ASGIHandler
    from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse

    async def page(request: HttpRequest) -> HttpResponse:
        session = request.session
        await session.aget("name")  # from here on the fields are at hand
        if request.method == "GET":
            return JsonResponse(shown(session))
        if request.path_info == "/logout":
            await session.aflush()
        else:
            act(session, Form(request.path_info, request.POST.dict()))
        return HttpResponseRedirect("/", status=303)

    set_up_django(page)
    return ASGIHandler()


def set_up_django(page: Any) -> None:
    import django
    from django.conf import settings
    from django.urls import re_path

    settings.configure(
        SECRET_KEY="of the demo, where nothing is signed with it",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=(re_path("", page),),
        SESSION_ENGINE="coatcheck.django",
        INSTALLED_APPS=["coatcheck.django"],
        MIDDLEWARE=["coatcheck.django.SessionMiddleware"],
    )
    django.setup()
