"""
A page of what was recorded: a text that says where the tables belong, and the tables.

In the text a line `@about SUBJECT` stands for when, where and with what it was measured, `@table
SUBJECT NAME` for a whole table, and `@behind SUBJECT NAME` for the lines of one in which we are not
ahead or miss a goal. `@turned SUBJECT NAME | KEY; ... | VALUE | BY` has a column for each BY, with
the VALUE there. Whatever else is there stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from .figures import Table, as_markdown, turned
from .record import Record, about
from .report import behind


def _the_record(records: Sequence[Record], subject: str) -> Record:
    for record in records:
        if record.subject == subject:
            return record
    raise ValueError(f"nothing of {subject} was recorded")


def _table(records: Sequence[Record], words: str) -> Table:
    subject, name = words.split()
    return _the_record(records, subject).table(name)


def _turned(records: Sequence[Record], words: str) -> Table:
    those, keys, value, by = (part.strip() for part in words.split("|"))
    return turned(_table(records, those), [key.strip() for key in keys.split(";")], value, by)


def _line(line: str, records: Sequence[Record]) -> str:
    what, _, words = line.partition(" ")
    if what == "@about":
        return "\n\n".join(about(_the_record(records, words.strip())))
    if what == "@table":
        return as_markdown(_table(records, words))
    if what == "@behind":
        return as_markdown(behind(_table(records, words)))
    if what == "@turned":
        return as_markdown(_turned(records, words))
    return line


def filled(text: str, records: Sequence[Record]) -> str:
    return "\n".join(_line(line, records) for line in text.split("\n"))
