"""Finds the lines that a training script needs to be tuned, by reading it; runs nothing. Standard library only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from io import StringIO

from trainers.commands.script import FUNCTIONS, LOOPS, Edit, Script, UnreadableScript
from trainers.commands.script_figures import (
    EpochLoop,
    Figure,
    Reported,
    Split,
    find_figure,
    find_loops,
    likeliest,
)
from trainers.commands.script_models import Norm, find_models, find_norms, place

SEEDING = (
    "torch.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "random.seed",
    "numpy.random.seed",
)
SEEDING_NAMES = ("seed_everything", "set_seed", "set_random_seed", "random_seed", "fix_seed")
LIGHTNING = ("lightning", "pytorch_lightning")
TRIAL = re.compile(r"\btrial\.(?=[a-z])")  # in a note, where the script may call it otherwise
KERAS = ("keras", "tensorflow", "tf_keras")


@dataclass(frozen=True, kw_only=True)
class Change:
    """A line to add to a script, or a part of one to change."""

    line: int  #: of the script as it is: the line that is changed, or before which a line is added
    text: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What a script needs to be tuned, and what was found in it."""

    source: str  #: the script with the changes; it compiles
    changes: tuple[Change, ...]  #: in the order of the script; none if nothing is to be added
    norms: tuple[Norm, ...]
    notes: tuple[str, ...]  #: what a person has to know or to do by hand
    tuned: bool  #: whether the script had a trial, its norm and a report already
    reported: Reported | None  #: the figure that the changes report
    seed_flag: str | None = None  #: the script's own flag for a seed

    def diff(self, original: str, name: str) -> str:
        """Return the changes as a unified diff."""
        before, after = (StringIO(text, newline="").readlines() for text in (original, self.source))
        lines = unified_diff(before, after, name, name)
        ends = (line if line.endswith(("\n", "\r")) else f"{line}\n\\ No newline at end of file\n" for line in lines)
        return "".join(ends)


@dataclass
class _Changes:
    """The changes found so far."""

    script: Script
    edits: list[Edit] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, reason: str, edit: Edit, text: str = "", *, first: bool = False) -> None:
        """Add an edit, and what to show of it; ``first`` puts it before others at the same place."""
        change = Change(
            line=self.script.line_of(edit), text=text or edit.text.strip().removeprefix("; "), reason=reason
        )
        place = 0 if first else len(self.edits)
        self.edits.insert(place, edit)
        self.changes.insert(place if first else len(self.changes), change)

    def wrap(self, reason: str, node: ast.expr, before: str, after: str) -> None:
        """Put text around an expression."""
        edits = self.script.wrap(node, before, after)
        self.edits += edits
        text = f"{before}{self.script.text(node)}{after}"
        self.changes.append(Change(line=self.script.line_of(edits[0]), text=text, reason=reason))


def analyze(source: str) -> Analysis:
    """Return what a script needs to be tuned.

    Raises:
        UnreadableScript: if Python cannot parse it.
    """
    try:
        return _analyze(Script(source))
    except RecursionError:
        raise UnreadableScript("expressions nested too deeply") from None


def _analyze(script: Script) -> Analysis:
    found = _Changes(script)
    tuned = _Tuned(script)
    keras = script.imports_package(*KERAS) and not script.imports_package("torch")
    reported = None
    if keras:
        found.notes.append(
            "convert takes models of PyTorch: got a script for Keras. Use the command form, which changes no line, or "
            'report the figure after fit: seqnorm.trial().finish(history.history["val_accuracy"][-1])'
        )
    else:
        if not tuned.has_norm:
            _add_convert(found, tuned)
        reported = tuned.reported if tuned.reports else _add_report(found, tuned)
        if not tuned.reads_seed:
            _add_seed(found, tuned)
    if found.edits:
        _add_trial(found, tuned)
    changes = sorted(found.changes, key=lambda change: change.line)
    norms = [] if keras else find_norms(script)
    notes = [*found.notes, *([] if keras or tuned.has_norm else _about_norms(norms)), *_about_loaders(script)]
    changed = script.apply(found.edits)
    compile(changed, "the changed script", "exec", dont_inherit=True)
    return Analysis(
        source=changed,
        changes=tuple(changes),
        norms=tuple(norms),
        notes=tuple(TRIAL.sub(f"{tuned.trial}.", note) for note in notes),
        tuned=tuned.has_trial and tuned.has_norm and tuned.reports,
        reported=reported,
        seed_flag=_seed_flag(script),
    )


