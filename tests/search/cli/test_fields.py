"""The fields of a search from a file and from flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.cli.fields import gather_fields
from search.vocabulary.errors import InvalidSpec

NOTHING: dict[str, Any] = {"recipe": None, "file": None, "data": None, "preset": None, "assignments": [], "local": True}
WORDS = "recipe: imagenet-resnet18\ngm: [1]\ngc: [2]\nseeds: 2\nnumbers: {epochs: 3, mixup: 0.1}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (written := tmp_path / "search.yaml").write_text(WORDS)
    return written


def gather(flags: dict[str, Any], **given: Any) -> dict[str, Any]:
    return gather_fields(flags, **{**NOTHING, **given})


def test_flags_override_the_fields_of_a_file_and_numbers_one_by_one(file: Path) -> None:
    fields = gather({"gm": [4, 8], "tags": ["a"]}, file=file, assignments=["epochs=9", "batch=64"])
    assert fields == {
        "recipe": "imagenet-resnet18",
        "gm": [4, 8],
        "gc": [2],
        "seeds": 2,
        "tags": ["a"],
        "numbers": {"epochs": "9", "batch": "64", "mixup": 0.1},
    }


def test_a_preset_overrides_a_file_and_assignments_override_the_preset(file: Path) -> None:
    fields = gather({}, file=file, preset="250-epochs", assignments=["mixup=0.3"])
    assert fields["numbers"] == {"epochs": 250, "mixup": "0.3"}
    assert gather({}, file=file, recipe="planted")["recipe"] == "planted"


def test_without_a_file_the_flags_are_all_there_is() -> None:
    assert gather({"gm": [1], "gc": [2]}, recipe="planted") == {"recipe": "planted", "gm": [1], "gc": [2]}


def test_data_on_this_machine_is_found_from_any_folder_and_a_services_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search.yaml").write_text("{recipe: images, gm: [1], gc: [1], data: photos}")
    file = Path("search.yaml")
    assert gather({}, file=file)["data"] == str(tmp_path / "photos")
    assert gather({}, file=file, data="others")["data"] == str(tmp_path / "others")
    assert gather({}, file=file, local=False)["data"] == "photos"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a search needs a recipe: got none and no file. Give RECIPE --gm 1,2 --gc 1,2, or -f FILE."),
        (
            {"recipe": "imagenet-resnet18", "preset": "250-epoch"},
            "imagenet-resnet18 has no preset 250-epoch: got --preset 250-epoch. Known: 250-epochs. "
            "Did you mean 250-epochs?",
        ),
        ({"recipe": "a.json"}, "RECIPE must be the name of a recipe: got a.json. Give a file with -f a.json."),
    ],
)
def test_what_is_not_said_is_asked_for(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        gather({}, **given)
    assert str(caught.value) == said


def test_numbers_that_are_no_mapping_are_left_for_the_spec_to_refuse(tmp_path: Path) -> None:
    (file := tmp_path / "search.yaml").write_text("{recipe: planted, numbers: [1]}")
    assert gather({}, file=file, assignments=["epochs=1"])["numbers"] == [1]
