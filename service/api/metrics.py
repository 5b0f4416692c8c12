"""What Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse

from search.store.counts import count_store
from service.database import Reading
from service.middleware.access import require
from service.middleware.metrics import CONTENT_TYPE, Metrics

router = APIRouter()


class Exposition(PlainTextResponse):
    """Metrics as text."""

    media_type = CONTENT_TYPE


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[Depends(require("read"))])
def show_metrics(request: Request, store: Reading) -> Exposition:
    """Tell requests, streams, searches, trials, workers and this process in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return Exposition(metrics.text(count_store(store)))
