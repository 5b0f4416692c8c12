"""``seqnorm landscape``: measures, writes the data, draws the figures."""

from __future__ import annotations

import json as json_module
import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from search.cli.exit_codes import EXIT_OK
from search.cli.interruption import Interruption
from search.cli.output import TextConsole, print_stderr
from search.landscape.trainings import LandscapeRequest, check_request, measure_all, point_name
from search.vocabulary.errors import InvalidSpec

DATA = "landscape.json"


def run_landscape(request: LandscapeRequest, folder: Path, processes: int | None, json: bool) -> int:
    """Measure a recipe's landscape and write data and figures to a folder; return the exit code.

    Raises:
        InvalidSpec: if something cannot be trained; raised before training starts.
    """
    check_request(request)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSpec(
            f"--out must be a folder that can be written: got {folder} ({error.strerror}). Give another."
        ) from None
    epochs = request.recipe.with_overrides(request.overrides).epochs
    with Interruption() as interruption:
        try:
            measured = _measure(request, processes or os.cpu_count() or 1, epochs, interruption)
        except KeyboardInterrupt:
            print_stderr("Interrupted; nothing was written.")
            return interruption.exit_code
    measured = {gm: measured[gm] for gm in request.points}
    data = {
        "recipe": request.recipe.name,
        "overrides": request.overrides,
        "seed": request.seed,
        "steps": list(request.recipe.landscape),
        "points": [{"name": point_name(gm), "gm": gm, **_as_json(figures)} for gm, figures in measured.items()],
    }
    written = folder / f"{DATA}.writing"
    written.write_text(json_module.dumps(data, allow_nan=False))
    written.replace(folder / DATA)
    files = [folder / DATA, *_draw(measured, folder)]
    for gm, figures in measured.items():
        if figures["diverged"]:
            print_stderr(f"{point_name(gm)} diverged: {figures['diverged']}")
    if json:
        print(json_module.dumps({"files": [str(file) for file in files], "test_errors": _last_errors(measured)}))
    else:
        for file in files:
            print(file)
    return EXIT_OK


def _measure(
    request: LandscapeRequest, processes: int, epochs: int, interruption: Interruption
) -> dict[int, dict[str, Any]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=TextConsole(stderr=True), transient=True) as progress:
        bars = {gm: progress.add_task(point_name(gm), total=epochs) for gm in request.points}

        def on_epoch(gm: int, epoch: int) -> None:
            interruption.check()
            if gm >= 0:
                progress.update(bars[gm], completed=epoch)

        return measure_all(request, processes, on_epoch)


def _draw(measured: dict[int, dict[str, Any]], folder: Path) -> list[Path]:
    """Write every figure as HTML and, if Plotly's exporter is installed, as PNG; return the files."""
    from search.landscape import figures

    best = min((gm for gm in measured if gm > 1), key=lambda gm: _error(measured[gm]), default=1)
    drawn = {
        "comparison": figures.comparison(measured, list(dict.fromkeys((0, best, 1)))),
        "panels": figures.panels(measured),
    }
    if all("predictiveness" in figure for figure in measured.values()):
        drawn["gradients"] = figures.gradients(measured)
    files = []
    for name, figure in drawn.items():
        files.append(folder / f"{name}.html")
        figure.write_html(files[-1], include_plotlyjs=True, config={"showSendToCloud": False})
        if find_spec("kaleido"):
            files.append(folder / f"{name}.png")
            figure.write_image(files[-1], width=1200, scale=2)
    return files


def _as_json(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures with null for non-finite losses, which JSON cannot represent."""

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        name: [finite(value) for value in values] if isinstance(values, list) else values
        for name, values in figures.items()
    }


def _error(figures: dict[str, Any]) -> float:
    errors = figures["test_errors"]
    return errors[-1] if errors and not figures["diverged"] else 1.0


def _last_errors(measured: dict[int, dict[str, Any]]) -> dict[str, float | None]:
    return {point_name(gm): (figures["test_errors"] or [None])[-1] for gm, figures in measured.items()}
