"""Who may scrape, and what is answered."""

from __future__ import annotations

import httpx2
import pytest

from tests.service.conftest import Site


@pytest.mark.parametrize(("scope", "status"), [("read", 200), ("admin", 200), ("submit", 403), ("manage", 403)])
def test_metrics_are_for_those_who_read_everything(site: Site, scope: str, status: int) -> None:
    assert site.client(scope).get("/metrics").status_code == status
    assert httpx2.get(f"{site.url}/metrics").status_code == 401
