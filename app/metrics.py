"""The numbers that each process counts for /metrics. docs/monitoring.md describes them.

The values of labels are names of our own, such as an endpoint or a rate limit, and never come from a request: each
combination is a series, and a visitor must not be able to create any. gunicorn.conf.py lets its processes share the
numbers through files.
"""

import os
from collections.abc import Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE_LATEST", "Collector", "GaugeMetricFamily"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # upper bounds of a histogram

disable_created_metrics()  # a series more for each of the others
registry = CollectorRegistry()
of_ours = {"registry": registry, "namespace": "flasky"}

requests = Counter("requests", "Requests", ["endpoint", "status"], **of_ours)
duration = Histogram("request_duration_seconds", "Time to answer", ["endpoint"], buckets=SECONDS, **of_ours)
logins = Counter("logins", "Logins by method and outcome", ["method", "outcome"], **of_ours)
refusals = Counter("rate_limit_refusals", "Requests refused by a rate limit", ["policy"], **of_ours)
hashes = Gauge("hashes", "Password hashes that run or wait", multiprocess_mode="livesum", **of_ours)
hash_wait = Histogram("hash_wait_seconds", "Time in the queue of password hashes", buckets=SECONDS, **of_ours)
hash_refusals = Counter("hash_refusals", "Requests refused because their hash could not be done in time", **of_ours)
connections = Gauge("database_connections", "Connections in use", multiprocess_mode="livesum", **of_ours)


def page(*collectors: Collector) -> bytes:
    """Return the numbers of all processes, and of these collectors, in the text format of Prometheus.

    While their folder is missing, because somebody removed it, these are the numbers of this process alone.
    """
    found = registry
    if os.path.isdir(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")):
        found = CollectorRegistry()
        MultiProcessCollector(found)
    return generate_latest(found) + b"".join(map(_text, collectors))


def gauge(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    """Return a gauge with a value for each value of its label."""
    family = GaugeMetricFamily(f"flasky_{name}", text, labels=[label])
    for labelled, value in values:
        family.add_metric([labelled], value)
    return family


def _text(collector: Collector) -> bytes:
    own = CollectorRegistry()
    own.register(collector)
    return generate_latest(own)
