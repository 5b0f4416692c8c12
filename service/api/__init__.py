"""The REST API. Routes are thin: parameters in, one query or change, its answer out."""

from typing import Any

from fastapi import APIRouter

from service.api import actions, cluster, events, figures, files, health, metrics, recipes, searches, tokens, trials
from service.middleware.access import administers, looks
from service.problems import TITLES

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
# what any of them may answer instead
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": title, "content": PROBLEM} for status, title in sorted(TITLES.items()) if status != 500
}

router = APIRouter()
router.include_router(health.router, tags=["health"])
router.include_router(metrics.router, tags=["health"], responses=PROBLEMS)
for part in (recipes, cluster, searches, actions, trials, figures, files, events):
    name = part.__name__.rpartition(".")[2]
    router.include_router(part.router, prefix="/api", tags=[name], dependencies=[looks], responses=PROBLEMS)
router.include_router(tokens.router, prefix="/api", tags=["tokens"], dependencies=[administers], responses=PROBLEMS)
