"""Programs of every kind, run as trials: what counts, what is said, and that none of their processes is left."""

import contextlib
import math
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from search.engine.failures import is_out_of_memory
from trainers.commands.epochs import Record
from trainers.commands.output import MetricReader
from trainers.commands.program import Program
from trainers.commands.run import LOCK_FILE, REPORTS_FILE
from trainers.trial import InvalidPoint, ProgramFailed

REPORT = """
import json, os
def send(**fields):
    descriptor = os.open(os.environ["SEQNORM_REPORTS"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, (json.dumps(fields) + "\\n").encode())
    os.close(descriptor)
"""


def failure(run, *words, **options) -> str:
    with pytest.raises(ProgramFailed) as failed:
        run(*words, **options)
    return str(failed.value)


# What a program gets


def test_a_program_gets_its_point_by_placeholders_and_by_variables(runner, capfd, monkeypatch):
    @dataclass
    class Numbers:
        lr: float = 0.1

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    script = (
        "echo {gm} {gc} {seed} {split} {folder} {lr} {{gm}}; cd /; "
        "echo $SEQNORM_GM $SEQNORM_GC $SEQNORM_SEED $SEQNORM_SPLIT $SEQNORM_FOLDER $OMP_NUM_THREADS $PYTHONUNBUFFERED;"
        "echo acc 1"
    )
    assert runner.shell(script, numbers=Numbers(), measure="test").value == 1
    assert capfd.readouterr().out.splitlines()[:2] == [
        f"4 2 7 test {runner.folder} 0.1 {{gm}}",
        f"4 2 7 test {runner.folder} 3 1",
    ]


def test_a_program_runs_in_the_folder_of_its_command_and_has_no_input(runner, capfd):
    assert runner.shell("pwd; cat; read line || echo acc: 1", measure="validation").value == 1
    assert capfd.readouterr().out.splitlines()[0] == str(runner.home)


def test_a_trial_without_a_folder_gets_one_for_its_time(runner, capfd):
    runner.folder = None
    runner.shell("touch {folder}/here; echo {folder}; echo acc 1")
    folder = Path(capfd.readouterr().out.splitlines()[0])
    assert folder.is_absolute()
    assert not folder.exists()


def test_signals_do_to_a_program_what_they_do_by_default(runner):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert "killed by SIGTERM" in failure(runner.shell, "kill -TERM $$")
        assert "killed by SIGPIPE" in failure(runner.shell, "kill -PIPE $$")
    finally:
        signal.signal(signal.SIGTERM, before)


# Which figure counts


def test_the_last_figure_that_is_printed_counts(runner, capfd):
    assert runner.shell("echo acc 0.1; echo acc 0.2 >&2; printf 'acc 0.3'").value == 0.3
    assert runner.reported == [(1, {"acc": 0.1}), (2, {"acc": 0.2}), (3, {"acc": 0.3})]
    assert capfd.readouterr().out == "acc 0.1\nacc 0.2\nacc 0.3"


def test_a_report_outweighs_the_output(runner):
    script = REPORT + "send(epoch=1, figures={'acc': 0.25, 'loss': 3}); print('acc 0.9')"
    assert runner.python(script).value == 0.25
    assert runner.reported == [(1, {"acc": 0.25, "loss": 3.0})]


def test_the_result_outweighs_the_reports(runner):
    assert runner.python(REPORT + "send(result=0.5); send(epoch=1, figures={'acc': 0.25})").value == 0.5
    assert runner.reported == [(1, {"acc": 0.25})]


@pytest.mark.parametrize(("reported", "samples"), [("2000", 2000), ("2.5", None), ("-1", None), ("None", None)])
def test_how_many_samples_an_accuracy_was_measured_on_is_read_from_the_reports(runner, reported, samples):
    script = (
        REPORT + f"send(epoch=1, figures={{'acc': 0.25, 'samples': {reported}}}); send(epoch=2, figures={{'acc': 1}})"
    )
    assert runner.python(script).samples == samples


def test_a_metric_file_outweighs_the_output(runner):
    script = "printf 'epoch,acc\\n0,0.1\\n1,0.25\\n' > metrics-{seed}.csv; echo acc 0.9"
    assert runner.shell(script, metric_file="metrics-{seed}.csv").value == 0.25
    assert [epoch for epoch, _ in runner.reported] == [0, 1]


