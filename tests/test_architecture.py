"""Which part may import which: by fresh interpreters, and by reading every import that is written down.

torch ◄── seqnorm ◄── trainers ◄── search ◄── service          A ◄── B: B imports A
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("seqnorm", "trainers", "search", "service")
HEAVY = {"torch", "torchvision", "ray", "optuna"}
HEAVY_FILES = {"search.engine.ray_executor", "search.store.trials"}  # of search; they are imported when they are needed

SQLALCHEMY_FILES = {  # outside search/store/
    f"service/accounts/{noun}.py" for noun in ("tokens", "sessions", "idempotency", "audit")
}


@dataclass(frozen=True)
class Import:
    """An import as it is written in a file."""

    file: str  #: from the root, e.g. ``search/plan.py``
    importer: str  #: e.g. ``search.plan.stages``
    name: str  #: the module imported, e.g. ``search.plan.spec`` or ``ray.tune``
    at_start: bool  #: whether it runs when the importer is imported

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(file): file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))}


def read_imports(module: str, file: Path) -> list[Import]:
    written = file.relative_to(ROOT).as_posix()
    tree = ast.parse(file.read_text())
    return [Import(written, module, name, at_start) for name, at_start in imports_below(tree, module, file, True)]


def imports_below(node: ast.AST, module: str, file: Path, at_start: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_start) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                parents = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
                base = ".".join([*parents[: len(parents) + 1 - child.level], *base.split(".")]).rstrip(".")
            yield from (
                (found if (found := f"{base}.{alias.name}") in FILES else base, at_start) for alias in child.names
            )
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from imports_below(ast.Module([statement], []), module, file, False)
            for statement in child.orelse:
                yield from imports_below(ast.Module([statement], []), module, file, at_start)
        else:
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_below(child, module, file, at_start and not deferred)


IMPORTS = [found for module, file in FILES.items() for found in read_imports(module, file)]


def reachable(module: str) -> set[str]:
    """Name every module, ours or not, that importing one of ours brings in."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [imported.name for imported in IMPORTS if imported.importer == name and imported.at_start]
    return found


def loaded_by(*modules: str) -> set[str]:
    """Name the modules that a fresh interpreter holds after importing some of ours."""
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def tops(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


# In fresh interpreters


def test_the_layers_load_no_other_part():
    loaded = tops(loaded_by("seqnorm"))
    assert "torch" in loaded
    assert loaded & {"trainers", "search", "service", "ray", "optuna", "sqlalchemy", "pydantic"} == set()


def test_descriptors_and_the_contracts_of_recipes_load_neither_torch_nor_numpy():
    descriptors = [name for name in FILES if name.startswith("trainers.descriptors")]
    assert {"trainers.descriptors.mnist_simplenet", "trainers.descriptors.digits_mlp"} <= set(descriptors)
    loaded = tops(loaded_by("trainers.recipe", "trainers.trial", "trainers.groups", *descriptors))
    assert loaded & {*HEAVY, "numpy", "seqnorm", "search", "service"} == set()
    assert loaded - tops(loaded_by("sys")) - sys.stdlib_module_names == {"trainers"}


@pytest.mark.parametrize(
    "module",
    [
        "search.plan.spec",
        "search.plan.stages",
        "search.plan.selection",
        "search.plan.sequence",
        "search.store.queries",
        "search.engine.worker",
        "search.cli.app",
    ],
)
def test_light_files_of_the_search_load_no_heavy_third_party(module):
    assert tops(loaded_by(module)) & {*HEAVY, "seqnorm", "service"} == set()


def test_the_command_line_loads_the_client_of_a_service_only_to_work_there():
    commands = [name for name in FILES if name.startswith("search.cli.") and name != "search.cli.__main__"]
    assert "httpx2" not in tops(loaded_by(*commands))


def test_the_web_service_loads_no_heavy_third_party():
    modules = [name for name in FILES if name.startswith("service.") and name != "service.__main__"]
    loaded = loaded_by("service", *modules)
    assert tops(loaded) & {*HEAVY, "seqnorm"} == set()
    assert loaded & HEAVY_FILES == set()


# As written


def test_the_imports_of_this_repository_are_read():
    assert any(i.importer == "search.engine.ray_executor" and i.top == "ray" and i.at_start for i in IMPORTS)
    assert any(
        i.importer == "search.engine.driver" and i.name == "search.engine.ray_executor" and not i.at_start
        for i in IMPORTS
    )
    assert {"search.plan.stages", "search.plan.spec", "trainers.recipe", "pydantic"} <= reachable(
        "search.plan.sequence"
    )


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("seqnorm", {"trainers", "search", "service"}),
        ("trainers", {"search", "service"}),
        ("search", {"service"}),
    ],
)
def test_no_part_imports_one_that_builds_on_it(package, forbidden):
    inside = [found for found in IMPORTS if found.importer.partition(".")[0] == package]
    assert inside
    assert [(found.file, found.name) for found in inside if found.top in forbidden] == []


