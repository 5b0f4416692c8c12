"""The base of what clients send: what a refusal costs is bounded, however much is wrong.

pydantic collects an error for each unknown field and each entry of a mapping before it checks any length; a body of
1 MiB then takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticKnownError

MAX_ENTRIES = 64  # of a mapping


class RequestModel(BaseModel):
    """The fields of a request. Unknown ones are refused; of several, the first is reported."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keep_first_unknown(cls, fields: Any) -> Any:
        known = cls.model_fields
        if not isinstance(fields, Mapping) or len(fields) <= len(known):
            return fields
        unknown = next(name for name in fields if name not in known)
        return {name: value for name, value in fields.items() if name in known or name is unknown}


def _check_length(entries: Any) -> Any:
    if isinstance(entries, Mapping) and len(entries) > MAX_ENTRIES:
        raise PydanticKnownError(
            "too_long", {"field_type": "Dictionary", "max_length": MAX_ENTRIES, "actual_length": len(entries)}
        )
    return entries


FewEntries = BeforeValidator(_check_length)  #: refuses a mapping with too many entries before it reads them