@pytest.mark.parametrize("last", ["1,234.5", "0,95", "1.234,5"])
def test_no_earlier_figure_stands_for_one_with_commas(runner, last):
    assert failure(runner.shell, f"echo acc: 0.9; echo acc: {last}").startswith(
        f"the program ended with exit code 0, but its last acc is none that can be read: got {last}. Print it with a "
    )
    rows = f"printf 'epoch;acc\\n1;0.9\\n2;{last}\\n' > metrics.csv"
    assert f"is none that can be read, {last}: write it" in failure(runner.shell, rows, metric_file="metrics.csv")
    assert runner.shell(f"echo acc: {last}; echo acc: 0.9").value == 0.9
    assert runner.shell(f"{rows}; echo '3;0.8' >> metrics.csv", metric_file="metrics.csv").value == 0.8


def test_no_earlier_figure_stands_for_a_missing_one(runner):
    assert failure(runner.shell, """echo '{"acc": 0.9}'; echo '{"acc": null}'""").startswith(
        "the program ended with exit code 0, but its last acc is none that can be read: got null. Print it once it is "
        "known, and last the figure that counts."
    )


def test_two_figures_of_which_either_may_count_are_told_apart_by_a_pattern(runner):
    said = failure(runner.shell, "echo 'acc: 0.773 (0.049)'")
    assert "got 0.773 (0.049). The second may be an average, a deviation or the best one: say which counts" in said
    [pattern] = re.findall("--pattern '(.*)'", said)
    assert runner.shell("echo 'acc: 0.773 (0.049)'", pattern=pattern).value == 0.773


def test_a_last_report_without_the_end_of_its_line_counts(runner):
    first, last = (f'{{"epoch": {epoch}, "figures": {{"acc": {acc}}}}}' for epoch, acc in ((1, 0.5), (2, 0.75)))
    assert runner.shell(f"printf '%s\\n%s' '{first}' '{last}' >> $SEQNORM_REPORTS").value == 0.75
    assert runner.reported == [(1, {"acc": 0.5}), (2, {"acc": 0.75})]


def test_a_pattern_replaces_the_name(runner):
    assert runner.shell("echo acc 0.1; echo score: 0.7", pattern="score: (.*)").value == 0.7


def test_stage_test_reads_the_test_metric(runner):
    script = REPORT + "send(epoch=1, figures={'acc': 0.2}); send(result=0.3); print('acc 0.4'); print('held_out 0.5')"
    assert runner.python(script, test_metric="held_out", measure="test").value == 0.5
    assert runner.python(script, test_metric="held_out").value == 0.3


def test_a_metric_that_is_nan_is_a_result(runner):
    assert math.isnan(runner.shell("echo acc: 0.5; echo acc: nan").value)


def test_a_metric_of_the_attempt_before_does_not_count(runner):
    assert runner.python(REPORT + "send(result=0.5)").value == 0.5
    assert "without the metric acc" in failure(runner.shell, "true")


# Programs that report much, little, or wrongly


def test_hundreds_of_reports_a_second_are_taken(runner):
    assert (
        runner.python(REPORT + "for epoch in range(2000): send(epoch=epoch, figures={'acc': epoch / 2})").value == 999.5
    )
    assert [epoch for epoch, _ in runner.reported] == list(range(2000))


def test_a_search_that_takes_reports_slowly_does_not_hold_the_program(runner):
    """While its first epoch is taken, the program prints far more than a pipe holds."""

    def take_slowly() -> None:
        (runner.home / "taking").touch()
        while not (runner.home / "done").exists():
            time.sleep(0.01)

    runner.on_report = take_slowly
    wait = "while [ ! -e taking ]; do sleep 0.01; done"
    assert runner.shell(f"echo acc 0.5; {wait}; head -c 5000000 /dev/zero; touch done").value == 0.5


def test_one_report_at_the_end_is_enough(runner):
    assert runner.python(REPORT + "send(epoch=30, figures={'acc': 0.5})").value == 0.5
    assert runner.reported == [(30, {"acc": 0.5})]


