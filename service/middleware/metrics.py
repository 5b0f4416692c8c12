"""What Prometheus is told: of this process as things happen, of the store when it asks."""

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

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, which nobody asks for


class Metrics:
    """The metrics of one application. Labels take few values, none of which a client can make up."""

    def __init__(self, count_streams: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Counter(
            "seqnorm_http_requests", "Requests that were answered.", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "seqnorm_http_request_duration_seconds",
            "From a request's arrival to the last byte of its answer; a stream's is as long as it was open.",
            ("route", "method"),
            buckets=BUCKETS,
            registry=registry,
        )
        streams = Gauge("seqnorm_streams", "Streams of events that are open.", registry=registry)
        streams.set_function(count_streams)

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route, method).observe(seconds)

    def text(self, counts: Counts) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry) + generate_latest(_of_store(counts))


def _of_store(counts: Counts) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, help, label, values in (
        ("searches", "Searches by status.", "status", counts.searches),
        ("running_trials", "Trials of the searches that run, by state.", "state", counts.trials),
        ("webhook_deliveries", "Deliveries of webhooks of the last 30 days, by state.", "state", counts.deliveries),
    ):
        gauge = Gauge(f"seqnorm_{name}", help, (label,), registry=registry)
        for value, count in values.items():
            gauge.labels(value).set(count)
    Gauge("seqnorm_workers", "Workers that were seen lately.", registry=registry).set(counts.workers)
    waits = Gauge(
        "seqnorm_queue_wait_seconds", "How long the search that waits longest has been queued.", registry=registry
    )
    waits.set(counts.longest_wait)
    return registry
