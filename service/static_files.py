"""Static files, each compressed once and kept: compressing a script for every request would hold up all others."""

from __future__ import annotations

import gzip
import os
from functools import lru_cache
from pathlib import Path

from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.types import Scope

MAX_FILES = 64  # that are kept


class CompressedStaticFiles(StaticFiles):
    """Static files for clients that accept gzip, and for others."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the response with a file."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        accepted = Headers(scope=scope).get("accept-encoding", "")
        if not isinstance(response, FileResponse) or "gzip" not in accepted:
            return response
        headers = {name: response.headers[name] for name in ("content-type", "etag", "last-modified")}
        headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
        return Response(_compress(Path(full_path), stat_result.st_mtime_ns), status_code, headers)


@lru_cache(MAX_FILES)
def _compress(file: Path, _changed: int) -> bytes:
    return gzip.compress(file.read_bytes(), compresslevel=6, mtime=0)
