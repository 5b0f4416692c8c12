"""The lines that a script needs to be tuned: scripts in the manner of many, and what is added to each."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest

from trainers.commands.analysis import Analysis, analyze
from trainers.commands.script import UnreadableScript

CONVERT = "seqnorm.convert(model, trial.norm)"
TRIAL = ["import seqnorm", "trial = seqnorm.trial()"]
MODEL = "import torch\nmodel = torch.nn.BatchNorm1d(4)\n"


def added(source: str) -> list[str]:
    """Return the texts of what is added to a script."""
    return [change.text for change in analyze(dedent(source)).changes]


def changed(source: str) -> str:
    return analyze(dedent(source)).source


def notes(source: str) -> str:
    return "\n".join(analyze(dedent(source)).notes)


PLAIN = """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
x = torch.randn(64, 4)
y = (x.sum(1) > 0).long()
train = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, drop_last=True)
model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for inputs, labels in train:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
    correct = (model.eval()(x).argmax(1) == y).sum().item()
    model.train()
    print(f"epoch {epoch}: accuracy {correct / len(x):.4f}")
"""

IN_FUNCTIONS = '''\
"""Trains."""
from __future__ import annotations
import argparse, torch
import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.out = nn.Linear(8, 2)
    def forward(self, x):
        return self.out(self.norm(self.hidden(x)))

def train(model, x, y, optimizer, epoch):
    model.train()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()

def test(model, x, y):
    model.eval()
    test_loss = 0
    correct = 0
    with torch.no_grad():
        for i in range(2):
            test_loss += nn.functional.cross_entropy(model(x), y).item()
            correct += (model(x).argmax(1) == y).sum().item()
    test_loss /= 2
    print('Average loss: {:.4f}, Accuracy: {}/{} ({:.0f}%)'.format(
        test_loss, correct, 2 * len(x),
        100. * correct / (2 * len(x))))

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args([])
    torch.manual_seed(args.seed)
    x, y = torch.randn(32, 4), torch.randint(2, (32,))
    model = Net().to("cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(1, 3):
        train(model, x, y, optimizer, epoch)
        test(model, x, y)

if __name__ == '__main__':
    main()
'''

REGRESSION = """\
import torch
from torch import nn
x = torch.randn(32, 1)
net = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
opt = torch.optim.Adam(net.parameters())
epoch = 0
while epoch < 2:
\tloss = ((net(x) - x) ** 2).mean()
\topt.zero_grad()
\tloss.backward()
\topt.step()
\twith torch.no_grad():
\t\tval_mse = ((net(x) - x) ** 2).mean()
\tepoch += 1"""


def run(analysis: Analysis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a changed script by hand, with gm 4; return what it prints of its trial."""
    import seqnorm  # noqa: F401

    monkeypatch.setattr(sys.modules["seqnorm.trial"], "_trial", None)
    monkeypatch.setenv("SEQNORM_GM", "4")
    exec(compile(analysis.source, "train.py", "exec"), {"__name__": "__main__"})
    return [line for line in capsys.readouterr().out.splitlines() if "=" in line]


