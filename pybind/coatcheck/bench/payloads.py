"""
What is encoded: plain data, the same in every run.

Goals are set for the first three. The others have shapes of their own, so that nobody tunes the
codec to three values without noticing.
"""

from __future__ import annotations

import base64
from typing import Any


def login() -> dict[str, Any]:
    """A login session of Django, 0.2 KB."""
    return {
        "_auth_user_id": "184467",
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": "6f1d9c0be27a4f8e93b05d7c1a2e4f60b8d3c9a7",
        "csrf_token": "Zk3vQ9xT1rYw7LbN0sHc5uJd2pGm8aEf",
        "_permanent": True,
        "login_at": 1767225600,
        "visits": 17,
        "locale": "de-DE",
    }


def _cart_item(i: int) -> dict[str, Any]:
    return {
        "sku": f"SKU-{10007 * (i + 3) % 99991:05d}-{'ABCDEFGHIJKL'[i]}",
        "name": [
            "Trail running shoe",
            "Käsemesser aus Edelstahl",
            f"Wireless mouse M{i}",
            "三脚 カーボン",
        ][i % 4],
        "qty": 1 + i % 3,
        "price": 9.99 + 3.25 * i,
        "options": ("color", ["red", "navy", "olive"][i % 3], 36 + i),
        "gift": i % 5 == 0,
        "note": None,
    }


def shop() -> dict[str, Any]:
    """A cart and preferences, 2.2 KB."""
    return {
        "_auth_user_id": "184467",
        "_auth_user_hash": "6f1d9c0be27a4f8e93b05d7c1a2e4f60b8d3c9a7",
        "csrf_token": "Zk3vQ9xT1rYw7LbN0sHc5uJd2pGm8aEf",
        "_permanent": True,
        "login_at": 1767225600.123456,
        "cart": {
            "items": [_cart_item(i) for i in range(12)],
            "currency": "EUR",
            "total": 377.58,
            "coupon": None,
            "ship": (52.520008, 13.404954),
        },
        "recent": [100000 + 37 * i for i in range(40)],
        "prefs": {
            "lang": "de",
            "tz": "Europe/Berlin",
            "theme": "dark",
            "page_size": 48,
            "newsletter": False,
            "name": "Jürgen Groß",
            "greeting": "Grüß Gott – schön, dass Sie da sind",  # noqa: RUF001
            "categories": ["shoes", "Bücher", "garden", "カメラ", "kitchen"],
            "weights": [0.5, 1.25, 3.0, -7.75, 1e-9],
            "flags": {
                "beta_search": True,
                "new_checkout": False,
                "ab_bucket": 7,
                "dismissed": ["cookie", "tour", "promo-2026"],
            },
        },
        "flash": [("success", "Added to cart"), ("info", "Free shipping over 50 €")],
        "secret": bytes(range(32)),
        "search": ["running shoes 42", "camera tripod", "Messer", "keyboard quiet", "USB-C hub"],
        "addr": {
            "street": "Torstraße 1",
            "zip": "10119",
            "city": "Berlin",
            "country": "DE",
            "geo": (52.529, 13.401),
        },
    }


def _row(i: int) -> dict[str, Any]:
    return {
        "id": 5000000 + i * 7919,
        "title": f"Product {i}, a very ordinary thing for the house"
        if i % 5
        else f"Produkt {i} – schöne Größe",  # noqa: RUF001
        "price": 1.5 + i * 0.37,
        "stock": i % 97,
        "ratings": [(i * k) % 6 for k in range(6)],
        "tags": [f"tag{i % 13}", "sale" if i % 2 else "new"],
        "dims": (10.5 + i, 20.25, i),
        "active": i % 3 != 0,
        "parent": None if i % 4 else i // 4,
        "meta": {
            "src": f"import-{i % 7}",
            "rev": i,
            "sum": f"{i * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}",
        },
    }


def catalogue() -> dict[str, Any]:
    """Hundreds of rows, 69 KB."""
    return {
        "user": login(),
        "rows": [_row(i) for i in range(300)],
        "cursor": 1234567890123,
        "blob": bytes(range(256)) * 4,
        "text": "Lorem ipsum dolor sit amet, consectetur. " * 60,
    }


def form() -> dict[str, Any]:
    """A form in Russian, half filled in: text beyond ASCII, and names that are, too."""
    fields = ["имя", "фамилия", "город", "улица", "дом", "комментарий"]
    return {
        "шаг": 3,
        "поля": {name: f"Значение поля «{name}» из прошлого шага" for name in fields},
        "errors": [[name, "Обязательное поле"] for name in fields[3:]],
        "seen": [True, True, False],
    }


def grid() -> dict[str, Any]:
    """Numbers, and dicts whose keys are numbers and tuples."""
    return {
        "cells": {(x, y): x * 1000003 - y * 65537 for x in range(12) for y in range(12)},
        "levels": {n: [n / 7, -n, n << 33, n << 70] for n in range(40)},
        "path": [(x * 0.1, x * x * -1.5) for x in range(60)],
    }


def visits() -> dict[str, Any]:
    """Dicts that are alike but not the same, and names that occur once."""
    return {
        "visits": [
            {
                "at": 1767225600.5 + 60 * i,
                "path": f"/articles/{i * 131}/comments",
                **({"referrer": f"https://example.org/?q={i}"} if i % 3 == 0 else {}),
                **({"ms": i * 7} if i % 2 else {}),
                f"counter-{i}": i,
            }
            for i in range(80)
        ]
    }


# With goals, by the names that the goals have.
GOALS = {"small": login, "medium": shop, "large": catalogue}

# Without.
OTHERS = {"form": form, "grid": grid, "visits": visits}


def jsonable(value: object) -> object:
    """What JSON can say of it: the same, but for bytes in base64."""
    if type(value) is bytes:
        return base64.b64encode(value).decode()
    if type(value) is dict:
        return {key: jsonable(member) for key, member in value.items()}
    if type(value) is list or type(value) is tuple:
        return [jsonable(member) for member in value]
    return value
