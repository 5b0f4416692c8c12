"""The recipes: installed ones, and those that files in the home folder describe, without their commands."""

from __future__ import annotations

from fastapi import APIRouter, Request

from search.views import RecipeView
from search.vocabulary.errors import NotFound
from service.database import AppSettings
from service.wording import place_of, reword
from trainers.commands import listing
from trainers.recipe import Recipe, RecipeError, find

router = APIRouter()


@router.get("/recipes")
def list_recipes(request: Request, settings: AppSettings) -> list[RecipeView]:
    """List the recipes with their numbers and presets; those whose files are wrong are left out."""
    found, _ = listing.list_recipes(settings.home)
    return [view_recipe(request, recipe) for recipe in found]


@router.get("/recipes/{name}")
def show_recipe(request: Request, name: str, settings: AppSettings) -> RecipeView:
    """Show one recipe."""
    try:
        return view_recipe(request, find(name, settings.home))
    except RecipeError as error:
        raise NotFound(str(error)) from None


def view_recipe(request: Request, recipe: Recipe) -> RecipeView:
    """Return what a client reads of a recipe."""
    return reword(RecipeView.from_recipe(recipe), place_of(request), "title", "data")
