"""The trial of a script: what it reads from the environment, and what it tells a search or a person."""

import copy
import functools
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, nn

import seqnorm
from seqnorm.trial import Trial, trial

MODULE = sys.modules["seqnorm.trial"]  # the name seqnorm.trial is the function


@pytest.fixture(autouse=True)
def by_hand(monkeypatch, tmp_path):
    """Run each test in a folder of its own, as the only process."""
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", *MODULE.VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(MODULE, "_trial", None)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "reports"


def in_search(file, **variables):
    return Trial({"SEQNORM_REPORTS": str(file), **{f"SEQNORM_{name}": value for name, value in variables.items()}})


def read(file):
    return [json.loads(line) for line in file.read_text().splitlines() if line]


# What it reads


def test_by_hand_a_trial_is_the_baseline():
    found = Trial({})
    assert (found.gm, found.gc, found.seed, found.split) == (1, 0, 0, "validation")


def test_variables_set_the_point_the_seed_and_the_split():
    names = {"SEQNORM_GM": "4", "SEQNORM_GC": " 2 ", "SEQNORM_SEED": "1000", "SEQNORM_SPLIT": "test"}
    found = Trial(names)
    assert (found.gm, found.gc, found.seed, found.split) == (4, 2, 1000, "test")


def test_empty_variables_are_as_those_that_are_not_set():
    assert Trial(dict.fromkeys(MODULE.VARIABLES, "")).gm == 1


@pytest.mark.parametrize("value", ["four", "-1", "2.5", "٤", "9" * 19])
@pytest.mark.parametrize("name", ["SEQNORM_GM", "SEQNORM_GC", "SEQNORM_SEED"])
def test_a_variable_that_is_no_whole_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number from 0: got '{value}'\. Set e\.g\. {name}="):
        Trial({name: value})


def test_another_split_is_refused():
    with pytest.raises(ValueError, match=r"^SEQNORM_SPLIT must be validation or test: got 'train'\. Leave it out"):
        Trial({"SEQNORM_SPLIT": "train"})


def test_every_call_copy_and_pickle_is_the_same_trial(monkeypatch):
    monkeypatch.setenv("SEQNORM_GM", "8")
    with ThreadPoolExecutor(8) as threads:
        found = [job.result() for job in [threads.submit(trial) for _ in range(16)]]
    copies = [copy.deepcopy(found[0]), pickle.loads(pickle.dumps(found[0])), seqnorm.trial()]
    assert {id(each) for each in [*found, *copies]} == {id(found[0])}
    assert repr(found[0]) == "Trial(gm=8, gc=0, seed=0)"


# Its folder


def test_by_hand_each_point_has_a_folder_where_the_script_was_started(tmp_path, monkeypatch):
    points = [Trial({}), Trial({"SEQNORM_GM": "4", "SEQNORM_GC": "2"}), Trial({"SEQNORM_SPLIT": "test"})]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert not (tmp_path / "trial").exists()
    names = ["gm1-gc0-seed0", "gm4-gc2-seed0", "gm1-gc0-seed0-test"]
    assert [each.folder for each in points] == [tmp_path / "trial" / name for name in names]
    assert all(each.folder.is_dir() for each in points)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(OSError, match=r"^the trial's folder must be one that can be made: got .*/taken \(File exists"):
        Trial({"SEQNORM_FOLDER": "taken"}).folder  # noqa: B018


# Its norm


@pytest.mark.parametrize(
    ("gm", "gc", "made"),
    [
        ("1", "0", "GhostNorm"),
        ("4", "0", "GhostNorm"),
        ("4", "2", "SeqNorm"),
        ("0", "2", "GroupNorm"),
        ("0", "0", "Identity"),
    ],
)
def test_the_norm_is_the_layer_of_the_point(gm, gc, made):
    layer = Trial({"SEQNORM_GM": gm, "SEQNORM_GC": gc}).norm(8)
    assert type(layer).__name__ == made
    if made != "Identity":
        assert (layer.num_channels, getattr(layer, "gm", 0), getattr(layer, "gc", 0)) == (8, int(gm), int(gc))


def test_gm_0_alone_is_no_normalization():
    assert type(Trial({"SEQNORM_GM": "0"}).norm(8)) is nn.Identity


