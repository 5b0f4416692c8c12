"""Prometheus metrics: counted in this process, and read from the store at each scrape."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from search.store.counts import Counts

__all__ = ["CONTENT_TYPE", "Metrics"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series


class Metrics:
    """The metrics of one application. Labels have few values, and a client cannot add any."""

    def __init__(self, count_streams: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Counter(
            "seqnorm_http_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "seqnorm_http_request_duration_seconds",
            "Seconds from a request's arrival to the last byte of its response; event streams: while open.",
            ("route", "method"),
            buckets=BUCKETS,
            registry=registry,
        )
        streams = Gauge("seqnorm_streams", "Open event streams.", registry=registry)
        streams.set_function(count_streams)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request and its duration."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route, method).observe(seconds)

    def exposition(self, counts: Counts) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry) + generate_latest(_store_registry(counts))


def _store_registry(counts: Counts) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, help, label, values in (
        ("searches", "Searches by status.", "status", counts.searches),
        ("running_trials", "Trials of running searches, by state.", "state", counts.trials),
        ("webhook_deliveries", "Webhook deliveries of the last 30 days, by state.", "state", counts.deliveries),
    ):
        gauge = Gauge(f"seqnorm_{name}", help, (label,), registry=registry)
        for value, count in values.items():
            gauge.labels(value).set(count)
    Gauge("seqnorm_workers", "Workers with a recent heartbeat.", registry=registry).set(counts.workers)
    waits = Gauge("seqnorm_queue_wait_seconds", "How long the oldest queued search has waited.", registry=registry)
    waits.set(counts.longest_wait)
    return registry
