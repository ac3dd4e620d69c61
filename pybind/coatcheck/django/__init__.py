"""Sessions for Django: ``SESSION_ENGINE = "coatcheck.django"``; and its cache:
``"BACKEND": "coatcheck.django.Cache"``.

``SessionMiddleware`` may stand in place of Django's; with ``"coatcheck.django"`` among
``INSTALLED_APPS``, ``manage.py check`` looks at the settings.
"""

from __future__ import annotations

from . import checks  # noqa: F401  (registers them)
from .cache import Cache
from .engine import SessionEnded, SessionStore
from .middleware import SessionMiddleware
from .settings import Store, principal, store

__all__ = [
    "Cache",
    "SessionEnded",
    "SessionMiddleware",
    "SessionStore",
    "Store",
    "principal",
    "store",
]
