"""The tests of a module are where one looks for them: in the file of its name, in folders as its package has them."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_COUNTED = ("__init__", "__main__")
AT_LEAST = 0.7  # of a package's modules


def modules_of(package: str) -> list[Path]:
    """List a package's modules, from the root; migrations are run by every test of the store."""
    files = (file.relative_to(ROOT) for file in sorted((ROOT / package).rglob("*.py")))
    return [file for file in files if file.stem not in NOT_COUNTED and "migrations" not in file.parts]


def file_for(module: Path) -> Path:
    """Name the file for a module's tests: tests/search/store/test_leases.py for search/store/leases.py."""
    return Path("tests") / module.with_name(f"test_{module.name}")


def has_tests(file: Path) -> bool:
    return (ROOT / file).is_file() and "def test_" in (ROOT / file).read_text()


@pytest.mark.parametrize("package", ["search", "service"])
def test_most_modules_of_a_package_have_a_test_file_of_their_name(package: str) -> None:
    modules = modules_of(package)
    assert len(modules) > 10
    without = [module.as_posix() for module in modules if not has_tests(file_for(module))]
    share = 1 - len(without) / len(modules)
    assert share >= AT_LEAST, f"{share:.0%} of {package} have one; these have none: {', '.join(without)}"