@pytest.mark.parametrize("size", [(6, 8), (6, 8, 5, 5)], ids=["vectors", "images"])
@pytest.mark.parametrize("training", [True, False])
def test_gm_0_with_gc_is_the_groupnorm_of_torch_in_values_and_gradients(size, training):
    ours, theirs = nn.Sequential(nn.BatchNorm2d(8, eps=1e-3)).double(), nn.GroupNorm(4, 8, eps=1e-3).double()
    with torch.no_grad():
        theirs.weight.copy_(torch.arange(8)), theirs.bias.copy_(1 - torch.arange(8))
    ours[0].load_state_dict(theirs.state_dict(), strict=False)
    point = Trial({"SEQNORM_GM": "0", "SEQNORM_GC": "4"})
    seqnorm.convert(ours, functools.partial(point.norm, uneven="single"))
    x = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found, expected = ours.train(training)(x), theirs.train(training)(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    gradients = [
        torch.autograd.grad(output.pow(3).sum(), (x, *layer.parameters()))
        for output, layer in ((found, ours), (expected, theirs))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-10)


def test_a_model_is_converted_with_the_norm_and_with_options_of_it():
    def swap(norm):
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1e-3))
        assert len(seqnorm.convert(model, norm).swapped) == 1
        return model[1]

    found = Trial({"SEQNORM_GM": "4", "SEQNORM_GC": "2"})
    assert float(swap(found.norm).eps) == 1e-3
    assert swap(functools.partial(found.norm, uneven="unequal")).uneven == "unequal"
    assert isinstance(swap(Trial({"SEQNORM_GM": "0"}).norm), nn.Identity)


@pytest.mark.parametrize("options", [{}, {"uneven": "single"}])
def test_a_width_that_the_point_does_not_fit_ends_the_conversion_and_leaves_the_model(options):
    model = nn.Sequential(nn.BatchNorm2d(6), nn.BatchNorm2d(8))
    norm = functools.partial(Trial({"SEQNORM_GC": "3"}).norm, **options)
    with pytest.raises(seqnorm.InvalidGroups, match=r"^gc must divide the channels: got gc=3 for 8 channels\."):
        seqnorm.convert(model, norm)
    assert [type(layer) for layer in model] == [nn.BatchNorm2d, nn.BatchNorm2d]


# What it reports


def test_in_a_search_reports_are_lines_of_json(file, capsys):
    found = in_search(file)
    found.report(epoch=0, accuracy=0.5, loss=2)
    found.report(epoch=1, **{"val/top-1": math.nan})
    found.finish(0.93)
    assert capsys.readouterr().out == ""
    assert [str(line) for line in read(file)] == [
        "{'epoch': 0, 'figures': {'accuracy': 0.5, 'loss': 2.0}}",
        "{'epoch': 1, 'figures': {'val/top-1': nan}}",
        "{'result': 0.93}",
    ]


def test_by_hand_reports_are_printed(capsys):
    found = Trial({})
    found.report(epoch=3, accuracy=0.91234567, loss=math.inf)
    found.finish(0.93)
    assert capsys.readouterr().out == "epoch 3: accuracy=0.912346, loss=inf\nresult: 0.93\n"


def test_scalars_of_numpy_and_torch_are_figures(file):
    found = in_search(file)
    weight = torch.ones(1, requires_grad=True)
    found.report(epoch=np.int64(1), a=np.float32(0.5), b=torch.tensor([[2]]), c=weight.sum(), d=np.array([3.0]), e=True)
    found.report(epoch=2.0, a=np.bool_(False))  # as libraries count parts of epochs
    assert read(file) == [
        {"epoch": 1, "figures": {"a": 0.5, "b": 2.0, "c": 1.0, "d": 3.0, "e": 1.0}},
        {"epoch": 2, "figures": {"a": 0.0}},
    ]


