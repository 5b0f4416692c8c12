"""Where the metric is found in what a program prints, and where not."""

import json
import math
import re
import tracemalloc

import pytest

from trainers.commands.output import (
    MAX_LINE,
    TAIL_BYTES,
    MetricReader,
    check_pattern,
    names_in,
    shown,
)
from trainers.recipe import RecipeError


def read(metric: str, printed: str | bytes, pattern: str | None = None, size: int | None = None):
    """Return the reader and its records, having fed it ``size`` bytes at a time."""
    reader, data = MetricReader(metric, pattern), printed.encode() if isinstance(printed, str) else printed
    parts = [data[start : start + size] for start in range(0, len(data), size)] if size else [data]
    return reader, [record for part in parts for record in reader.feed(part)] + reader.finish()


def value_in(metric: str, printed: str | bytes, pattern: str | None = None) -> float | None:
    return read(metric, printed, pattern)[0].value


@pytest.mark.parametrize(
    ("metric", "line", "value"),
    [
        ("acc", "acc: 0.9", 0.9),
        ("acc", "acc=.5", 0.5),
        ("acc", "acc = 93.2%", 93.2),
        ("acc", "acc 9.3e-1", 0.93),
        ("acc", "[INFO] 2026-11-26 20:06:15 | acc: +1", 1.0),
        ("acc", "acc: 0.9, loss: 0.1", 0.9),
        ("acc", "acc 0.1 (best 0.2) acc 0.3", 0.3),
        ("acc", "The acc: 0.93.", 0.93),
        ("acc", "(acc=0.9)", 0.9),
        ("acc", "acc: 0.93±0.01", 0.93),
        ("acc", "acc: tensor(0.93, device='cuda:0')", 0.93),
        ("acc", "{'acc': np.float64(0.25)}", 0.25),
        ("acc", "INFO {'loss': '1.5', 'acc': '0.5'}", 0.5),
        ("acc", "│ acc │ 0.98 │", 0.98),
        ("acc", "\x1b[1macc\x1b[0m: \x1b[32m0.4\x1b[0m", 0.4),
        ("Accuracy", "Test set: Average loss: 0.02, Accuracy: 9913/10000 (99%)", 0.9913),
        ("val/acc", "val/acc = 0.9", 0.9),
        ("val.acc", "val.acc 0.9", 0.9),
        ("val acc", "epoch 3 val acc: 0.9", 0.9),
        ("Acc@1", " * Acc@1 71.2 Acc@5 90.1", 71.2),
        ("val_accuracy", "469/469 - 2s - loss: 0.2 - val_accuracy: 0.93 - val_loss: 0.3", 0.93),
        ("eval_accuracy", "{'eval_loss': 0.3, 'eval_accuracy': 0.9, 'epoch': 1.0}", 0.9),
        ("précision", "précision: 0.7", 0.7),
    ],
)
def test_the_metric_is_found_in_a_line(metric, line, value):
    assert value_in(metric, line) == value


@pytest.mark.parametrize(
    ("metric", "line"),
    [  # as PyTorch's ImageNet example, timm, torchvision's references and Swin print them
        (
            "Acc@1",
            "Test: [ 5/10]\tTime  0.101 ( 0.200)\tLoss 2.3e+00 (2.4e+00)\tAcc@1  87.50 ( 75.20)\tAcc@5  99.00 ( 97.00)",
        ),
        ("Acc@1", "Test: [  10/10]  Time: 0.101 (0.200)  Loss:   0.300 ( 0.400)  Acc@1:  87.500 ( 75.200)"),
        ("acc1", "Test:  [0/10]  eta: 0:00:01  loss: 2.3000 (2.4000)  acc1: 87.5000 (75.2000)  time: 0.10  data: 0.02"),
        ("Acc@1", "Test: [0/10]\tTime 0.101 (0.200)\tLoss 2.30 (2.40)\tAcc@1 87.500 (75.200)\tMem 100MB"),
        ("acc", "acc: 87.5 ( 75.2)"),
        ("acc", "acc 75.2 (75.2)"),
    ],
)
def test_of_a_meter_the_average_counts(metric, line):
    assert value_in(metric, line) == 75.2


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("Loss: 0.300 | acc: 87.500% (875/1000)", 87.5),
        ("loss 0.30 (0.40), acc: 97.33% (3.27%)", 97.33),
        ("loss 0.30 (0.40), acc 0.75 (3)", 0.75),
        ("loss 0.30 (0.40), acc 0.75 (12.1 s)", 0.75),
        ("loss 0.30 (0.40), acc 0.75 (0.125)", 0.75),
        ("loss 0.30 (0.40), acc 9320/10000 (93.20)", 0.932),
        ("acc 0.75 (best 0.80)", 0.75),
    ],
)
def test_what_is_no_average_in_parentheses_is_left_out(line, value):
    assert value_in("acc", line) == value


