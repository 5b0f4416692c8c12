"""The REST API. Routes are thin: parameters in, one query or change, its answer out."""

from fastapi import APIRouter

from service.access import administers, looks
from service.api import actions, cluster, events, figures, files, health, recipes, searches, tokens, trials

router = APIRouter()
router.include_router(health.router, tags=["health"])
for part in (recipes, cluster, searches, actions, trials, figures, files, events):
    router.include_router(part.router, prefix="/api", tags=[part.__name__.rpartition(".")[2]], dependencies=[looks])
router.include_router(tokens.router, prefix="/api", tags=["tokens"], dependencies=[administers])
