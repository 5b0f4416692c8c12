"""``seqnorm init``: prints the lines that a script needs to be tuned, or writes them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tokenize
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

from search.cli.output import print_json, print_stderr
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.formatting import show_controls
from trainers.commands.analysis import Analysis, analyze
from trainers.commands.script import UnreadableScript

MAX_BYTES = 4 * 2**20  # of a script
GIT_SECONDS = 10.0
OTHER_PROGRAMS = "Tune any other program as a command, which changes no line of it."


def init_script(script: Path, write: bool, json: bool, program: str) -> None:
    """Print the lines that a script needs, as a diff, with the reasons on stderr; write them if asked.

    Raises:
        InvalidSpec: if it is no Python script, or cannot be written.
    """
    source, encoding = _read(script)
    try:
        analysis = analyze(source)
    except UnreadableScript as error:
        raise InvalidSpec(
            f"a script must be Python that compiles: got {error} of {script}. Correct it. {OTHER_PROGRAMS}"
        ) from None
    backup = _write(script, analysis.source.encode(encoding)) if write and analysis.changes else None
    diff = analysis.diff(source, str(script))
    if json:
        changes, norms = ([asdict(each) for each in found] for found in (analysis.changes, analysis.norms))
        reported = asdict(analysis.reported) if analysis.reported else None
        described = {"script": str(script), "changes": changes, "norms": norms, "notes": analysis.notes}
        written = write and bool(analysis.changes)
        print_json(
            {
                **described,
                "tuned": analysis.tuned,
                "reported": reported,
                "seed_flag": analysis.seed_flag,
                "diff": diff,
                "written": written,
                "backup": str(backup) if backup else None,
            }
        )
        return
    print(show_controls(diff), end="")
    for line in _explain(script, analysis):
        print_stderr(line)
    if analysis.changes and not write:
        print_stderr("Nothing was changed; write these lines with --write.")
    elif analysis.changes:
        print_stderr(f"{script} was changed; {f'{backup} is as it was' if backup else 'git has it as it was'}.")
    if analysis.changes or analysis.tuned:
        print_stderr(f"Tune it with: {_next_command(script, analysis, program)}")


def _read(script: Path) -> tuple[str, str]:
    """Return the text of a script, and its encoding.

    Raises:
        InvalidSpec: if it cannot be one.
    """
    if script.is_dir():
        inside = next((name for name in ("train.py", "main.py") if (script / name).is_file()), "train.py")
        raise InvalidSpec(f"init reads one script: got the folder {script}. Name a file in it, e.g. {script / inside}.")
    if script.suffix == ".ipynb":
        raise InvalidSpec(
            f"init reads Python scripts: got the notebook {script}. Save it as one, e.g. with jupyter nbconvert "
            "--to script."
        )
    if script.suffix not in (".py", ".pyw", ""):
        raise InvalidSpec(f"init reads Python scripts: got {script}. {OTHER_PROGRAMS}")
    try:
        with script.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidSpec(
            f"a script must be a file that can be read: got {script} ({error.strerror}). Name another."
        ) from None
    if len(data) > MAX_BYTES:
        raise InvalidSpec(f"a script has at most {MAX_BYTES // 2**20} MiB: got more in {script}. {OTHER_PROGRAMS}")
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
        return data.decode(encoding), encoding
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InvalidSpec(
            f"a script must be text in its encoding: got {script} ({error}). Save it as UTF-8. {OTHER_PROGRAMS}"
        ) from None


def _write(script: Path, data: bytes) -> Path | None:
    """Write a script; return the file that has it as it was, None if git has.

    Raises:
        InvalidSpec: if that is not possible; the script is then as it was.
    """
    file = script.resolve()  # a link stays one
    backup = None if _is_committed(file) else file.with_name(f"{file.name}.orig")
    if backup and backup.exists():
        raise InvalidSpec(f"--write keeps the script as {backup}: got a file of that name. Move it away.")
    writing = file.with_name(f"{file.name}.writing")
    try:
        if not os.access(file, os.W_OK):
            raise PermissionError(0, "it is read-only")
        writing.write_bytes(data)
        shutil.copymode(file, writing)
        if backup:
            shutil.copy2(file, backup)
        writing.replace(file)
    except OSError as error:
        writing.unlink(missing_ok=True)
        raise InvalidSpec(
            f"--write needs a script that can be changed: got {script} ({error.strerror}). Copy it elsewhere."
        ) from None
    return backup


def _is_committed(file: Path) -> bool:
    """Whether git has a file as it is: tracked, and without changes."""
    words = [
        "git",
        "--literal-pathspecs",
        "-C",
        str(file.parent),
        "status",
        "--porcelain",
        "--ignored",
        "--",
        file.name,
    ]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        asked = subprocess.run(words, env=environment, capture_output=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):  # no git, or one that does not answer
        return False
    return asked.returncode == 0 and not asked.stdout


def _explain(script: Path, analysis: Analysis) -> list[str]:
    """Return what is to be added and why, which norms there are, and what else to know."""
    lines = [f"line {change.line}: {change.text}  ({change.reason})" for change in analysis.changes]
    if not lines:
        found = "has all of it: nothing is to be added" if analysis.tuned else "got no line: see below"
        lines.append(f"{script} {found}.")
    swapped = [norm for norm in analysis.norms if norm.swapped]
    for what, norms in (
        ("convert swaps", swapped),
        ("convert swaps what is BatchNorm in", [norm for norm in analysis.norms if norm.swapped is None]),
        ("convert leaves", [norm for norm in analysis.norms if norm.swapped is False] if swapped else []),
    ):
        lines += [f"{what} {norm.text} (line {norm.line})" for norm in norms]
    return [*lines, *(f"note: {note}" for note in analysis.notes)]


def _next_command(script: Path, analysis: Analysis, program: str) -> str:
    """Return the command that tunes the script."""
    command = f"{program} tune {shlex.quote(str(script))} --gm 1,2,4 --gc 1,2"
    if analysis.reported and analysis.reported.metric != "accuracy":
        command += f" --metric {analysis.reported.metric} --mode {analysis.reported.mode}"
    return f"{command} -- {analysis.seed_flag} {{seed}}" if analysis.seed_flag else command
