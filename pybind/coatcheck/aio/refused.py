"""Why there will be no connection."""

from __future__ import annotations


class Refused(Exception):
    """There will be no connection: the arguments of _core.Channel.refuse."""
