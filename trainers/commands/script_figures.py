"""Where a script goes through its epochs, and which figure it has at their ends. Standard library only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from trainers.commands.script import LOOPS, Function, Loop, Script

EPOCH = re.compile(r"epoch|(^|_)ep(_|$)", re.IGNORECASE)
COUNTS = ("range", "trange", "count", "prange")  # of what a loop goes through, by the last word of the name
ACCURACY = {"acc", "accuracy", "top", "prec", "correct", "hits"}
SCORES = {"f1", "score", "auc", "auroc", "map", "miou", "iou", "dice", "psnr", "ssim", "bleu", "rouge", "r2", "mcc"}
LOSSES = {"loss", "nll", "mse", "rmse", "mae", "err", "error", "ppl", "perplexity", "wer"}
#: names with one of these are no figure of an epoch
OTHER = {"best", "max", "min", "prev", "last", "old", "history", "hist", "list", "fn", "func", "function", "weight"}
OTHER |= {"criterion", "scaler", "accs", "losses_list", "threshold", "target"}
METERS = {"avg", "average", "mean", "global_avg"}  # attributes of what averages over batches
CONTAINERS = (ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Tuple, ast.Set, ast.SetComp, ast.GeneratorExp)
CONTAINER_TYPES = {"dict", "OrderedDict", "defaultdict", "list", "tuple", "namedtuple", "deque"}
PRINTS = {"print", "info", "write", "log", "set_postfix", "add_scalar", "append", "debug", "success", "echo"}


class Split(IntEnum):
    """What a figure is measured on, the best first."""

    VALIDATION = 0
    TEST = 1
    UNKNOWN = 2
    TRAINING = 3


SPLITS = {
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluate"), Split.VALIDATION),
    **dict.fromkeys(("test", "testing"), Split.TEST),
    **dict.fromkeys(("train", "training", "tr", "fit", "step", "batch", "running"), Split.TRAINING),
}
Kind = Literal["accuracy", "score", "loss"]
KINDS: tuple[Kind, ...] = ("accuracy", "score", "loss")


@dataclass(frozen=True, kw_only=True)
class Reported:
    """How a figure is reported and compared."""

    metric: str  #: its name
    mode: Literal["max", "min"]  #: whether a higher or a lower one is better


@dataclass(frozen=True, kw_only=True)
class EpochLoop:
    """The loop over epochs."""

    node: Loop
    epoch: str | None  #: what counts the epochs, as written; None if nothing does
    unnamed: ast.Name | None = None  #: the ``_`` of ``for _ in range(epochs)``


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure that a script has once an epoch."""

    text: str  #: as written, e.g. ``val_acc`` or ``correct / total``
    name: str  #: to report it by: ``accuracy``, ``loss``, or the name of another score
    kind: Kind
    split: Split
    after: ast.stmt  #: the statement after which it is there
    depth: int = 0  #: loops inside the loop over epochs in which it is set: more than 0 is that of the last batch
    penalty: int = 0  #: of names that are less likely to be meant
    call: ast.expr | None = None  #: the call whose value it is, if no name has that
    returned_by: Function | None = None  #: the function that has to return it

    @property
    def reported(self) -> Reported:
        """How it is reported and compared."""
        return Reported(metric=self.name, mode=_mode(self.kind))

    @property
    def rank(self) -> tuple[int, ...]:
        """What the likeliest figure has least of."""
        return (self.depth > 0, self.split, KINDS.index(self.kind), self.penalty, len(self.text))


def find_loops(script: Script) -> list[EpochLoop]:
    """Return the loops over epochs, in the order of the script; those inside of another are left out."""
    scored = [(_score(node, script), node) for node in ast.walk(script.tree) if isinstance(node, LOOPS)]
    best = max((score for score, _ in scored), default=0)
    if best < 4:
        return []
    likely = [node for score, node in scored if score == best]
    outermost = [node for node in likely if not any(each in likely for each in script.ancestors(node))]
    return [_epoch_loop(node, script) for node in sorted(outermost, key=lambda node: node.lineno)]


def _score(node: Loop, script: Script) -> int:
    """Return how likely a loop goes through epochs; 4 or more is likely."""
    trains = 4 if _trains(node, script, set()) else 0
    if isinstance(node, ast.While):
        return (4 + trains) if EPOCH.search(script.text(node.test)) else 0
    named = any(EPOCH.search(name) for name in _words(script.text(node.target)))
    counts = _counts(node.iter, script)
    counts_epochs = counts and any(EPOCH.search(name) for name in _words(script.text(node.iter)))
    if not (counts or named):
        return 0  # a single pass over data
    return trains + 4 * named + 4 * counts_epochs


