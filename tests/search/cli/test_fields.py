"""The fields of a search from a file and from flags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from search.cli.fields import make_request
from search.cli.flags import SearchArguments
from search.settings import Settings
from search.vocabulary.errors import InvalidSpec

WORDS = "recipe: imagenet-resnet18\ngm: [1]\ngc: [2]\nseeds: 2\nnumbers: {epochs: 3, mixup: 0.1}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (written := tmp_path / "search.yaml").write_text(WORDS)
    return written


def gather(flags: dict[str, Any], **given: Any) -> dict[str, Any]:
    return make_request(SearchArguments(fields=flags, **given), Settings()).fields


def test_flags_override_the_fields_of_a_file_and_numbers_one_by_one(file: Path) -> None:
    fields = gather({"gm": [4, 8], "tags": ["a"]}, file=file, set_=["epochs=9", "batch=64"])
    assert fields == {
        "recipe": "imagenet-resnet18",
        "gm": [4, 8],
        "gc": [2],
        "seeds": 2,
        "tags": ["a"],
        "numbers": {"epochs": "9", "batch": "64", "mixup": 0.1},
    }


def test_axes_override_those_of_a_file_one_by_one(tmp_path: Path) -> None:
    (file := tmp_path / "search.yaml").write_text(f"{WORDS}vary: {{mixup: [0, 0.1], noise: [0, 1e-3]}}\n")
    assert gather({}, file=file, vary=["noise=0.1,0.2"])["vary"] == {"mixup": [0, 0.1], "noise": ["0.1", "0.2"]}


def test_a_placeholder_of_a_command_is_an_axis_that_starts_from_its_first_value() -> None:
    words = (sys.executable, "-c", "pass", "{gm}", "{gc}", "{seed}", "{lr}", "{epochs}")
    given = SearchArguments(words=words, vary=["lr=0.1,1"], set_=["epochs=3"], fields={"gm": [1], "gc": [1]})
    request = make_request(given, Settings())
    assert request.command is not None
    assert {number.name: number.default for number in request.command.numbers} == {"epochs": 3, "lr": 0.1}
    assert (request.fields["vary"], request.fields["numbers"]) == ({"lr": [0.1, 1.0]}, {"epochs": 3})


def test_a_preset_overrides_a_file_and_assignments_override_the_preset(file: Path) -> None:
    fields = gather({}, file=file, preset="250-epochs", set_=["mixup=0.3"])
    assert fields["numbers"] == {"epochs": 250, "mixup": "0.3"}
    assert gather({}, file=file, recipe="planted")["recipe"] == "planted"


def test_stage_test_takes_numbers_of_its_own_from_a_file_a_preset_and_assignments(file: Path) -> None:
    file.write_text(f"{WORDS}test_numbers: {{epochs: 5, batch: 512}}")
    fields = gather({}, file=file, test_preset="250-epochs", test_set=["mixup=0.3"])
    assert fields["test_numbers"] == {"epochs": 250, "batch": 512, "mixup": "0.3"}
    assert fields["numbers"] == {"epochs": 3, "mixup": 0.1}


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
    service = Settings(url="http://127.0.0.1:1")
    assert make_request(SearchArguments(file=file), service).fields["data"] == "photos"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a search needs a recipe or a script: got none and no file. Give RECIPE --gm 1,2 --gc 1,2, or -f FILE."),
        (
            {"recipe": "imagenet-resnet18", "preset": "250-epoch"},
            "imagenet-resnet18 has no preset 250-epoch: got --preset 250-epoch. Known: 250-epochs. "
            "Did you mean 250-epochs?",
        ),
        (
            {"recipe": "imagenet-resnet18", "test_preset": "250"},
            "imagenet-resnet18 has no preset 250: got --test-preset 250. Known: 250-epochs. Did you mean 250-epochs?",
        ),
        (
            {"recipe": "digits-mlp", "test_set": ["epochs"]},
            "--test-set must be NAME=VALUE: got 'epochs'. Give e.g. --test-set epochs=10.",
        ),
        (
            {"recipe": "train.py", "test_preset": "long"},
            "--test-preset is for recipes: got --test-preset long for train.py. "
            "Give what the program takes itself after --.",
        ),
        (
            {"recipe": "train.py", "test_set": ["steps=9"]},
            "test_numbers of a command must override numbers that it has: got steps in test_numbers alone. "
            "Give --set steps=VALUE too, and write {steps} where the command takes it.",
        ),
        (
            {"recipe": "digits-mlp", "program": {"test_metric": "x"}},
            "--test-metric is for a script or a command: got it for the recipe digits-mlp. Leave it out.",
        ),
        (
            {"recipe": "digits-mlp", "program": {"batch": 8}},
            "--batch is for a script or a command: got it for the recipe digits-mlp. Set a number with --set batch=….",
        ),
        (
            {"recipe": "digits-mlp", "words": ("--lr", "1")},
            "only a script takes words after --: got --lr 1 for the recipe digits-mlp. "
            "Set a recipe's numbers with --set NAME=VALUE.",
        ),
        ({"recipe": "trian"}, "no recipe is named 'trian'. Did you mean train.py?"),
        (
            {"recipe": "train.py", "data": "photos"},
            "--data is for recipes: got --data photos for train.py. Give what the program takes itself after --.",
        ),
        (
            {"file": Path("search.yaml")},
            "a file must name a recipe, never a program: got recipe: train.py in search.yaml. "
            "Name the script beside it: train.py -f search.yaml",
        ),
        (
            {"recipe": "train.py", "file": Path("variants.yaml")},
            "variants of a command must override numbers that it has: got lr in variants alone. "
            "Give --set lr=VALUE too, and write {lr} where the command takes it.",
        ),
        ({"recipe": "a.json"}, "RECIPE must be the name of a recipe: got a.json. Give a file with -f a.json."),
    ],
)
def test_what_is_not_said_or_does_not_fit_is_asked_for(
    given: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search.yaml").write_text("recipe: train.py")
    (tmp_path / "variants.yaml").write_text("variants: {b: {lr: 1}}")
    (tmp_path / "train.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSpec) as caught:
        gather({}, **given)
    assert str(caught.value) == said


def test_numbers_that_are_no_mapping_are_left_for_the_spec_to_refuse(tmp_path: Path) -> None:
    (file := tmp_path / "search.yaml").write_text("{recipe: planted, numbers: [1]}")
    assert gather({}, file=file, set_=["epochs=1"])["numbers"] == [1]


def test_a_script_takes_the_fields_of_a_file_and_its_numbers_fill_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "search.yaml").write_text("{recipe: digits-mlp, gm: [1], gc: [2], numbers: {lr: 1e-2, size: 3}}")
    (tmp_path / "train.py").write_text("import seqnorm")
    monkeypatch.chdir(tmp_path)
    words = ("--lr={lr}", "{size}", "{name}")
    given = SearchArguments(
        recipe="train.py", words=words, file=Path("search.yaml"), set_=["lr=0.5", "name=a"], program={"epochs": 9}
    )
    request = make_request(given, Settings())
    numbers = {"epochs": 9, "lr": 0.5, "size": 3, "name": "a"}
    assert request.fields == {"recipe": "train.py", "gm": [1], "gc": [2], "numbers": numbers}
    assert request.command is not None
    assert request.command.words == (sys.executable, str(tmp_path / "train.py"), *words)
    assert request.command.folder == str(tmp_path)
    assert {each.name: each.default for each in request.command.numbers} == numbers
    assert capsys.readouterr().err == ""


def test_what_is_probably_not_meant_is_said_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_request(SearchArguments(words=("true", "{gm}", "{gc}"), program={"env": ["NOT_SET"]}), Settings())
    assert capsys.readouterr().err.splitlines() == [
        "Warning: NOT_SET is not set here. The program gets it if it is set where the worker runs.",
        "Warning: Nothing passes {seed} on to the program, so all seeds may train the same: add {seed} to the command, "
        "or read seqnorm.trial() in the script.",
    ]
