"""The installed recipes."""

from __future__ import annotations

from fastapi import APIRouter, Request

from search.views import RecipeView
from search.vocabulary.errors import NotFound
from service.wording import place_of, reword
from trainers.recipe import RecipeError, find, names

router = APIRouter()


@router.get("/recipes")
def list_recipes(request: Request) -> list[RecipeView]:
    """List the installed recipes with their numbers and presets."""
    return [_view(request, name) for name in names()]


@router.get("/recipes/{name}")
def show_recipe(request: Request, name: str) -> RecipeView:
    """Show one recipe."""
    try:
        return _view(request, name)
    except RecipeError as error:
        raise NotFound(str(error)) from None


def _view(request: Request, name: str) -> RecipeView:
    return reword(RecipeView.from_recipe(find(name)), place_of(request), "title", "data")
