"""The REST API. Routes are thin: take parameters, make one query or change, return a view."""

from typing import Any

from fastapi import APIRouter

from service.api import (
    actions,
    cluster,
    data,
    events,
    figures,
    files,
    health,
    metrics,
    recipes,
    searches,
    tokens,
    trials,
)
from service.middleware.access import can_read, is_admin
from service.problems import TITLES

PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
# error responses of every route but those for monitoring
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": title, "content": PROBLEM_CONTENT}
    for status, title in sorted(TITLES.items())
    if status != 500
}

router = APIRouter()
router.include_router(health.router, tags=["health"])
router.include_router(metrics.router, tags=["health"], responses=PROBLEM_RESPONSES)
for part in (recipes, data, cluster, searches, actions, trials, figures, files, events):
    name = part.__name__.rpartition(".")[2]
    router.include_router(part.router, prefix="/api", tags=[name], dependencies=[can_read], responses=PROBLEM_RESPONSES)
router.include_router(
    tokens.router, prefix="/api", tags=["tokens"], dependencies=[is_admin], responses=PROBLEM_RESPONSES
)
