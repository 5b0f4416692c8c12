"""Workers, running searches with their nodes, and why queued searches wait."""

from __future__ import annotations

from fastapi import APIRouter, Request

from search.store import queries
from search.views import ClusterView
from service.database import ReadConnection
from service.middleware.access import CurrentCaller
from service.route import OneVisitRoute
from service.wording import place_of, reword

router = APIRouter(route_class=OneVisitRoute)


@router.get("/cluster")
def show_cluster(request: Request, connection: ReadConnection, caller: CurrentCaller) -> ClusterView:
    """Show workers, running searches with their nodes, and queued searches with the reason why they wait."""
    found, place = queries.show_cluster(connection, caller.only_owner), place_of(request)
    waiting = tuple(reword(each, place, "why", "reason") for each in found.waiting)
    running = tuple(reword(each, place, "reason") for each in found.running)
    return found.model_copy(update={"waiting": waiting, "running": running})