@pytest.mark.parametrize(
    ("epoch", "metrics", "message"),
    [
        (
            0.5,
            {"a": 1},
            r"epoch must be a whole number from 0 to 2147483647: got 0\.5\. Count the epochs, or the steps",
        ),
        (-1, {"a": 1}, r"epoch must be a whole number from 0 .* got -1\."),
        (True, {"a": 1}, r"epoch must be a whole number .* got True\."),
        ("3", {"a": 1}, r"epoch must be a whole number .* got '3'\."),
        (math.nan, {"a": 1}, r"epoch must be a whole number .* got nan\."),
        (2**31, {"a": 1}, r"epoch must be a whole number .* got 2147483648\."),
        (
            1,
            {},
            r"a report must have from 1 to 100 metrics: got 0\. Write e\.g\. trial\.report\(epoch=epoch, accuracy=",
        ),
        (1, {str(number): 1 for number in range(101)}, "a report must have from 1 to 100 metrics: got 101"),
        (1, {"a": "0.9"}, r"a must be a number: got '0\.9'\. Convert it with float\(\)"),
        (1, {"a": None}, "a must be a number: got None"),
        (1, {"a": [0.9]}, r"a must be a number: got \[0\.9\]"),
        (1, {"a": 1j}, "a must be a number: got 1j"),
        (1, {"a": 10**400}, "a must be a number: got 1000"),
        (1, {"a": np.zeros(3)}, "a must be a number: got array"),
        (1, {"a": torch.zeros(2, 3)}, r"a must be one number: got a tensor of shape \(2, 3\)\. Pass e\.g\. its mean"),
        (1, {"": 1}, "the name of a metric must have 1 to 100 printable characters: got ''"),
        (1, {"a\nb": 1}, r"the name of a metric must .* got 'a\\nb'\. Rename it"),
    ],
)
def test_what_is_no_report_is_refused_in_a_sentence(file, epoch, metrics, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        in_search(file).report(epoch=epoch, **metrics)
    assert not file.exists()


def test_a_report_without_an_epoch_is_refused():
    with pytest.raises(TypeError, match="keyword-only argument: 'epoch'"):
        Trial({}).report(accuracy=0.9)


def test_a_trial_has_one_result_and_goes_on_reporting(file):
    found = in_search(file)
    found.finish(0.5)
    found.finish(torch.tensor(0.5))
    found.report(epoch=9, accuracy=0.4)
    with pytest.raises(ValueError, match=r"^a trial has one result: got 0\.5 before and 0\.6 now\. Call finish once"):
        found.finish(0.6)
    assert read(file) == [{"result": 0.5}, {"epoch": 9, "figures": {"accuracy": 0.4}}]


def test_reading_the_split_is_told_once(file):
    found = in_search(file, SPLIT="test")
    assert (str(found), file.exists()) == ("Trial(gm=1, gc=0, seed=0)", False)
    assert [found.split, found.split] == ["test", "test"]
    assert read(file) == [{"split": "test"}]


def test_reports_find_their_file_after_a_change_of_folder_and_from_any_thread(tmp_path, monkeypatch):
    found = in_search("reports")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda epoch: found.report(epoch=epoch, accuracy=0.5), range(200)))
    assert sorted(line["epoch"] for line in read(tmp_path / "reports")) == [*range(200)]


def test_only_the_first_process_reports(file, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    for found in (in_search(file, SPLIT="test"), Trial({})):
        found.report(epoch=1, accuracy=found.split == "test")
        found.finish(0.5)
    assert (file.exists(), capsys.readouterr().out) == (False, "")
    with pytest.raises(ValueError, match="a must be a number"):
        found.report(epoch=1, a="text")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:  # the processes that were started as a group know better than a variable
        in_search(file).finish(0.5)
    finally:
        distributed.destroy_process_group()
    assert read(file) == [{"result": 0.5}]


# What can go wrong


def test_a_report_that_cannot_be_written_is_written_with_the_next(tmp_path):
    found = in_search(tmp_path / "away" / "reports")
    with pytest.warns(UserWarning, match=r"^a report could not be written to .*/away/reports \(No such file"):
        found.report(epoch=1, accuracy=0.1)
    found.report(epoch=2, accuracy=0.2)
    with pytest.raises(OSError, match=r"^the result must be written: got No such file or directory at .*Make room"):
        found.finish(0.3)
    (tmp_path / "away").mkdir()
    found.finish(0.3)
    assert [line.get("epoch") for line in read(tmp_path / "away" / "reports")] == [1, 2, None, None]


def test_a_line_that_a_full_disk_cuts_off_does_not_spoil_the_next(file, monkeypatch):
    found, write = in_search(file), os.write
    monkeypatch.setattr(os, "write", lambda opened, data: write(opened, data[:5]))
    with pytest.warns(UserWarning, match="No space left on device"):
        found.report(epoch=1, accuracy=0.1)
    monkeypatch.undo()
    found.report(epoch=2, accuracy=0.2)
    cut, *lines = [line for line in file.read_text().splitlines() if line]
    assert (cut, [json.loads(line)["epoch"] for line in lines]) == ('{"epo', [1, 2])


def test_what_could_not_be_written_is_tried_at_the_end_and_else_fails_the_script(tmp_path, capsys, monkeypatch):
    found = in_search(tmp_path / "away" / "reports")
    with pytest.warns(UserWarning, match="could not be written"):
        found.report(epoch=1, accuracy=0.1)
    found._send_last()
    assert capsys.readouterr().err.startswith("error: the last 1 reports could not be written to ")
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    found._fail_if_lost()
    in_search(tmp_path / "reports")._fail_if_lost()
    assert codes == [1], "else the search would take an older figure"


@pytest.fixture
def hook(monkeypatch):
    """The exceptions that the hook of before was called with."""
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: seen.append(error))
    return seen


