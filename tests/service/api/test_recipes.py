"""What can be trained, with which numbers."""

from __future__ import annotations

from tests.service.api.answers import get, refused
from tests.service.conftest import Site
from trainers.recipe import names


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
