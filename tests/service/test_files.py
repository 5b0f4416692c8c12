"""Files that are shown or downloaded: regular ones alone."""

from __future__ import annotations

import os
from pathlib import Path

from service.files import CHUNK_BYTES, attachment, chunks, opened


def test_a_regular_file_is_read_to_its_end_and_closed(tmp_path: Path) -> None:
    content = os.urandom(CHUNK_BYTES + 7)
    (tmp_path / "weights").write_bytes(content)
    file = opened(tmp_path / "weights")
    assert file is not None
    pieces = list(chunks(file))
    assert [len(piece) for piece in pieces] == [CHUNK_BYTES, 7]
    assert b"".join(pieces) == content
    assert file.closed


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for name in ("link", "folder", "pipe", "nothing"):
        assert opened(tmp_path / name) is None, name


def test_a_download_is_saved_and_never_shown_as_a_page() -> None:
    assert attachment("abc.csv") == {
        "Content-Disposition": 'attachment; filename="abc.csv"',
        "Content-Security-Policy": "sandbox",
    }
