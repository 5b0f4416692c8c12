"""The trial that a script trains: group counts, seed and folder from the environment, and where its figures go.

A search sets the variables that are read here. By hand, those that are not set have defaults, and reports are printed:
``SEQNORM_GM=4 SEQNORM_GC=2 python train.py``.
"""

from __future__ import annotations

import atexit
import errno
import json
import math
import operator
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, SupportsFloat, SupportsIndex, Unpack, cast

from torch import Tensor, distributed, nn

from seqnorm.checks import InvalidGroups
from seqnorm.layers import AffineOptions, GhostNorm, GroupNorm, Options, SeqNorm

Split = Literal["validation", "test"]

VARIABLES = ("SEQNORM_GM", "SEQNORM_GC", "SEQNORM_SEED", "SEQNORM_SPLIT", "SEQNORM_FOLDER", "SEQNORM_REPORTS")
MAX_EPOCH = 2**31 - 1  # an INTEGER of every database
MAX_METRICS = 100  # of a report
MAX_NAME = 100  # characters of a metric's name
MAX_SHOWN = 100  # characters of a refused value


class Trial:
    """One point and seed of a search, or of a run by hand; made by :func:`trial`.

    Under ``torchrun`` every process trains the same trial: ``gm`` counts groups of the batch of each process, and only
    the process of rank 0 reports.
    """

    gm: int  #: groups along the mini-batch of this process; 0 for none: GroupNorm alone, or no normalization
    gc: int  #: groups along the channels; 0 for no GroupNorm half
    seed: int  #: for initial weights, data order and all other randomness

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read the trial from environment variables.

        Raises:
            ValueError: for a value that is not valid, naming its variable.
        """
        self.gm = _read_count(variables, "SEQNORM_GM", 1)
        self.gc = _read_count(variables, "SEQNORM_GC", 0)
        self.seed = _read_count(variables, "SEQNORM_SEED", 0)
        self._split = _read_split(variables)
        # absolute from the start: scripts change their folder
        name = f"gm{self.gm}-gc{self.gc}-seed{self.seed}" + ("-test" if self._split == "test" else "")
        self._folder = Path(variables.get("SEQNORM_FOLDER") or Path("trial", name)).absolute()
        reports = variables.get("SEQNORM_REPORTS")
        self._reports = Path(reports).absolute() if reports else None
        self._unwritten: list[str] = []
        self._lost = False  # whether reports could not be written to the end
        self._split_was_read = False
        self._result: float | None = None
        self._stopping = False
        self._watcher: int | None = None  # the process whose SIGTERM sets should_stop

    def __repr__(self) -> str:
        return f"Trial(gm={self.gm}, gc={self.gc}, seed={self.seed})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and processes that receive a trial get the trial of their own process."""
        return trial, ()

    @property
    def split(self) -> Split:
        """The data to measure figures on: ``"validation"``, or ``"test"`` in the last stage of a search.

        A script that reads it lets the search know that its last stage measures on held-out data.
        """
        if not self._split_was_read:
            self._split_was_read = True
            if self._reports and _is_first_process():
                self._send({"split": self._split})
        return self._split

    @property
    def folder(self) -> Path:
        """The folder for checkpoints and other files, made at first access, with an absolute path.

        An attempt of the same trial after a crash finds what the one before has left there. By hand it is
        ``trial/gm…-gc…-seed…``, so that no point continues from the checkpoint of another.

        Raises:
            OSError: if it cannot be made.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"the trial's folder must be one that can be made: got {self._folder} ({error.strerror}). "
                "Set SEQNORM_FOLDER to another."
            ) from error
        return self._folder

    @property
    def should_stop(self) -> bool:
        """Whether the search asks the script to end, which it does by SIGTERM; save a checkpoint and exit within 3 s.

        From its first access in the main thread, SIGTERM no longer ends the script but sets this, unless the script
        handles SIGTERM itself. Scripts that never read it end at once.
        """
        process = os.getpid()
        if self._watcher != process and threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, self._handle_sigterm):
                signal.signal(signal.SIGTERM, self._handle_sigterm)
            self._watcher = process
        return self._stopping

    def norm(self, num_channels: int, **options: Unpack[Options]) -> nn.Module:
        """Return a new normalization layer of this trial's point: GhostNorm if gc is 0, else SeqNorm.

        ``seqnorm.convert(model, trial.norm)`` puts one in the place of every BatchNorm. gm 1 and gc 0 make the
        baseline, GhostNorm with one group, which is BatchNorm; gm 0 makes GroupNorm alone, and ``torch.nn.Identity``
        if gc is 0 too.

        Args:
            num_channels: C, the size of dimension 1 of the input.
            options: those of the layers, e.g. ``uneven="unequal"`` for loaders that keep an incomplete last batch:
                ``seqnorm.convert(model, functools.partial(trial.norm, uneven="unequal"))``. GroupNorm alone has no
                groups of samples and does without those about them.

        Raises:
            InvalidGroups: if gc does not divide the channels. ``convert`` raises it too and leaves the model as it was:
                a model that is BatchNorm in part would be measured under the name of this point.
        """
        if self.gm == 0 and self.gc == 0:
            return nn.Identity()
        try:
            if self.gm == 0:
                return GroupNorm(num_channels, self.gc, **_of_every_layer(options))
            if self.gc == 0:
                return GhostNorm(num_channels, self.gm, **options)
            return SeqNorm(num_channels, self.gc, self.gm, **options)
        except InvalidGroups as refused:
            refused.ends_conversion = True
            raise

    def report(self, *, epoch: SupportsIndex | float, **metrics: SupportsFloat) -> None:
        """Report figures, usually once an epoch.

        In a search, the last report of the metric it compares is the trial's result, unless :meth:`finish` gives one.
        By hand the figures are printed. A full disk does not end the training: what could not be written is written
        with the next report.

        Args:
            epoch: a whole number from 0.
            metrics: a number for each name, e.g. ``accuracy=0.9``: Python's, NumPy's, or tensors of one element; NaN
                and infinity are numbers too.

        Raises:
            ValueError: if the epoch is no whole number, or a metric no number.
        """
        number = _check_epoch(epoch)
        if not 1 <= len(metrics) <= MAX_METRICS:
            raise ValueError(
                f"a report must have from 1 to {MAX_METRICS} metrics: got {len(metrics)}. "
                "Write e.g. trial.report(epoch=epoch, accuracy=accuracy)."
            )
        figures = {_check_name(name): _check_number(name, value) for name, value in metrics.items()}
        if not _is_first_process():
            return
        if self._reports:
            self._send({"epoch": number, "figures": figures})
        else:
            print(f"epoch {number}: {', '.join(f'{name}={value:.6g}' for name, value in figures.items())}", flush=True)

    def finish(self, value: SupportsFloat) -> None:
        """Report the trial's result; it outweighs all reports, earlier and later. By hand it is printed.

        Raises:
            ValueError: if it is no number, or if another result was given before.
            OSError: if it cannot be written: the search would take an older figure for the result.
        """
        result = _check_number("the result", value)
        if self._result is not None and not _same(self._result, result):
            raise ValueError(
                f"a trial has one result: got {self._result:g} before and {result:g} now. Call finish once, at the end."
            )
        if self._result is not None or not _is_first_process():
            return
        if not self._reports:
            print(f"result: {result:.6g}", flush=True)
        elif fault := self._send({"result": result}):
            raise OSError(
                f"the result must be written: got {fault.strerror} at {self._reports}. Make room there."
            ) from fault
        self._result = result

    def _send(self, record: dict[str, Any]) -> OSError | None:
        """Write a line to the search; return why it could not be written, after keeping it for the next time."""
        lines = [*self._unwritten, json.dumps(record)]
        try:
            # A line that a full disk cut off is ended first; a reader passes over it.
            _append(self._reports, ("\n" if self._unwritten else "") + "".join(f"{line}\n" for line in lines))
        except OSError as error:
            first, self._unwritten = not self._unwritten, lines
            if first:
                atexit.register(self._send_last)
                warnings.warn(
                    f"a report could not be written to {self._reports} ({error.strerror}); the next one tries again.",
                    stacklevel=3,
                )
            return error
        self._unwritten = []
        return None

    def _send_last(self) -> None:
        """Write what could not be written before, at the end of the script; let it fail if that cannot be."""
        lines, self._unwritten = self._unwritten, []
        if lines:
            try:
                _append(self._reports, "\n" + "".join(f"{line}\n" for line in lines))
            except OSError as error:
                print(
                    f"error: the last {len(lines)} reports could not be written to {self._reports} ({error.strerror}).",
                    file=sys.stderr,
                )
                self._lost = True

    def _fail_if_lost(self) -> None:
        """End with an exit code that says so: the search would take an older figure for the result."""
        if self._lost:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)  # the only way, once the script has ended

    def _send_refusal(self, error: BaseException) -> None:
        """Let the search know that the layers refused the point, from whichever process met it first."""
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InvalidGroups):
            cause = cause.__cause__  # not of what was only handled at the time
        if cause is not None:
            # DataParallel puts the traceback of its thread before the sentence
            sentence = str(cause).strip().rpartition("\n")[2].rpartition(f"{InvalidGroups.__name__}: ")[2]
            self._send({"refused": sentence})

    def _handle_sigterm(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._watcher:
            self._stopping = True
        else:  # a data loader that was forked from the script, which ends it by SIGTERM
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


_trial: Trial | None = None
_making = threading.Lock()


def trial() -> Trial:
    """Return the trial of this process; every call returns the same one.

    In a search it has the point and seed that are to be trained. By hand gm is 1, gc and seed are 0 and the split is
    ``"validation"``, or what ``SEQNORM_GM``, ``SEQNORM_GC``, ``SEQNORM_SEED``, ``SEQNORM_SPLIT`` and
    ``SEQNORM_FOLDER`` say.

    Raises:
        ValueError: if one of these is not valid.
    """
    global _trial
    with _making:
        if _trial is None:
            _trial = Trial(os.environ)
            if _trial._reports:
                _watch_for_refusals(_trial)
                atexit.register(_trial._fail_if_lost)  # early, so that it is called late
    return _trial


def _of_every_layer(options: Options) -> AffineOptions:
    """Return the options that a layer without groups of samples has, too."""
    known = AffineOptions.__annotations__
    return cast(AffineOptions, {name: value for name, value in options.items() if name in known})


def _watch_for_refusals(of: Trial) -> None:
    """Tell the search if the script ends because the layers refuse the point."""
    before = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        try:
            of._send_refusal(error)
        finally:
            before(kind, error, traceback)

    sys.excepthook = excepthook


def _read_count(variables: Mapping[str, str], name: str, default: int) -> int:
    """Return a whole number from 0; an empty variable is as one that is not set.

    Raises:
        ValueError: naming the variable.
    """
    text = variables.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError(f"{name} must be a whole number from 0: got {text[:MAX_SHOWN]!r}. Set e.g. {name}={default}.")
    return int(text)


def _read_split(variables: Mapping[str, str]) -> Split:
    """Return the split.

    Raises:
        ValueError: if it is none.
    """
    text = variables.get("SEQNORM_SPLIT", "").strip()
    if text == "test":
        return "test"
    if text in ("", "validation"):
        return "validation"
    raise ValueError(
        f"SEQNORM_SPLIT must be validation or test: got {text[:MAX_SHOWN]!r}. Leave it out for validation."
    )


def _is_first_process() -> bool:
    """Whether this process reports: the one of rank 0, if there are several."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return os.environ.get("RANK", "0").strip() in ("", "0")


