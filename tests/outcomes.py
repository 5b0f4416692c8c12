"""``python -m tests.outcomes``: run each example as its README says, and write the outcome into it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NAMES = ("pytorch", "command", "torchrun", "timm_style", "regression")
BEGIN, END = "<!-- outcome: begin -->\n", "<!-- outcome: end -->"
OF_THE_MACHINE = ("Command:", "Folder", "Database:", "Open the dashboard")  # lines with paths
LINE = re.compile(r"^seqnorm (tune .+)$", re.M)


def command_of(name: str) -> str:
    """Return the command of an example's README."""
    (command,) = LINE.findall((EXAMPLES / name / "README.md").read_text())
    return str(command)


def outcome_in(readme: Path) -> str:
    """Return the outcome that a README shows."""
    return readme.read_text().partition(BEGIN)[2].partition(END)[0]


def path_of_environment() -> str:
    """Return the PATH that an active environment has."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def without_paths(printed: str) -> str:
    """Return what a search printed, without the lines that differ on each machine."""
    return "\n".join(line.rstrip() for line in printed.splitlines() if not line.startswith(OF_THE_MACHINE))


def write_outcome(name: str) -> None:
    """Run an example with a home of its own; replace the outcome in its README."""
    with tempfile.TemporaryDirectory() as home:
        start = time.monotonic()
        environ = {**os.environ, "PATH": path_of_environment(), "SEQNORM_HOME": home, "COLUMNS": "110"}
        words = ["bash", "-c", f"seqnorm {command_of(name)}"]
        done = subprocess.run(words, cwd=EXAMPLES / name, env=environ, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.monotonic() - start
    outcome = without_paths(done.stdout)
    for readme in [EXAMPLES / name / "README.md", *([ROOT / "README.md"] if name == "pytorch" else [])]:
        before, _, rest = readme.read_text().partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}```\n{outcome}\n```\n{END}{rest.partition(END)[2]}")
    print(f"{name}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        write_outcome(each)