def test_lines_that_are_no_reports_are_mentioned_in_the_log(runner, capfd):
    assert runner.shell('echo nonsense >> "$SEQNORM_REPORTS"; echo acc 1').value == 1
    assert f"[1 lines in {runner.folder / REPORTS_FILE} are no reports]" in capfd.readouterr().out


def test_output_that_is_no_text_reaches_the_log_as_it_is(runner, capfdbinary):
    assert runner.python("import os; os.write(1, b'\\xff\\x00 caf\\xe9\\nacc 0.5\\n\\xfe')").value == 0.5
    assert capfdbinary.readouterr().out == b"\xff\x00 caf\xe9\nacc 0.5\n\xfe"


def test_output_is_never_held_as_a_whole(runner, capfd):
    """50 MB here; what was measured with more stands in the decision record."""
    before = psutil.Process().memory_info().rss
    seen = []
    runner.on_poll = lambda: seen.append(psutil.Process().memory_info().rss - before)
    script = "import os\nfor _ in range(800): os.write(1, b'0123456 ' * 8192)\nprint('\\nacc 0.5')"
    assert runner.python(script).value == 0.5
    seen.append(psutil.Process().memory_info().rss - before)
    assert max(seen) < 40 * 2**20


# Programs that leave processes, or do not end


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that stand in a folder, as every process of a program does at first."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder:
                found.append(process)
        except psutil.Error:
            pass
    return found


def stop_trial() -> None:
    raise SystemExit(0)


def stop_when_ready(runner) -> None:
    """Stop the trial once the program has made a file."""

    def poll() -> None:
        if (runner.home / "ready").exists():
            stop_trial()

    runner.on_poll = poll


TOUCH_AND_WAIT = "trap 'echo late; exit' TERM; touch ready; while :; do sleep 0.05; done"
DAEMON = "(setsid sh -c 'sleep 1000 & sleep 1000' > /dev/null 2>&1 &)"  # its parent has ended when it starts


def test_a_daemon_is_ended_with_the_program(runner, capfd):
    assert runner.shell(f"{DAEMON}; echo acc 1").value == 1
    assert processes_in(runner.home) == []
    assert "[ended 3 processes that the program had left behind]" in capfd.readouterr().out


def test_a_fork_that_holds_the_output_does_not_hold_the_trial(runner):
    assert runner.shell("sleep 1000 & echo acc 1").value == 1
    assert processes_in(runner.home) == []


def test_what_is_printed_after_the_program_has_ended_reaches_the_log(runner, capfd):
    late = f"({TOUCH_AND_WAIT}) & while [ ! -e ready ]; do sleep 0.01; done"
    assert runner.shell(f"{late}; echo acc 1").value == 1
    assert "late" in capfd.readouterr().out.splitlines()


def test_what_was_printed_last_counts_however_slowly_it_is_read(runner, monkeypatch):
    started: list[Program] = []

    class Noted(Program):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            started.append(self)
            super().__init__(*arguments, **options)

    feed = MetricReader.feed

    def feed_late(reader: MetricReader, printed: bytes) -> list[Record]:
        assert started[0]._drained.wait(30)  # long after the program has ended
        return feed(reader, printed)

    monkeypatch.setattr("trainers.commands.program.DRAIN_SECONDS", 0.0)
    monkeypatch.setattr("trainers.commands.run.Program", Noted)
    monkeypatch.setattr(MetricReader, "feed", feed_late)
    assert runner.shell("echo acc 1; sleep 0.2; echo acc 2").value == 2


def test_a_program_may_close_its_output(runner):
    assert runner.shell("echo acc 1; exec >&- 2>&-; sleep 0.4").value == 1


def test_a_pipeline_is_a_program(runner):
    assert runner.shell("echo score 1 | sed s/score/acc/ | tee {folder}/log").value == 1


def test_a_program_that_has_stopped_itself_is_woken_to_end(runner, capfd):
    stop_when_ready(runner)
    with pytest.raises(SystemExit):
        runner.shell("trap 'echo late; exit' TERM; touch ready; kill -STOP $$; sleep 1000")
    assert "late" in capfd.readouterr().out.splitlines()


