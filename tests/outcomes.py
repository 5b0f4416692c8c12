"""``python -m tests.outcomes``: run each example as its README says, and write the outcome into it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("pytorch", "command", "torchrun", "timm_style", "regression")
BEGIN, END = "<!-- outcome: begin -->\n", "<!-- outcome: end -->"
LINE = re.compile(r"^seqnorm (tune .+)$", re.M)


def command_of(name: str) -> str:
    """Return the command of an example's README."""
    (command,) = LINE.findall((EXAMPLES / name / "README.md").read_text())
    return str(command)


def path_of_environment() -> str:
    """Return the PATH that an active environment has."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def write_outcome(name: str) -> None:
    """Run an example with a home of its own; replace the outcome in its README."""
    with tempfile.TemporaryDirectory() as home:
        start = time.monotonic()
        environ = {**os.environ, "PATH": path_of_environment(), "SEQNORM_HOME": home}
        words = ["bash", "-c", f"seqnorm {command_of(name)}"]
        done = subprocess.run(words, cwd=EXAMPLES / name, env=environ, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.monotonic() - start
    kept = done.stdout.partition("\nDatabase: ")[0].rstrip()
    readme = EXAMPLES / name / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(f"{before}{BEGIN}```\n{kept}\n```\n{END}{after}")
    print(f"{name}: {seconds:.0f} s")


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        write_outcome(each)
