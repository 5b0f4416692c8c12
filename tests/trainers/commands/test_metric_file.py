"""The metric in a file that a program writes."""

import json
import os

import pytest

from trainers.commands.epochs import Record
from trainers.commands.metric_file import MetricFile, NoMetric


def started(tmp_path, metric: str = "acc") -> MetricFile:
    file = MetricFile(tmp_path / "metrics", metric)
    file.start()
    return file


def value_of(tmp_path, text: str | bytes, metric: str = "acc") -> float:
    file = started(tmp_path, metric)
    file.path.write_bytes(text.encode() if isinstance(text, str) else text)
    return file.value()


def problem_with(file: MetricFile) -> str:
    with pytest.raises(NoMetric) as problem:
        file.value()
    return str(problem.value)


@pytest.mark.parametrize(
    "text",
    [
        "epoch,acc\n1,0.1\n2,0.5\n",
        "epoch;acc\n1;0.1\n2;0.5",
        "epoch\tacc\r\n1\t0.1\r\n2\t0.5\r\n",
        "\ufeffepoch, acc\n1, 0.1\n2, 0.5\n",
        '"epoch","acc"\n1,0.5\n2,\n',
        "acc\n0.5\n",
        "epoch,acc,note\n1,0.5,\xe9\nepoch,acc,note\n",
        '{"acc": 0.5}',
        '[{"acc": 0.1}, {"acc": 0.5}, {"loss": 1}]',
        '{"loss": [3, 2], "acc": [0.1, 0.5]}',
        '{"acc": 0.1}\n{"acc": 0.5}\n{"loss": 1}\n',
    ],
)
def test_the_last_row_with_a_value_counts(tmp_path, text):
    assert value_of(tmp_path, text) == 0.5


@pytest.mark.parametrize("name", ["val.acc", "val/acc"])
def test_a_dotted_name_leads_into_objects(tmp_path, name):
    assert value_of(tmp_path, '{"val": {"acc": 0.5}, "train": {"acc": 0.9}}', name) == 0.5


def test_rows_are_reported_when_they_are_whole(tmp_path):
    file = started(tmp_path)
    file.path.write_text("epoch,acc,lr\n0,0.1,0.01\n1,0.")
    assert file.read_added() == [Record({"epoch": 0, "acc": 0.1, "lr": 0.01}, 0)]
    assert file.read_added() == []
    with file.path.open("a") as more:
        more.write("25,0.01\n")
    assert file.read_added() == [Record({"epoch": 1, "acc": 0.25, "lr": 0.01}, 1)]


def test_json_that_is_half_written_is_read_later(tmp_path):
    file = started(tmp_path)
    file.path.write_text('[{"acc": 0.1}, {"ac')
    assert file.read_added() == []
    assert problem_with(file).startswith(f"the metric file {file.path} is no valid JSON: ")
    file.path.write_text('[{"acc": 0.1}, {"acc": 0.2}]')
    assert [record.figures["acc"] for record in file.read_added()] == [0.1, 0.2]


def test_a_file_of_the_attempt_before_counts_once_it_changes(tmp_path):
    path = tmp_path / "metrics"
    path.write_text("acc\n0.1\n")
    file = started(tmp_path)
    assert file.read_added() == []
    assert problem_with(file) == f"the metric file {path} is from before: the program did not change it"
    os.utime(path)
    assert file.value() == 0.1


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    file = started(tmp_path)
    file.path.write_text("acc\n0.1\n")
    assert len(file.read_added()) == 1
    (tmp_path / "new").write_text("acc\n0.1\n0.2\n")
    (tmp_path / "new").rename(file.path)
    assert [record.figures["acc"] for record in file.read_added()] == [0.2]
    assert file.value() == 0.2


def test_of_a_long_table_the_end_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.commands.metric_file.TAIL_BYTES", 100_000)
    rows = "".join(f"{index},0.1,{'x' * 1000}\n" for index in range(200))
    assert value_of(tmp_path, f"epoch,acc,note\n{rows}7,0.5,x\n") == 0.5


def test_a_missing_file_is_named(tmp_path):
    file = started(tmp_path)
    assert problem_with(file) == f"the program did not write the metric file {file.path}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("epoch,val_acc\n1,0.5\n", "has no acc: it has epoch, val_acc."),
        ("epoch,Acc\n", "has no acc: it has epoch, Acc. Did you mean Acc?"),
        ('{"val": {"loss": 1}}', "has no acc: it has val.loss."),
        ("epoch,acc\n1,\n", "has no number for acc in any row"),
        (",".join(f"c{index}" for index in range(30)), "c18, c19, …."),
        (b"\x00\xff\x89PNG", "has no acc: it has "),
    ],
)
def test_the_names_that_a_file_has_are_listed(tmp_path, text, says):
    file = started(tmp_path)
    file.path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert says in problem_with(file)
    assert str(file.path) in problem_with(file)


def test_a_folder_is_no_metric_file(tmp_path):
    file = started(tmp_path)
    file.path.mkdir()
    assert problem_with(file) == f"the metric file {file.path} cannot be read: Is a directory"


def test_json_of_one_number_holds_no_metric(tmp_path):
    file = started(tmp_path)
    file.path.write_text(json.dumps([1, 2]))
    assert problem_with(file) == f"the metric file {file.path} is empty"