def test_a_silent_program_is_ended_when_the_trial_must_end(runner):
    stop_when_ready(runner)
    with pytest.raises(SystemExit):
        runner.shell(f"{DAEMON}; touch ready; sleep 1000")
    assert processes_in(runner.home) == []


def test_a_program_is_ended_when_a_report_ends_the_trial(runner):
    runner.on_report = stop_trial
    with pytest.raises(SystemExit):
        runner.shell("echo acc 0.5; sleep 1000")
    assert processes_in(runner.home) == []


def test_a_program_may_clean_up_when_it_is_asked_to_end(runner, capfd):
    stop_when_ready(runner)
    with pytest.raises(SystemExit):
        runner.shell(TOUCH_AND_WAIT.replace("echo", "sleep 0.1; echo"))
    assert "late" in capfd.readouterr().out.splitlines()


def test_a_program_that_ignores_sigterm_is_killed(runner):
    stop_when_ready(runner)
    with pytest.raises(SystemExit):
        runner.shell("trap '' TERM; setsid sh -c 'touch ready; sleep 1000' & while :; do sleep 1000; done")
    assert processes_in(runner.home) == []


# Programs that fail


def test_the_exit_code_the_error_and_the_last_lines_are_said(runner):
    script = "import sys; print('line', file=sys.stderr); raise ValueError('no such data')"
    sentence, _, last_lines = failure(runner.python, script).partition("\n")
    assert sentence == "the program ended with exit code 1: ValueError: no such data"
    assert last_lines.startswith("Its last lines:\nline\nTraceback (most recent call last):")


def test_the_argument_that_a_program_does_not_know_is_said(runner):
    script = "import argparse; argparse.ArgumentParser('train.py').parse_args(['--groups', '1'])"
    sentence, _, _ = failure(runner.python, script).partition("\n")
    assert sentence == "the program ended with exit code 2: train.py: error: unrecognized arguments: --groups 1"


def test_a_metric_does_not_hide_the_exit_code(runner):
    assert failure(runner.shell, "echo acc 0.5; exit 3") == (
        "the program ended with exit code 3\nIts last lines:\nacc 0.5"
    )


def test_a_silent_failure_is_said_to_be_silent(runner):
    assert failure(runner.shell, "exit 3") == "the program ended with exit code 3\nIt printed nothing."


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("SEGV", "the program was killed by SIGSEGV"),
        ("KILL", "the program was killed by SIGKILL, perhaps by the kernel because memory ran out"),
    ],
)
def test_the_signal_that_killed_a_program_is_named(runner, name, sentence):
    assert failure(runner.shell, f"kill -{name} $$").startswith(f"{sentence}\n")


def test_the_signal_that_killed_a_process_of_a_shell_is_named(runner):
    assert "exit code 139, 128 + 11: a process of it was killed by SIGSEGV" in failure(
        runner.shell, "sh -c 'kill -SEGV $$'; exit $?"
    )


@pytest.mark.parametrize(
    "line", ["MemoryError", "torch.OutOfMemoryError: CUDA out of memory. Tried", "terminate: std::bad_alloc"]
)
def test_memory_that_ran_out_is_recognized(runner, line):
    with pytest.raises(ProgramFailed) as failed:
        runner.shell(f"echo '{line}'; exit 1")
    assert is_out_of_memory(failed.value)


def test_memory_that_ran_out_and_was_found_elsewhere_is_no_failure(runner):
    assert runner.shell("echo MemoryError; echo acc 1").value == 1


@pytest.mark.parametrize("rank", ["", "[rank0]: "])
def test_layers_that_refuse_the_groups_refuse_the_point(runner, rank):
    sentence = "gm must divide the batch size: got gm=4, batch size 6."
    with pytest.raises(InvalidPoint) as refused:
        runner.shell(f"echo 'Traceback:'; echo '{rank}seqnorm.checks.InvalidGroups: {sentence}' >&2; echo done; exit 1")
    assert str(refused.value) == sentence


def test_layers_that_refuse_the_groups_are_heard_through_reports_and_pipes(runner):
    report = 'echo \'{"refused": "gm must divide"}\' >> "$SEQNORM_REPORTS"'
    with pytest.raises(InvalidPoint, match="gm must divide"):
        runner.shell(f"{report}; exit 1")
    with pytest.raises(InvalidPoint, match="gm must divide"):
        runner.shell("(echo seqnorm.checks.InvalidGroups: gm must divide; exit 1) | cat")


