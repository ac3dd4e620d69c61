"""A session engine of one's own, for test_django.py."""

from coatcheck.django import SessionStore as _SessionStore


class SessionStore(_SessionStore):
    pass
