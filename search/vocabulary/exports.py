"""What an export holds, and how it is written."""

from __future__ import annotations

from typing import Literal

ExportFormat = Literal["csv", "json"]
ExportTable = Literal["trials", "candidates"]
