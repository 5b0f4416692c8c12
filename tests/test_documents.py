"""What the documents say exists: commands, targets, settings, files."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from typer import Context
from typer.main import get_command

import seqnorm
from search.cli.app import app
from search.engine.orphans import MARK_VARIABLE
from search.engine.trial_environment import ALLOWED
from search.plan.spec import parse_spec
from search.settings import ENV_PREFIX, FILE_SUFFIX, Settings
from seqnorm.trial import VARIABLES
from service.accounts.__main__ import app as tokens
from tests.search.program import seqnorm as run_seqnorm
from trainers.commands.files import find_file
from trainers.commands.number_fields import NUMBER
from trainers.commands.recipe_file import FIELDS
from trainers.recipe import find, names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PACKAGES = ("seqnorm", "trainers", "search", "service")
PACKAGE_READMES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("README.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("README.md"))
FILES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md")), *EXAMPLES, *PACKAGE_READMES]
}
DECISIONS = sorted(path.name for path in ROOT.glob("docs/decisions/[0-9]*.md"))
DOCUMENTS = {name: path.read_text() for name, path in FILES.items()}
CARD = (ROOT / "seqnorm" / "README.md").read_text()


def test_the_readme_starts_with_a_script_of_ones_own_then_the_demo() -> None:
    first = README.partition("\n## ")[2].partition("\n## ")[0]
    for line in ("import seqnorm", "seqnorm.trial()", "seqnorm.convert(model, trial.norm)", "trial.report("):
        assert line in first
    assert all(recipe not in first for recipe in names())
    assert README.index("make install") < README.index("make demo") < README.index("make test")


def test_every_setting_is_listed_with_its_meaning() -> None:
    for setting in fields(Settings):
        assert f"| `{ENV_PREFIX}{setting.name.upper()}` | {setting.metadata['help']} |" in README


def test_no_setting_is_listed_that_does_not_exist() -> None:
    known = {ENV_PREFIX + setting.name.upper() + end for setting in fields(Settings) for end in ("", FILE_SUFFIX)}
    known |= set(VARIABLES)  # that a search gives to scripts
    assert set(re.findall(rf"{ENV_PREFIX}[A-Z_]+", "".join(DOCUMENTS.values()))) <= known


def test_operators_read_which_variables_trials_get() -> None:
    listed = set(re.findall(r"`([^`]+)`", DOCUMENTS["docs/operating.md"].partition("## The environment of trials")[2]))
    assert {name for name in ALLOWED if name != MARK_VARIABLE and name.upper() == name} <= listed


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_in_a_document_exists_with_its_options(name: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    shared = {option for parameter in get_command(app).params for option in parameter.opts}
    of_tokens = get_command(tokens).commands  # type: ignore[attr-defined]
    for line in re.findall(r"^(?:\.venv/bin/)?seqnorm (.*?)(?:#.*)?$", DOCUMENTS[name], re.M):
        ours = line.partition(" -- ")[0]  # what follows is a person's own program
        words = [word for word in ours.split() if word not in shared]
        command = next(word for word in words if word in commands)
        found = of_tokens[words[words.index("token") + 1]] if command == "token" else commands[command]
        found = next((found.commands[word] for word in words if word in getattr(found, "commands", ())), found)
        known = {option for parameter in found.get_params(Context(found)) for option in parameter.opts} | shared
        assert {word for word in words if word.startswith("--")} <= known, line


def test_operators_read_every_field_of_a_recipes_file_and_the_example_is_one(tmp_path: Path) -> None:
    section = DOCUMENTS["docs/operating.md"].partition("## Recipe files\n")[2].partition("\n## ")[0]
    assert set(FIELDS) - {"numbers", "presets"} | set(NUMBER) <= set(re.findall(r"`(\w+)`", section))
    example = section.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "recipes").mkdir(mode=0o755)
    find_file(tmp_path, "photos").write_text(example.replace("/srv/photos", str(tmp_path)).replace("python ", "sh "))
    recipe = find("photos", tmp_path)
    assert recipe.command is not None
    assert recipe.command.measures_test
    assert recipe.presets == {"short": {"epochs": 5}}
    assert {*example.split(), *section.split()} >= {"[numbers.lr]", "`[numbers.NAME]`", "`[presets.NAME]`"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_in_a_document_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", DOCUMENTS[name], re.M)) <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", DOCUMENTS[name]):
        assert (FILES[name].parent / target).exists(), target


def packages() -> list[str]:
    """List every package that has code of its own."""
    found = [
        path.parent
        for package in ("seqnorm", "trainers", "search", "service")
        for path in (ROOT / package).rglob("__init__.py")
        if "migrations" not in path.parts
    ]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@pytest.mark.parametrize("package", packages())
def test_every_package_says_what_it_is_for_and_where_to_start(package: str) -> None:
    text = DOCUMENTS[f"{package}/README.md"]
    assert text.startswith("# ")
    if package != "seqnorm":  # whose README is the method card
        assert "Start" in text
        assert "mports" in text or "import" in text


def test_decision_records_are_numbered_without_gaps_and_all_in_the_index() -> None:
    assert [name[:4] for name in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    linked = re.findall(r"\]\((\d{4}[^)]*)\)", DOCUMENTS["docs/decisions/README.md"])
    assert linked == DECISIONS


@pytest.mark.parametrize("name", DECISIONS)
def test_every_decision_has_its_date(name: str) -> None:
    titles = re.findall(r"^## (.*)$", DOCUMENTS[f"docs/decisions/{name}"], re.M)
    assert titles
    assert [title for title in titles if not re.search(r" \(\d{4}-\d{2}\)$", title)] == []


def test_the_readme_shows_each_part_of_what_the_demo_prints() -> None:
    shown = README.partition("<!-- demo: begin -->")[2].partition("<!-- demo: end -->")[0]
    for word in ("Stage gm", "Stage gc", "Test set", "chosen SeqNorm", "BatchNorm", "no normalization", "serve"):
        assert word in shown


@pytest.mark.parametrize("document", [README, CARD], ids=["README.md", "seqnorm/README.md"])
def test_every_python_example_runs(document: str) -> None:
    examples = re.findall(r"```python\n(.*?)```", document, re.S)
    assert examples
    for example in examples:
        exec(example, {})


def test_the_method_card_names_everything_the_layer_package_offers() -> None:
    assert [name for name in seqnorm.__all__ if name not in CARD] == ["Conversion"]  # what convert returns


def test_the_method_card_holds_the_benchmarks_table_with_machine_and_versions() -> None:
    table = CARD.partition("<!-- bench: begin -->")[2].partition("<!-- bench: end -->")[0]
    for words in ("torch 2.", "cores", "SeqNorm, compiled, NCHW", "SeqNorm, eager, channels_last", "ResNet-18"):
        assert words in table


def test_the_plan_of_further_axes_and_checks_is_what_its_command_prints(tmp_path: Path) -> None:
    shown = DOCUMENTS["docs/axes.md"].partition("<!-- plan: begin -->\n```\n")[2].partition("```\n")[0]
    line, _, printed = shown.partition("\n")
    assert run_seqnorm(tmp_path, *shlex.split(line)[1:]).stdout == printed


def test_the_file_of_further_axes_is_a_search() -> None:
    fields = yaml.safe_load(DOCUMENTS["docs/axes.md"].partition("```yaml\n")[2].partition("```")[0])
    spec = parse_spec(fields)
    assert spec.axes == fields["order"]
