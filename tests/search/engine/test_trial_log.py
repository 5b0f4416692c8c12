"""Logs of trials are read in parts while they grow and while they are cut."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from search.engine import trial_log
from search.engine.trial_log import EpochLines, TrialLog, read_part


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log that holds at most 200 bytes."""
    for name, size in (("HEAD_BYTES", 100), ("LOG_BYTES", 200), ("TAIL_BYTES", 20), ("PART_BYTES", 64)):
        monkeypatch.setattr(trial_log, name, size)
    path = tmp_path / "a.log"
    path.touch()
    return path


def test_a_log_is_read_in_parts_that_make_up_the_whole(file: Path) -> None:
    whole = "épochs · " * 15
    file.write_text(whole, encoding="utf-8")
    parts, after = [], 0
    while (part := read_part(file, after)) and part.text:
        parts.append(part.text)
        after = part.after
    assert len(parts) > 2
    assert "".join(parts) == whole


def test_a_character_that_is_half_written_is_read_when_it_is_whole(file: Path) -> None:
    file.write_bytes("é".encode()[:1])
    part = read_part(file)
    assert part is not None
    assert (part.text, part.after) == ("", 0)
    file.write_bytes("é".encode())
    part = read_part(file)
    assert part is not None
    assert (part.text, part.after) == ("é", 2)


def test_bytes_that_are_no_text_are_replaced(file: Path) -> None:
    file.write_bytes(b"a\xffb\0")
    part = read_part(file)
    assert part is not None
    assert part.text == "a\N{REPLACEMENT CHARACTER}b\0"


def test_after_a_cut_what_follows_the_gap_is_read_next(file: Path) -> None:
    file.write_bytes(b"head\n" * 20 + b"middle\n" * 30 + b"the end\n")
    TrialLog(file).cut()
    part = read_part(file, 300)
    assert part is not None
    assert part.text.startswith("\n[a log holds at most")
    rest = read_part(file, part.after)
    assert rest is not None
    assert (part.text + rest.text).endswith("\nmiddle\nthe end\n")
    assert file.read_bytes().startswith(b"head\n" * 20)


def test_a_log_that_is_short_enough_or_gone_is_not_cut(file: Path) -> None:
    file.write_bytes(b"x" * 200)
    TrialLog(file).cut()
    assert file.stat().st_size == 200
    file.unlink()
    TrialLog(file).cut()
    TrialLog(file).write("nobody reads this")
    assert read_part(file) is None


@pytest.mark.parametrize(("timeout", "cut"), [(None, True), (3600.0, True), (0.5, False)])
def test_a_log_is_not_looked_at_when_the_time_of_its_trial_runs_out(
    file: Path, monkeypatch: pytest.MonkeyPatch, timeout: float | None, cut: bool
) -> None:
    looked = threading.Event()
    log = TrialLog(file)
    monkeypatch.setattr(trial_log, "CHECK_SECONDS", 0.001)
    monkeypatch.setattr(log, "cut", looked.set)
    with log.bounded(timeout):
        assert looked.wait(10 if cut else 0.1) is cut
    assert looked.is_set(), "it is looked at when the trial has ended"


def test_a_line_of_ours_begins_below_a_progress_bar(file: Path) -> None:
    file.write_bytes(b"\r 10 %\r 20 %")
    TrialLog(file).write("epoch 1")
    TrialLog(file).write("epoch 2")
    assert file.read_bytes() == b"\r 10 %\r 20 %\nepoch 1\nepoch 2\n"


def test_a_line_says_how_far_a_trial_is(file: Path) -> None:
    lines = EpochLines(TrialLog(file))
    lines.write(1, {"loss": 0.25, "seconds": 72.0})
    lines.planned = 3
    lines.write(2, {"loss": 0.000123456, "accuracy": float("nan"), "seconds": 7.25})
    lines.write(4, {"seconds": 3600.0})
    assert file.read_text().splitlines() == [
        "epoch 1  loss 0.25  72 s",
        "epoch 2/3  loss 0.0001235  accuracy nan  7.2 s",
        "epoch 4  60 min",
    ]
