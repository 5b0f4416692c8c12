"""Downloads of a search: all trials as CSV or JSON, and the weights of the chosen point."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from search.actions.export import export
from search.engine.checkpoints import chosen_checkpoint, chosen_folders
from search.private_files import open_regular_file
from search.store import queries
from search.views import ExportedCandidate, ExportRow
from search.vocabulary.errors import NotFound
from search.vocabulary.exports import ExportFormat, ExportTable
from service.admission import AppAdmission, Lane
from service.api.parameters import VisibleId
from service.api.stored_files import attachment_headers, read_chunks
from service.database import AppDatabase, AppSettings, ReadConnection
from service.middleware.access import CurrentCaller
from service.open_responses import CountedResponse, OpenResponses
from service.route import OneVisitRoute

MAX_DOWNLOADS, MAX_DOWNLOADS_OF_TOKEN = 100, 20


async def get_downloads(request: Request) -> OpenResponses:
    """Return the application's open downloads."""
    downloads: OpenResponses = request.app.state.downloads
    return downloads


AppDownloads = Annotated[OpenResponses, Depends(get_downloads)]
router = APIRouter(prefix="/searches/{id}", route_class=OneVisitRoute)
EXPORTED = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (ExportRow, ExportedCandidate)]
EXPORT_SCHEMA = {"type": "array", "items": {"anyOf": EXPORTED}}
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


@router.get(
    "/export",
    response_class=CountedResponse,
    responses={
        200: {
            "description": "All trials, in the order in which they started, or all candidates, stage by stage.",
            "content": {"text/csv": {"schema": {"type": "string"}}, "application/json": {"schema": EXPORT_SCHEMA}},
        }
    },
)
def export_trials(
    admission: AppAdmission,
    database: AppDatabase,
    downloads: AppDownloads,
    caller: CurrentCaller,
    id: VisibleId,
    format: ExportFormat = "csv",
    table: ExportTable = "trials",
) -> CountedResponse:
    """Download all trials of a search, or all candidates with their standard errors, failures and gains."""
    pieces = export(database.read_engine.connect, id, format, table)

    async def text() -> AsyncIterator[str]:
        while piece := await admission.run(Lane.DOWNLOAD, caller.token.id, next, pieces, ""):
            yield piece

    headers = attachment_headers(f"{id}.{format}")
    return CountedResponse(text(), downloads, caller.token.id, headers=headers, media_type=MEDIA_TYPES[format])


@router.get(
    "/checkpoint",
    response_class=CountedResponse,
    responses={
        200: {
            "description": "A file written by torch.save.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def checkpoint(
    connection: ReadConnection, settings: AppSettings, downloads: AppDownloads, caller: CurrentCaller, id: VisibleId
) -> CountedResponse:
    """Download the weights of the chosen point, from one of its finished trials."""
    shown, folder = queries.show_search(connection, id), settings.search_folder(id)
    if shown.command:
        written = next(iter(chosen_folders(folder, shown.chosen)), folder)
        raise NotFound(
            f"only weights of seqnorm's own networks can be downloaded: got {id}, which runs somebody's own command. "
            f"What its program wrote is in {written.relative_to(settings.home)} in the home folder of the service."
        )
    found = chosen_checkpoint(folder, shown.chosen)
    file = open_regular_file(found) if found else None
    if file is None:
        raise NotFound(
            f"weights are kept for a chosen point that was measured on the test set: got none for {id} on this machine."
        )
    headers = attachment_headers(f"{id}.pt")
    return CountedResponse(
        read_chunks(file), downloads, caller.token.id, headers=headers, media_type="application/octet-stream"
    )
