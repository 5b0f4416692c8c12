"""Everything is checked before anything is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.actions.estimate import estimate
from search.actions.submit import prepare
from search.actions.widen import parse_widening, prepare_widening
from search.cli.reading import print_plan, show_search
from search.settings import Settings
from search.store import queries, searches
from search.store.binding import Binding
from search.store.database import open_engine
from search.store.provenance import collect_provenance
from search.store.schema import upgrade
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Status
from tests.search.stored import PLANTED
from tests.trainers.folders import make_folders
from trainers.commands.command import Command, CommandNumber
from trainers.data import npz


def test_a_search_that_can_be_run_is_prepared_and_not_stored(settings: Settings) -> None:
    submission = prepare(settings, PLANTED)
    assert submission.spec.gm == PLANTED["gm"]
    assert sum(submission.plan.count_trials().values()) == 5 * 3 + 3 * 3 + 4 * 3
    assert set(submission.digest) == {"recipe", "numbers", "data", "seqnorm"}
    assert not settings.home.exists()


def test_what_was_prepared_is_stored_queued_with_its_owner_and_what_it_was_submitted_with(settings: Settings) -> None:
    upgrade(settings.database_url)
    submission = prepare(settings, {**PLANTED, "name": "mine", "numbers": {"noise": 0.5}})
    with open_engine(settings.database_url).begin() as connection:
        stored = searches.get(connection, submission.store(connection, "ada"))
    assert (stored.status, stored.owner, stored.parent, stored.name) == ("queued", "ada", None, "mine")
    assert (stored.spec, stored.digest) == (submission.spec, submission.digest)
    assert (stored.metric, stored.mode, stored.numbers["main"]["noise"]) == ("accuracy", "max", 0.5)
    assert stored.provenance == collect_provenance("planted")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"recipe": "nosuch"}, "no recipe is named 'nosuch'"),
        ({"gm": [3]}, "gm must divide the batch: got gm=3 for 64 samples"),
        ({"recipe": "cifar10-resnet56", "gm": [4], "gc": [1]}, "CIFAR-10 must be at "),
    ],
    ids=["recipe", "group count", "absent data"],
)
def test_a_search_that_cannot_be_run_is_refused(settings: Settings, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        prepare(settings, {**PLANTED, **fields})
    assert not settings.home.exists()


def test_what_was_found_in_a_data_set_is_planned_stored_and_printed(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folders(tmp_path / "photos", "Train/a", "Train/b", "valid/a", "valid/b")
    make_folders(folder, "Train/a", suffix=".gif", count=3)
    fields = {"recipe": "images", "gm": [1], "gc": [1], "numbers": {"batch": 4}, "data": str(folder)}
    found = (
        "40 images of 2 classes (a, b): 18 for training, 2 for validation, 20 for test; validation is held out from "
        "Train, and valid is the test set; 3 files left out: 3 .gif."
    )
    print_plan(settings, fields, json=False)
    assert capsys.readouterr().out.startswith(f"Data: {found}\n")
    upgrade(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        search_id = prepare(settings, fields).store(connection)
    assert show_search(settings, search_id, json=False, program="seqnorm") is None
    assert f"\nData: {found}\n" in capsys.readouterr().out


@pytest.mark.parametrize("action", [prepare, estimate])
def test_no_data_set_is_read_in_the_process_that_asks(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Callable[..., object]
) -> None:
    def read_here(*given: object) -> None:
        raise AssertionError("a data set was read in this process")

    for name in ("read", "read_labels"):
        monkeypatch.setattr(npz, name, read_here)
    np.savez(tmp_path / f"{action.__name__}.npz", x=np.zeros((60, 4, 4), np.uint8), y=np.arange(60) % 3)
    fields = {"recipe": "images", "gm": [1], "gc": [1], "numbers": {"batch": 4}}
    assert action(settings, {**fields, "data": str(tmp_path / f"{action.__name__}.npz")})


def test_a_command_is_prepared_stored_and_shown_with_what_is_known_of_it(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(words=("/bin/sh", "train.sh", "{gm}"), folder=str(tmp_path), metric="loss", mode="min")
    submission = prepare(settings, {"recipe": "train.sh", "gm": [1, 3, 5], "gc": [1]}, command)
    assert submission.digest["commit"] == "none"
    upgrade(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        stored = searches.get(connection, search_id := submission.store(connection))
    assert (stored.command, stored.bound, stored.plan) == (command, Binding.here(), submission.plan)
    assert (stored.metric, stored.mode, stored.spec.recipe) == ("loss", "min", "train.sh")
    show_search(settings, search_id, json=False, program="seqnorm")
    printed = capsys.readouterr().out
    assert "\nCommand: /bin/sh train.sh '{gm}'\n" in printed
    assert f"\nFolder: {tmp_path} · {Binding.here()}\n" in printed


def test_a_command_that_names_its_batch_has_gm_checked(settings: Settings) -> None:
    numbers = (CommandNumber(name="batch", default=12),)
    command = Command(words=("/bin/sh", "train.sh"), folder="/", numbers=numbers)
    with pytest.raises(InvalidSpec, match=r"^gm must divide the batch: got gm=5 for 12 samples"):
        prepare(settings, {"recipe": "train.sh", "gm": [3, 5], "gc": [1]}, command)
    with pytest.raises(InvalidSpec, match=r"^gm=0 is GroupNorm alone, which needs groups of channels: "):
        prepare(settings, {"recipe": "train.sh", "gm": [0], "gc": [1]}, replace(command, numbers=()))


def test_a_child_of_a_command_runs_it_too(settings: Settings) -> None:
    upgrade(settings.database_url)
    command = Command(words=("/bin/sh", "train.sh"), folder="/")
    with open_engine(settings.database_url).begin() as connection:
        parent = prepare(settings, {"recipe": "train.sh", "gm": [1], "gc": [1]}, command).store(connection)
        searches.request_status(connection, parent, Status.PAUSED)
        more = parse_widening({"gm": [3]})
        child = prepare_widening(settings, searches.get(connection, parent), more).store(connection)
        stored = searches.get(connection, child)
    assert (stored.command, stored.bound, stored.spec.gm) == (command, Binding.here(), [1, 3])


def test_the_recipe_of_a_file_is_bound_to_nobody_and_keeps_its_words_to_the_operator(
    settings: Settings,
) -> None:
    file = settings.home / "recipes" / "ours.toml"
    file.parent.mkdir(parents=True)
    file.write_text('command = ["/bin/sh", "train.sh", "{gm}", "{split}"]\n')
    upgrade(settings.database_url)
    with open_engine(settings.database_url).begin() as connection:
        search_id = prepare(settings, {"recipe": "ours", "gm": [1, 3], "gc": [1]}).store(connection)
        stored, shown = searches.get(connection, search_id), queries.show_search(connection, search_id)
    assert (stored.command, stored.bound, stored.plan.trains_unnormalized) == (None, None, False)
    assert shown.command
    assert (shown.command.words, shown.command.host, shown.is_bound) == ((), None, False)
    assert shown.test_note == ""
