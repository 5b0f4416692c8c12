"""Files that are shown or downloaded: regular ones alone."""

from __future__ import annotations

import os
from pathlib import Path

from search.settings import Settings
from search.views import TrialRow
from service.api.stored_files import (
    CHUNK_BYTES,
    TAIL_BYTES,
    attachment_headers,
    open_regular_file,
    read_chunks,
    read_log_tail,
)


def test_a_regular_file_is_read_to_its_end_and_closed(tmp_path: Path) -> None:
    content = os.urandom(CHUNK_BYTES + 7)
    (tmp_path / "weights").write_bytes(content)
    file = open_regular_file(tmp_path / "weights")
    assert file is not None
    pieces = list(read_chunks(file))
    assert [len(piece) for piece in pieces] == [CHUNK_BYTES, 7]
    assert b"".join(pieces) == content
    assert file.closed


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for name in ("link", "folder", "pipe", "nothing"):
        assert open_regular_file(tmp_path / name) is None, name


def test_a_download_is_saved_and_never_shown_as_a_page() -> None:
    assert attachment_headers("abc.csv") == {
        "Content-Disposition": 'attachment; filename="abc.csv"',
        "Content-Security-Policy": "sandbox",
    }


def test_the_tail_of_a_log_is_what_a_trial_of_that_point_and_seed_printed_last(settings: Settings) -> None:
    printed = settings.trial_log("abc", "gm-main-gm8-gc0-seed2")
    printed.parent.mkdir(parents=True)
    printed.write_bytes(b"first\n" + b"x" * (TAIL_BYTES - 3) + "\xe9\n".encode("latin-1") + b"!")
    said = read_log_tail(settings, "abc", trial(gm=8, seed=2))
    assert said.after == printed.stat().st_size
    assert said.text == "x" * (TAIL_BYTES - 3) + "\N{REPLACEMENT CHARACTER}\n!"
    assert not read_log_tail(settings, "abc", trial(gm=4, seed=2)).found, "another one has printed nothing"
    assert not read_log_tail(settings, "other", trial(gm=8, seed=2)).found


def trial(gm: int, seed: int) -> TrialRow:
    """Return a trial that runs."""
    point = {"stage": "gm", "variant": "main", "gm": gm, "gc": 0, "seed": seed}
    running = {"trial_id": 1, "number": 0, "state": "RUNNING", "value": None, "cause": None, "detail": ""}
    rest = dict.fromkeys(("seconds", "gm_total", "group_size", "epoch", "reused_from", "where"))
    return TrialRow.model_validate({**point, **running, **rest, "started_at": 0.0})