def test_a_missing_metric_is_explained_by_what_was_there_instead(runner):
    assert failure(runner.shell, "echo val_acc: 0.9, loss: 0.1") == (
        "the program ended with exit code 0, but without the metric acc: it reported nothing, and its last lines hold "
        "val_acc, loss. Did you mean --metric 'val_acc'? Otherwise say where it is by --pattern or --metric-file.\n"
        "Its last lines:\nval_acc: 0.9, loss: 0.1"
    )


def test_a_mistyped_metric_is_explained_by_the_one_that_was_meant(runner):
    script = REPORT + "send(epoch=1, figures={'Acc': 1, 'loss': 2})"
    assert failure(runner.python, script) == (
        "the program ended with exit code 0, but without the metric acc: it reported Acc, loss, and its last lines "
        "hold no figures. Did you mean --metric 'Acc'? Otherwise say where it is by --pattern or --metric-file.\n"
        "It printed nothing."
    )


def test_a_pattern_that_never_matched_is_shown(runner):
    assert "no line of its output matches the pattern 'score (.*)'" in failure(
        runner.shell, "echo acc 1", pattern="score (.*)"
    )


def test_a_metric_file_without_the_metric_is_named(runner):
    said = failure(runner.shell, "echo acc 1", metric_file="m.csv")
    assert said.startswith(
        "the program ended with exit code 0, but without the metric acc: "
        f"the program did not write the metric file {runner.home / 'm.csv'}.\n"
    )


def test_a_program_that_is_not_there_is_named(runner):
    host = os.uname().nodename
    assert failure(runner.words, "/no/such/program", "x") == (
        f"the program must be there: got /no/such/program on {host}. Install it, or give its absolute path."
    )


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        ("#!/bin/sh\n", 0o600, "the program must be executable"),
        ("#!/no/python\n", 0o700, "the interpreter that a program names must be there"),
        ("echo acc 1\n", 0o700, "the program must begin with a line such as #!/bin/sh"),
    ],
)
def test_a_program_that_cannot_be_started_is_explained(runner, content, mode, says):
    program = runner.home / "program"
    program.write_text(content)
    program.chmod(mode)
    if mode == 0o600 and os.geteuid() == 0:
        assert not os.access(program, os.X_OK)
    assert failure(runner.words, str(program)).startswith(f"{says}: got {program} on ")


@pytest.mark.parametrize("name", [LOCK_FILE, REPORTS_FILE])
def test_a_folder_of_a_trial_that_cannot_be_written_is_named(runner, name):
    (runner.folder / name).mkdir(parents=True)
    said = failure(runner.shell, "touch started; echo acc 1")
    assert said.startswith(f"the folder of a trial must be one that this user can write in: got {runner.folder} on ")
    assert "Is a directory" in said
    assert not (runner.home / "started").exists()


@pytest.mark.parametrize("name", [LOCK_FILE, REPORTS_FILE])
def test_no_file_that_a_link_in_the_folder_leads_to_is_written(runner, name):
    runner.folder.mkdir()
    other = runner.home / "other"
    other.write_text("somebody's")
    (runner.folder / name).symlink_to(other)
    with contextlib.suppress(ProgramFailed):
        runner.shell("echo acc 1")
    assert other.read_text() == "somebody's"


def test_a_folder_that_is_gone_is_named(runner):
    runner.home.rmdir()
    assert failure(runner.shell, "echo acc 1").startswith(
        f"the folder that the program runs in must be there: got {runner.home} on "
    )


def test_a_metric_that_may_be_one_of_several_is_asked_for(runner):
    said = failure(runner.shell, "echo 'train acc: 0.9 val acc: 0.8'")
    assert "acc may be any of train acc, val acc in a line. Name one, e.g. --metric 'val acc'" in said


def test_a_missing_module_is_installed_for_the_python_that_lacks_it(runner):
    said = failure(runner.shell, "echo \"ModuleNotFoundError: No module named 'timm'\"; exit 1")
    assert "No module named 'timm'. Install it for /bin/sh, or name another Python" in said
