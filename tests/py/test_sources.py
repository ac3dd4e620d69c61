"""What is seen in the sources alone: how secrets are compared, and that ids are made of nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Whatever is called so is a secret, or the hash of one.
SECRET = re.compile(
    r"\b(current|other|hash|new_hash|verifier|selector|sid|session_id|token|password\w*)\b"
)
# Their time depends on where the two differ.
COMPARISON = re.compile(r"\b\w*(?:memcmp|strn?cmp|strn?casecmp|bcmp|memmem|text_equal)\(")

# Two stores of one process share connections if they log in with the same words, all of which are
# the application's own: nobody can guess at one and see how long it takes.
OWN_WORDS = {("connect.c", "coat_text_equal"), ("tls_options.c", "coat_text_equal")}


def code_of(file: Path) -> str:
    """Without what is said in comments and in texts."""
    said = r"/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)+'"
    return re.sub(said, "0", file.read_text(encoding="utf-8"), flags=re.DOTALL)


def sources() -> Iterator[Path]:
    for folder in ("schema", "backend", "pybind"):
        for file in sorted((ROOT / folder).rglob("*.[ch]")):
            if file.name != "script.c":
                yield file


def calls(pattern: re.Pattern[str], code: str) -> Iterator[tuple[str, str]]:
    """Each call of these functions, and its arguments."""
    for call in pattern.finditer(code):
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        yield call[0][:-1], code[call.end() : end - 1]


def test_req_10_secrets_are_compared_in_constant_time_only() -> None:
    found = {
        (file.name, function, arguments)
        for file in sources()
        for function, arguments in calls(COMPARISON, code_of(file))
        if SECRET.search(arguments) and (file.name, function) not in OWN_WORDS
    }
    assert {(name, function) for name, function, _ in found} == {("record.c", "CRYPTO_memcmp")}
    assert {re.sub(r"^head->|, COAT_HASH_LEN$", "", arguments) for _, _, arguments in found} == {
        "current, hash",
        "other, hash",
    }


def test_req_10_no_hash_is_compared_by_hand() -> None:
    by_hand = re.compile(r"\b(?:current|other|hash|verifier|selector|token)\s*\[[^]]+\]\s*[!=]=")
    assert not [file for file in sources() if by_hand.search(code_of(file))]


def test_req_02_an_id_is_drawn_in_one_way_and_of_nothing() -> None:
    """The functions that make ids are given the id alone: no user, no time, no application."""
    header = code_of(ROOT / "backend" / "sid.h")
    draws = re.findall(r"\bint (coat_sid_draw\w*)\(([^)]*)\)", header)
    assert [name for name, _ in draws] == ["coat_sid_draw", "coat_sid_draw_verifier"]
    assert {arguments for _, arguments in draws} == {"struct coat_sid *sid, struct coat_error *err"}
    body = code_of(ROOT / "backend" / "sid.c")
    assert len(re.findall(r"\bgetrandom\(", body)) == 1
    generators = re.compile(r"\b(?:rand|random|srand|rand_r|drand48|arc4random|RAND_bytes)\(")
    for file in sources():
        assert not generators.search(code_of(file)), file
        assert file.name == "sid.c" or not re.search(r"\bgetrandom\(", code_of(file)), file


# What a message may not be made of: an id, a password, a token, what is stored, what was sent.
UNSPEAKABLE = re.compile(
    r"->(?:id|sid|password|token|value|record|verifier|selector|hash)\b(?!_)"
    r"|\b(?:session_id|sid|password|token|verifier|selector|hash|value)\b(?![(_])"
)


def test_req_51_no_message_is_made_of_a_secret() -> None:
    """Each failure's text, those included that no test can provoke."""
    messages = re.compile(r"\b(?:coat_error_\w+|PyErr_Format|PyErr_WarnFormat|snprintf)\(")
    found = [
        (file.name, arguments)
        for file in sources()
        for call, arguments in calls(messages, code_of(file))
        if UNSPEAKABLE.search(re.sub(r"Py_TYPE\(\w+\)", "", arguments))
    ]
    assert not found
