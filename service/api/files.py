"""What a search leaves as files: every trial for other programs, and the weights of the chosen point."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from search.actions.export import Format, export
from search.engine.checkpoints import chosen_checkpoint
from search.store import queries
from search.vocabulary.errors import NotFound
from service.api.parameters import Visible
from service.api.stored_files import attachment, chunks, opened
from service.database import Configured, Reading, Store

router = APIRouter(prefix="/searches/{id}")
EXPORT_SCHEMA = {"type": "array", "items": {"$ref": "#/components/schemas/ExportRow"}}
KINDS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Every trial, in the order they started.",
            "content": {"text/csv": {"schema": {"type": "string"}}, "application/json": {"schema": EXPORT_SCHEMA}},
        }
    },
)
def export_trials(stores: Store, id: Visible, format: Format = "csv") -> StreamingResponse:
    """Download every trial of a search."""
    connection = stores.reading.connect()  # open as long as the download goes on, which a route's own is not

    def pieces() -> Iterator[str]:
        with connection:
            yield from export(connection, id, format)

    return StreamingResponse(pieces(), media_type=KINDS[format], headers=attachment(f"{id}.{format}"))


@router.get(
    "/checkpoint",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A file of torch.save.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
def checkpoint(store: Reading, settings: Configured, id: Visible) -> StreamingResponse:
    """Download the weights of the chosen point, as one of its finished trials left them."""
    found = chosen_checkpoint(settings.search_folder(id), queries.show_search(store, id).chosen)
    file = opened(found) if found else None
    if file is None:
        raise NotFound(
            f"weights are kept of a chosen point that was measured on the test set: got none for {id} on this machine."
        )
    return StreamingResponse(chunks(file), media_type="application/octet-stream", headers=attachment(f"{id}.pt"))
