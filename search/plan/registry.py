"""Fields whose value names a registered object, such as a rule or a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, eq=False)  # hashed by identity, because a mapping is not hashable
class OneOf:
    """Annotation for text that must be one of the registered names; pydantic treats it like a ``Literal``."""

    names: Mapping[str, object]  #: read once, when the model is defined

    @property
    def summaries(self) -> dict[str, str]:
        """The names with their summaries; empty if there is none."""
        return {name: getattr(each, "summary", "") for name, each in self.names.items()}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of a literal of the names."""
        return core_schema.literal_schema(list(self.names))