@pytest.mark.parametrize(
    ("source", "texts", "epochs"),
    [
        (
            PLAIN,
            [*TRIAL, "torch.manual_seed(trial.seed)", CONVERT, "trial.report(epoch=epoch, accuracy=correct / len(x))"],
            ["epoch 0: accuracy=", "epoch 1: accuracy="],
        ),
        (
            IN_FUNCTIONS,
            [
                *TRIAL,
                "return 100. * correct / (2 * len(x))",
                CONVERT,
                "trial.report(epoch=epoch, accuracy=test(model, x, y))",
            ],
            ["epoch 1: accuracy=", "epoch 2: accuracy="],
        ),
        (
            REGRESSION,
            [*TRIAL, "seqnorm.convert(net, trial.norm)", "trial.report(epoch=epoch, loss=val_mse)"],
            ["epoch 0: loss=", "epoch 1: loss="],
        ),
    ],
    ids=["at the top", "in functions", "with tabs, without a last line end"],
)
def test_a_changed_script_runs_by_hand(
    source: str,
    texts: list[str],
    epochs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    analysis = analyze(source)
    assert [change.text for change in analysis.changes] == texts
    printed = run(analysis, monkeypatch, capsys)
    assert [line.partition("=")[0] + "=" for line in printed] == epochs


@pytest.mark.parametrize("source", [PLAIN, IN_FUNCTIONS, REGRESSION], ids=["top", "functions", "tabs"])
def test_a_script_that_was_changed_needs_nothing_more(source: str) -> None:
    again = analyze(changed(source))
    assert (again.tuned, again.changes, again.diff(again.source, "train.py")) == (True, (), "")
    assert again.reported == analyze(source).reported


def test_a_change_is_shown_with_its_line_and_reason_and_as_a_diff() -> None:
    analysis = analyze(PLAIN)
    lines = [(change.line, change.reason.partition(" ")[0]) for change in analysis.changes]
    assert lines == [(4, "the"), (4, "the"), (5, "else"), (10, "this"), (20, "the")]
    assert analysis.diff(PLAIN, "train.py").startswith("--- train.py\n+++ train.py\n@@ -1,12 +1,15 @@\n import torch\n")


# Where the model is made


@pytest.mark.parametrize(
    ("made", "converted"),
    [
        ("model = torchvision.models.resnet18()\n", CONVERT),
        ("model = timm.create_model(name).cuda()\n", CONVERT),
        ("model = torch.nn.parallel.DistributedDataParallel(Net().to(0), device_ids=[0])\n", None),
        ("net = Net(); print(net)\n", "seqnorm.convert(net, trial.norm)"),
        ("model: Net = Net()\n", CONVERT),
        ("criterion = Net()\nmodel = Net()\nmodel = torch.nn.DataParallel(model)\n", CONVERT),
        ("model = get_network(args)\noptimizer = create_optimizer(model)\n", CONVERT),
        ("teacher = Net()\nstudent = Net()\nSGD(student.parameters())\n", "seqnorm.convert(student, trial.norm)"),
        ("model = models.__dict__[name]()\n", CONVERT),
        ("model = getattr(models, name)(10)\n", CONVERT),
        ("model = Net()\nema = deepcopy(model)\nzip(ema.parameters(), model.parameters())\n", CONVERT),
    ],
)
def test_a_model_is_converted_where_it_is_made(made: str, converted: str | None) -> None:
    script = f"import torch, timm, torchvision\nfrom torchvision import models\nclass Net(torch.nn.Module): ...\n{made}"
    conversions = [text for text in added(script) if "convert" in text]
    assert conversions == [converted or "seqnorm.convert(Net().to(0), trial.norm).model"]


def test_a_model_that_is_wrapped_at_once_is_converted_inside() -> None:
    script = """\
        import torch
        from torch.nn.parallel import DistributedDataParallel as DDP
        from nets import Net
        model = torch.compile(DDP(Net(3).to(rank), device_ids=[rank]))
        optimizer = SGD(model.parameters())
        """
    line = "model = torch.compile(DDP(seqnorm.convert(Net(3).to(rank), trial.norm).model, device_ids=[rank]))"
    assert line in changed(script).splitlines()


def test_a_model_of_several_branches_is_converted_after_them() -> None:
    script = """\
        from torchvision import models
        def main(args):
            if args.pretrained:
                model = models.__dict__[args.arch](weights="DEFAULT")
            elif args.small:
                model = models.resnet18()
            else:
                model = models.__dict__[args.arch]()
            model = DDP(model)
        """
    lines = changed(script).splitlines()
    assert lines.count(f"    {CONVERT}") == 1
    assert lines.index(f"    {CONVERT}") == lines.index("    model = DDP(model)") - 1


def test_a_branch_that_wraps_its_model_is_converted_alone() -> None:
    script = """\
        from nets import Net
        if parallel:
            model = DDP(Net())
        else:
            model = Net()
        SGD(model.parameters())
        """
    lines = changed(script).splitlines()
    assert lines[4:8] == [
        "    model = DDP(seqnorm.convert(Net(), trial.norm).model)",
        "else:",
        "    model = Net()",
        f"    {CONVERT}",
    ]


def test_a_model_is_converted_in_the_function_that_makes_it_and_not_again() -> None:
    script = """\
        import torch
        def build():
            net = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
            return net
        model = build()
        model.cuda()
        """
    assert [text for text in added(script) if "convert" in text] == ["seqnorm.convert(net, trial.norm)"]


def test_a_model_that_is_an_attribute_is_converted_and_parts_of_models_are_not() -> None:
    script = """\
        import torch
        class Part(torch.nn.Module):
            def __init__(self):
                self.inner = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
                self.inner.parameters()
        class Trainer:
            def __init__(self):
                self.model = Part().cuda()
                self.optimizer = torch.optim.SGD(self.model.parameters())
        """
    assert [text for text in added(script) if "convert" in text] == ["seqnorm.convert(self.model, trial.norm)"]


def test_several_models_are_all_converted_and_named() -> None:
    script = "from nets import G, D\nnetG, netD = G(), D()\nopt(netG.parameters()); opt(netD.parameters())\n"
    assert added(script)[2:] == ["seqnorm.convert(netG, trial.norm)", "seqnorm.convert(netD, trial.norm)"]
    assert "there are 2 models: netG, netD. Leave out convert for those whose norms are not tuned." in notes(script)


# Where the figure is


@pytest.mark.parametrize(
    ("loop", "report"),
    [
        ("for epoch in range(9):\n    val_acc = validate()", "trial.report(epoch=epoch, accuracy=val_acc)"),
        ("for e in tqdm(range(args.epochs)):\n    loss, acc = test()", "trial.report(epoch=e, accuracy=acc)"),
        ("for ep in trange(9):\n    top1, top5 = test()", "trial.report(epoch=ep, accuracy=top1)"),
        ("for _ in range(num_epochs):\n    auc = test()", "trial.report(epoch=epoch, auc=auc)"),
        ("for _ in range(num_epochs):\n    auc = test(_)", "trial.report(epoch=_, auc=auc)"),
        ("for epoch, rate in enumerate(rates):\n    acc = test()", "trial.report(epoch=epoch, accuracy=acc)"),
        ("while self.epoch < 9:\n    acc = f()\n    self.epoch += 1", "trial.report(epoch=self.epoch, accuracy=acc)"),
        ("for epoch in range(9):\n    if epoch % 5 == 0: acc = test()", "trial.report(epoch=epoch, accuracy=acc)"),
        ("for epoch in range(9):\n    train_acc = t()\n    val_loss = v()", "trial.report(epoch=epoch, loss=val_loss)"),
        ("for epoch in range(9):\n    tl, ta = train_acc()\n    acc = evaluate()\n    best_acc = max(best_acc, acc)",
         "trial.report(epoch=epoch, accuracy=acc)"),
        ("for epoch in range(9):\n    loss, acc = fit(loader)\n    l2, a2 = 0, 0\n    err = evaluate(val_loader)",
         "trial.report(epoch=epoch, loss=err)"),
        ("for epoch in range(9):\n    m = evaluate()\n    log(m['f1'], top1.avg)",
         "trial.report(epoch=epoch, accuracy=top1.avg)"),
        ("for epoch in range(9):\n    m = evaluate()\n    print(f'{m[\"val_f1\"]:.3f}')",
         "trial.report(epoch=epoch, f1=m['val_f1'])"),
        ("for epoch in range(9):\n    print('acc', hits / total, flush=True)",
         "trial.report(epoch=epoch, accuracy=hits / total)"),
        ("for i in range(9):\n    for x in loader:\n        loss = f(x)\n        loss.backward()",
         "trial.report(epoch=i, loss=loss)"),
        ("for epoch in range(9):\n    print('loss: %.3f' % (sum(losses) / 28))",
         "trial.report(epoch=epoch, loss=sum(losses) / 28)"),
        ("for epoch in range(9):\n    losses = {s: f(s) for s in ('train', 'val')}", None),
        ("def test():\n    return OrderedDict([('top1', top1.avg)])\nfor epoch in range(9):\n    m = test()", None),
        ("def test():\n    return loss, acc\nfor epoch in range(9):\n    m = test()", None),
        ("for epoch in range(9):\n    accs = []\n    loss_fn = g()\n    best_acc = h()\n    hist['acc'] = k()", None),
        ("for x in loader:\n    loss = f(x)\n    loss.backward()", None),
    ],
)  # fmt: skip
def test_the_figure_of_an_epoch_is_reported(loop: str, report: str | None) -> None:
    found = [text for text in added(f"{MODEL}{loop}\n") if "report" in text]
    assert found == ([report] if report else [])


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("for x in val:\n        acc = f(x)", "        acc = f(x)"),
        ("with no_grad():\n        acc = f()", "        acc = f()"),
        ("with no_grad():\n        for x in val:\n            acc = f(x)\n        acc /= 2", "        acc /= 2"),
    ],
)
def test_a_figure_is_reported_outside_of_inner_loops_and_contexts(body: str, after: str) -> None:
    lines = changed(f"{MODEL}for epoch in range(9):\n    {body}\n    step()\n").splitlines()
    report = lines.index("    trial.report(epoch=epoch, accuracy=acc)")
    assert (lines[report - 1], lines[report + 1]) == (after, "    step()")


