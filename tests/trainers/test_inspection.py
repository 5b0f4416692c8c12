"""Data sets are looked at in children with limits; what one found is kept until the data set changes."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers import inspection
from trainers.data.identity import identify
from trainers.descriptors.images import OwnNumbers
from trainers.recipe import RecipeError

NUMBERS = OwnNumbers(batch=4)
OWN = "trainers.data.own:check"


# Checks of somebody's recipes, which the children run


def hoard(numbers: Any, path: str) -> None:
    bytearray(3 * 2**30)


def die(numbers: Any, path: str) -> None:
    os._exit(0)


def hang(numbers: Any, path: str) -> None:
    time.sleep(60)


def chatter(numbers: Any, path: str) -> None:
    print('{"answer": "printed"}')


def overflow(numbers: Any, path: str) -> None:
    raise OverflowError("int too large to convert to float")


def show_environment(numbers: Any, path: str) -> None:
    raise RecipeError(" ".join(sorted(os.environ)))


def write(numbers: Any, path: str) -> None:
    Path(path).write_text("changed")


def check(name: str, path: Path) -> str | None:
    """Run one of these checks; return what is refused."""
    try:
        inspection.check(f"{__name__}:{name}", NUMBERS, str(path))
    except RecipeError as error:
        return str(error)
    return None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "images.npz"
    save(found)
    return found


def save(file: Path, count: int = 60) -> None:
    np.savez(file, x=np.zeros((count, 4, 4), np.uint8), y=np.arange(count) % 3)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What children were asked, from now on."""
    asked: list[str] = []
    run = inspection._run

    def count(request: dict[str, Any]) -> inspection.Finding:
        asked.append(request["call"])
        return run(request)

    monkeypatch.setattr(inspection, "_run", count)
    return asked


# Findings


def test_a_finding_is_kept_until_the_file_changes(file: Path, children: list[str]) -> None:
    for _ in range(3):
        inspection.check(OWN, NUMBERS, str(file))
    assert children == [OWN]
    save(file, 3)
    for _ in range(3):
        with pytest.raises(RecipeError, match=r"^every split must hold an image"):
            inspection.check(OWN, NUMBERS, str(file))
    assert children == [OWN, OWN]
    inspection.identify(str(file))
    assert len(children) == 3


def test_other_numbers_are_another_question(file: Path, children: list[str]) -> None:
    inspection.check(OWN, NUMBERS, str(file))
    with pytest.raises(RecipeError, match=r"^the training split must fill a batch: got \d+ of .* for batch=512"):
        inspection.check(OWN, OwnNumbers(batch=512), str(file))
    assert children == [OWN, OWN]


def test_a_folder_is_looked_at_again_when_a_file_is_added_or_after_it_was_refused(
    tmp_path: Path, children: list[str]
) -> None:
    for name in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / name).mkdir(parents=True)
        for image in range(9):
            (tmp_path / name / f"{image}.png").touch()
    for _ in range(2):
        inspection.check(OWN, NUMBERS, str(tmp_path))
    assert len(children) == 1
    (tmp_path / "val/b/9.png").touch()
    inspection.check(OWN, NUMBERS, str(tmp_path))
    assert len(children) == 2
    for _ in range(2):
        with pytest.raises(RecipeError, match=r"^the training split must fill a batch"):
            inspection.check(OWN, OwnNumbers(batch=512), str(tmp_path))
    assert len(children) == 4


def test_what_was_found_is_answered_again_from_what_is_kept(file: Path, children: list[str]) -> None:
    found = "60 images of 3 classes: 42 for training, 9 for validation, 9 for test; an image is 4 × 4."
    assert [inspection.check(OWN, NUMBERS, str(file)) for _ in range(2)] == [found, found]
    assert children == [OWN]