def test_one_number_in_parentheses_may_be_a_deviation_so_neither_counts():
    reader, records = read("acc", "acc: 0.70\nacc: 0.773 (0.049)")
    assert reader.unread == "0.773 (0.049)"
    assert [record.figures["acc"] for record in records] == [0.7]


@pytest.mark.parametrize(
    "line", ['{"acc": null}', '{"val": {}, "acc": null}', "acc: None", "acc=null", "epoch 2, acc N/A"]
)
def test_a_figure_that_is_missing_is_told_from_none(line):
    reader, records = read("acc", f"acc 0.5\n{line}")
    assert (reader.unread or "").lower() in ("null", "none", "n/a")
    assert len(records) == 1
    reader, _ = read("acc", f"{line}\nacc 0.5\n{{'lr': None}}")
    assert (reader.unread, reader.value) == (None, 0.5)


@pytest.mark.parametrize(
    "line",
    [
        "val_acc: 0.9",
        "val/acc: 0.9",
        "val.acc: 0.9",
        "accuracy: 0.9",
        "acc1 0.9",
        "acc@5 0.9",
        "--acc 0.9",
        "Acc: 0.9",
        "acc: none",
        "acc: nano",
        "acc: 1,234.5",
        "acc: 12ms",
        "acc: 2026-11-26",
        "acc: 12:30",
        "acc: 1.2.3",
        "acc: 0.9/epoch",
        "acc",
    ],
)
def test_what_only_resembles_the_metric_is_not_taken_for_it(line):
    assert value_in("acc", line) is None


@pytest.mark.parametrize(("written", "value"), [("inf", math.inf), ("-Infinity", -math.inf), ("1e400", math.inf)])
def test_infinity_is_a_value(written, value):
    assert value_in("acc", f"acc: {written}") == value


@pytest.mark.parametrize("line", ["acc: nan", "acc=NaN", json.dumps({"acc": math.nan})])
def test_nan_is_a_value(line):
    assert math.isnan(value_in("acc", line))


@pytest.mark.parametrize(
    ("metric", "fields", "value"),
    [
        ("acc", {"acc": 0.9}, 0.9),
        ("acc", {"acc": "0.9"}, 0.9),
        ("val.acc", {"val": {"acc": 0.9}}, 0.9),
        ("val/acc", {"val": {"acc": 0.9}}, 0.9),
        ("val/acc", {"val/acc": 0.9}, 0.9),
        ("précision", {"précision": 0.9}, 0.9),
        ("acc", {"acc": True}, None),
        ("acc", {"acc": None}, None),
        ("acc", {"val": {"acc": 0.9}}, None),
    ],
)
def test_the_metric_is_found_in_a_json_line(metric, fields, value):
    assert value_in(metric, json.dumps(fields)) == value


@pytest.mark.parametrize(
    ("printed", "epochs"),
    [
        ("epoch 3 acc 0.1", [3]),
        ("Epoch 3/10 acc 0.1", [3]),
        ("Epoch: [3][10/390] acc 0.1", [3]),
        ("epoch=0, acc=0.1", [0]),
        ('{"epoch": 3, "acc": 0.1}', [3]),
        ("{'acc': 0.1, 'epoch': 1.5}", [2]),
        ("Epoch 3/10\nacc 0.1\nacc 0.2\nEpoch 4/10\nacc 0.3", [3, 3, 4]),
        ("acc 0.1\nacc 0.2", [None, None]),
        ("epochs=90 start_epoch=5\nacc 0.1", [None]),
    ],
)
def test_the_epoch_is_that_of_the_line_or_the_last_that_was_named(printed, epochs):
    _, records = read("acc", printed)
    assert [record.epoch for record in records] == epochs


def test_the_other_figures_of_the_line_are_recorded_too():
    _, [record] = read("acc", "train loss: 0.5, lr=0.1 at 12:30, acc: 0.9")
    assert record.figures == {"loss": 0.5, "lr": 0.1, "acc": 0.9}


def test_what_was_written_over_does_not_count():
    _, records = read("acc", "acc 0.1\racc 0.2\racc 0.3\nacc 0.4\r\n")
    assert [record.figures["acc"] for record in records] == [0.3, 0.4]


def test_a_progress_bar_without_a_newline_is_followed_by_its_epochs():
    reader = MetricReader("acc")
    assert [record.epoch for record in reader.feed(b"\repoch 1 acc 0.1\r")] == [1]
    assert [record.epoch for record in reader.feed(b"epoch 2 acc 0.2\r")] == [2]


PRINTED = (
    "Epoch 1\nstep acc 0.1\racc 0.2\nval_acc 0.3\nacc 0.4\n\xff é acc: 0.5\r\n"
    '{"acc": 0.6, "epoch": 2}\nEpoch 3\n\x1b[1macc\x1b[0m=0.7 no newline'
)


