"""Where trials keep their checkpoints, and which of them stay."""

from __future__ import annotations

import shutil
from pathlib import Path

from search.engine.checkpoints import Checkpoints, chosen_checkpoint, chosen_folders
from search.plan.selection import Point
from search.plan.stages import Replicate

TUNED = Replicate("gm", Point("main", 4, 0), 0)
MEASURED = Replicate("test", Point("main", 4, 2), 1000)


def keep(checkpoints: Checkpoints, replicate: Replicate, content: str = "weights") -> Path:
    file = checkpoints.folder_for(replicate) / "checkpoint.pt"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    return file


def test_replicates_have_a_folder_each(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    replicates = (TUNED, MEASURED, Replicate("gm", TUNED.point, 1), Replicate("test", TUNED.point, 0))
    assert {checkpoints.folder_for(each).parent for each in replicates} == {tmp_path}
    assert len({checkpoints.folder_for(each) for each in replicates}) == 4


def test_only_the_weights_of_measured_trials_outlive_their_end(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    tuned, measured = keep(checkpoints, TUNED), keep(checkpoints, MEASURED)
    for replicate in (TUNED, MEASURED):
        checkpoints.remove_unneeded(replicate)
    assert not tuned.parent.exists()
    assert measured.exists()


def test_adopted_weights_outlive_the_search_that_trained_them(tmp_path: Path) -> None:
    parent = Checkpoints(tmp_path / "parent" / "checkpoints")
    child = Checkpoints(tmp_path / "child" / "checkpoints")
    original = keep(parent, MEASURED)
    child.link_from(MEASURED, child.for_search("parent"), MEASURED)
    adopted = child.folder_for(MEASURED) / "checkpoint.pt"
    assert adopted.samefile(original), "a link takes no room"
    shutil.rmtree(tmp_path / "parent")
    assert adopted.read_text() == "weights"


def test_adopting_replaces_nothing_and_misses_nothing(tmp_path: Path) -> None:
    parent = Checkpoints(tmp_path / "parent" / "checkpoints")
    child = Checkpoints(tmp_path / "child" / "checkpoints")
    keep(parent, MEASURED, "of the parent")
    own = keep(child, MEASURED, "of the child")
    child.link_from(MEASURED, parent, MEASURED)
    child.link_from(TUNED, parent, TUNED)
    assert own.read_text() == "of the child"
    assert not child.folder_for(TUNED).exists()


def test_the_chosen_checkpoint_is_that_of_a_measured_trial_of_the_chosen_point(tmp_path: Path) -> None:
    checkpoints, chosen = Checkpoints(tmp_path / "checkpoints"), Point("main", 4, 2)
    unfinished = checkpoints.folder_for(Replicate("test", MEASURED.point, 999))
    unfinished.mkdir(parents=True)
    file = keep(checkpoints, MEASURED)
    keep(checkpoints, Replicate("test", Point("main", 4, 1), 1000))
    assert chosen_folders(tmp_path, chosen) == [file.parent, unfinished]
    assert chosen_checkpoint(tmp_path, chosen) == file


def test_without_a_choice_or_its_weights_there_is_no_chosen_checkpoint(tmp_path: Path) -> None:
    keep(Checkpoints(tmp_path / "checkpoints"), MEASURED)
    assert chosen_checkpoint(tmp_path, None) is None
    assert chosen_checkpoint(tmp_path, Point("main", 8, 2)) is None
