"""The installed recipes, and the data sets of this service."""

from __future__ import annotations

from fastapi import APIRouter

from search.views import DataSetView, RecipeView
from search.vocabulary.errors import NotFound
from service.api import data_sets
from service.database import AppSettings
from trainers.recipe import RecipeError, find, names

router = APIRouter()


@router.get("/recipes")
def list_recipes() -> list[RecipeView]:
    """List the installed recipes with their numbers and presets."""
    return [RecipeView.from_recipe(find(name)) for name in names()]


@router.get("/recipes/{name}")
def show_recipe(name: str) -> RecipeView:
    """Show one recipe."""
    try:
        return RecipeView.from_recipe(find(name))
    except RecipeError as error:
        raise NotFound(str(error)) from None


@router.get("/data")
def list_data(settings: AppSettings) -> list[DataSetView]:
    """List the data sets that a search may use."""
    return [DataSetView(name=name) for name in data_sets.list_names(settings)]
