"""What is filled in a command, and what is left alone."""

import pytest

from trainers.commands.command import Command, CommandNumber
from trainers.commands.placeholders import check, fill
from trainers.recipe import RecipeError

VALUES = {"gm": 4, "gc": 2, "seed": 0, "split": "test", "folder": "/a b", "lr": 0.1, "nesterov": True}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("--gm={gm}", "--gm=4"),
        ("{gm}{gc}", "42"),
        ("{folder}/metrics.csv", "/a b/metrics.csv"),
        ("lr={lr},nesterov={nesterov}", "lr=0.1,nesterov=true"),
        ("{{gm}}", "{gm}"),
        ("{{print}}", "{print}"),
        ('{"gm": {gm}}', '{"gm": 4}'),
        ('{"lr": 1}', '{"lr": 1}'),
        ("{print $1}", "{print $1}"),
        ("a{1,3}", "a{1,3}"),
        ("${gm}", "${gm}"),
        ("{}", "{}"),
        ("{ gm }", "{ gm }"),
    ],
)
def test_a_placeholder_is_a_known_name_in_single_braces(text, filled):
    assert fill(text, VALUES) == filled


def test_a_value_is_not_filled_again():
    assert fill("{split}", {"split": "{gm}", "gm": 4}) == "{gm}"


def command(*words: str, **fields) -> Command:
    return Command(words=("/bin/train", *words), folder="/", **fields)


@pytest.mark.parametrize(
    "word", ["{gm}", '{"lr": 1}', "{print $1}", "{{sead}}", "${HOME}", "x{2}", "[^{}]*", "{a,b}", "{lr}"]
)
def test_braces_of_other_languages_pass(word):
    check(command(word, numbers=(CommandNumber(name="lr", default=0.1),)))


@pytest.mark.parametrize("fields", [{"words": ("train", "{sead}")}, {"metric_file": "{sead}.csv"}])
def test_a_mistyped_placeholder_is_refused_with_the_one_that_was_meant(fields):
    with pytest.raises(RecipeError) as refused:
        check(Command(**{"words": ("train",), "folder": "/", **fields}))
    assert str(refused.value) == (
        "a placeholder must be one of {gm}, {gc}, {seed}, {split}, {folder}: got {sead}. Did you mean seed? "
        "For the text {sead} itself, write {{sead}}."
    )


def test_a_number_may_not_hide_a_placeholder():
    with pytest.raises(RecipeError, match=r"\{seed\} is filled in by the search: got a number named seed\. Give the"):
        check(command(numbers=(CommandNumber(name="seed", default=1),)))


@pytest.mark.parametrize("name", ["weight-decay", "lambda", "2x", ""])
def test_a_number_needs_a_name_that_can_be_written_in_braces(name):
    with pytest.raises(RecipeError, match="the name of a number must consist of letters, digits and _"):
        check(command(numbers=(CommandNumber(name=name, default=1),)))


def test_a_command_needs_words_and_a_metric():
    with pytest.raises(RecipeError, match="a command must name a program: got no words"):
        check(Command(words=(), folder="/"))
    with pytest.raises(RecipeError, match="a command must name its metric"):
        check(command(metric=" "))


def test_the_pattern_is_checked_with_the_command():
    with pytest.raises(RecipeError, match="a pattern must have one group"):
        check(command(pattern="acc"))
