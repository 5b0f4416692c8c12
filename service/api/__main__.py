"""``python -m service.api`` prints the OpenAPI document of this version."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from search.settings import Settings
from service.api.document import document_of
from service.app import create_app


def main() -> None:
    """Print the document."""
    with tempfile.TemporaryDirectory() as home:
        document = document_of(create_app(Settings(home=Path(home))))
    json.dump(document, sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
