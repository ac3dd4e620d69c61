"""What all subjects are asked in the same way, and who is there to be compared with."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .measure import Length

# By the name of a peer: what PyPI calls the packages that it needs, and their modules.
PEERS: dict[str, dict[str, str]] = {
    "msgspec": {"msgspec": "msgspec"},
    "ormsgpack": {"ormsgpack": "ormsgpack"},
    "msgpack": {"msgpack": "msgpack"},
    "redis-py": {"redis": "redis", "hiredis": "hiredis"},
    "valkey-glide": {"valkey-glide": "glide"},
    "valkey-glide-sync": {"valkey-glide-sync": "glide_sync"},
    "Flask": {"Flask": "flask"},
    "Flask-Session": {"Flask-Session": "flask_session", "redis": "redis", "hiredis": "hiredis"},
    "Django": {"Django": "django"},
    "django-redis": {"django-redis": "django_redis", "redis": "redis", "hiredis": "hiredis"},
    "Django's own cache": {"Django": "django", "redis": "redis", "hiredis": "hiredis"},
    "dogpile.cache": {"dogpile.cache": "dogpile", "redis": "redis", "hiredis": "hiredis"},
    "cashews": {"cashews": "cashews", "redis": "redis", "hiredis": "hiredis"},
    "aiocache": {"aiocache": "aiocache", "redis": "redis", "hiredis": "hiredis"},
    "Starlette": {"starlette": "starlette"},
    "starsessions": {"starsessions": "starsessions", "redis": "redis", "hiredis": "hiredis"},
    "Beaker": {"Beaker": "beaker", "redis": "redis", "hiredis": "hiredis"},
    "Pyramid": {"pyramid": "pyramid"},
    "pyramid_session_redis": {
        "pyramid_session_redis": "pyramid_session_redis",
        "redis": "redis",
        "hiredis": "hiredis",
    },
}


@dataclass
class Asked:
    """How long to measure, what of the subject, and who was found to be there or missing."""

    effort: float = 1.0
    rounds: int | None = None
    only: Sequence[str] = ()
    sessions: Sequence[int] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def length(self, seconds: float) -> Length:
        return Length(seconds * self.effort, self.rounds)

    def wants(self, part: str) -> bool:
        return not self.only or part in self.only

    def has(self, *peers: str) -> bool:
        """Whether they can be imported. Who cannot is named, with what would bring it."""
        return all([self._has(peer, PEERS[peer]) for peer in peers])

    def _has(self, peer: str, packages: dict[str, str]) -> bool:
        absent = [name for name, module in packages.items() if not _importable(module)]
        if absent:
            self.missing[peer] = "pip install " + " ".join(absent)
            return False
        for name in packages:
            self.versions[name] = _version(name)
        return True


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of no known version"


def unknown(only: Iterable[str], parts: Iterable[str]) -> list[str]:
    known = set(parts)
    return [part for part in only if part not in known]