@pytest.mark.parametrize("size", range(1, 12))
def test_it_does_not_matter_in_which_parts_the_output_comes(size):
    whole, records = read("acc", PRINTED)
    parts, found = read("acc", PRINTED, size=size)
    assert parts.value == whole.value == 0.7
    assert [record for record in found if record.figures["acc"] != 0.1] == records
    assert parts.tail == whole.tail


def test_bytes_that_are_no_text_hide_nothing():
    assert value_in("acc", b"\xff\xfe\x00 caf\xe9 acc: 0.5 \x80\n\xff") == 0.5


def test_memory_is_bounded_whatever_is_printed():
    reader, block = MetricReader("acc"), b"x " * 2**15  # 64 kB without a newline
    reader.feed(block)
    tracemalloc.start()
    for _ in range(800):  # 50 MB
        reader.feed(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MAX_LINE
    reader.feed(b"acc: 0.5")
    reader.finish()
    assert reader.value == 0.5


def test_of_a_line_that_is_too_long_no_part_of_a_word_is_read():
    end = "acc: 0.5 ".ljust(MAX_LINE // 2, "y")  # what is kept begins within val_acc
    assert value_in("acc", "x" * MAX_LINE + " val_" + end) is None


def test_of_very_many_lines_the_last_of_each_part_count(monkeypatch):
    monkeypatch.setattr("trainers.commands.output.MAX_PARSED", 100)
    reader = MetricReader("acc")
    reader.feed(b"acc 0.1\n" * 101)
    records = reader.feed(b"acc 0.2\n" * 1000 + b"epoch 9\nacc 0.3\nacc none\n")
    assert reader.value == 0.3
    assert len(records) < 1000
    assert records[-1].epoch == 9


def test_the_tail_is_what_a_terminal_would_show():
    reader, _ = read("acc", b"a" * 2 * TAIL_BYTES + b"\n10%\r\x1b[32m100%\x1b[0m\r\nend \xff\n\n")
    assert reader.tail.splitlines()[1:] == ["100%", "end �"]
    assert shown(b"") == ""


def test_figures_are_named_for_people():
    assert names_in('acc 0.5\nval_acc: 0.3, n=4\n{"a": {"b": 1}, "c": "text"}\nval_acc: 1') == ["val_acc", "n", "a.b"]


# Patterns


def test_a_pattern_finds_what_no_name_marks():
    reader, records = read("acc", "Epoch 2\nscore 0.1 then 0.5 of 3\n\xff\nscore 0.4 then 70%\n", r"then (\S+)")
    assert reader.value == 70
    assert [(record.epoch, record.figures) for record in records] == [(2, {"acc": 0.5}), (2, {"acc": 70.0})]


def test_a_match_that_is_no_number_does_not_count():
    assert value_in("acc", "score 0.5\nscore none\n", r"score (\w+\.?\d*)") == 0.5


def test_a_pattern_is_searched_in_the_end_of_a_long_line():
    assert value_in("acc", "x" * 10**6 + " acc 0.5", r"acc (\S+)") == 0.5


@pytest.mark.parametrize("pattern", [r"acc: ([0-9.]+)", r"(?:acc|val) ([0-9]+(?:\.[0-9]+)?)%", r"^.*acc=(\S+).*$"])
def test_a_pattern_with_one_group_passes(pattern):
    check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["acc", "(acc): (.*)"])
def test_a_pattern_needs_one_group(pattern):
    with pytest.raises(
        RecipeError, match=f"a pattern must have one group, around the metric: got '{re.escape(pattern)}'"
    ):
        check_pattern(pattern)


def test_a_pattern_must_be_a_regular_expression():
    with pytest.raises(
        RecipeError, match=r"must be a regular expression of Python: got 'acc: \(', missing \), untermi"
    ):
        check_pattern("acc: (")


@pytest.mark.parametrize("pattern", ["(a+)+b", r"((?:\w+\s?)*)$", "(?:(x{2,})y?)*"])
def test_a_pattern_whose_search_may_not_end_is_refused(pattern):
    with pytest.raises(RecipeError, match="must not repeat what it repeats, which can take forever"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("metric", "line", "names"),
    [
        ("acc", "val acc: 0.90 train acc: 0.99", ["val acc", "train acc"]),
        ("acc", "epoch 3, acc 0.9, best acc: 0.95", ["acc", "best acc"]),
        ("loss", "train: loss=0.5 | val: loss=0.6", ["train loss", "val loss"]),
    ],
)
def test_figures_of_one_name_that_other_words_tell_apart_are_not_chosen_from(metric, line, names):
    reader, records = read(metric, f"{metric}: 0.1\n{line}\n")
    assert reader.ambiguous == names
    assert len(records) == 1
    assert read(metric, f"{line}\n{metric}: 0.1\n")[0].ambiguous == []