def test_names_of_files_that_are_no_text_are_answered_as_text(tmp_path: Path) -> None:
    def answer() -> inspection.Finding:
        return inspection._answer(OWN, str(tmp_path), "trainers.descriptors.images:OwnNumbers", {"batch": 4})

    names = [os.fsdecode(b"caf\xe9"), "the"]
    for name in names:
        (tmp_path / name).mkdir()
    assert r"got none in caf\udce9, the" in (answer().refusal or "")
    for name in names:
        for number in range(9):
            (tmp_path / name / f"{number}.png").touch()
    assert r"(caf\udce9, the)" in (answer().answer or "")


def test_the_identity_of_a_folder_is_its_names_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_text("x")
    first = inspection.identify(str(tmp_path))
    (tmp_path / "a" / "2.png").write_text("x")
    assert inspection.identify(str(tmp_path)) != first
    assert inspection.identify(str(tmp_path / "absent")) == "missing"


def test_the_identity_of_a_folder_follows_links_and_passes_over_what_other_programs_leave(tmp_path: Path) -> None:
    for name in ("linked", "data/a", "data/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_text("x")
    data = str(tmp_path / "data")
    first = identify(data)
    (tmp_path / "data" / "__MACOSX").mkdir()
    (tmp_path / "data" / "c").mkdir()
    for foreign in (".DS_Store", "a/.DS_Store", "__MACOSX/1.png"):
        (tmp_path / "data" / foreign).touch()
    (tmp_path / "data" / "b" / "up").symlink_to(tmp_path / "data")
    assert identify(data) == first
    (tmp_path / "data" / "c" / "more").symlink_to(tmp_path / "linked")
    with_link = identify(data)
    (tmp_path / "linked" / "1.png").write_text("xy")
    assert len({first, with_link, identify(data)}) == 3


# Limits


@pytest.mark.parametrize("name", ["hoard", "overflow"])
def test_a_check_that_raises_is_a_refusal(file: Path, name: str) -> None:
    reason = {"hoard": "MemoryError", "overflow": "OverflowError: int too large to convert to float"}[name]
    assert check(name, file) == (f"a data set must be readable: got {file} ({reason}). Replace it, or choose another.")


def test_a_check_that_ends_its_process_is_a_refusal(file: Path) -> None:
    assert check("die", file) == (
        f"a data set must be checked within 600 s and 2.1 GB of memory: got {file}, whose check did not end. "
        "Give fewer files, or fewer images."
    )


def test_a_check_that_hangs_is_ended(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SECONDS", 3)
    assert (check("hang", file) or "").startswith("a data set must be checked within 3 s ")


def test_what_a_check_prints_is_no_answer_and_files_it_writes_stay_empty(file: Path) -> None:
    assert check("chatter", file) is None
    assert "File too large" in (check("write", file) or "")


def test_a_child_gets_no_secrets(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQNORM_DB", "postgresql://ada:secret@db/seqnorm")
    monkeypatch.setenv("PGPASSWORD", "secret")
    passed_on = (check("show_environment", file) or "").split()
    assert "PYTHONPATH" in passed_on
    assert not [name for name in passed_on if name.startswith(("SEQNORM_", "PG"))]


def test_more_than_two_at_once_are_asked_to_try_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "WAIT_SECONDS", 0.0)
    with inspection._room, inspection._room, pytest.raises(inspection.Busy) as caught:
        inspection.check(OWN, NUMBERS, str(file))
    assert str(caught.value) == "at most 2 data sets can be checked at once: got one more. Try again shortly."
    assert check("chatter", file) is None


def test_no_more_is_kept_than_there_is_room_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "KEPT", 2)
    for number in range(4):
        inspection._keep(number, inspection.Finding())
    assert [inspection._recall(number) is None for number in range(4)] == [True, True, False, False]


def test_children_are_ended_at_once_if_they_are_told_to(file: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(check, "hang", file)
        while not inspection._children:
            time.sleep(0.01)
        inspection.end_children()
        assert "whose check did not end" in str(waiting.result(20))
    assert not inspection._children
