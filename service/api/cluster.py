"""What runs where, and why the waiting wait."""

from __future__ import annotations

from fastapi import APIRouter

from search.store import queries
from search.views import ClusterView
from service.database import Reading
from service.middleware.access import Known

router = APIRouter()


@router.get("/cluster")
def show_cluster(store: Reading, caller: Known) -> ClusterView:
    """Show workers, running searches with their nodes, and waiting ones with the reason."""
    return queries.show_cluster(store, None if caller.sees("") else caller.token.owner)
