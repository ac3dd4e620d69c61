"""A Django project of the tests' own: its settings, its one view, its users.

django_site.set_up()                              once, before anything of Django's is used
with django_site.settings(server.url, ...):       what a test changes
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import views
from conftest import Browser
from django.conf import settings as _settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import override_settings

DJANGOS = "django.contrib.sessions.middleware.SessionMiddleware"
OURS = "coatcheck.django.SessionMiddleware"
REST = [
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
NAME = "sessionid"


def set_up() -> None:
    if _settings.configured:
        return
    directory = tempfile.mkdtemp(prefix="coat-django-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    _settings.configure(
        SECRET_KEY="of the tests, which is longer than what Django's checks ask for",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="django_urls",
        SESSION_ENGINE="coatcheck.django",
        INSTALLED_APPS=[
            "coatcheck.django",
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.humanize",
            "django.contrib.messages",
            "django.contrib.staticfiles",
            "allauth",
            "allauth.account",
            "allauth.usersessions",
            "debug_toolbar",
            "rest_framework",
        ],
        MIDDLEWARE=[DJANGOS, *REST, "allauth.account.middleware.AccountMiddleware"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(directory) / "db"}
        },
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        STATIC_URL="static/",
        ACCOUNT_EMAIL_VERIFICATION="none",
        ACCOUNT_RATE_LIMITS=False,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        LOGGING_CONFIG=None,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    User.objects.create_superuser("ada", password="tea")
    User.objects.create_user("bob", password="tea")


View = Callable[[HttpRequest], Any]
_view: View


def answer(said: Any) -> HttpResponseBase:
    """A view of the tests returns a response, a text, or (status, text)."""
    if isinstance(said, HttpResponseBase):
        return said
    status, text = said if isinstance(said, tuple) else (200, said)
    return HttpResponse(str(text), status=status, content_type="text/plain")


def dispatch(request: HttpRequest) -> HttpResponseBase:
    return answer(_view(request))


@contextmanager
def settings(url: str, **changed: Any) -> Any:
    given = {"COATCHECK_URL": url, "COATCHECK_PREFIX": "test:", **changed}
    with override_settings(**given):
        yield


def serve(view: View, *, https: bool = True) -> Browser:
    """A browser at the project, where every path is this view's; under the settings of now."""
    global _view
    _view = view
    return Browser(WSGIHandler(), https=https)


def put(request: HttpRequest) -> str:
    """/plain looks at nothing; otherwise as views.put."""
    return "plain" if request.path == "/plain" else views.put(request.session, request.path)


def ada() -> Any:
    from django.contrib.auth.models import User

    return User.objects.get(username="ada")


def bob() -> Any:
    from django.contrib.auth.models import User

    return User.objects.get(username="bob")
