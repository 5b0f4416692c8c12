"""Runs trials on Ray Tune: the one file that knows Ray. It executes and remembers nothing; the store does."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from search.settings import read_settings

ADDRESS = read_settings().ray_address  #: of the cluster to use; empty for a private one on this host

# All of this is read by Ray when it is imported. Its workers are nice 15 by default and starve on a busy machine; its
# console output and result files are not ours; an experiment snapshot would only cost time: nothing is ever restored.
os.environ |= {
    "RAY_worker_niceness": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_THRESHOLD_S": "60",
}
if not ADDRESS:  # a private cluster listens on every interface, so it gets a secret of its own, kept in no file
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

import ray
from ray import tune
from ray.tune.search import Searcher

from search.outcome import Outcome
from search.plan import Replicate
from search.trial_process import TrialJob, run_trial


class Record(Protocol):
    """Who is told of each trial; see :class:`search.recorder.Recorder`."""

    def start(self, replicate: Replicate, where: dict[str, Any]) -> int:
        """A trial runs; returns its trial_id."""

    def report(self, trial_id: int, epochs: dict[int, dict[str, Any]]) -> None:
        """A trial has figures."""

    def finish(self, trial_id: int, outcome: Outcome) -> Outcome:
        """A trial has ended."""

    def hand_back(self, replicate: Replicate) -> None:
        """A replicate was handed out and never started."""


class Executor:
    """A connection to the Ray cluster that the settings name, or to a private one on this host."""

    def __init__(self) -> None:
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": True}
        self._folder: str | None = None
        if ADDRESS:
            ray.init(address=ADDRESS, **quiet)
        else:
            # Without an address Ray would join whatever cluster somebody left on this machine. Its sockets need a
            # short path.
            self._folder = tempfile.mkdtemp(prefix="ray-")
            ray.init(address="local", include_dashboard=False, _temp_dir=self._folder, **quiet)

    def slots(self, cpus: float) -> int:
        """Return how many trials of ``cpus`` CPUs run at once."""
        return int(ray.cluster_resources().get("CPU", 0) // cpus)

    def place(self, load: Callable[..., Any], *arguments: Any) -> Any:
        """Start loading a data set into the object store; trials on any node then read it without a copy each."""
        return ray.remote(load).options(num_cpus=0).remote(*arguments)

    def wait_for(self, placed: Any) -> None:
        """Wait until a data set is loaded, raising what its loading raised."""
        try:
            ray.get(placed)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def run(
        self,
        work: Iterator[Replicate | None],
        job_of: Callable[[Replicate], TrialJob],
        data: Any,
        record: Record,
        cpus: float,
        stopping: threading.Event,
        folder: Path,
    ) -> None:
        """Train what ``work`` yields, as many at once as there is room, until it ends or ``stopping`` is set.

        One Tune run serves the whole search, so that processes stay warm from stage to stage.

        Raises:
            Exception: what ``work`` or ``record`` raised.
        """

        def trainable(config: dict[str, Any]) -> None:
            def send(message: dict[str, Any]) -> None:
                tune.report({"message": json.dumps(message)})  # as text: Tune flattens nested figures

            run_trial(TrialJob(**config["job"]), ray.get(data), send)

        hand = _Hand(work, job_of, record, stopping)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": cpus}),
            tune_config=tune.TuneConfig(search_alg=hand, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="trials", storage_path=str(folder), verbose=0, callbacks=[_Starts(hand)], stop=_Stop(hand)
            ),
        )
        try:
            tuner.fit()
        except Exception:
            if hand.fault is None:
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if hand.fault is not None:
            raise hand.fault

    def close(self) -> None:
        """Leave the cluster; end it if it is the private one."""
        ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


@dataclass
class _Handed:
    replicate: Replicate
    stored_as: int | None = None  # the store's trial_id; None until it starts
    outcome: Outcome | None = None


class _Hand(Searcher):
    """Hands Tune one replicate after another, and tells the record what becomes of them."""

    def __init__(
        self,
        work: Iterator[Replicate | None],
        job_of: Callable[[Replicate], TrialJob],
        record: Record,
        stopping: threading.Event,
    ) -> None:
        super().__init__()
        self._work = work
        self._job_of = job_of
        self._record = record
        self._stopping = stopping
        self._handed: dict[str, _Handed] = {}  # by Tune's trial id
        self.fault: BaseException | None = None

    @property
    def ending(self) -> bool:
        """Whether nothing more is to run."""
        return self._stopping.is_set() or self.fault is not None

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        if self.ending:
            return str(Searcher.FINISHED)
        try:
            replicate = next(self._work)
        except StopIteration:
            return str(Searcher.FINISHED)
        except Exception as error:
            self.fault = error
            return str(Searcher.FINISHED)
        if replicate is None:
            return None
        self._handed[trial_id] = _Handed(replicate)
        return {"job": asdict(self._job_of(replicate))}

    def start(self, trial_id: str, where: dict[str, Any]) -> None:
        """Take note that a trial got its process."""
        handed = self._handed[trial_id]
        handed.stored_as = self._telling(lambda: self._record.start(handed.replicate, where))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        handed = self._handed.get(trial_id)
        if handed is None or handed.stored_as is None or "message" not in result:
            return
        stored_as, message = handed.stored_as, json.loads(result["message"])
        if message["outcome"] is not None:
            handed.outcome = Outcome(**message["outcome"])
        self._telling(
            lambda: self._record.report(
                stored_as, {int(epoch): figures for epoch, figures in message["epochs"].items()}
            )
        )

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        handed = self._handed.get(trial_id)
        if handed is None:
            return
        if handed.outcome is None and result is not None:
            self.on_trial_result(trial_id, result)
        del self._handed[trial_id]
        stored_as = handed.stored_as
        if stored_as is None:
            self._record.hand_back(handed.replicate)
        elif handed.outcome is not None:
            outcome = handed.outcome
            self._telling(lambda: self._record.finish(stored_as, outcome))
        elif not self.ending:  # else the driver ends it, with its own cause
            self._telling(lambda: self._record.finish(stored_as, Outcome(cause="lost", detail="its process died")))

    def _telling(self, tell: Callable[[], Any]) -> Any:
        """Call the record; what it raises ends the run, as Tune would only log it."""
        if self.fault is None:
            try:
                return tell()
            except Exception as error:
                self.fault = error
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles what could restore a run; nothing here may, as the store remembers

    def save_to_dir(self, *_: Any, **__: Any) -> None:
        """Keep nothing, for the same reason."""


class _Starts(tune.Callback):
    """Tells when a trial gets its process; Tune asks for it earlier than that."""

    def __init__(self, hand: _Hand) -> None:
        self._hand = hand

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._hand.start(trial.trial_id, {})


class _Stop(tune.Stopper):
    """Ends the run when it is to stop; Tune asks about ten times a second."""

    def __init__(self, hand: _Hand) -> None:
        self._hand = hand

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._hand.ending