def test_a_figure_of_a_branch_is_reported_in_it() -> None:
    script = f"{MODEL}for epoch in range(9):\n    if rank == 0:\n        acc = validate()\n    step()\n"
    assert "        acc = validate()\n        trial.report(epoch=epoch, accuracy=acc)\n    step()" in changed(script)


def test_an_unnamed_epoch_is_given_a_name() -> None:
    script = f"{MODEL}for _ in range(num_epochs):\n    acc = validate()\n"
    assert "for epoch in range(num_epochs):" in changed(script)


def test_what_a_function_returns_is_the_figure_and_what_it_trains_on_is_not() -> None:
    script = f"""{MODEL}
def train():
    loss.backward()
    print(correct / total)
def evaluate():
    accuracy = 1 / 2
    return accuracy
for epoch in range(9):
    train()
    result = evaluate()
"""
    assert added(script)[-1] == "trial.report(epoch=epoch, accuracy=result)"


@pytest.mark.parametrize(
    ("figure", "note"),
    [
        ("train_acc = f()", "train_acc is of training data: report one of validation data if there is one."),
        (
            "test_acc = f()",
            "test_acc is of test data, by which points would be chosen: measure on validation data unless",
        ),
        ("for x in data: acc = f(x)", "acc is set in an inner loop, and its last value is reported:"),
        (
            "pass",
            "no figure was found in the loop over epochs in line 3: end it with trial.report(epoch=epoch, accuracy=…)",
        ),
    ],
)
def test_what_is_doubtful_about_a_figure_is_said(figure: str, note: str) -> None:
    assert note in notes(f"{MODEL}for epoch in range(9):\n    {figure}\n")


