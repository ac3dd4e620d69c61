"""A store's figures for Prometheus, by the client library ``prometheus_client``.

from prometheus_client import REGISTRY
from coatcheck.prometheus import Collector

REGISTRY.register(Collector(store))
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as _Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._core import BaseStore

__all__ = ["Collector"]


class Collector(_Collector):
    """What `Store.stats` says of a store, blocking or of `coatcheck.aio`, at each scrape.

    ``labels`` are added to every sample. A registry takes one collector: give further stores to
    its `add`, and each labels of its own. Each process has figures of its own.
    """

    def __init__(self, store: BaseStore, *, labels: Mapping[str, str] | None = None) -> None:
        self._stores: list[tuple[BaseStore, dict[str, str]]] = []
        self.add(store, labels=labels)

    def add(self, store: BaseStore, *, labels: Mapping[str, str] | None = None) -> None:
        """Another store, as in ``collector.add(carts, labels={"store": "carts"})``."""
        given = dict(labels or {})
        if any(given == others for _, others in self._stores):
            raise ValueError(
                f"labels={given!r} are those of another store of this collector, and would mix "
                'their figures; give each its own, as in labels={"store": "carts"}'
            )
        self._stores.append((store, given))

    def collect(self) -> Iterable[Metric]:
        metrics: dict[str, Metric] = {}
        for store, labels in self._stores:
            _collect(store, labels, metrics)
        return metrics.values()


def _collect(store: BaseStore, given: dict[str, str], metrics: dict[str, Metric]) -> None:
    for name, text, kind, suffix, labels, value in store._samples():
        metric = metrics.get(name)
        if metric is None:
            # The client library's names of counters go without their ending.
            metric = metrics[name] = Metric(name.removesuffix("_total"), text, kind)
        own = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        metric.add_sample(name + suffix, {**given, **own}, value)
