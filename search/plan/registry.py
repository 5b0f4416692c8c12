"""Text that names something registered in code, such as a rule or a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, eq=False)  # hashed by identity: a registry has no hash
class OneOf:
    """Annotates text that must be one of some names: pydantic checks it and lists it as it does a literal."""

    names: Mapping[str, object]  #: read when a model with such a field is defined

    @property
    def summaries(self) -> dict[str, str]:
        """The names, each with what it means if it says so."""
        return {name: getattr(each, "summary", "") for name, each in self.names.items()}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of a literal of the names."""
        return core_schema.literal_schema(list(self.names))
