"""What can be trained, with which numbers and data."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from search.errors import NotFound
from service import data_sets
from service.store import Configured
from trainers.recipe import RecipeError, describe, find, names

router = APIRouter()


@router.get("/recipes")
def list_recipes() -> list[dict[str, Any]]:
    """List the installed recipes with their numbers and presets."""
    return [describe(find(name)) for name in names()]


@router.get("/recipes/{name}")
def show_recipe(name: str) -> dict[str, Any]:
    """Show one recipe."""
    try:
        return describe(find(name))
    except RecipeError as error:
        raise NotFound(str(error)) from None


@router.get("/data")
def list_data(settings: Configured) -> list[str]:
    """Name the data sets that a search may take."""
    return data_sets.names(settings)
