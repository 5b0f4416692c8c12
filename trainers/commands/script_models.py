"""Where a script makes its models, and which norms they have. Standard library only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from trainers.commands.script import FUNCTIONS, Script

METHODS_THAT_RETURN_THE_MODEL = {"to", "cuda", "cpu", "half", "float", "double", "bfloat16", "train", "eval", "xpu"}
#: what a norm can no longer be swapped in, by the last word of the name
WRAPPERS = {"DistributedDataParallel", "DDP", "FullyShardedDataParallel", "FSDP", "fully_shard", "script", "trace"}
COPIES = {"deepcopy", "AveragedModel", "ModelEMA", "ModelEmaV2", "ModelEmaV3", "ExponentialMovingAverage"}
PACKAGES_OF_MODELS = ("torchvision.models", "timm", "torch.hub", "torch.nn.Sequential", "segmentation_models_pytorch")
MODULES = ("Module", "Sequential", "PreTrainedModel")  # ends of the names of classes that are models
DATA = "DataModule"  # Lightning's, which is none
NAMES = {"model", "net", "network", "classifier", "regressor", "cnn", "mlp", "resnet"}
NOT_MODELS = ("loss", "criterion", "metric", "optim", "sched", "transform", "aug")
NORMS = ("BatchNorm", "SyncBatchNorm", "GroupNorm", "LayerNorm", "InstanceNorm", "RMSNorm", "LocalResponseNorm")
#: begins of the names of models of torchvision without BatchNorm
WITHOUT_BATCH_NORM = ("alexnet", "squeezenet", "vgg", "vit_", "swin_", "convnext")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A statement that makes a model."""

    name: str  #: as written, e.g. ``model`` or ``self.net``
    statement: ast.stmt
    bare: ast.expr | None  #: the model inside its wrapper; None if it is not wrapped


@dataclass(frozen=True, kw_only=True)
class Norm:
    """A norm, or a factory of models that may have norms, in a script."""

    line: int
    text: str
    swapped: bool | None  #: whether ``convert`` swaps it; None if that cannot be told from here


def find_models(script: Script) -> list[Model]:
    """Return where models are made: those whose parameters are trained, else those of a known kind, else of a name."""
    classes = _classes_of_models(script)
    found = [*_assigned_calls(script, classes)]
    trained = _names_with_parameters(script)
    by_parameters = [model for model, _ in found if model.name in trained]
    by_kind = [model for model, call in found if _makes_a_model(call, script, classes)]
    by_name = [model for model, _ in found if model.name.rpartition(".")[2].lower() in NAMES]
    chosen = by_parameters or by_kind or by_name
    return [model for model in chosen if not _made_by_one_of(model, chosen, script)]


def _assigned_calls(script: Script, classes: set[str]) -> Iterator[tuple[Model, ast.Call]]:
    """Yield what the result of a call is assigned to, with the call, outside of models."""
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if any(isinstance(each, ast.ClassDef) and each.name in classes for each in script.ancestors(node)):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = [*zip(target.elts, node.value.elts, strict=False)]
        for each, value in pairs:
            bare, wrapped = _unwrap(value, script)
            call = _core(bare)
            if isinstance(each, ast.Name | ast.Attribute) and isinstance(call, ast.Call):
                name = script.text(each)
                if not any(word in name.lower() for word in NOT_MODELS) and not _takes_a_model(call, name, script):
                    yield Model(name=name, statement=node, bare=bare if wrapped else None), call


def _unwrap(value: ast.expr, script: Script) -> tuple[ast.expr, bool]:
    """Return what is inside of wrappers such as DistributedDataParallel, and whether there are any."""
    core = _core(value)
    if isinstance(core, ast.Call) and core.args and _is_wrapper(core, script):
        return _unwrap(core.args[0], script)[0], True
    return value, False


def _core(value: ast.expr) -> ast.expr:
    """Return the call that makes an object which ``.to(device)`` and the like return."""
    while (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in METHODS_THAT_RETURN_THE_MODEL
        and isinstance(value.func.value, ast.Call)
    ):
        value = value.func.value
    return value


def _names_with_parameters(script: Script) -> set[str]:
    """Return what has its ``parameters()`` taken, usually by an optimizer."""
    return {
        script.text(node.value)
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("parameters", "named_parameters")
    }


def _takes_a_model(call: ast.Call, name: str, script: Script) -> bool:
    """Whether a call takes a model that is there: ``model = DataParallel(model)``, ``ema = deepcopy(model)``."""
    inside = {script.text(node) for node in ast.walk(call) if isinstance(node, ast.Name | ast.Attribute)}
    return name in inside or script.qualified(call.func).rpartition(".")[2] in COPIES


