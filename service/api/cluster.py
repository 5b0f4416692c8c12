"""Workers, running searches with their nodes, and why queued searches wait."""

from __future__ import annotations

from fastapi import APIRouter

from search.store import queries
from search.views import ClusterView
from service.database import ReadConnection
from service.middleware.access import CurrentCaller
from service.route import OneVisitRoute

router = APIRouter(route_class=OneVisitRoute)


@router.get("/cluster")
def show_cluster(connection: ReadConnection, caller: CurrentCaller) -> ClusterView:
    """Show workers, running searches with their nodes, and queued searches with the reason why they wait."""
    return queries.show_cluster(connection, caller.only_owner)
