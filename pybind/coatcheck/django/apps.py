"""What ``INSTALLED_APPS`` takes."""

from __future__ import annotations

from django.apps import AppConfig


class CoatcheckConfig(AppConfig):
    name = "coatcheck.django"
    label = "coatcheck"
    verbose_name = "Coatcheck"
