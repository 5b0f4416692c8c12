"""What a search leaves as files: every trial, and the weights of the chosen point."""

from __future__ import annotations

from tests.search.stored import submit
from tests.service.conftest import Site


def test_every_trial_is_exported_once(site: Site) -> None:
    search_id = submit(site.database, name="=HYPERLINK()")
    answer = site.api.get(f"/api/searches/{site.done}/export?format=csv")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{site.done}.csv"'
    header, *rows = answer.text.splitlines()
    assert header.startswith("stage,number,variant,gm,gc,seed,state,cause,value,")
    assert len(rows) == len(set(rows)) == 36
    exported = site.api.get(f"/api/searches/{site.done}/export?format=json").json()
    trials = site.api.get(f"/api/searches/{site.done}/trials?limit=500").json()["trials"]
    assert [row["value"] for row in exported] == [trial["value"] for trial in trials]
    assert site.api.get(f"/api/searches/{search_id}/export?format=json").json() == []
    assert site.api.get(f"/api/searches/{search_id}/export?format=xml").status_code == 422


def test_the_chosen_weights_are_downloaded_and_no_link_is_followed(site: Site) -> None:
    path = f"/api/searches/{site.done}/checkpoint"
    refusal = site.api.get(path)
    assert refusal.status_code == 404
    assert refusal.json()["detail"].startswith("weights are kept for a chosen point that was measured on the test set")
    kept = site.settings.search_folder(site.done) / "checkpoints" / "test-main-gm8-gc4-seed1000" / "checkpoint.pt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"weights" * 200_000)
    answer = site.api.get(path)
    assert answer.content == b"weights" * 200_000
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    kept.unlink()
    kept.symlink_to("/etc/passwd")
    assert site.api.get(path).status_code == 404
    kept.unlink()