def test_the_last_of_several_loops_reports_and_repeated_epochs_are_named() -> None:
    loop = "for epoch in range(9):\n    acc = validate()\n"
    assert "there are 2 loops over epochs, in lines 3, 5: the last one reports." in notes(MODEL + loop + loop)
    folds = f"{MODEL}def run():\n    for epoch in range(9):\n        acc = f()\nfor fold in range(5):\n    run()\n"
    assert "the loop in line 6 repeats the epochs: the last figure of all counts." in notes(folds)


def test_what_counts_no_epochs_is_said() -> None:
    script = f"{MODEL}while not epoch_done():\n    acc = validate()\n"
    assert added(script)[-1] == "trial.report(epoch=0, accuracy=acc)"
    assert "nothing counts the epochs of the loop in line 3: replace epoch=0." in notes(script)


# Other people's loops


def test_of_lightning_the_logged_figure_is_the_result() -> None:
    script = """\
        import lightning as L
        from torch import nn
        class Data(L.LightningDataModule): ...
        class Lit(L.LightningModule):
            def __init__(self):
                self.net = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2))
            def validation_step(self, batch, index):
                self.log("train_loss", 1); self.log("val_loss", 1); self.log("val_acc", 1)
        L.seed_everything(7)
        model, data = Lit(), Data()
        trainer = L.Trainer(max_epochs=3)
        trainer.fit(model, data)
        """
    assert added(script)[2:] == [
        "L.seed_everything(trial.seed)",
        CONVERT,
        'trial.finish(trainer.callback_metrics["val_acc"])',
    ]
    unknown = "import pytorch_lightning as pl\nfrom lit import Lit\nmodel = Lit()\npl.Trainer().fit(model)\n"
    assert "Lightning's Trainer has the loop: after trainer.fit(…), trial.finish(" in notes(unknown)


