"""The reports of a program, read while it writes them."""

import json
import math

from trainers.commands.epochs import Record
from trainers.commands.reports import READ_BYTES, ReportsFile


def opened(tmp_path) -> ReportsFile:
    reports = ReportsFile(tmp_path / "reports")
    reports.start()
    return reports


def write(reports: ReportsFile, text: str) -> None:
    with reports.path.open("a") as file:
        file.write(text)


def test_an_epoch_is_read_once(tmp_path):
    reports = opened(tmp_path)
    write(reports, '{"epoch": 3, "figures": {"accuracy": 0.9}}\n')
    assert reports.read() == [Record({"accuracy": 0.9}, 3)]
    assert reports.read() == []
    assert reports.values == {"accuracy": 0.9}


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    reports = opened(tmp_path)
    write(reports, '{"epoch": 3, "fig')
    assert reports.read() == []
    write(reports, 'ures": {"accuracy": 0.9}}\n')
    assert reports.read() == [Record({"accuracy": 0.9}, 3)]


def test_the_file_is_empty_for_a_new_attempt(tmp_path):
    reports = opened(tmp_path)
    write(reports, '{"result": 0.5}\n')
    again = opened(tmp_path)
    assert again.read() == []
    assert again.result is None


def test_the_last_of_a_figure_and_of_a_result_counts(tmp_path):
    reports = opened(tmp_path)
    for value in (0.1, 0.2):
        write(reports, json.dumps({"epoch": 1, "figures": {"accuracy": value}}) + "\n")
        write(reports, json.dumps({"result": value + 0.5}) + "\n")
    assert [record.figures["accuracy"] for record in reports.read()] == [0.1, 0.2]
    assert reports.values == {"accuracy": 0.2}
    assert reports.result == 0.7


def test_the_other_kinds_of_reports_are_kept(tmp_path):
    reports = opened(tmp_path)
    write(reports, '{"split": "test"}\n{"refused": "gm must divide the batch"}\n')
    assert reports.read() == []
    assert reports.reads_split
    assert reports.refused == "gm must divide the batch"
    assert reports.malformed == 0


def test_figures_that_are_not_finite_are_figures(tmp_path):
    reports = opened(tmp_path)
    write(reports, '{"epoch": 1, "figures": {"loss": NaN, "norm": -Infinity}}\n')
    [record] = reports.read()
    assert math.isnan(record.figures["loss"])
    assert record.figures["norm"] == -math.inf


def test_lines_that_are_no_reports_are_counted_and_skipped(tmp_path):
    reports = opened(tmp_path)
    wrong = ["nonsense", "[]", "[" * 10_000, '{"epoch": -1, "figures": {}}', '{"epoch": 1.5, "figures": {}}']
    wrong += ['{"epoch": 1, "figures": 3}', '{"epoch": 1, "figures": {"a": "x"}}', '{"result": "x"}']
    write(reports, "\n".join(wrong) + '\n\n{"result": 1}\n')
    assert reports.read() == []
    assert reports.malformed == len(wrong)
    assert reports.result == 1


def test_many_reports_are_read_in_turns(tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.commands.reports.READ_BYTES", 1000)
    reports = opened(tmp_path)
    line = json.dumps({"epoch": 1, "figures": {"a": 1.0}}) + "\n"
    count = 3000 // len(line)
    write(reports, line * count)
    turns = [len(records) for records in iter(reports.read, [])]
    assert sum(turns) == count
    assert len(turns) == 3


def test_a_line_without_end_takes_no_memory(tmp_path):
    reports = opened(tmp_path)
    write(reports, "x" * 3 * READ_BYTES + '\n{"result": 1}\n')
    for _ in range(4):
        assert reports.read() == []
    assert reports.result == 1


def test_a_file_that_the_program_empties_or_removes_does_no_harm(tmp_path):
    reports = opened(tmp_path)
    write(reports, '{"epoch": 1, "figures": {"accuracy": 0.5}}\n' * 3)
    assert len(reports.read()) == 3
    reports.path.write_text('{"result": 1}\n')
    assert reports.read() == []
    assert reports.result == 1
    reports.path.unlink()
    assert reports.read() == []


def test_null_is_no_number(tmp_path):
    reports = opened(tmp_path)
    write(reports, '{"epoch": 1, "figures": {"accuracy": 0.9}}\n{"epoch": 2, "figures": {"accuracy": null}}\n')
    reports.read()
    assert math.isnan(reports.values["accuracy"])
