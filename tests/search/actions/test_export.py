"""Every trial of a search in a file, each once, in a text that other programs read."""

from __future__ import annotations

import csv
import io
import json

import pytest

from search.actions import export as module
from search.actions.export import export
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.settings import Settings
from search.store.database import open_engine
from search.vocabulary.errors import NotFound
from search.vocabulary.exports import ExportFormat
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause
from tests.search.stored import finished_search, open_recorder, prepare, show, submit

SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


def exported(settings: Settings, search_id: str, format: ExportFormat) -> str:
    return "".join(export(open_engine(settings.database_url, read_only=True).connect, search_id, format))


def test_both_formats_have_every_trial_once_in_the_order_they_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 3)
    search_id = finished_search(settings.database_url, **SMALL)
    rows = list(csv.DictReader(io.StringIO(exported(settings, search_id, "csv"))))
    objects = json.loads(exported(settings, search_id, "json"))
    assert [(row["stage"], row["number"]) for row in rows] == [(each["stage"], str(each["number"])) for each in objects]
    assert [(each["stage"], each["gm"], each["gc"], each["seed"]) for each in objects[:6]] == [
        ("gm", 1, 0, 0), ("gm", 8, 0, 0), ("gm", 1, 0, 1), ("gm", 8, 0, 1), ("gc", 8, 4, 0), ("gc", 8, 4, 1),
    ]  # fmt: skip
    assert [float(row["value"]) for row in rows] == [each["value"] for each in objects]
    assert len(objects) == 4 + 2 + 4
    assert list(rows[0]) == list(objects[0])


def test_candidates_are_exported_with_what_their_means_rest_on_and_with_their_gains(settings: Settings) -> None:
    search_id = finished_search(settings.database_url, **SMALL)
    shown = show(settings.database_url, search_id)
    connect = open_engine(settings.database_url, read_only=True).connect
    rows = list(csv.DictReader(io.StringIO("".join(export(connect, search_id, "csv", "candidates")))))
    objects = json.loads("".join(export(connect, search_id, "json", "candidates")))
    assert [row["stage"] for row in rows] == [each["stage"] for each in objects]
    assert list(rows[0]) == list(objects[0])
    (chosen,) = [each for each in objects if each["stage"] == "gc"]
    gain = shown.stages[1].gain
    assert gain
    assert (chosen["gain"], chosen["verdict"], chosen["sentence"]) == (gain.gain, gain.verdict, gain.sentence)
    best = [each for each in objects if each["labels"] == "chosen SeqNorm"]
    assert [each["reference"] for each in best] == ["BatchNorm", "chosen GhostNorm"], "a row for each gain"
    candidate = shown.stages[0].candidates[0]
    figures = {name: objects[0][name] for name in ("gm", "mean", "std", "sem", "n", "failed", "gain")}
    assert figures == {name: getattr(candidate, name, None) for name in figures}
    empty = submit(settings.database_url)
    assert json.loads("".join(export(connect, empty, "json", "candidates"))) == []


def test_a_text_that_a_spreadsheet_would_run_is_made_harmless(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    recorder = open_recorder(settings.database_url, search_id)
    recorder.open(recorder._plan.build_stage("gm", []))
    trial_id = recorder.start(Replicate("gm", Point("main", 1, 0), 0))
    recorder.finish(trial_id, Outcome(cause=Cause.RAISED, detail="=HYPERLINK(1)"))
    (row,) = csv.DictReader(io.StringIO(exported(settings, search_id, "csv")))
    assert (row["cause"], row["detail"]) == ("raised", "'=HYPERLINK(1)")
    assert json.loads(exported(settings, search_id, "json"))[0]["detail"] == "=HYPERLINK(1)"


def test_a_search_without_trials_is_a_file_without_rows(settings: Settings) -> None:
    search_id = submit(settings.database_url)
    assert exported(settings, search_id, "json") == "[]\n"
    assert exported(settings, search_id, "csv").startswith("stage,number,variant,gm,gc,seed,state,")
    assert len(exported(settings, search_id, "csv").splitlines()) == 1


@pytest.mark.parametrize("format", ["csv", "json"])
def test_an_unknown_search_is_refused_before_anything_is_written(settings: Settings, format: ExportFormat) -> None:
    prepare(settings.database_url)
    engine = open_engine(settings.database_url, read_only=True)
    with pytest.raises(NotFound, match="no search has the id 'nowhere'"):
        export(engine.connect, "nowhere", format)
