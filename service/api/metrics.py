"""The metrics that Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse

from search.store.counts import count_store
from service.database import ReadConnection
from service.middleware.access import require_scope
from service.middleware.metrics import CONTENT_TYPE, Metrics
from service.route import OneVisitRoute

router = APIRouter(route_class=OneVisitRoute)


class MetricsResponse(PlainTextResponse):
    """Metrics in Prometheus' text format."""

    media_type = CONTENT_TYPE


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[Depends(require_scope("read"))])
def show_metrics(request: Request, connection: ReadConnection) -> MetricsResponse:
    """Show metrics of requests, streams, searches, trials, workers and this process in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return MetricsResponse(metrics.exposition(count_store(connection)))
