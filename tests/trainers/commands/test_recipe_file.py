"""What a file says becomes a recipe, or is refused with its line; every message is checked whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from trainers.commands.files import RecipeFileError, find_file
from trainers.commands.listing import list_recipes
from trainers.commands.recipe_file import FIELDS
from trainers.recipe import Recipe, RecipeError, describe, find, names

FULL = """
title = "ResNet-50 on our photos"
command = "sh ./train.sh --gm {gm} --gc {gc} --lr {lr} --optimizer {optimizer} --bf16 {bf16} --batch {batch}"
folder = "photos"
metric = "val_acc"
mode = "min"
test_metric = "test_acc"
metric_file = "{folder}/metrics.csv"
pattern = 'top-1: ([0-9.]+)'
files = ["model.py"]
variables = ["WANDB_MODE"]
reads_split = true
batch = 256
devices = 8
epochs = 90

[numbers]
bf16 = true

[numbers.lr]
default = 0.1
unit = "per step"
at_least = 0
at_most = 1

[numbers.optimizer]
default = "sgd"
choices = ["sgd", "adam"]

[presets.short]
lr = 1
optimizer = "adam"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose folder of recipes also holds a script, and a folder with another."""
    photos = tmp_path / "recipes" / "photos"
    photos.mkdir(parents=True, mode=0o755)
    for path in (photos / "train.sh", photos / "model.py", tmp_path / "recipes" / "train.py"):
        path.write_text("")
    return tmp_path


def read(home: Path, text: str, name: str = "mine") -> Recipe:
    """Write a file and find its recipe."""
    find_file(home, name).write_text(text)
    return find(name, home)


def refused(home: Path, text: str) -> str:
    """Return the message that a file is refused with, with short names of places."""
    with pytest.raises(RecipeFileError) as caught:
        read(home, text)
    return str(caught.value).replace(f"{home}/recipes/mine.toml", "FILE").replace(str(home), "HOME")


def test_all_that_a_file_may_say_is_in_its_recipe(home: Path) -> None:
    recipe = read(home, FULL)
    command = recipe.command
    folder = home / "recipes" / "photos"
    assert command
    written = {line.split(" = ")[0] for line in FULL.split("[numbers]")[0].splitlines() if line}
    assert set(FIELDS) == written | {"min_group", "numbers", "presets"}
    assert command.words[0] == shutil.which("sh")
    assert command.words[1:4] == ("./train.sh", "--gm", "{gm}")
    assert (command.folder, command.files) == (str(folder), (str(folder / "train.sh"), str(folder / "model.py")))
    assert (command.metric, command.mode, command.test_metric) == ("val_acc", "min", "test_acc")
    assert (command.metric_file, command.pattern) == ("{folder}/metrics.csv", "top-1: ([0-9.]+)")
    assert (command.variables, command.reads_split) == (("WANDB_MODE",), True)
    assert (recipe.name, recipe.title, recipe.metric, recipe.mode) == (
        "mine",
        "ResNet-50 on our photos",
        "val_acc",
        "min",
    )
    assert vars(recipe.numbers()) == {
        **{"batch": 256, "devices": 8, "min_group": 4, "epochs": 90},
        **{"bf16": True, "lr": 0.1, "optimizer": "sgd"},
    }
    assert recipe.presets == {"short": {"lr": 1.0, "optimizer": "adam"}}
    shown = {number["name"]: number for number in describe(recipe)["numbers"]}
    assert shown["lr"] == {
        **{"name": "lr", "default": 0.1, "unit": "per step", "at_least": 0, "at_most": 1, "choices": []}
    }
    assert shown["optimizer"]["choices"] == ["sgd", "adam"]


def test_what_a_file_leaves_out_has_defaults(home: Path) -> None:
    recipe = read(home, 'command = ["sh", "-c", "train {gm}"]')
    assert recipe.command
    assert recipe.command.words[1:] == ("-c", "train {gm}")
    assert (recipe.command.folder, recipe.command.files) == (str(home / "recipes"), ())
    assert (recipe.metric, recipe.mode, vars(recipe.numbers()), recipe.presets) == ("accuracy", "max", {}, {})
    assert recipe.title == "mine, described by a file", "which shows no word of the command"


def test_a_quoted_word_of_a_shell_is_a_word(home: Path) -> None:
    assert read(home, "command = \"sh -c 'a | b' '&&'\"").command.words[1:] == ("-c", "a | b", "&&")


def test_numbers_keep_their_types_and_limits(home: Path) -> None:
    text = 'command = "sh {steps} {lr}"\n[numbers]\nlr = 0.5\nsteps = {default = 5, at_most = 9}'
    recipe = read(home, text)
    assert recipe.with_overrides({"lr": "1e-3", "steps": "7"}) == recipe.numbers(lr=0.001, steps=7)
    for wrong, rule in (({"steps": 0.5}, "steps must be a whole number"), ({"steps": 10}, "steps must be at most 9")):
        with pytest.raises(RecipeError, match=rule):
            recipe.with_overrides(wrong)


def test_a_number_that_the_command_does_not_take_keeps_its_value(home: Path) -> None:
    recipe = read(home, 'command = "sh {epochs}"\nbatch = 64\nepochs = 3')
    assert recipe.with_overrides({"epochs": 5, "min_group": 2}).epochs == 5
    for other in (32, 128):
        with pytest.raises(RecipeError) as caught:
            recipe.with_overrides({"batch": other})
        assert str(caught.value) == (
            "batch must stay 64 (samples per step, over all devices; the command does not take it): "
            f"got {other}. Leave it out."
        )


def test_whether_the_script_reads_the_split_is_read_from_it(home: Path) -> None:
    text = 'command = "sh train.py"'
    assert not read(home, text).command.measures_test
    (home / "recipes" / "train.py").write_text("import seqnorm\ntrial = seqnorm.trial()\nprint(trial.split)\n")
    assert read(home, text).command.measures_test
    assert not read(home, f"{text}\nreads_split = false").command.measures_test


def test_a_changed_file_is_seen_at_once_and_an_unchanged_one_is_the_same(home: Path) -> None:
    first = read(home, 'command = "sh {gm}"')
    stamp = find_file(home, "mine").stat()
    assert find("mine", home) == first
    assert read(home, 'command = "sh {gc}"').command != first.command
    os.utime(find_file(home, "mine"), ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert find("mine", home).command != first.command, "whatever its time says"


EXAMPLE = '"python train.py --gm {gm} --gc {gc} --seed {seed}"'
KNOWN = ", ".join(FIELDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"FILE: command is required: got nothing. Write e.g. command = {EXAMPLE}"),
        (
            "command = 3",
            f"FILE, line 1: command must be text or a list of texts: got 3. Write e.g. command = {EXAMPLE}",
        ),
        (
            'command = ["sh", 3]',
            f"FILE, line 1: command must be text or a list of texts: got ['sh', 3]. Write e.g. command = {EXAMPLE}",
        ),
        (
            'comand = "sh"',
            f"FILE, line 1: comand is not a field of a recipe's file: got 'sh'. Known: {KNOWN}. Did you mean command?",
        ),
        (
            "command = sh",
            "FILE, line 1: a recipe's file must be TOML: got a fault, 'Invalid value'. "
            'Write names with values, e.g. command = "python train.py --gm {gm}"',
        ),
        (
            f"x = {'[' * 5000}",
            "FILE: a recipe's file must be TOML: got a fault, 'arrays that are nested too deep'. "
            'Write names with values, e.g. command = "python train.py --gm {gm}"',
        ),
        (
            'command = "sh \'x"',
            'FILE, line 1: the quotes of command must match (no closing quotation): got "sh \'x". '
            "Close them, or write a list of texts.",
        ),
        (
            'command = "sh x | tee y"',
            "FILE, line 1: command goes through no shell, which | would need: got 'sh x | tee y'. "
            'Put the line into a script, or write command = ["sh", "-c", "…"]',
        ),
        (
            'command = "nosuch {gm}"',
            "FILE, line 1: command must begin with a program that can be run: got 'nosuch'. "
            "Install it, correct its name, or write its path, which starts at folder.",
        ),
        (
            'command = "./train.py {gm}"',
            "FILE, line 1: command must begin with a program that can be run: got './train.py'. "
            "Name what runs it, e.g. python ./train.py, or make it a program: chmod +x, and ./ before its name.",
        ),
        (
            'command = ["sh", "\\u0000"]',
            "FILE, line 1: command must hold no zero bytes: got ['sh', '\\x00']. Leave them out.",
        ),
        (
            'command = "sh {gmm}"',
            "FILE, line 1: a placeholder must be one of {gm}, {gc}, {seed}, {split}, {folder}: got {gmm}. "
            "Did you mean gm? For the text {gmm} itself, write {{gmm}}.",
        ),
        (
            'command = "sh"\nfolder = "nowhere"',
            "FILE, line 2: folder must be one that exists: got 'nowhere'. "
            "Create HOME/recipes/nowhere, or name another; a relative one starts at HOME/recipes.",
        ),
        (
            'command = "sh"\nmode = "maximum"',
            'FILE, line 2: mode must be "max" or "min": got \'maximum\'. Write mode = "min" for a loss.',
        ),
        (
            'command = "sh"\nmetric = "val_loss"',
            "FILE: mode must say whether val_loss is better high or low: got nothing. "
            'Write mode = "min", or mode = "max"',
        ),
        (
            'command = "sh"\n\npattern = "top"',
            "FILE, line 3: a pattern must have one group, around the metric: got 'top' with 0. "
            "Write e.g. 'accuracy: ([0-9.]+)', and (?:…) for other parentheses.",
        ),
        (
            'command = "sh"\nfiles = ["x.py"]',
            "FILE, line 2: files must name files that exist: got 'HOME/recipes/x.py'. "
            "Correct the name; it starts at folder.",
        ),
        (
            'command = "sh"\nvariables = ["A=3"]',
            "FILE, line 2: variables must be names of environment variables, other than SEQNORM_…, whose values are "
            "passed on: got 'A=3'. Write names alone; set the values where the worker starts.",
        ),
        (
            'command = "sh"\ntitle = "a\\nb"',
            "FILE, line 2: title must be one line of 1 to 200 characters: got 'a\\nb'. "
            'Write e.g. title = "ResNet-50 on our photos"',
        ),
        (
            'command = "sh"\nbatch = 0',
            "FILE, line 2: batch must be from 1 to 1048576 (samples per step, over all devices): got 0. "
            "Write e.g. batch = 256",
        ),
        ('command = "sh"\nbatch = 1.5', "FILE, line 2: batch must be a whole number: got 1.5. Write e.g. batch = 256"),
        (
            'command = "sh"\ndevices = 2',
            "FILE, line 2: devices needs batch, as gm splits the batch of a device: got 2. Write batch too.",
        ),
        (
            'command = "sh"\nbatch = 6\ndevices = 4',
            "FILE, line 3: devices must divide batch=6: got 4. Choose a divisor of it.",
        ),
        (
            'command = "sh"\n[numbers]\nlr = 0.1',
            "FILE, line 3: a number must be in the command or in metric_file: got 'numbers.lr'. "
            "Put {lr} where the command takes it, or leave the number out.",
        ),
        (
            'command = "sh {batch}"\n[numbers]\nbatch = 1',
            "FILE, line 3: batch is a field of the recipe: got 'numbers.batch'. Write batch = … above all tables.",
        ),
        (
            'command = "sh {lr}"\n[numbers.lr]\nunit = "x"',
            "FILE, line 2: numbers.lr.default is required: got nothing. Write e.g. default = 0.1",
        ),
        (
            'command = "sh {lr}"\n[numbers.lr]\ndefault = 1\nat_least = 0.5',
            "FILE, line 4: numbers.lr.at_least must be a whole number, as the default 1 is one: got 0.5. "
            "Write default = 1.0 if fractions are meant.",
        ),
        (
            'command = "sh {lr}"\n[numbers.lr]\ndefault = 1.0\nat_least = 2',
            "FILE, line 4: numbers.lr.at_least must be finite, and at most the default 1.0: got 2. Change one of them.",
        ),
        (
            'command = "sh {lr}"\n[numbers]\nlr = nan',
            "FILE, line 3: numbers.lr.default must be finite, and a whole number at most 2147483647: got nan. "
            "Write another.",
        ),
        (
            'command = "sh {lr}"\n[numbers]\nlr = {default = 1.0, atmost = 3}',
            "FILE, line 3: numbers.lr.atmost is not a field of a recipe's file: got 3. "
            "Known: default, unit, at_least, at_most, choices. Did you mean at_most?",
        ),
        (
            'command = "sh {opt}"\n[numbers]\nopt = "sgd"',
            "FILE, line 3: numbers.opt.choices must list every text that is allowed, with the default 'sgd': "
            'got nothing. Write e.g. choices = ["cosine", "step"]',
        ),
        (
            'command = "sh {opt}"\n[numbers.opt]\ndefault = true\nchoices = ["a"]',
            "FILE, line 4: numbers.opt.choices are for texts, and the default is True: got ['a']. Leave them out.",
        ),
        (
            'command = "sh {opt}"\n[numbers.opt]\ndefault = true\nat_most = 1',
            "FILE, line 4: numbers.opt.at_most is for numbers, and the default is True: got 1. Leave it out.",
        ),
        (
            'command = "sh {gm}"\n[numbers]\ngm = 1',
            "FILE, line 1: {gm} is filled in by the search: got a number named gm. Give the number another name.",
        ),
        (
            'command = "sh {lr}"\n[numbers]\nlr = 1.0\n[presets.fast]\nlrr = 1',
            "FILE, line 4: the preset fast is wrong: mine has no number lrr: got lrr=1. Use lr; "
            "seqnorm recipes mine lists them all.",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_line_and_remedy(text: str, said: str, home: Path) -> None:
    assert refused(home, text) == said


def test_one_wrong_file_leaves_the_other_recipes(home: Path) -> None:
    for name, text in (("good", 'command = "sh"'), ("bad", ""), ("images", 'command = "sh"'), ("a b", "")):
        find_file(home, name).write_text(text)
    assert set(names(home)) - set(names()) == {"good", "bad"}
    found, faults = list_recipes(home)
    assert [recipe.name for recipe in found] == sorted([*names(), "good"])
    assert {name: fault.partition(": ")[2].partition(":")[0] for name, fault in faults.items()} == {
        "bad": "command is required",
        "a b": "the name of a recipe must be 1 to 64 letters, digits, - and _, other than check and show",
        "images": "the name of a recipe must not be that of an installed recipe",
    }
    assert find("images", home).command is None


def test_an_unknown_recipe_is_refused_with_those_of_the_home(home: Path) -> None:
    find_file(home, "photos").write_text('command = "sh"')
    with pytest.raises(RecipeError, match=r"no recipe is named 'photo'\. Known: .*photos, .* Did you mean photos\?"):
        find("photo", home)
    with pytest.raises(RecipeError, match=r"no recipe is named '\.\./recipes/photos'"):
        find("../recipes/photos", home)
