"""What a service answers: JSON that is wanted, and problems."""

from __future__ import annotations

from typing import Any

from tests.service.conftest import Site


def get(site: Site, path: str) -> Any:
    """Read a JSON answer."""
    return site.api.get(path).raise_for_status().json()


def refused(site: Site, path: str) -> dict[str, Any]:
    """Read a problem."""
    answer = site.api.get(path)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.status_code == answer.json()["status"]
    problem: dict[str, Any] = answer.json()
    return problem


def count(site: Site) -> int:
    """Count the searches there are."""
    return len(site.api.get("/api/searches?limit=500").json()["searches"])
