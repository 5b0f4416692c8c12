"""Output goes where it goes: into any encoding, a pipe that closes, a disk that is full."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TextIO

import pytest

from search.cli.streams import run_program


def closed_pipe() -> TextIO:
    """Return a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w")


def full_disk() -> TextIO:
    """Return a file for which there is no room."""
    return open("/dev/full", "w")


def run_into(stream: TextIO, program: Callable[[], None]) -> object:
    """Run a program whose standard output is a stream."""
    with stream, redirect_stdout(stream):  # within the test: pytest puts its own there before
        return run_program(program)


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("ascii", b"epoch 7/30 ? ? ?"), ("latin-1", b"epoch 7/30 \xb7 ? ?"), ("utf-8", "epoch 7/30 · … ?".encode())],
)
def test_characters_that_the_output_cannot_show_are_replaced(encoding: str, printed: bytes) -> None:
    written = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(written, encoding=encoding)):
        assert run_program(lambda: print("epoch 7/30 · … \udcff")) == 0
        assert written.getvalue().strip() == printed


@pytest.mark.parametrize("lines", [1, 10_000])  # written when the program ends, and before
def test_a_reader_that_closes_its_pipe_has_read_enough(lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_into(closed_pipe(), lambda: print("a line\n" * lines)) == 0
    assert capsys.readouterr().err == ""


def test_what_click_makes_of_a_closed_pipe_is_no_fault_either() -> None:
    def program() -> None:
        try:
            print("a line", flush=True)
        except BrokenPipeError:
            sys.exit(1)

    assert run_into(closed_pipe(), program) == 0


@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_full_disk_is_said_in_a_sentence(lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_into(full_disk(), lambda: print("a line\n" * lines)) == 1
    assert capsys.readouterr().err == (
        "error: there must be room to write: got No space left on device. "
        "Make room on the disk of the output and of the home folder; what was stored before is kept.\n"
    )


def test_how_a_program_ends_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        print("a line")
        sys.exit(4)

    assert run_into(full_disk(), fail) == 4
    assert run_program(lambda: sys.exit("a word")) == "a word"
    assert capsys.readouterr().err == ""


def test_a_folder_on_a_full_disk_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device", "/srv/seqnorm/searches")

    assert run_program(fail) == 1
    assert "got No space left on device at /srv/seqnorm/searches. " in capsys.readouterr().err


def test_other_faults_are_not_hidden() -> None:
    def fail() -> None:
        raise PermissionError(13, "Permission denied", "/srv")

    with pytest.raises(PermissionError):
        run_program(fail)