def _counts(iterated: ast.expr, script: Script) -> bool:
    """Whether a loop goes through numbers: ``range(…)``, ``tqdm(range(…))``, ``enumerate(range(…))``."""
    calls = [node for node in ast.walk(iterated) if isinstance(node, ast.Call)]
    return any(script.qualified(call.func).rpartition(".")[2] in COUNTS for call in calls)


def _trains(node: ast.AST, script: Script, seen: set[str]) -> bool:
    """Whether a backward pass is in a statement, or in a function of the script that it calls."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            name = each.func.attr if isinstance(each.func, ast.Attribute) else script.qualified(each.func)
            if name == "backward":
                return True
            called = script.functions.get(name)
            if called is not None and name not in seen:
                seen.add(name)
                if _trains(called, script, seen):
                    return True
    return False


def _epoch_loop(node: Loop, script: Script) -> EpochLoop:
    if isinstance(node, ast.While):
        names = [each for each in ast.walk(node.test) if isinstance(each, ast.Name | ast.Attribute)]
        counting = [script.text(each) for each in names if EPOCH.search(script.text(each))]
        counted = {script.text(each.target) for each in ast.walk(node) if isinstance(each, ast.AugAssign)}
        return EpochLoop(node=node, epoch=next((name for name in counting if name in counted), None))
    target = node.target.elts[0] if isinstance(node.target, ast.Tuple) and node.target.elts else node.target
    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}
    if isinstance(target, ast.Name) and not target.id.strip("_") and target.id not in used:
        return EpochLoop(node=node, epoch=None, unnamed=target)
    is_name = isinstance(target, ast.Name | ast.Attribute)
    return EpochLoop(node=node, epoch=script.text(target) if is_name else None)


def find_figure(script: Script, loop: EpochLoop) -> Figure | None:
    """Return the figure at the end of an epoch that is most likely to be compared, or None."""
    found = [*_figures_in(loop.node, script), *_figures_of_calls(loop.node, script)]
    return min(found, key=lambda figure: figure.rank, default=None)


def likeliest(names: list[str]) -> tuple[str, Reported] | None:
    """Return which of the names of figures is the likeliest to be compared, and how; None if none is a figure's."""
    kinds = {name: _kind(_words(name)) for name in names}
    rated = [((_split_of([name]), KINDS.index(kind)), name, kind) for name, kind in kinds.items() if kind is not None]
    if not rated:
        return None
    _, name, kind = min(rated)
    return name, Reported(metric=_name(kind, _words(name)), mode=_mode(kind))


