"""HTTP clients of a service that a test runs."""

from __future__ import annotations

import httpx2

from search.settings import Settings


def first_client(settings: Settings) -> httpx2.Client:
    """Return a client with the token that the service created at its first start."""
    headers = {"Authorization": f"Bearer {settings.token_file.read_text().strip()}"}
    return httpx2.Client(base_url=f"http://{settings.host}:{settings.port}", headers=headers, timeout=60)
