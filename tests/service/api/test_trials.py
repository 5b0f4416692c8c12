"""Trials: lists in pages, one with its figures and attempts, what it printed."""

from __future__ import annotations

from tests.service.api.answers import get, refused
from tests.service.conftest import Site


def test_trials_are_paged(site: Site) -> None:
    first = get(site, f"/api/searches/{site.done}/trials?limit=30")
    second = get(site, f"/api/searches/{site.done}/trials?limit=30&after={first['next']}")
    assert (len(first["trials"]), len(second["trials"]), second["next"]) == (30, 6, None)


def test_trials_are_filtered_by_stage_and_state(site: Site) -> None:
    trials = get(site, f"/api/searches/{site.done}/trials?stage=gc&state=COMPLETE")["trials"]
    assert {trial["stage"] for trial in trials} == {"gc"}
    assert len(trials) == 9


def test_a_trial_is_answered_with_its_metrics_and_attempts(site: Site) -> None:
    trial = get(site, f"/api/searches/{site.done}/trials/gc/4")
    assert (trial["stage"], trial["number"], trial["state"]) == ("gc", 4, "COMPLETE")
    assert trial["metrics"] == [{"epoch": 1, "values": {"train_loss": 0.5, "validation_accuracy": trial["value"]}}]
    assert [attempt["number"] for attempt in trial["attempts"]] == [4]


def test_a_trial_that_is_not_there_is_refused(site: Site) -> None:
    assert "got gm and 999" in refused(site, f"/api/searches/{site.done}/trials/gm/999")["detail"]


def test_a_log_is_its_last_part_and_no_link_is_followed(site: Site) -> None:
    trial = get(site, f"/api/searches/{site.done}/trials/gm/0")
    key = f"gm-main-gm{trial['gm']}-gc{trial['gc']}-seed{trial['seed']}"
    log, url = site.settings.trial_log(site.done, key), f"/api/searches/{site.done}/trials/gm/0/log"
    assert site.api.get(url).content == b""
    log.parent.mkdir(parents=True)
    log.write_text("first\n" + "x" * 2**16)
    assert site.api.get(url).content == b"x" * 2**16
    part = get(site, f"{url}/part")
    assert part == {"text": "first\n" + "x" * 2**16, "after": 2**16 + 6, "found": True, "ended": True}
    assert get(site, f"{url}/part?after={2**16 + 5}")["text"] == "x"
    assert refused(site, f"{url}/part?after=-1")["status"] == 422
    log.unlink()
    log.symlink_to("/etc/passwd")
    assert site.api.get(url).content == b""
    assert get(site, f"{url}/part") == {"text": "", "after": 0, "found": False, "ended": True}
