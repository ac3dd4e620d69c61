"""What can go wrong. Every exception carries its facts as attributes, and its text says what to do.

None of them is an OSError: servers take an OSError that escapes from an application for a client
that hung up (gunicorn's sync worker does), and then send no response at all. No text or attribute
ever holds a session id, a password or a stored value.
"""


class Error(Exception):
    """The base of all of them."""


class NotStorable(Error, TypeError):
    """A value that is not plain data, so it cannot be stored."""

    #: Where it is in what was to be stored, as in ``session['cart'][2]`` or ``value[0]``.
    path: str = ""
    #: Its type with the module, as in ``decimal.Decimal``.
    type: str = ""


class LimitExceeded(Error, ValueError):
    """Plain data, but more of it than a limit allows."""

    path: str = ""
    #: The limit's name, as in ``max_depth``.
    limit: str = ""


class Corrupt(Error, ValueError):
    """Bytes that coatcheck did not write, or that were damaged."""

    #: Of the first byte at fault.
    offset: int = 0


class UnknownFormat(Corrupt):
    """A record of a newer format: this host must be upgraded, the record is left alone."""


class StoreUnavailable(Error):
    """The store cannot be reached, or cannot serve now. Never the same as "no session"."""

    #: One word why, where there is one: the server's error (``OOM``, ``LOADING``), ``connect``.
    code: str = ""


class StoreTimeout(StoreUnavailable):
    """The deadline of the call has passed."""


class LockTimeout(StoreTimeout):
    """The lock of a session was not to be had before the deadline."""


class ForeignReply(StoreUnavailable):
    """A reply that belongs to another request; its connection was closed."""


class Uncertain(StoreUnavailable):
    """The reply was lost, and whether the write landed cannot be told; load the session to see.

    With the code ``confirm`` it landed, but too few replicas had it in time.
    """


class Busy(Error):
    """The cap on sessions stayed contended until the deadline."""


class LockLost(Error):
    """The lock of a session ran out before it was saved; nothing was written."""


class Conflict(Error):
    """Two requests changed the same field, and the store was told to raise.

    Or one counted with ``incr``, and the other made of the field what is no number.
    """

    path: str = ""


class SessionGone(Error):
    """The session was ended meanwhile, and what was changed in it has gone with it."""

    #: True where a login or a privilege change replaced its id: it lives on under another one.
    replaced: bool = False


class TooManySessions(Error):
    """The principal has as many sessions as may be, and the store was told to refuse."""


class NotLoaded(Error):
    """The session was touched before it was loaded (``await session.load()``)."""


class ConfigError(Error, ValueError):
    """A wrong option, URL or cookie setting."""


class StoreDenied(ConfigError):
    """The server wants other credentials, or the user lacks a permission."""

    code: str = ""