def _makes_a_model(call: ast.Call, script: Script, classes: set[str], depth: int = 0) -> bool:
    """Whether a call makes a model for certain: of a class or function of the script, or of a known package."""
    name = script.qualified(call.func) or script.qualified(_factory(call.func))
    if name.startswith(PACKAGES_OF_MODELS) or ".from_pretrained" in name or ".from_config" in name or name in classes:
        return True
    function = script.functions.get(name)
    if function is None or depth > 5:
        return False
    returned = [_core(node.value) for node in script.own_nodes(function) if isinstance(node, ast.Return) and node.value]
    return any(isinstance(each, ast.Call) and _makes_a_model(each, script, classes, depth + 1) for each in returned)


def _factory(function: ast.expr) -> ast.expr:
    """Return where a model is looked up: ``models.__dict__[name](…)``, ``getattr(models, name)(…)``."""
    if isinstance(function, ast.Subscript):
        base = function.value
        return base.value if isinstance(base, ast.Attribute) and base.attr == "__dict__" else base
    if isinstance(function, ast.Call) and function.args and isinstance(function.func, ast.Name):
        return function.args[0] if function.func.id == "getattr" else function.func
    return function


def _classes_of_models(script: Script) -> set[str]:
    """Return the names of the script's classes that are modules of torch."""
    classes = [node for node in ast.walk(script.tree) if isinstance(node, ast.ClassDef)]
    found: set[str] = set()
    for _ in classes:  # a class may be written before its base
        for each in classes:
            bases = [script.qualified(base) for base in each.bases]
            if any(base in found or (base.endswith(MODULES) and not base.endswith(DATA)) for base in bases):
                found.add(each.name)
    return found


def _made_by_one_of(model: Model, chosen: list[Model], script: Script) -> bool:
    """Whether a function of the script makes the model in which another place was found already."""
    value = model.statement.value if isinstance(model.statement, ast.Assign | ast.AnnAssign) else None
    core = _core(model.bare or value) if value is not None else None
    function = script.functions.get(script.qualified(core.func)) if isinstance(core, ast.Call) else None
    return function is not None and any(function in script.ancestors(each.statement) for each in chosen)


def place(model: Model, models: list[Model], script: Script) -> ast.stmt:
    """Return the statement after which a model is there: a whole ``if`` if each of its branches makes it."""
    found: ast.stmt = model.statement
    same = [each.statement for each in models if each.name == model.name and each.bare is None]
    for around in script.ancestors(model.statement):
        if isinstance(around, (*FUNCTIONS, ast.ClassDef, ast.Module)):
            break
        makes = [each for each in same if around in script.ancestors(each)]
        if isinstance(around, ast.If) and len(makes) > 1 and not _wraps(around, script):
            found = around
    return found


def _wraps(node: ast.AST, script: Script) -> bool:
    """Whether a model is wrapped inside a statement."""
    return any(isinstance(each, ast.Call) and _is_wrapper(each, script) for each in ast.walk(node))


def _is_wrapper(call: ast.Call, script: Script) -> bool:
    name = script.qualified(call.func)
    return name.rpartition(".")[2] in WRAPPERS or name == "torch.compile"


def find_norms(script: Script) -> list[Norm]:
    """Return the norms that a script names, and the models that it takes from torchvision and timm."""
    found = []
    for node in ast.walk(script.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(getattr(node, "ctx", None), ast.Load):
            name = script.qualified(node)
            last = name.rpartition(".")[2].removeprefix("Lazy")
            if last.startswith(NORMS) and last.rstrip("123d") in NORMS:
                around = script.parent(node)
                shown = around if isinstance(around, ast.Call) and around.func is node else node
                swapped = "BatchNorm" in last and not name.rpartition(".")[2].startswith("Lazy")
                found.append(Norm(line=node.lineno, text=script.text(shown), swapped=swapped))
        elif isinstance(node, ast.Call):
            name = script.qualified(node.func) or script.qualified(_factory(node.func))
            if name.startswith(("torchvision.models", "timm.create_model", "timm.models", "torch.hub.load")):
                last = name.rpartition(".")[2]
                without = last.startswith(WITHOUT_BATCH_NORM) and not last.endswith("_bn")
                known = name.startswith("torchvision.models.") and last != "get_model"
                swapped_ = None if not known or last == "__dict__" else not without
                found.append(Norm(line=node.lineno, text=script.text(node), swapped=swapped_))
    return sorted(found, key=lambda norm: norm.line)