def test_of_transformers_and_keras_it_is_said_where_to_report() -> None:
    transformers = """\
        from transformers import AutoModelForImageClassification, Trainer
        model = AutoModelForImageClassification.from_pretrained("microsoft/resnet-18")
        trainer = Trainer(model=model)
        trainer.train()
        """
    assert added(transformers) == [*TRIAL, CONVERT]
    assert 'end the script with trial.finish(trainer.evaluate()["eval_accuracy"])' in notes(transformers)
    keras = analyze("import keras\nmodel = keras.Sequential([keras.layers.BatchNormalization()])\nmodel.fit(x, y)\n")
    assert (keras.changes, keras.norms, len(keras.notes)) == ((), (), 1)
    assert keras.notes[0].startswith("convert takes models of PyTorch: got a script for Keras. Use the command form")


def test_a_script_of_nothing_known_gets_no_line_and_is_told_what_to_write() -> None:
    found = analyze("print(1)\n")
    assert (found.changes, found.source, found.tuned) == ((), "print(1)\n", False)
    assert [note.partition(":")[0] for note in found.notes][:2] == [
        "no line was found that makes the model",
        "no loop over epochs was found",
    ]


# What is there already


@pytest.mark.parametrize(
    ("there", "texts"),
    [
        ("import seqnorm\ntrial = seqnorm.trial()\n", [CONVERT, "trial.report(epoch=epoch, accuracy=acc)"]),
        ("import seqnorm as sn\n", ["trial = sn.trial()", "sn.convert(model, trial.norm)",
                                    "trial.report(epoch=epoch, accuracy=acc)"]),
        ("from seqnorm import trial\npoint = trial()\n", ["import seqnorm", "seqnorm.convert(model, point.norm)",
                                                         "point.report(epoch=epoch, accuracy=acc)"]),
        ("import seqnorm\ndef f():\n    t = seqnorm.trial()\n    t.report(epoch=1, a=1)\n",
         ["seqnorm.convert(model, seqnorm.trial().norm)"]),
        ("import optuna\ndef objective(trial): ...\n",
         ["import seqnorm", "seqnorm_trial = seqnorm.trial()", "seqnorm.convert(model, seqnorm_trial.norm)",
          "seqnorm_trial.report(epoch=epoch, accuracy=acc)"]),
    ],
)  # fmt: skip
def test_what_a_script_has_already_is_not_added_again(there: str, texts: list[str]) -> None:
    script = f"{there}import nets\nmodel = nets.Net()\nfor epoch in range(9):\n    acc = validate()\n"
    assert added(script) == texts
    compile(changed(script), "train.py", "exec")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("", "import seqnorm\ntrial = seqnorm.trial()\nmodel = Net()\n"),
        ("#!/usr/bin/env python\n# a comment\n", "#!/usr/bin/env python\n# a comment\nimport seqnorm\n"),
        ('"""Doc."""\n', '"""Doc."""\nimport seqnorm\n'),
        ("from __future__ import annotations\n", "from __future__ import annotations\nimport seqnorm\n"),
        ("import a; import b  # two\n", "import a; import b  # two\nimport seqnorm\n"),
        ("try:\n    import a\nexcept ImportError:\n    a = None\n", "    a = None\nimport seqnorm\n"),
    ],
)  # fmt: skip
def test_the_trial_is_made_after_the_imports_and_before_it_is_used(start: str, expected: str) -> None:
    assert expected in changed(f"{start}model = Net()\nimport late\n")


def test_line_ends_and_characters_stay_as_they_are() -> None:
    script = "import torch\r\nmodel = torch.nn.BatchNorm1d(4)  # größer\r\nname = 'ü\x0c'; torch.manual_seed(3)"
    source = analyze(script).source
    assert source.count("\r\n") == source.count("\n") == 5
    assert source.endswith(
        "# größer\r\nseqnorm.convert(model, trial.norm)\r\nname = 'ü\x0c'; torch.manual_seed(trial.seed)"
    )


