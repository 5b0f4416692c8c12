"""The form of a new search, as a browser gets it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from search.plan.fields import form_fields, spec_fields
from search.plan.form import InputKind
from search.plan.strategies import STRATEGIES
from tests.service.conftest import Site
from tests.service.recipe_files import NAME, WRONG, describing_recipes

SCRIPT = Path(__file__).parents[2] / "service" / "static" / "new.js"
NUMBER = re.compile(r'<(input|select) name="numbers\.(\w+)".*?<small>(.*?)</small>', re.DOTALL)
DRAWN = [field for field in spec_fields() if field.form_field]


@pytest.fixture(scope="module")
def form(site: Site) -> str:
    return site.api.get("/new?recipe=planted").raise_for_status().text


@pytest.mark.parametrize("field", DRAWN, ids=lambda field: field.name)
def test_every_drawn_field_is_an_input_of_its_kind(form: str, field) -> None:
    assert f'name="{field.name}" data-kind="{field.kind}"' in form


def test_fields_stand_in_their_groups(form: str) -> None:
    for group, fields in form_fields().items():
        part = form.partition(f"<fieldset><legend>{group}</legend>")[2].partition("</fieldset>")[0]
        assert list(dict.fromkeys(re.findall(r'name="(\w+)" data-kind', part))) == [field.name for field in fields]


def test_strategies_are_offered_with_what_they_mean_and_one_is_ticked(form: str) -> None:
    offered = re.findall(r'type="radio" name="strategy" [^>]*value="(\w+)" (checked)?> (.*)</label>', form)
    assert [(name, said) for name, _, said in offered] == [
        (name, f"{name}: {strategy.summary}") for name, strategy in STRATEGIES.items()
    ]
    assert [name for name, ticked, _ in offered if ticked] == ["sequential"]


def test_what_must_be_given_is_required_and_limits_are_told(form: str) -> None:
    assert re.search(r'name="gm" [^>]*value="1,2,4,8" [^>]*required>', form)
    assert re.search(r'name="test_seeds" [^>]*min="1" max="64" value="3">', form)
    assert re.search(r'name="concurrency" [^>]*value="" placeholder="as many as fit">', form)


def test_stage_test_has_numbers_and_presets_of_its_own(site: Site) -> None:
    form = site.api.get("/new?recipe=imagenet-resnet18").text
    assert '<input name="test_numbers" value="" placeholder="as above">' in form
    presets = form.partition('<select id="test-preset">')[2].partition("</select>")[0]
    assert re.findall(r">([^<]+)</option>", presets) == ["none", "250-epochs"]
    fields = {"recipe": "planted", "gm": [1], "gc": [1], "test_numbers": {"epochs": "5", "journal": "a=b"}}
    search = site.api.post("/api/searches", json=fields).raise_for_status().json()["search"]
    copy = site.api.get(f"/new?from={search}").text
    assert 'name="test_numbers" value="epochs=5, journal=a=b"' in copy
    hidden = copy.partition('id="hidden-fields">')[2].partition("</script>")[0]
    assert "test_numbers" not in hidden
    site.api.post(f"/api/searches/{search}/cancel").raise_for_status()


def test_data_sets_are_listed_with_what_is_known_of_them_and_how_to_add_one(site: Site) -> None:
    folder = site.settings.home / "uploads"
    for name in ("listed/rose", "listed/tulip"):
        (folder / name).mkdir(parents=True)
    (folder / "listed.npz").write_bytes(bytes(12_345))
    form = site.api.get("/new?recipe=images").text
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall("<tr>.*?</tr>", form)]
    assert ["listed", "folder", "–", "2"] in rows
    assert ["listed.npz", "npz", "12.3", "kB", "–"] in rows
    assert 'data-max-bytes="2000000000"' in form
    assert "the recipe's own" not in form, "there is none"
    (folder / "listed.npz").unlink()


def test_a_recipe_of_a_file_is_offered_with_units_limits_and_choices(site: Site) -> None:
    with describing_recipes(site.settings.home):
        form = site.api.get(f"/new?recipe={NAME}").text
        fallback = site.api.get(f"/new?recipe={WRONG}").text
        for_others = site.client("read", "submit").get(f"/new?recipe={NAME}").text
    assert f"<option selected>{NAME}</option>" in form
    fields = {name: (kind, said) for kind, name, said in NUMBER.findall(form)}
    assert fields["lr"] == ("input", "per step, from 0 to 1")
    assert fields["steps"] == ("input", "steps of 8 × 32, at least 1")
    assert fields["optimizer"] == ("select", "as torch names it")
    assert re.search(
        r'<select name="numbers.bf16"><option value="">true</option><option >false</option></select>', form
    )
    assert fields["batch"][1] == "samples per step, over all devices, from 1 to 1048576"
    assert fields["devices"][1] == "devices that the paper&#39;s gm counts per; the command does not take it"
    assert "train.sh" not in form.partition("Files of recipes")[0]
    assert "<option selected>mnist-simplenet</option>" in fallback, "which can be used"
    assert f"recipes/{WRONG}.toml, line 3: command must begin with a program that can be run: got" in form
    assert WRONG not in for_others, "what is wrong with files is for admins"


def test_the_script_reads_every_kind_that_there_is() -> None:
    readers = SCRIPT.read_text().partition("const read = {")[2].partition("};")[0]
    assert set(re.findall(r'^  "?([\w-]+)"?:', readers, re.MULTILINE)) == set(InputKind)
