"""What can be trained, with which numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from search.vocabulary.places import PLACE_HEADER, Place
from tests.service.api.answers import count, get, refused
from tests.service.conftest import Site
from tests.service.recipe_files import NAME, SECRETS, WRONG, describing_recipes
from trainers.commands.files import find_file
from trainers.recipe import names

SEARCH = {"recipe": NAME, "gm": [1, 8], "gc": [1]}
FAULT = (
    f"the file of recipe {WRONG} must describe a recipe: got a fault, which the operator sees with: "
    f"seqnorm recipes {WRONG}"
)


@pytest.fixture
def described(site: Site) -> Iterator[None]:
    """Two files of recipes, one of them wrong."""
    with describing_recipes(site.settings.home):
        yield


def test_every_installed_recipe_is_listed_as_it_is_shown(site: Site) -> None:
    listed = get(site, "/api/recipes")
    assert [recipe["name"] for recipe in listed] == names()
    assert "planted" in names(), "that of the tests' own plugin"
    assert get(site, "/api/recipes/planted") in listed


def test_a_recipe_has_its_numbers_with_what_they_are_unless_they_are_set(site: Site) -> None:
    shown = get(site, "/api/recipes/planted")
    assert (shown["metric"], shown["mode"]) == ("accuracy", "max")
    assert {"noise", "epochs"} <= {number["name"] for number in shown["numbers"]}
    assert all("default" in number for number in shown["numbers"])


def test_a_recipe_that_is_not_installed_is_refused_with_those_that_are(site: Site) -> None:
    problem = refused(site, "/api/recipes/nosuch")
    assert problem["status"] == 404
    assert problem["detail"].startswith("no recipe is named 'nosuch'. Known: ")
    assert "planted" in problem["detail"]


@pytest.mark.usefixtures("described")
def test_a_recipe_of_a_file_is_listed_with_its_numbers_and_nothing_of_its_command(site: Site) -> None:
    listed = {recipe["name"]: recipe for recipe in get(site, "/api/recipes")}
    assert set(listed) == {*names(), NAME}
    shown = get(site, f"/api/recipes/{NAME}")
    assert shown == listed[NAME]
    assert {key: shown[key] for key in ("title", "kind", "metric", "mode", "data", "presets")} == {
        "title": "ResNet-50 on our photos",
        "kind": "file",
        "metric": "val_acc",
        "mode": "max",
        "data": "",
        "presets": {"short": {"steps": 90}},
    }
    numbers = {number.pop("name"): number for number in shown["numbers"]}
    assert numbers["lr"] == {"default": 0.1, "unit": "per step", "at_least": 0, "at_most": 1, "choices": []}
    assert numbers["optimizer"]["choices"] == ["sgd", "adam"]
    assert [secret for secret in (*SECRETS, str(site.settings.home)) if secret in str(listed)] == []


def test_a_changed_file_is_seen_at_once(site: Site) -> None:
    with describing_recipes(site.settings.home):
        path = find_file(site.settings.home, NAME)
        path.write_text(path.read_text().replace("ResNet-50", "ResNet-18"))
        assert get(site, f"/api/recipes/{NAME}")["title"] == "ResNet-18 on our photos"
    assert refused(site, f"/api/recipes/{NAME}")["status"] == 404


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize("place", Place)
def test_what_is_wrong_with_a_file_is_told_to_no_client(place: Place, site: Site) -> None:
    headers = {PLACE_HEADER: place}
    shown = site.api.get(f"/api/recipes/{WRONG}", headers=headers)
    submitted = site.api.post("/api/searches", json={**SEARCH, "recipe": WRONG}, headers=headers)
    planned = site.api.post("/api/searches/plan", json={**SEARCH, "recipe": WRONG}, headers=headers)
    assert [answer.status_code for answer in (shown, submitted, planned)] == [404, 422, 422]
    assert {answer.json()["detail"] for answer in (shown, submitted, planned)} == {FAULT}


@pytest.mark.usefixtures("described")
def test_a_recipe_of_a_file_is_searched_like_any_other(site: Site) -> None:
    search_id = site.api.post("/api/searches", json={**SEARCH, "numbers": {"lr": "0.5", "steps": 9}}).json()["search"]
    shown = get(site, f"/api/searches/{search_id}")
    assert (shown["recipe"], shown["metric"], shown["status"]) == (NAME, "val_acc", "queued")
    assert shown["numbers"]["main"]["lr"] == 0.5
    read = [str(shown), site.api.get(f"/searches/{search_id}").text]
    assert [secret for secret in SECRETS if secret in "".join(read)] == []
    site.api.post(f"/api/searches/{search_id}/cancel").raise_for_status()


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gm": [3]}, "gm must divide the batch: got gm=3 for 32 samples per device (batch 256 / 8). Use a divisor"),
        ({"gm": [16]}, "groups must hold at least min_group=4 samples: got gm=16, groups of 2 of 32 samples"),
        ({"numbers": {"lr": 2}}, "lr must be at most 1 (per step): got 2. The default is 0.1."),
        ({"numbers": {"steps": 0.5}}, "steps must be a whole number (steps of 8 × 32): got 0.5. The default is 900."),
        ({"numbers": {"optimizer": "--lr=9"}}, "optimizer must be one of sgd, adam (as torch names it): got '--lr=9'."),
        ({"numbers": {"lrr": 1}}, f"{NAME} has no number lrr: got lrr=1. Use lr; GET /api/recipes/{NAME} lists them"),
        ({"numbers": {"command": "sh"}}, f"{NAME} has no number command: got command=sh. Use "),
        ({"command": ["sh"]}, "command is not a field of a search: got ['sh']. Known: "),
        ({"data": "photos.npz"}, "data must name a data set of this service: got 'photos.npz'."),
    ],
)
def test_a_search_of_such_a_recipe_is_checked_like_any_other(changes: dict[str, Any], said: str, site: Site) -> None:
    before = count(site)
    answer = site.api.post("/api/searches", json={**SEARCH, **changes})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)
    assert count(site) == before


@pytest.mark.usefixtures("described")
def test_a_recipe_of_a_file_takes_no_data_set(site: Site) -> None:
    (site.settings.home / "uploads").mkdir(exist_ok=True)
    data = site.settings.home / "uploads" / "photos.npz"
    data.write_bytes(b"")
    answer = site.api.post("/api/searches", json={**SEARCH, "data": "photos.npz"})
    data.unlink()
    assert answer.json()["detail"] == f"{NAME} takes no data set: got photos.npz. Leave out data."


@pytest.mark.usefixtures("described")
def test_a_search_is_not_resumed_while_the_file_of_its_recipe_is_wrong(site: Site) -> None:
    search_id = site.api.post("/api/searches", json=SEARCH).json()["search"]
    site.api.post(f"/api/searches/{search_id}/pause").raise_for_status()
    find_file(site.settings.home, NAME).write_text("batch = 64")
    answer = site.api.post(f"/api/searches/{search_id}/resume", json={"accept_code_change": True})
    assert (answer.status_code, answer.json()["detail"]) == (422, FAULT.replace(WRONG, NAME))
    site.api.post(f"/api/searches/{search_id}/cancel").raise_for_status()
