"""List the data sets of this service, and upload one."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import CancelScope
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from search.views import DataSetView
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Action
from service import accounts
from service.accounts import Token
from service.admission import AppAdmission, Lane
from service.api import data_sets
from service.database import AppDatabase, AppSettings, Database
from service.middleware.access import CurrentCaller, require_scope
from service.uploads import Upload, Uploads, require_uploads

MAX_DIGITS = 15  # of a Content-Length; Python refuses to convert thousands
NO_FORMS = ("multipart/form-data",)
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

router = APIRouter()


async def get_uploads(request: Request) -> Uploads:
    """Return the application's open uploads."""
    uploads: Uploads = request.app.state.uploads
    return uploads


AppUploads = Annotated[Uploads, Depends(get_uploads)]


@router.get("/data")
def list_data(settings: AppSettings) -> list[DataSetView]:
    """List the data sets that a search may use."""
    return data_sets.list_data_sets(settings)


@router.post(
    "/data",
    status_code=201,
    response_model=DataSetView,
    dependencies=[Depends(require_scope("submit"))],
    openapi_extra=BODY,
)
async def upload(
    request: Request,
    caller: CurrentCaller,
    admission: AppAdmission,
    uploads: AppUploads,
    database: AppDatabase,
    settings: AppSettings,
    name: Annotated[str, Query(max_length=200, description="NAME.npz, or NAME.zip of class folders")],
) -> DataSetView | Response:
    """Add a data set: the body is an .npz file, or a .zip of class folders that becomes the folder NAME.

    A name that is taken is refused, so a request that is repeated adds nothing.
    """
    if request.headers.get("content-type", "").startswith(NO_FORMS):
        raise InvalidSpec(
            "the body of an upload must be the file itself: got a form. Send it e.g. with curl --data-binary @FILE."
        )
    most_bytes = require_uploads(settings)
    with uploads.open(caller.token.id):
        folder, others = data_sets.uploads_folder(settings), [data_sets.data_folder(settings)]
        upload = await run_in_threadpool(Upload, folder, name, most_bytes, _get_length(request), others)
        try:
            await upload.receive(request.stream())
            async with uploads.turn_to_unpack:
                unpacked = await run_in_threadpool(upload.unpack)
            if await request.is_disconnected():
                raise ClientDisconnect  # who cancelled is told that nothing is kept
            placed = await run_in_threadpool(upload.place, unpacked)
            try:
                await admission.run(Lane.WRITE, caller.token.id, _record, database, caller.token, placed)
            except BaseException:
                await run_in_threadpool(upload.take_back)
                raise
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(upload.remove)
    return placed


def _record(database: Database, token: Token, placed: DataSetView) -> None:
    with database.write() as connection:
        detail = {"kind": placed.kind, "size": placed.size}
        accounts.record_action(connection, token, Action.UPLOAD, placed.name, detail)


def _get_length(request: Request) -> int:
    """Return the announced length of a body; 0 if there is none, a very large number for too many digits."""
    announced = request.headers.get("content-length", "")
    if not (announced.isascii() and announced.isdigit()):
        return 0
    return int(announced[:MAX_DIGITS]) if len(announced) <= MAX_DIGITS else 10**MAX_DIGITS