class _Tuned:
    """Which of the lines a script has already."""

    def __init__(self, script: Script) -> None:
        made = [
            node
            for node in ast.walk(script.tree)
            if isinstance(node, ast.Call) and script.qualified(node.func) in ("seqnorm.trial", "seqnorm.trial.trial")
        ]
        assigned = [script.parent(call) for call in made]
        names = {
            target.id
            for each in assigned
            if isinstance(each, ast.Assign | ast.NamedExpr)
            for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
            if isinstance(target, ast.Name)
        }
        read = {
            node.attr
            for node in ast.walk(script.tree)
            if isinstance(node, ast.Attribute)
            and ((isinstance(node.value, ast.Name) and node.value.id in names) or node.value in made)
        }
        self.has_trial = bool(made)
        self.has_norm = bool(read & {"norm", "gm"})
        self.reports = bool(read & {"report", "finish"})
        self.reads_seed = "seed" in read
        reported = [
            keyword.arg
            for node in ast.walk(script.tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "report"
            for keyword in node.keywords
            if keyword.arg not in (None, "epoch")
        ]
        best = likeliest([str(name) for name in reported]) if self.reports else None
        #: how it is compared, by the name it is reported by
        self.reported = Reported(metric=best[0], mode=best[1].mode) if best else None
        self.module = next((name for name, of in script.imports.items() if of == "seqnorm"), "seqnorm")
        self.imports = "seqnorm" in script.imports.values()
        at_top = any(isinstance(script.parent(each), ast.Module) for each in assigned if each is not None)
        free = "trial" if "trial" not in script.names and "trial" not in script.functions else "seqnorm_trial"
        #: the trial as the added lines write it; every call of trial() returns the same
        self.trial = f"{self.module}.trial()" if made and not (names and at_top) else (sorted(names) or [free])[0]


def _add_trial(found: _Changes, tuned: _Tuned) -> None:
    """Add the import and the trial, after the imports at the start of the script and before what uses them."""
    script = found.script
    lines = [] if tuned.imports else ["import seqnorm"]
    lines += [] if tuned.has_trial else [f"{tuned.trial} = {tuned.module}.trial()"]
    earliest = min(edit.start for edit in found.edits)
    imports = [each for each in _leading_imports(script) if script.end(each) <= earliest]
    for line in reversed(lines):  # each goes before the one that was added last
        at = script.insert_after(imports[-1], line) if imports else script.insert_before(script.tree.body[0], line)
        of_trial = "the point and the seed: of the search, or by hand gm=1 and seed 0"
        found.add("the layers and the trial" if line == "import seqnorm" else of_trial, at, first=True)


def _leading_imports(script: Script) -> Iterator[ast.stmt]:
    """Yield the imports at the start of a script, and its docstring, up to the first definition or loop."""
    for index, statement in enumerate(script.tree.body):
        is_docstring = (
            index == 0
            and isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
        optional = isinstance(statement, ast.Try | ast.If) and all(
            isinstance(each, ast.Import | ast.ImportFrom) for each in statement.body
        )
        if isinstance(statement, ast.Import | ast.ImportFrom) or is_docstring or optional:
            yield statement
        elif not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.Try | ast.If):
            return


def _add_convert(found: _Changes, tuned: _Tuned) -> None:
    """Put this point's norms into the models."""
    script = found.script
    models = find_models(script)
    if not models:
        found.notes.append(
            "no line was found that makes the model: put seqnorm.convert(model, trial.norm) after it, before "
            "DistributedDataParallel and torch.compile."
        )
        return
    reason = "this point's norm for every BatchNorm, before DDP and torch.compile"
    done: set[tuple[str, ast.stmt]] = set()
    for model in models:
        if model.bare is not None:
            found.wrap(reason, model.bare, f"{tuned.module}.convert(", f", {tuned.trial}.norm).model")
            continue
        after = place(model, models, script)
        if (model.name, after) not in done:
            done.add((model.name, after))
            line = f"{tuned.module}.convert({model.name}, {tuned.trial}.norm)"
            found.add(reason, script.insert_after(after, line))
    names = [*dict.fromkeys(model.name for model in models)]
    if len(names) > 1:
        found.notes.append(
            f"there are {len(names)} models: {', '.join(names)}. Leave out convert for those whose norms are not tuned."
        )


def _add_report(found: _Changes, tuned: _Tuned) -> Reported | None:
    """Report the figure of each epoch; return how."""
    script = found.script
    if script.imports_package(*LIGHTNING):
        return _add_finish_of_lightning(found, tuned)
    loops = find_loops(script)
    if not loops:
        _explain_no_loop(found)
        return None
    loop = loops[-1]
    if len(loops) > 1:
        lines = ", ".join(str(each.node.lineno) for each in loops)
        found.notes.append(f"there are {len(loops)} loops over epochs, in lines {lines}: the last one reports.")
    if repeated := _repeats(loop, script):
        found.notes.append(f"the loop in line {repeated} repeats the epochs: the last figure of all counts.")
    figure = find_figure(script, loop)
    if figure is None:
        found.notes.append(
            f"no figure was found in the loop over epochs in line {loop.node.lineno}: end it with "
            "trial.report(epoch=epoch, accuracy=…), or let seqnorm read what the script prints (--metric, --pattern)."
        )
        return None
    _report(found, tuned, loop, figure)
    _explain_figure(found, figure)
    return figure.reported


def _repeats(loop: EpochLoop, script: Script) -> int | None:
    """Return the line of a loop around the epochs, or around a call of the function that they are in."""
    around = [*script.ancestors(loop.node)]
    functions = {each.name for each in around if isinstance(each, FUNCTIONS)}
    calls = (node for node in ast.walk(script.tree) if isinstance(node, ast.Call))
    for call in calls:
        if script.qualified(call.func) in functions:
            around += script.ancestors(call)
    return next((each.lineno for each in around if isinstance(each, LOOPS)), None)


def _report(found: _Changes, tuned: _Tuned, loop: EpochLoop, figure: Figure) -> None:
    """Add the line that reports a figure, and what it needs."""
    script = found.script
    epoch = loop.epoch
    if epoch is None and loop.unnamed is not None:
        epoch = "epoch" if "epoch" not in script.names else "trial_epoch"
        found.add("a name for the epoch", script.replace(loop.unnamed, epoch), f"for {epoch} in …")
    if epoch is None:
        epoch = "0"
        found.notes.append(f"nothing counts the epochs of the loop in line {loop.node.lineno}: replace epoch=0.")
    reason = "the figure of this epoch; the last one is compared"
    if figure.returned_by is not None:
        last = figure.returned_by.body[-1]
        found.add("the figure that it prints", script.insert_after(last, f"return {figure.text}"))
    start = f"{tuned.trial}.report(epoch={epoch}, {figure.name}="
    if figure.call is not None:
        found.wrap(reason, figure.call, start, ")")
    else:
        found.add(reason, script.insert_after(figure.after, f"{start}{figure.text})"))


def _explain_figure(found: _Changes, figure: Figure) -> None:
    if figure.depth:
        found.notes.append(
            f"{figure.text} is set in an inner loop, and its last value is reported: report a figure of the whole "
            "validation data if there is one."
        )
    elif figure.split is Split.TRAINING:
        found.notes.append(f"{figure.text} is of training data: report one of validation data if there is one.")
    elif figure.split is Split.TEST:
        found.notes.append(
            f"{figure.text} is of test data, by which points would be chosen: measure on validation data unless "
            'trial.split == "test", which is so in the last stage.'
        )


def _explain_no_loop(found: _Changes) -> None:
    """Say where to report in a script without a loop over epochs."""
    script = found.script
    if any(name.startswith("transformers") and "Trainer" in name for name in script.imports.values()):
        found.notes.append(
            'transformers.Trainer has the loop: end the script with trial.finish(trainer.evaluate()["eval_accuracy"]), '
            "or leave it as it is and use the command form."
        )
    elif script.imports_package(*KERAS):
        found.notes.append('fit has the loop: after it, trial.finish(history.history["val_accuracy"][-1]).')
    else:
        found.notes.append(
            "no loop over epochs was found: report the figure where it is measured, trial.report(epoch=1, accuracy=…), "
            "or at the end trial.finish(accuracy); or use the command form, which reads what the script prints."
        )


def _add_finish_of_lightning(found: _Changes, tuned: _Tuned) -> Reported | None:
    """Give the figure that a LightningModule logs, after ``trainer.fit``."""
    script = found.script
    calls = [
        node for node in ast.walk(script.tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    fits = [call for call in calls if call.func.attr == "fit" and isinstance(script.parent(call), ast.Expr)]  # type: ignore[attr-defined]
    logged = [call.args[0] for call in calls if call.func.attr == "log" and call.args]  # type: ignore[attr-defined]
    names = [str(name.value) for name in logged if isinstance(name, ast.Constant)]
    best = likeliest(names)
    if best is None or not fits:
        found.notes.append(
            "Lightning's Trainer has the loop: after trainer.fit(…), "
            'trial.finish(trainer.callback_metrics["val_acc"]) with a name that the module logs.'
        )
        return None
    name, reported = best
    trainer = script.text(fits[-1].func.value)  # type: ignore[attr-defined]
    line = f'{tuned.trial}.finish({trainer}.callback_metrics["{name}"])'
    found.add("the result: Lightning's Trainer has the loop", script.insert_after(script.statement(fits[-1]), line))
    return reported


def _add_seed(found: _Changes, tuned: _Tuned) -> None:
    """Seed by the trial instead of by a constant, by which all replicates would be the same."""
    script = found.script
    calls = [
        node
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Call)
        and node.args
        and ((name := script.qualified(node.func)) in SEEDING or name.rpartition(".")[2] in SEEDING_NAMES)
    ]
    constant = [
        call for call in calls if isinstance(call.args[0], ast.Constant) or _is_module_constant(call.args[0], script)
    ]
    for call in constant:
        edit = script.replace(call.args[0], f"{tuned.trial}.seed")
        found.add("else all replicates would be the same", edit, f"{script.text(call.func)}({edit.text})")
    if not calls:
        found.notes.append("nothing sets a seed: torch.manual_seed(trial.seed) makes a trial repeatable.")
    elif not constant and _seed_flag(script) is None:
        lines = ", ".join(str(call.lineno) for call in calls)
        found.notes.append(f"seed by trial.seed in line {lines}: with one seed all replicates are the same.")


def _is_module_constant(node: ast.expr, script: Script) -> bool:
    """Whether a name is a constant of the module, such as SEED."""
    return isinstance(node, ast.Name) and any(
        isinstance(each, ast.Assign)
        and isinstance(each.value, ast.Constant)
        and any(isinstance(target, ast.Name) and target.id == node.id for target in each.targets)
        for each in script.tree.body
    )


def _seed_flag(script: Script) -> str | None:
    """Return the flag that a script takes a seed by."""
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            for word in node.args:
                flag = str(word.value) if isinstance(word, ast.Constant) else ""
                if flag.startswith("--") and "seed" in flag.lower():
                    return flag
    return None


def _about_norms(norms: list[Norm]) -> Iterator[str]:
    """Say what ``convert`` does to the norms of a script."""
    if any(norm.swapped is not False for norm in norms):
        return
    if norms:
        shown = ", ".join(f"{norm.text} in line {norm.line}" for norm in norms[:3])
        yield (
            f"no BatchNorm was found, only {shown}: convert leaves those. Write trial.norm(channels) in their place to "
            "tune them."
        )
    else:
        yield (
            "no BatchNorm was found in this file. If the model is made elsewhere, "
            "print(seqnorm.convert(model, trial.norm)) says what was swapped; else write trial.norm(channels) after "
            "its layers."
        )


def _about_loaders(script: Script) -> Iterator[str]:
    """Say that gm must divide the last batch of an epoch too."""
    if any(isinstance(node, ast.Constant) and node.value == "drop_last" for node in ast.walk(script.tree)):
        return
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Call) and script.qualified(node.func).rpartition(".")[2] == "DataLoader":
            given = {keyword.arg: script.text(keyword.value) for keyword in node.keywords}
            around = script.text(script.statement(node)).partition("=")[0] + "".join(map(script.text, node.args))
            for_training = given.get("shuffle") == "True" or "train" in around
            if for_training and "drop_last" not in given:
                yield (
                    f"gm must divide every training batch: give the DataLoader in line {node.lineno} drop_last=True, "
                    'or swap by functools.partial(trial.norm, uneven="unequal").'
                )
