"""Searches as a person reads them, and as one JSON object."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from search.cli.tables import print_result
from search.settings import Settings
from search.views import CommandView, Provenance, SearchView
from search.vocabulary.formatting import format_figure, format_mean_std, format_metric
from tests.search.stored import finished_search, open_recorder, show, submit, train

UNKNOWN = ("torch", "package", "package_version")
SMALL = {"gm": [1, 8], "gc": [4], "seeds": 2, "test_seeds": 1}


@pytest.fixture
def finished(settings: Settings) -> SearchView:
    return show(settings.database_url, finished_search(settings.database_url, **SMALL))


def test_a_finished_search_is_printed_with_its_choices_reasons_and_measurements(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(finished, False, settings, "seqnorm --home here")
    printed = capsys.readouterr().out
    assert printed.startswith(f"Search {finished.search} · planted · sequential · done\n")
    for stage in finished.stages:
        assert f"Stage {stage.name} · {stage.rule} · tolerance {format_figure(stage.tolerance)}" in printed
        assert f"\n{stage.sentence}\n" in printed
    chosen = [line.split()[:3] for line in printed.splitlines() if line.startswith("→")]
    assert chosen == [["→", "8", "0"], ["→", "8", "4"]]
    for label in ("BatchNorm", "chosen GhostNorm", "chosen SeqNorm", "no normalization"):
        assert label in printed
    best = finished.stages[0].candidates[1]
    assert f"{format_mean_std(best)}   {format_metric(best.sem)}  2       0  chosen" in printed
    assert "10 trials, 0 failed.\n" in printed
    assert printed.endswith(f"Database: {settings.database_url}\nOpen the dashboard with: seqnorm --home here serve\n")


def test_groupnorm_alone_shows_its_group_counts_and_no_normalization_none(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {row.labels[0]: row for row in finished.test}
    group = measured["chosen SeqNorm"].model_copy(update={"gm": 0, "labels": ("chosen GroupNorm",)})
    shown = finished.model_copy(update={"test": (measured["no normalization"], group)})
    print_result(shown, False, settings, "seqnorm")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[2:4] for row in rows if row[:2] in (["no", "normalization"], ["chosen", "GroupNorm"])] == [
        ["–", "–"],
        ["0", "4"],
    ]


def test_the_values_of_further_axes_have_columns_and_checks_say_what_they_found(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    further = {"vary": {"learning_rate": [0.05, 0.1]}, "rounds": 1}
    shown = show(settings.database_url, finished_search(settings.database_url, **SMALL, **further))
    print_result(shown, False, settings, "seqnorm")
    printed = capsys.readouterr().out
    assert printed.count("gm  gc  learning_rate ") == 5  # gm, gc, learning_rate, gm-2 and the test set
    assert "\nChecked at gc=4, learning_rate=0.05: gm=8 stays. " in printed
    assert [row.labels for row in shown.test if row.variant == "learning_rate=0.05"] == [("chosen SeqNorm",)]
    for row in shown.test:
        for gain in row.gains:
            assert f"\n{', '.join(row.labels)}: {gain.sentence}.\n" in printed


def test_numbers_of_stage_test_are_named_beneath_its_table(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = finished.spec.model_copy(update={"test_numbers": {"epochs": 250, "mixup": 0.2}})
    print_result(finished.model_copy(update={"spec": spec}), False, settings, "seqnorm")
    assert "\nStage test trains with epochs=250, mixup=0.2.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("interrupted", "end"), [(0, ""), (1, " (1 more was interrupted)"), (2, " (2 more were interrupted)")]
)
def test_trials_that_were_interrupted_are_counted_apart(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str], interrupted: int, end: str
) -> None:
    trials = finished.trials.model_copy(update={"run": 10 + interrupted, "interrupted": interrupted})
    print_result(finished.model_copy(update={"trials": trials}), False, settings, "seqnorm")
    assert f"10 trials, 0 failed{end}.\n" in capsys.readouterr().out


def test_fresh_seeds_on_the_validation_figure_are_not_called_a_test_set(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str]
) -> None:
    program = {"words": ("train",), "folder": "/", "commit": "none", "host": None, "user": None}
    for measures_test, title in ((False, "\nFresh seeds "), (True, "\nTest set · fresh seeds ")):
        command = CommandView.model_validate({**program, "measures_test": measures_test})
        provenance = Provenance.model_validate(
            {**dict.fromkeys(UNKNOWN), "seqnorm": "1", "python": "3", "command": command}
        )
        print_result(finished.model_copy(update={"provenance": provenance}), False, settings, "seqnorm")
        assert title in capsys.readouterr().out


def test_the_weights_of_the_chosen_point_are_named_where_they_are(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = settings.search_folder(finished.search) / "checkpoints" / "test-main-gm8-gc4-seed1000"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").touch()
    print_result(finished, False, settings, "seqnorm")
    assert f"Weights of the chosen point: {folder}\n" in capsys.readouterr().out


def test_a_search_at_a_service_is_opened_in_a_browser(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(finished, False, replace(settings, url="http://service"), "seqnorm")
    printed = capsys.readouterr().out
    assert printed.endswith(f"Open it in a browser: http://service/searches/{finished.search}\n")
    assert "Database" not in printed


def test_what_is_not_decided_is_said_so(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    search_id = submit(settings.database_url, **SMALL)
    train(open_recorder(settings.database_url, search_id), search_id, stop_after=1)
    print_result(show(settings.database_url, search_id), False, settings, "seqnorm")
    printed = capsys.readouterr().out
    assert "Not decided yet.\n" in printed
    assert "→" not in printed


def test_as_json_the_result_alone_is_printed(
    settings: Settings, finished: SearchView, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(finished, True, settings, "seqnorm")
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"search", "status", "strategy", "chosen", "stages", "test", "trials"}
    assert result["chosen"] == {"variant": "main", "gm": 8, "gc": 4}
    assert result["trials"] == {"run": 10, "reused": 0, "failed": 0}
