"""Read responses of a service: JSON and problem details."""

from __future__ import annotations

from typing import Any

from tests.service.conftest import Site


def get(site: Site, path: str) -> Any:
    """Return the JSON of a successful response."""
    return site.api.get(path).raise_for_status().json()


def refused(site: Site, path: str) -> dict[str, Any]:
    """Return the problem details of an error response."""
    answer = site.api.get(path)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.status_code == answer.json()["status"]
    problem: dict[str, Any] = answer.json()
    return problem


def count(site: Site) -> int:
    """Return the number of searches."""
    return len(site.api.get("/api/searches?limit=500").json()["searches"])
