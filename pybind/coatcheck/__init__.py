"""coatcheck: sessions in Redis, plain data only.

Everything that needs no framework; the middleware for one is imported from its own module, as in
``from coatcheck.wsgi import SessionMiddleware``.
"""

import logging

from ._core import __version__, check, dumps, loads
from .cache import Cache
from .cache_options import CacheOptions
from .cookie import Cookie
from .events import Event
from .exceptions import (
    Busy,
    ConfigError,
    Conflict,
    Corrupt,
    Error,
    ForeignReply,
    LimitExceeded,
    LockLost,
    LockTimeout,
    NotLoaded,
    NotStorable,
    SessionGone,
    StoreDenied,
    StoreTimeout,
    StoreUnavailable,
    TooManySessions,
    Uncertain,
    UnknownFormat,
)
from .missing import MISSING, Missing
from .session import Session, SessionInfo
from .store import Store, StoreOptions

__all__ = [
    "MISSING",
    "Busy",
    "Cache",
    "CacheOptions",
    "ConfigError",
    "Conflict",
    "Cookie",
    "Corrupt",
    "Error",
    "Event",
    "ForeignReply",
    "LimitExceeded",
    "LockLost",
    "LockTimeout",
    "Missing",
    "NotLoaded",
    "NotStorable",
    "Session",
    "SessionGone",
    "SessionInfo",
    "Store",
    "StoreDenied",
    "StoreOptions",
    "StoreTimeout",
    "StoreUnavailable",
    "TooManySessions",
    "Uncertain",
    "UnknownFormat",
    "__version__",
    "check",
    "dumps",
    "loads",
]

logging.getLogger("coatcheck").addHandler(logging.NullHandler())