def raised(raiser):
    try:
        raiser()
    except Exception as error:
        return error


def refuse():
    seqnorm.GhostNorm(4, gm=3)(torch.zeros(4, 4))


def refuse_in_another_words():
    try:
        refuse()
    except ValueError as error:
        raise RuntimeError("the step failed") from error


def fail_after_a_refusal():
    try:
        refuse()
    except ValueError:
        raise RuntimeError("out of memory")  # noqa: B904


def refuse_in_a_replica():
    raise seqnorm.InvalidGroups(
        f"Caught InvalidGroups in replica 0.\nTraceback:\n  …\nseqnorm.checks.InvalidGroups: {raised(refuse)}"
    )


@pytest.mark.parametrize("raiser", [refuse, refuse_in_another_words, refuse_in_a_replica])
def test_a_script_that_the_layers_end_tells_the_search_their_sentence(file, monkeypatch, hook, raiser):
    monkeypatch.setenv("SEQNORM_REPORTS", str(file))
    monkeypatch.setenv("RANK", "1")  # whichever process meets it first
    trial()
    error = raised(raiser)
    sys.excepthook(type(error), error, error.__traceback__)
    assert hook == [error]
    (line,) = read(file)
    assert line["refused"].startswith("gm must divide the batch: got gm=3 for 4 samples. Drop the last")


@pytest.mark.parametrize("raiser", [fail_after_a_refusal, lambda: 1 / 0])
def test_other_errors_are_left_to_the_hook_of_before(file, monkeypatch, hook, raiser):
    monkeypatch.setenv("SEQNORM_REPORTS", str(file))
    trial()
    error = raised(raiser)
    sys.excepthook(type(error), error, error.__traceback__)
    assert (hook, file.exists()) == ([error], False)


def test_by_hand_no_hook_is_installed(hook):
    before = sys.excepthook
    trial()
    assert sys.excepthook is before


# Its end


@pytest.fixture
def default_sigterm():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_from_the_first_look_at_should_stop_a_signal_sets_it(default_sigterm):
    found = Trial({})
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not found.should_stop
    signal.raise_signal(signal.SIGTERM)
    assert found.should_stop


def test_a_thread_cannot_take_the_signal_and_the_main_thread_can_later(default_sigterm):
    found, seen = Trial({}), []
    thread = threading.Thread(target=lambda: seen.append(found.should_stop))
    thread.start()
    thread.join()
    assert (seen, signal.getsignal(signal.SIGTERM)) == ([False], signal.SIG_DFL)
    assert not found.should_stop
    signal.raise_signal(signal.SIGTERM)
    assert found.should_stop


def test_a_handler_of_the_script_stays(default_sigterm):
    called = []
    signal.signal(signal.SIGTERM, lambda *_: called.append(1))
    found = Trial({})
    assert not found.should_stop
    signal.raise_signal(signal.SIGTERM)
    assert (called, found.should_stop) == ([1], False)


SCRIPT = """
import os, signal, time
import torch, seqnorm
trial = seqnorm.trial()
trial.should_stop
ready, say = os.pipe()
loader = os.fork()  # as data loaders are
if loader == 0:
    os.write(say, b"1")  # Python forgets signals that come before this
    time.sleep(60)
    os._exit(0)
os.read(ready, 1)
os.kill(loader, signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(loader, 0)[1]) == -signal.SIGTERM
os.kill(os.getpid(), signal.SIGTERM)
assert trial.should_stop
trial.report(epoch=0, accuracy=torch.tensor(0.5))
trial.norm(4)(torch.zeros(5, 4))
"""


def test_a_script_in_a_search_is_told_to_stop_ends_its_loaders_and_says_why_it_ended(file, tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    variables = {
        **os.environ,
        "SEQNORM_GM": "2",
        "SEQNORM_REPORTS": str(file),
        "PYTHONPATH": str(Path(seqnorm.__file__).parents[1]),
    }
    words = [sys.executable, "train.py"]
    ended = subprocess.run(words, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("seqnorm.checks.InvalidGroups: gm must divide the batch: got gm=2")
    report, refusal = read(file)
    assert report == {"epoch": 0, "figures": {"accuracy": 0.5}}
    assert refusal["refused"].startswith("gm must divide the batch: got gm=2 for 5 samples.")
