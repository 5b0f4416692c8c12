"""What ``import seqnorm`` brings into a fresh interpreter."""

import subprocess
import sys


def imported_by(statement):
    """Name the top-level modules that a fresh interpreter holds after a statement."""
    program = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(finished.stdout.split())


def test_seqnorm_imports_torch_and_the_standard_library_only():
    brought = imported_by("from seqnorm import SeqNorm, convert") - imported_by("import torch")
    assert brought - sys.stdlib_module_names == {"seqnorm"}
