"""``python -m service.api`` prints the OpenAPI document of this version."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from search.settings import Settings
from service.api.document import build_document
from service.app import create_app


def main() -> None:
    """Print the OpenAPI document."""
    with tempfile.TemporaryDirectory() as home:
        document = build_document(create_app(Settings(home=Path(home))))
    json.dump(document, sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
