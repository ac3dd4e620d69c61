"""People who use the page of the demo at once, and check each response: a load, and a proof that
nobody loses anything, or sees what is somebody else's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

JSON = {"Accept": "application/json"}
PATIENCE_S = 20


class Shopper:
    """One of them, with a browser of its own. Responses of a status that is tolerated say nothing
    about the session: the server's own, while it restarts."""

    def __init__(
        self, base_url: str, name: str, *, tolerated: Sequence[int] = (), **options: Any
    ) -> None:
        self.name = name
        self.tolerated = tolerated
        # A connection for each request, so that each worker gets some of them.
        options.setdefault("limits", httpx.Limits(max_keepalive_connections=0))
        self.browser = httpx.Client(
            base_url=base_url, timeout=PATIENCE_S, trust_env=False, **options
        )
        self.bought: list[str] = []
        self.unknown: set[str] = set()  # the response was lost
        self.lost = 0
        self.answered = 0

    def log_in(self) -> None:
        response = self.browser.post("login", data={"name": self.name})
        assert response.status_code == 303, (response.status_code, response.text)

    def buy(self) -> None:
        sku = f"{self.name}-{len(self.bought) + len(self.unknown)}"
        try:
            response = self.browser.post("cart", data={"sku": sku})
        except httpx.TransportError:
            self.lost += 1
            self.unknown.add(sku)
            return
        if response.status_code in self.tolerated:
            self.unknown.add(sku)
            return
        assert response.status_code == 303, (response.status_code, response.text)
        self.answered += 1
        self.bought.append(sku)

    def look(self) -> dict[str, Any] | None:
        """What the page says, checked; None: the response was lost."""
        try:
            response = self.browser.get("", headers=JSON)
        except httpx.TransportError:
            self.lost += 1
            return None
        if response.status_code in self.tolerated:
            return None
        assert response.status_code == 200, (response.status_code, response.text)
        self.answered += 1
        shown: dict[str, Any] = response.json()
        assert shown["name"] == self.name
        cart = [sku for sku, _ in shown["cart"]]
        assert [sku for sku in cart if sku not in self.unknown] == self.bought
        assert set(cart) <= {*self.bought, *self.unknown} and len(cart) == len(set(cart))
        return shown


@contextmanager
def shopping(
    base_url: str, count: int = 4, **options: Any
) -> Iterator[Callable[[], list[Shopper]]]:
    """That many of them, until the block is left, or what it is given is called: that waits until
    each was answered a few times more, and checks what all of them saw."""
    shoppers = [Shopper(base_url, f"user{i}", **options) for i in range(count)]
    failures: list[BaseException] = []
    over = threading.Event()

    def shop(shopper: Shopper) -> None:
        try:
            while not over.is_set():
                shopper.buy()
                shopper.look()
        except BaseException as exc:
            failures.append(exc)

    for shopper in shoppers:
        shopper.log_in()
    threads = [threading.Thread(target=shop, args=(shopper,)) for shopper in shoppers]
    for thread in threads:
        thread.start()

    def some_more() -> list[Shopper]:
        before = [shopper.answered for shopper in shoppers]
        end = time.monotonic() + PATIENCE_S
        while any(
            shopper.answered < then + 6 for shopper, then in zip(shoppers, before, strict=True)
        ):
            if failures:
                raise failures[0]
            assert time.monotonic() < end, "nobody answers any more"
            time.sleep(0.01)
        return shoppers

    try:
        yield some_more
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for shopper in shoppers:
            shopper.browser.close()
    if failures:
        raise failures[0]