def _figures_in(inside: ast.AST, script: Script) -> Iterator[Figure]:
    """Yield the figures that a loop or a function sets or prints."""
    for node in script.own_nodes(inside):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value and _is_computed(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = [each for target in targets for each in getattr(target, "elts", [target])]
            split = _split_of([*map(script.text, named), *_called(node.value, script)])
            for each in named:
                if isinstance(each, ast.Name | ast.Attribute):
                    yield from _figure(each, node, inside, script, split)
        elif isinstance(node, ast.Call) and _last_name(node.func) in PRINTS:
            for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
                for part in _expressions(each):
                    yield from _figure(part, script.statement(node), inside, script, _split_of([script.text(each)]))


def _is_computed(value: ast.expr) -> bool:
    """Whether a value is a number, and more than the zero that a sum begins with."""
    return not _is_container(value) and any(
        isinstance(each, ast.Call | ast.BinOp | ast.Name) for each in ast.walk(value)
    )


def _is_container(value: ast.expr) -> bool:
    """Whether a value holds figures and is none."""
    is_made = isinstance(value, ast.Call) and _last_name(value.func) in CONTAINER_TYPES
    return is_made or isinstance(value, CONTAINERS)


def _expressions(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the largest expressions of what is printed that may be figures."""
    is_meter = isinstance(node, ast.Attribute) and node.attr in METERS
    is_entry = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    is_text = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)  # '%.3f' % loss
    is_share = (
        isinstance(node, ast.BinOp)
        and not is_text
        and any(isinstance(each, ast.BinOp) and isinstance(each.op, ast.Div) for each in ast.walk(node))
    )
    if is_meter or is_entry or is_share:
        yield node
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _expressions(child)


def _figure(node: ast.expr, at: ast.stmt, inside: ast.AST, script: Script, split: Split) -> Iterator[Figure]:
    """Yield an expression as a figure, if its words are those of one."""
    text = script.text(node)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        words = _words(str(node.slice.value))
        base = _words(script.text(node.value))
    else:
        words, base = _words(text), []
    kind = _kind(words)
    is_count = isinstance(node, ast.Name | ast.Attribute) and {"correct", "hits"} & {*words}
    if kind is None or OTHER & {*words, *base} or is_count:
        return
    sums = len({"total", "sum", "running", "cum", "num"} & {*words}) if isinstance(node, ast.Name) else 0
    own = _split_of([text])
    yield Figure(
        text=text,
        name=_name(kind, words),
        kind=kind,
        split=split if own is Split.UNKNOWN else own,
        after=_place(at, inside, script),
        depth=sum(isinstance(each, LOOPS) for each in _between(at, inside, script)),
        penalty=sums + any(word.endswith("5") for word in words) + (not isinstance(node, ast.Name)),
    )


def _figures_of_calls(loop: Loop, script: Script) -> Iterator[Figure]:
    """Yield what functions of the script return, or only print: ``result = test(model)``, ``test(model, loader)``."""
    for node in script.own_nodes(loop):
        value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
        function = script.functions.get(_last_name(value.func)) if isinstance(value, ast.Call) else None
        if not isinstance(node, ast.stmt) or value is None or function is None:
            continue
        inner = any(isinstance(each, LOOPS) for each in _between(node, loop, script))
        if inner or any(isinstance(each, ast.Yield | ast.YieldFrom | ast.Await) for each in ast.walk(function)):
            continue
        for figure in _returned(function, script):
            split = _split_of([function.name])
            known = replace(figure, after=node, split=figure.split if split is Split.UNKNOWN else split)
            if isinstance(node, ast.Expr):
                yield replace(known, call=value, penalty=figure.penalty + 1)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and not figure.returned_by:
                yield replace(known, text=node.targets[0].id, penalty=figure.penalty + 1)


def _returned(function: Function, script: Script) -> Iterator[Figure]:
    """Yield the figures that a function returns, or could return as its last statement."""
    returns = [each for each in script.own_nodes(function) if isinstance(each, ast.Return) and each.value is not None]
    if len(returns) == 1 and returns[0].value is not None and not _is_container(returns[0].value):
        yield from _figure(returns[0].value, returns[0], function, script, Split.UNKNOWN)
    elif not returns and not isinstance(function.body[-1], ast.Return | ast.Raise | ast.While):
        for figure in _figures_in(function, script):
            # a name that is set in a loop over batches is there after it; a part of a branch may not be
            if figure.after in function.body and figure.depth == 0:
                yield replace(figure, returned_by=function)


def _between(node: ast.AST, inside: ast.AST, script: Script) -> Iterator[ast.AST]:
    """Yield what a node is in, up to a loop or function."""
    for each in script.ancestors(node):
        if each is inside:
            return
        yield each


def _place(at: ast.stmt, inside: ast.AST, script: Script) -> ast.stmt:
    """Return the statement after which a figure is there: after the loops and ``with`` blocks it is set in."""
    around = [*_between(at, inside, script)]
    loops = [each for each in around if isinstance(each, LOOPS)]
    found = loops[-1] if loops else at
    for each in around[around.index(found) + 1 if found in around else 0 :]:
        if not isinstance(each, ast.With | ast.AsyncWith):
            break
        found = each
    return found


def _words(text: str) -> list[str]:
    """Return the words of names: ``valAcc1`` and ``val_acc_1`` are val and acc."""
    parts = re.findall(r"[A-Za-z]+\d*", re.sub(r"([a-z])([A-Z])", r"\1_\2", text).replace("_", " "))
    return [
        part.lower() if part.lower() in SCORES or part.endswith("5") else part.lower().rstrip("0123456789")
        for part in parts
    ]


def _kind(words: list[str]) -> Kind | None:
    plain = {word.rstrip("0123456789") for word in words} | {*words}
    if plain & ACCURACY:
        return "accuracy"
    if plain & SCORES:
        return "score"
    return "loss" if plain & LOSSES or "losses" in plain else None


def _mode(kind: Kind) -> Literal["max", "min"]:
    return "min" if kind == "loss" else "max"


def _name(kind: Kind, words: list[str]) -> str:
    """Return the name to report a figure by."""
    if kind != "score":
        return kind
    return next(word for word in words if word in SCORES)


def _split_of(texts: list[str]) -> Split:
    """Return what a figure is measured on, by the words around it."""
    found = [SPLITS[word] for text in texts for word in _words(text) if word in SPLITS]
    return min(found, default=Split.UNKNOWN)


def _called(value: ast.expr, script: Script) -> list[str]:
    """Return the name of what an expression calls, or else its arguments."""
    if not isinstance(value, ast.Call):
        return []
    name = _last_name(value.func)
    return [name] if _split_of([name]) is not Split.UNKNOWN else [name, *map(script.text, value.args)]


def _last_name(node: ast.expr) -> str:
    """Return the last word of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