# Seeds, norms, loaders


@pytest.mark.parametrize(
    ("line", "seeded"),
    [
        ("torch.manual_seed(3)", "torch.manual_seed(trial.seed)"),
        ("random.seed(3)", "random.seed(trial.seed)"),
        ("np.random.seed(3)", "np.random.seed(trial.seed)"),
        ("set_seed(SEED)", "set_seed(trial.seed)"),
        ("data_split(torch.Generator().manual_seed(3))", None),
    ],
)
def test_constant_seeds_become_those_of_the_trial_but_not_that_of_a_split(line: str, seeded: str | None) -> None:
    script = f"import random\nimport numpy as np\nimport torch\nSEED = 3\n{line}\n"
    assert [text for text in added(script) if "seed" in text] == ([seeded] if seeded else [])


@pytest.mark.parametrize("flag", ["--random-seed", "--manualSeed"])
def test_a_seed_of_the_command_line_is_left_to_it(flag: str) -> None:
    script = f"import torch\nparser.add_argument('-s', '{flag}')\ntorch.manual_seed(args.random_seed)\n"
    assert (added(script), analyze(script).seed_flag) == ([], flag)
    assert "seed by trial.seed in line 2: with one seed all" in notes("import torch\ntorch.manual_seed(config.seed)\n")
    assert "nothing sets a seed: torch.manual_seed(trial.seed) makes a trial repeatable." in notes("import torch\n")


def test_norms_are_listed_with_what_becomes_of_them() -> None:
    script = """\
        import torch.nn as nn
        from torch.nn import BatchNorm2d as BN, GroupNorm
        import torchvision
        from timm import create_model
        a = [BN(64), GroupNorm(4, 8), nn.LazyBatchNorm1d(), resnet(norm_layer=nn.SyncBatchNorm), batch_norm]
        b = [torchvision.models.resnet50(), torchvision.models.vit_b_16(), create_model(name)]
        """
    norms = analyze(dedent(script)).norms
    assert {norm.line for norm in norms} == {5, 6}
    assert {(norm.text, norm.swapped) for norm in norms} == {
        ("BN(64)", True),
        ("GroupNorm(4, 8)", False),
        ("nn.LazyBatchNorm1d()", False),
        ("nn.SyncBatchNorm", True),
        ("torchvision.models.resnet50()", True),
        ("torchvision.models.vit_b_16()", False),
        ("create_model(name)", None),
    }


def test_a_script_without_batch_norm_is_told_what_it_has() -> None:
    only = "import torch\nmodel = torch.nn.Sequential(torch.nn.LayerNorm(4))\n"
    assert "no BatchNorm was found, only torch.nn.LayerNorm(4) in line 2: convert leaves those." in notes(only)
    assert "no BatchNorm was found in this file. If the model is made elsewhere, print(" in notes("import torch\n")


def test_training_loaders_that_keep_an_incomplete_batch_are_named() -> None:
    script = "from torch.utils.data import DataLoader\n"
    keeps = "gm must divide every training batch: give the DataLoader in line 2 drop_last=True"
    assert keeps in notes(f"{script}a = DataLoader(b, shuffle=True)\n")
    assert keeps in notes(f"{script}train_loader = DataLoader(b)\n")
    for other in (
        "a = DataLoader(b)",
        "a = DataLoader(b, shuffle=True, drop_last=True)",
        "train = DataLoader(b, **{'drop_last': 1})",
    ):
        assert "DataLoader" not in notes(f"{script}{other}\n")


# What is no script


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:\n", "^invalid syntax in line 1$"),
        ("x = 1\nprint 'x'\n", "^Missing parentheses in call to 'print'.* in line 2$"),
        ("x = '\0'\n", "null bytes"),
        (f"x = {'-' * 100_000}1\n", "."),
        (f"x = {'+'.join('1' * 3000)}\n", "^expressions nested too deeply$"),
    ],
    ids=["syntax", "python 2", "null byte", "nested", "deep"],
)
def test_what_python_cannot_parse_is_refused_with_the_reason(source: str, message: str) -> None:
    with pytest.raises(UnreadableScript, match=message):
        analyze(source)
