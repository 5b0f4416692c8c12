"""What trying a command out finds, in programs that do it right and wrong."""

import pytest

from trainers.commands.check import Findings, try_out
from trainers.commands.command import Command, CommandNumber
from trainers.commands.recipe import make_recipe
from trainers.commands.run import Source
from trainers.recipe import RecipeError

WELL = (
    "for epoch in 1 2 3; do echo epoch $epoch acc: 0.{seed}; sleep {pause}; done; touch {folder}/weights; "
    "mkdir -p __pycache__; touch __pycache__/x"
)
RESULT = """echo '{"result": 1}' >> $SEQNORM_REPORTS"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.commands.run.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("trainers.commands.run.POLL_SECONDS", 0.02)
    monkeypatch.setattr("trainers.commands.program.TERM_SECONDS", 1.0)
    work = tmp_path / "work"
    work.mkdir()

    def run(script: str, **fields) -> Findings:
        numbers = (CommandNumber(name="pause", default=1000.0),)
        command = Command(words=("/bin/sh", "-c", script), folder=str(work), metric="acc", numbers=numbers, **fields)
        overrides = {"pause": 0.05}
        return try_out(make_recipe("mine", command), 2, 0, 3, tmp_path / "check", overrides, lambda line: None)

    return run


def sentences(findings: Findings) -> dict[str, str]:
    return {check.name: check.sentence for check in findings.checks}


def failed(findings: Findings) -> list[str]:
    return [check.name for check in findings.checks if not check.passed]


def test_a_good_command_passes(check, tmp_path):
    findings = check(WELL)
    assert findings.passed
    said = sentences(findings)
    assert said.pop("stop").startswith("it stopped 0.")
    assert said == {
        "metric": "acc is 0.3, from its output",
        "reports": "3 epochs can be followed",
        "seed": "the same seed gave 0.3 twice",
        "processes": "it leaves no process behind",
        "files": f"it changes no file in {tmp_path / 'work'}",
    }
    assert (findings.reports, findings.values, findings.source) == (3, (0.3, 0.3), Source.OUTPUT)
    assert (findings.exit_codes, findings.left, findings.outside) == ((0, 0), 0, ())


def test_a_command_that_fails_is_tried_once(check):
    findings = check("exit 3")
    assert failed(findings) == ["metric"]
    assert sentences(findings)["metric"].startswith("the program ended with exit code 3\n")
    assert (findings.exit_codes, findings.values, findings.source) == ((3,), (), None)


def test_files_outside_the_trials_folder_are_named(check, tmp_path):
    (tmp_path / "work" / "old").write_text("1")
    (tmp_path / "work" / "data").write_text("1")
    findings = check(f"{WELL}; echo 1 >> old; mkdir -p a; echo 1 > a/new")
    assert failed(findings) == ["files"]
    assert findings.outside == ("a/new", "old")
    assert "overwrite each other's: a/new, old. Have it write below {folder}" in sentences(findings)["files"]


def test_a_seed_that_changes_nothing_is_found(check):
    findings = check("echo acc $$; sleep 0.1")
    assert "seed" in failed(findings)
    assert "set all that is random from {seed}" in sentences(findings)["seed"]


def test_a_command_that_does_not_stop_is_found(check):
    findings = check("trap '' TERM; echo acc 1; sleep 0.1; case {folder} in *stopped) sleep 1000;; esac")
    assert failed(findings) == ["stop"]
    assert sentences(findings)["stop"].startswith("it did not stop within 1 s of SIGTERM and was killed")


def test_processes_that_are_left_behind_are_counted(check):
    findings = check("sleep 1000 & echo acc 1")
    assert failed(findings) == ["processes"]
    assert findings.left == 1


def test_a_command_that_only_gives_its_result_is_told_so(check):
    findings = check(RESULT)
    assert findings.passed
    assert sentences(findings)["reports"].startswith("it cannot be followed while it trains")
    assert sentences(findings)["stop"] == "it ended before it could be asked to stop"
    assert findings.stop_seconds is None


def test_a_silent_command_is_asked_to_stop_after_a_while(check, monkeypatch):
    monkeypatch.setattr("trainers.commands.check.STOP_AFTER_SECONDS", 0.1)
    findings = check(f"case {{folder}} in *stopped) sleep 1000;; esac; {RESULT}")
    assert findings.passed
    assert sentences(findings)["stop"].startswith("it stopped ")


def test_unknown_numbers_are_refused(tmp_path):
    recipe = make_recipe("mine", Command(words=("/bin/true",), folder=str(tmp_path)))
    with pytest.raises(RecipeError, match="mine has no number pause"):
        try_out(recipe, 1, 0, 0, tmp_path / "check", {"pause": 1}, print)