def _append(file: Path | None, text: str) -> None:
    """Append to a file by one write, so that lines of several threads and processes never mix.

    Raises:
        OSError: if it cannot be written, or only in part.
    """
    data = text.encode()
    opened = os.open(str(file), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.write(opened, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(opened)


def _check_epoch(epoch: Any) -> int:
    """Return an epoch as an int; libraries that count parts of epochs give 3.0 for the third.

    Raises:
        ValueError: if it is no whole number from 0.
    """
    try:
        whole = int(epoch) if isinstance(epoch, float) and epoch.is_integer() else operator.index(epoch)
    except TypeError:
        whole = -1
    if isinstance(epoch, bool) or not 0 <= whole <= MAX_EPOCH:
        raise ValueError(
            f"epoch must be a whole number from 0 to {MAX_EPOCH}: got {_shown(epoch)}. Count the epochs, or the steps."
        )
    return whole


def _check_name(name: str) -> str:
    """Return the name of a metric.

    Raises:
        ValueError: if it cannot be shown.
    """
    if not (len(name) <= MAX_NAME and name.isprintable() and name):
        raise ValueError(
            f"the name of a metric must have 1 to {MAX_NAME} printable characters: got {_shown(name)}. Rename it."
        )
    return name


def _check_number(name: str, value: Any) -> float:
    """Return a figure as a float.

    Raises:
        ValueError: if it is no number, or several.
    """
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(
            f"{name} must be one number: got a tensor of shape {tuple(value.shape)}. Pass e.g. its mean()."
        )
    try:
        if not isinstance(value, str | bytes | bytearray):  # float() would parse them
            return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be a number: got {_shown(value)}. Convert it with float().")


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _shown(value: object) -> str:
    """Return a value as text, whatever its ``repr`` does."""
    try:
        return repr(value)[:MAX_SHOWN]
    except Exception:
        return f"something of type {type(value).__qualname__}"