def test_the_layers_import_torch_and_the_standard_library_only():
    outside = {found.top for found in IMPORTS if found.importer.partition(".")[0] == "seqnorm"}
    assert outside - sys.stdlib_module_names == {"torch", "seqnorm"}


def test_nobody_imports_the_tests():
    assert [(found.file, found.name) for found in IMPORTS if found.top == "tests"] == []


@pytest.mark.parametrize(
    ("third_party", "owners"),
    [
        ("ray", {"search/engine/ray_executor.py"}),
        ("optuna", {"search/store/trials.py"}),
        ("httpx2", {"search/client.py", "search/actions/webhooks.py"}),
        ("prometheus_client", {"service/middleware/metrics.py"}),
    ],
)
def test_few_files_own_each_third_party_that_others_need_not_know(third_party, owners):
    assert {found.file for found in IMPORTS if found.top == third_party} == owners


@pytest.mark.parametrize("package", ["seqnorm", "trainers", "search", "service"])
def test_sqlalchemy_stays_in_the_store_but_for_a_list_that_only_shrinks(package):
    files = {found.file for found in IMPORTS if found.top in ("sqlalchemy", "alembic")}
    outside = {file for file in files if file.startswith(f"{package}/") and not file.startswith("search/store/")}
    assert outside - SQLALCHEMY_FILES == set()


def test_torch_is_imported_by_the_layers_and_by_training_code_only():
    assert {found.importer.partition(".")[0] for found in IMPORTS if found.top in ("torch", "torchvision")} <= {
        "seqnorm",
        "trainers",
    }


def test_the_web_service_imports_light_files_of_the_search_only():
    for module in FILES:
        if module.partition(".")[0] == "service":
            assert reachable(module) & HEAVY_FILES == set(), module


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_module_neither_reads_settings_nor_changes_the_environment(package):
    for module, file in FILES.items():
        if module.partition(".")[0] == package and file.name != "__main__.py":
            for statement in run_at_import(ast.parse(file.read_text())):
                assert not reads_settings(statement), f"{file}:{statement.lineno} reads settings at import"
                assert not sets_environment(statement), f"{file}:{statement.lineno} sets the environment at import"


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when a module is imported: everything but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not is_program(child):
            yield from run_at_import(child)


def is_program(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


def reads_settings(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("read_settings", "getenv")


def sets_environment(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    changed = [ast.unparse(target) for target in targets if target is not None]
    if isinstance(node, ast.Call):
        changed.append(ast.unparse(node.func).replace("environ.get", ""))
    return any("os.environ" in name or name == "os.putenv" for name in changed)


def test_no_modules_import_each_other_in_a_circle():
    graph: dict[str, set[str]] = {module: set() for module in FILES}
    for found in IMPORTS:
        if found.name in FILES and found.name != found.importer:  # within functions as well
            graph[found.importer].add(found.name)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' → '.join(error.args[1])}")
