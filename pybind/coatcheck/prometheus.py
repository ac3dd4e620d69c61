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
    """What `Store.stats` says of one store, blocking or of `coatcheck.aio`, at each scrape.

    ``labels`` are added to every sample. With several stores in one registry, give each its own,
    as in ``Collector(carts, labels={"store": "carts"})``. Each process has figures of its own.
    """

    def __init__(self, store: BaseStore, *, labels: Mapping[str, str] | None = None) -> None:
        self._store = store
        self._labels = dict(labels or {})

    def collect(self) -> Iterable[Metric]:
        metrics: dict[str, Metric] = {}
        for name, text, kind, suffix, labels, value in self._store._samples():
            metric = metrics.get(name)
            if metric is None:
                # The client library's names of counters go without their ending.
                family = name.removesuffix("_total")
                metric = metrics[name] = Metric(family, text, kind)
            own = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            metric.add_sample(name + suffix, {**self._labels, **own}, value)
        return metrics.values()
