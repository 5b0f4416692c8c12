"""The driver: a child process that holds one lease and runs one search on Ray.

Start it with ``python -m search.engine.driver ID``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from search.engine import logs, orphans, ray_environment
from search.engine.checkpoints import Checkpoints
from search.engine.recorder import Recorder, TooManyFailures
from search.engine.trial_process import TrialJob
from search.engine.worker import EXIT_BUSY
from search.plan.digest import changed_parts, compute_digest
from search.plan.sequence import NoStableCandidate, run_sequence
from search.plan.stages import UNNORMALIZED, Replicate, make_plan
from search.settings import Settings, read_settings
from search.store import leases, searches
from search.store.database import DatabaseError, open_engine
from search.vocabulary.errors import Conflict, Fenced, SearchError
from search.vocabulary.states import Cause, Status
from trainers.recipe import Recipe, RecipeError, find, resolve

if TYPE_CHECKING:
    from search.engine.ray_executor import Executor

log = logging.getLogger("search.engine.driver")  # not __name__, which may be __main__

GRACE_SECONDS = 4.0  # for trials to stop by themselves; then their processes are killed


def main() -> int:
    """Run the search given on the command line until it ends, is stopped, or is taken over."""
    settings = read_settings()
    logs.configure(settings, search=sys.argv[1])
    for secret in ("SEQNORM_DB", "SEQNORM_TOKEN"):  # Ray's processes, including trials, inherit the environment
        os.environ.pop(secret, None)
    engine = open_engine(settings.database_url)
    try:
        lease = leases.acquire(engine, sys.argv[1], settings.lease_seconds)
    except Conflict as conflict:
        log.info("%s", conflict)
        return EXIT_BUSY
    try:
        return Driver(settings, lease).run()
    except Fenced as fenced:
        log.info("%s", fenced)
        return EXIT_BUSY


class Driver:
    """Runs a search from acquiring its lease to releasing it."""

    def __init__(self, settings: Settings, lease: leases.Lease) -> None:
        self._settings = settings
        self._lease = lease
        engine = open_engine(settings.database_url)
        with engine.connect() as connection:
            self._search = searches.get(connection, lease.search_id)
        engine.dispose()
        self._spec = self._search.spec
        self._recipe: Recipe = find(self._spec.recipe)
        self._plan = make_plan(self._spec, self._recipe)
        self._folder = settings.search_folder(lease.search_id)
        self._checkpoints = Checkpoints(self._folder / "checkpoints")
        self._record = Recorder(
            settings.database_url, lease, self._recipe, self._plan, self._checkpoints, settings.lease_seconds
        )
        self._executor: Executor | None = None
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._stop_outcome = (Status.QUEUED, "the driver was stopped")  # status and reason to store if stopped

    def run(self) -> int:
        """Run the search; return the exit code of the process."""
        self._install_signal_handlers()
        threading.Thread(target=self._renew_lease, daemon=True).start()
        status, reason = self._train()
        if self._stopping.is_set():
            status, reason = self._stop_outcome
        self._finish(status, reason)
        return 0

    def _train(self) -> tuple[Status, str]:
        """Train all stages; return the final status and the reason."""
        if changed := changed_parts(self._search.digest, compute_digest(self._spec, self._recipe, self._settings.home)):
            return Status.PAUSED, (
                f"a search must be resumed with unchanged code and data: got another {', '.join(changed)}. "
                f"Restore it, or accept the change with: seqnorm resume {self._search.id} --accept-code-change"
            )
        os.environ |= ray_environment.variables_for(self._settings.ray_address)  # Ray reads it at import
        from search.engine.ray_executor import (  # slow: imports Ray
            Executor,
            InsufficientResources,
            TrialResources,
        )

        spec = self._spec
        memory = int(spec.memory_gb * 1e9) if spec.memory_gb else None
        resources = TrialResources(cpus=spec.cpus, gpus=spec.gpus, memory_bytes=memory, concurrency=spec.concurrency)
        executor = Executor(self._settings.ray_address)
        self._install_signal_handlers()  # again: Ray replaced the handlers
        try:
            slots = executor.wait_for_slots(resources, self._stopping, lambda reason: self._set_slots(0, reason))
            self._executor = executor
            self._set_slots(slots, executor.busy_reason(resources))
            data = executor.put_data(
                resolve(self._recipe.load),
                self._spec.resolve_numbers(self._recipe, "main"),
                self._spec.data,
                self._settings.home,
            )
            executor.wait_for_data(data, self._stopping)
            if self._recipe.check:
                numbers = [spec.resolve_numbers(self._recipe, variant) for variant in spec.variants]
                checked = executor.put_data(check_points, resolve(self._recipe.check), numbers, data, spec.gc)
                executor.wait_for_data(checked, self._stopping)
            executor.run(
                run_sequence(self._plan, self._record),
                self._make_job,
                data,
                self._record,
                resources=resources,
                slots=slots,
                stopping=self._stopping,
                folder=self._folder / f"ray-{os.environ.get(orphans.MARK_VARIABLE, os.getpid())}",
            )
        except (NoStableCandidate, RecipeError, InsufficientResources) as error:
            return Status.FAILED, str(error)
        except TooManyFailures as error:
            return Status.PAUSED, str(error)
        finally:
            self._executor = None
            executor.close()
        return Status.DONE, ""

    def _set_slots(self, slots: int, reason: str) -> None:
        with self._record.engine.begin() as connection:
            searches.set_slots(connection, self._lease.search_id, slots, reason)

    def _make_job(self, replicate: Replicate) -> TrialJob:
        """Return the job description of a replicate for the process that trains it."""
        point, spec = replicate.point, self._spec
        return TrialJob(
            recipe=spec.recipe,
            overrides=spec.resolve_overrides(self._recipe, point.variant),
            gm=point.gm,
            gc=point.gc,
            seed=replicate.seed,
            normalize=point != UNNORMALIZED,
            measure="test" if replicate.stage == "test" else "validation",
            folder=str(self._checkpoints.folder_for(replicate)),
            log=str(self._settings.trial_log(self._search.id, replicate.key)),
            checkpoint_seconds=self._settings.checkpoint_seconds,
            timeout=spec.trial_timeout,
            memory_bytes=int(spec.memory_gb * 1e9) if spec.memory_gb else None,
        )

    def _renew_lease(self) -> None:
        """Renew the lease and watch for requests to pause or cancel, until the driver ends."""
        parent, renewed = os.getppid(), time.monotonic()
        while not self._ended.wait(min(0.5, self._settings.renew_seconds)):
            try:
                with self._record.engine.begin() as connection:
                    if time.monotonic() - renewed >= self._settings.renew_seconds:
                        renewed = time.monotonic()
                        leases.renew(connection, self._lease, self._settings.lease_seconds)
                        if self._executor is not None:
                            searches.set_cluster(connection, self._lease.search_id, self._executor.nodes())
                    requested = searches.get(connection, self._lease.search_id).requested_status
            except Fenced:
                os._exit(EXIT_BUSY)  # another driver took over
            except DatabaseError as error:
                log.warning("the lease could not be renewed: %s", error)
                continue
            if requested:
                self._stop(requested, f"{requested} by a person")
            elif os.getppid() != parent:
                self._stop(Status.QUEUED, "the worker that started the driver is gone")

    def _install_signal_handlers(self) -> None:
        """Let SIGTERM leave the search queued, and SIGINT leave it paused."""
        for number, status in ((signal.SIGTERM, Status.QUEUED), (signal.SIGINT, Status.PAUSED)):
            signal.signal(number, self._signal_handler(status))

    def _signal_handler(self, status: Status) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, _: FrameType | None) -> None:
            self._stop(status, f"stopped by {signal.Signals(number).name}")

        return handle

    def _stop(self, status: Status, reason: str) -> None:
        """Stop the search and leave it with a status; exit after ``GRACE_SECONDS`` if trials do not stop."""
        if self._stopping.is_set():
            return
        self._stop_outcome = status, reason
        self._stopping.set()
        timer = threading.Timer(GRACE_SECONDS, self._exit_now)
        timer.daemon = True
        timer.start()

    def _exit_now(self) -> None:
        """Exit while trials still run; Ray kills their processes when this one has ended."""
        if self._ended.is_set():
            return
        try:
            self._finish(*self._stop_outcome)
        except Exception:
            log.exception("the search could not be left")
            os._exit(1)
        os._exit(0)

    def _finish(self, status: Status, reason: str) -> None:
        """Interrupt running trials, then store the status and release the lease in one transaction."""
        self._ended.set()
        self._record.interrupt(Cause.CANCELLED, reason or "the search ended")
        with self._record.engine.begin() as connection:
            searches.set_status(connection, self._lease.search_id, status, reason)
            leases.release(connection, self._lease)
        self._record.close()


def check_points(check: Callable[..., None], numbers: list[Any], data: Any, gcs: list[int]) -> None:
    """Run a recipe's checks that need its network, before the first trial.

    Raises:
        RecipeError: if gc does not fit the network.
    """
    for variant_numbers in numbers:
        for gc in gcs:
            check(variant_numbers, data, gc)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SearchError as error:
        logs.log_error(str(error))
        sys.exit(1)
