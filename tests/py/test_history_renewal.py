"""The checker on histories of renewed ids, written by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "history"))

from checker import check
from events import Event
from histories import (
    ID,
    NEW,
    NEWER,
    create,
    load,
    login,
    logout,
    no_load,
    offer,
    rules,
    save,
    use,
)
from history import Renewal

RENEWAL = Renewal(period=100, grace=50)

RIGHT: dict[str, list[Event]] = {
    "both ids work while nobody has used the new one": [
        create(),
        offer(110, 111),
        load(900, 901, id=NEW),
        load(910, 911),
    ],
    "the old one in its grace, and not afterwards": [
        create(),
        offer(110, 111),
        use(120, 121, NEW),
        load(165, 166),
        no_load(180, 181, "stale"),
    ],
    "when the grace ends is told by two clocks": [
        create(),
        offer(110, 111),
        use(120, 121, NEW) | {"wall": [60120, 60121]},
        load(900, 901) | {"wall": [60169, 60170]},
        no_load(910, 911, "stale") | {"wall": [60170, 60171]},
    ],
    "of two uses at once either may have begun the grace": [
        create(),
        offer(110, 111),
        use(120, 131, NEW) | {"wall": [60120, 60131]},
        use(121, 130, NEW),
        load(190, 191),
    ],
    "a use that nobody answered may have begun the grace, or not": [
        create(),
        offer(110, 111),
        use(120, 121, NEW, "unclear"),
        load(300, 301),
        no_load(302, 303, "none"),
    ],
    "an offer that nobody used gives way to another one, a period later": [
        create(),
        offer(110, 111),
        offer(215, 216, new_id=NEWER),
        no_load(220, 221, "none", id=NEW),
        load(230, 231, id=NEWER),
    ],
    "or to one that nobody knows of": [
        create(),
        offer(110, 111),
        save(215, 216, result="unclear"),
        no_load(220, 221, "none", id=NEW),
    ],
    "a login ends the one that was offered": [
        create(),
        offer(110, 111),
        login(120, 121, new_id=NEWER),
        no_load(130, 131, "none", id=NEW),
        no_load(132, 133, "stale"),
    ],
    "a login by the new one ends the old one": [
        create(),
        offer(110, 111),
        login(120, 121, id=NEW, new_id=NEWER),
        no_load(130, 131, "none"),
    ],
    "an offer that came after a rotation that was slow": [
        create(),
        save(110, 130, kind="rotate", new_id=NEW),
        offer(120, 121, id=NEW, new_id=NEWER),
        load(140, 141, id=NEWER),
    ],
    "a save in the grace that ended meanwhile": [
        create(),
        offer(110, 111),
        use(120, 121, NEW),
        save(180, 181),
    ],
    "a request without changes after a logout, for which nothing was sent": [
        create(),
        logout(110, 111),
        use(120, 121, ID),
    ],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT.keys())
def test_what_renewal_may_do_is_accepted(history: list[Event]) -> None:
    assert check(history, renewal=RENEWAL) == []


WRONG: list[tuple[str, str, list[Event]]] = [
    (
        "refused-id",
        "the old one, though nobody has used the new one",
        [create(), offer(110, 111), no_load(120, 121, "stale")],
    ),
    (
        "refused-id",
        "the old one, in its grace",
        [create(), offer(110, 111), use(120, 121, NEW), no_load(165, 166, "stale")],
    ),
    (
        "refused-id",
        "the same, by clocks that are wrong",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW) | {"wall": [60120, 60121]},
            no_load(900, 901, "stale") | {"wall": [60160, 60161]},
        ],
    ),
    (
        "refused-id",
        "the new one",
        [create(), offer(110, 111), no_load(120, 121, "none", id=NEW)],
    ),
    (
        "refused-id",
        "the new one, to which another was offered too early",
        [
            create(),
            offer(110, 111),
            offer(150, 151, new_id=NEWER),
            no_load(160, 161, "none", id=NEW),
        ],
    ),
    (
        "refused-id",
        "one that was in use when another was offered",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW),
            offer(400, 401, id=NEW, new_id=NEWER),
            no_load(410, 411, "none", id=NEW),
        ],
    ),
    (
        "refused-id",
        "after a use that found the session gone",
        [create(), use(110, 111, ID, "gone"), logout(120, 121)],
    ),
    (
        "outlived-grace",
        "a load",
        [create(), offer(110, 111), use(120, 121, NEW), load(171, 172)],
    ),
    (
        "outlived-grace",
        "a logout, after a save by the new one",
        [create(), offer(110, 111), save(120, 121, id=NEW), logout(171, 172)],
    ),
    (
        "outlived-grace",
        "by a clock that is ahead",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW),
            load(130, 131) | {"wall": [60130, 60131]},
        ],
    ),
    (
        "dead-id",
        "one that was offered before a rotation",
        [
            create(),
            offer(110, 111),
            save(120, 121, kind="rotate", new_id=NEWER),
            load(130, 131, id=NEW),
        ],
    ),
    (
        "dead-id",
        "one that was in its grace before a login",
        [
            create(),
            offer(110, 111),
            use(120, 121, NEW),
            login(130, 131, id=NEW, new_id=NEWER),
            load(140, 141, principal="ann"),
        ],
    ),
    (
        "used-after-logout",
        "one that had been offered",
        [create(), offer(110, 111), logout(120, 121), load(130, 131, id=NEW)],
    ),
]


@pytest.mark.parametrize(
    ("rule", "history"),
    [(rule, history) for rule, _, history in WRONG],
    ids=[f"{rule}: {what}" for rule, what, _ in WRONG],
)
def test_what_no_renewal_may_do_is_found_by_its_rule(rule: str, history: list[Event]) -> None:
    assert rules(*history, renewal=RENEWAL) == {rule}
