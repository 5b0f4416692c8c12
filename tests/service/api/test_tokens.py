"""Tokens and the audit trail, for admins."""

from __future__ import annotations

import httpx2

from tests.service.conftest import Site


def test_only_admins_make_and_revoke_tokens(site: Site) -> None:
    made = site.api.post("/api/tokens", json={"name": "ci", "owner": "ci", "scopes": ["read"], "days": 1})
    assert made.status_code == 201
    token = made.json()["token"]
    assert token["active"]
    assert "hash" not in token
    ci = {"Authorization": f"Bearer {made.json()['text']}"}
    assert httpx2.get(f"{site.url}/api/searches", headers=ci).status_code == 200
    assert site.api.delete(f"/api/tokens/{token['id']}").status_code == 204
    assert httpx2.get(f"{site.url}/api/searches", headers=ci).status_code == 401
    said = [(entry["action"], entry["subject"]) for entry in site.api.get("/api/audit").json()]
    assert ("create token", token["id"]) in said
    assert ("revoke token", token["id"]) in said
    assert site.client("manage").get("/api/tokens").status_code == 403
