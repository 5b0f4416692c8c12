"""The driver: a child process that holds one lease and runs one search on Ray.

Start it with ``python -m search.engine.driver ID``; the worker adds its own process id, and the driver leaves with it.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from search.engine import logs, orphans, ray_environment
from search.engine.checkpoints import Checkpoints
from search.engine.cluster_address import require_ray
from search.engine.locked_folder import LockedFolder
from search.engine.pace import ShownProgress
from search.engine.recorder import Recorder, TooManyFailures
from search.engine.resources import InsufficientResources, TrialResources
from search.engine.trial_environment import RAY_CREDENTIALS, reduce_environment, select_variables
from search.engine.trial_process import TrialJob
from search.engine.worker import EXIT_BUSY, EXIT_UNAVAILABLE
from search.plan.digest import changed_parts, compute_digest, lacks_data
from search.plan.lifecycle import Event
from search.plan.recipes import find_recipe
from search.plan.sequence import NoStableCandidate, run_sequence
from search.plan.stages import UNNORMALIZED, Replicate, make_plan
from search.private_files import create_privately
from search.settings import Settings, read_settings
from search.store import leases, searches, transitions
from search.store.database import CLIENT_PATHS, DatabaseError, Engine, open_engine, resolve_client_variables
from search.store.faults import own_sentence
from search.store.patience import Patience, is_passing
from search.vocabulary.errors import Conflict, Fenced, InvalidSpec, RayUnavailable, SearchError
from search.vocabulary.states import Cause, Status
from trainers.recipe import Recipe, RecipeError, resolve

if TYPE_CHECKING:
    from search.engine.ray_executor import Executor

log = logging.getLogger("search.engine.driver")  # not __name__, which may be __main__

GRACE_SECONDS = 4.0  # for trials to stop by themselves; then their processes are killed
CONNECT_SECONDS = 60.0  # for Ray to start, or a cluster to answer for the first time
SILENT_SECONDS = 20.0  # without an answer of Ray, after which it is given up
POLL_SECONDS = 0.5  # between looks at the request, the worker and Ray


def main() -> int:
    """Run the search given on the command line until it ends, is stopped, or is taken over."""
    search_id, *parents = sys.argv[1:]
    parent = int(parents[0]) if parents else os.getppid()
    settings = read_settings()
    logs.configure(settings, search=search_id)
    settings = replace(settings, db=resolve_client_variables(settings.database_url))
    # Ray's processes, including trials, inherit the environment and the umask
    whole = dict(os.environ)
    reduce_environment(*settings.trial_variables, keep={*RAY_CREDENTIALS, *CLIENT_PATHS})
    create_privately()
    if os.getppid() != parent:
        return EXIT_BUSY
    engine = open_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            search = searches.get(connection, search_id)
        try:
            recipe = find_recipe(search.spec.recipe, settings.home, search.command)  # may take longer than a lease
            search.spec.resolve_each_value(recipe)
        except RecipeError as error:  # it is gone, its file is wrong, or it has other numbers by now
            return _give_up(engine, settings, search_id, str(error))
        if recipe.command:
            os.environ |= select_variables(whole, recipe.command.variables)
        lease = leases.acquire(engine, search_id, settings.lease_seconds)
        engine.dispose()
        return Driver(settings, lease, parent).run()
    except (Conflict, Fenced) as refusal:
        log.info("%s", refusal)
        return EXIT_BUSY
    except Exception as error:
        if not is_passing(error) and getattr(error, "errno", None) != errno.ENOSPC:
            raise
        logs.log_error(own_sentence(error))
        return EXIT_UNAVAILABLE


def _give_up(engine: Engine, settings: Settings, search_id: str, reason: str) -> int:
    """Pause a search whose recipe cannot be used; return the exit code."""
    lease = leases.acquire(engine, search_id, settings.lease_seconds)
    with engine.begin() as connection:
        transitions.apply(connection, search_id, Event.GIVE_UP, reason)
        leases.release(connection, lease)
    return 0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Why a driver ends, and what becomes of its search."""

    event: Event
    reason: str = ""  #: of the status, unless a request decides that
    trial_detail: str = ""  #: for trials that still run; default: the reason
    exit_code: int = 0


class Driver:
    """Runs a search from acquiring its lease to releasing it.

    Args:
        settings: of the worker.
        lease: of the search.
        parent: the process id of the worker.
    """

    def __init__(self, settings: Settings, lease: leases.Lease, parent: int) -> None:
        self._settings = settings
        self._lease = lease
        self._parent = parent
        self._patiently = Patience(settings.outage_seconds)
        engine = open_engine(settings.database_url)
        with engine.connect() as connection:
            self._search = searches.get(connection, lease.search_id)
        engine.dispose()
        self._spec = self._search.spec
        self._recipe: Recipe = find_recipe(self._spec.recipe, settings.home, self._search.command)
        self._plan = replace(make_plan(self._spec, self._recipe), sweeps=self._search.sweeps)  # as it began
        self._folder = settings.search_folder(lease.search_id)
        self._checkpoints = Checkpoints(self._folder / "checkpoints")
        self._record = Recorder(
            settings.database_url,
            lease,
            self._recipe,
            self._plan,
            self._checkpoints,
            settings.lease_seconds,
            self._patiently,
        )
        self._executor: Executor | None = None
        self._connecting_since: float | None = None
        self._stopping = threading.Event()
        self._finishing = threading.Lock()
        self._ended = threading.Event()
        self._early_end: Ending | None = None  # set before ``_stopping``

    def run(self) -> int:
        """Run the search; return the exit code of the process."""
        self._install_signal_handlers()
        threading.Thread(target=self._keep_lease, daemon=True).start()
        ending = self._train()
        if self._early_end is not None:
            ending = self._early_end
        self._finish(ending)
        return ending.exit_code

    def _train(self) -> Ending:
        """Train all stages."""
        try:
            digest = compute_digest(self._spec, self._recipe, self._settings.home)
        except InvalidSpec as error:  # its data set is gone, or is none any more
            return Ending(event=Event.FAIL, reason=str(error))
        if changed := changed_parts(self._search.digest, digest):
            if changed == ["data"] and lacks_data(digest):
                place = self._spec.data or self._settings.home / "data"
                reason = f"a search needs the data set that it began with: got none at {place}. Put it back."
                return Ending(event=Event.GIVE_UP, reason=reason)
            search_id, bound = self._search.id, self._search.bound
            accept = f"accept the change with: seqnorm resume {search_id} --accept-code-change"
            if bound:
                accept = f"to accept the change, {bound.advise(search_id, accept_change=True)} on {bound.host}."
            reason = (
                f"a search must be resumed with unchanged code and data: got another {', '.join(changed)}. "
                f"Restore it, or {accept}"
            )
            return Ending(event=Event.GIVE_UP, reason=reason)
        spec = self._spec
        memory = int(spec.memory_gb * 1e9) if spec.memory_gb else None
        all_numbers = spec.resolve_each_value(self._recipe)
        processes = max(getattr(numbers, "real_devices", 1) for numbers in all_numbers)
        resources = TrialResources(
            cpus=spec.cpus,
            gpus=spec.gpus,
            memory_bytes=memory,
            concurrency=spec.concurrency,
            searches_at_once=self._settings.searches_at_once,
            most_on_node=self._settings.trials_on_node(processes),
        )
        try:
            require_ray(self._settings)
            os.environ |= ray_environment.variables_for(self._settings.ray_address)  # Ray reads it at import
            from search.engine.ray_executor import Executor  # slow: imports Ray

            self._connecting_since = time.monotonic()
            of_command = self._recipe.command.variables if self._recipe.command else ()
            executor = Executor(self._settings.ray_address, (*self._settings.trial_variables, *of_command))
        except RayUnavailable as error:
            return Ending(event=Event.LEAVE, reason=f"waiting for Ray: {error}", exit_code=EXIT_UNAVAILABLE)
        finally:
            self._connecting_since = None
        self._executor = executor
        self._install_signal_handlers()  # again: Ray replaced the handlers
        working = LockedFolder(self._folder, orphans.WORKING_FOLDER_PREFIX)
        try:
            slots = executor.wait_for_slots(
                resources,
                self._stopping,
                lambda reason: self._set_slots(0, reason),
                forever=bool(self._search.slots),  # it had some, so its nodes are lost and may come back
            )
            self._set_slots(slots, executor.busy_reason(resources))
            data = executor.put_data(
                resolve(self._recipe.load),
                self._spec.resolve_numbers(self._recipe, next(iter(spec.variants))),
                self._spec.data,
                self._settings.home,
            )
            executor.wait_for_data(data, self._stopping)
            if self._recipe.check:
                checked = executor.put_data(check_points, resolve(self._recipe.check), all_numbers, data, spec.gc)
                executor.wait_for_data(checked, self._stopping)
            executor.run(
                run_sequence(self._plan, self._record),
                self._make_job,
                data,
                self._record,
                resources=resources,
                slots=slots,
                stopping=self._stopping,
                folder=working.path / "tune",
            )
        except (NoStableCandidate, RecipeError, InsufficientResources) as error:
            return Ending(event=Event.FAIL, reason=str(error))
        except TooManyFailures as error:
            return Ending(event=Event.GIVE_UP, reason=str(error))
        except Exception as error:
            if fault := self._find_fault_of_ray():  # of which the error is a consequence
                log.warning("%s: %s", fault, error)
                return Ending(event=Event.LEAVE, reason=fault, exit_code=EXIT_UNAVAILABLE)
            raise
        finally:
            self._executor = None
            executor.close()
            working.remove()
        return Ending(event=Event.FINISH)

    def _set_slots(self, slots: int, reason: str) -> None:
        self._record.write(lambda connection: searches.set_slots(connection, self._lease.search_id, slots, reason))

    def _make_job(self, replicate: Replicate) -> TrialJob:
        """Return the job description of a replicate for the process that trains it."""
        point, spec = replicate.point, self._spec
        return TrialJob(
            recipe=spec.recipe,
            overrides=spec.resolve_overrides(self._recipe, point.variant, replicate.measure),
            gm=point.gm,
            gc=point.gc,
            seed=replicate.seed,
            command=asdict(self._recipe.command) if self._recipe.command else None,
            normalize=point != UNNORMALIZED,
            measure=replicate.measure,
            folder=str(self._checkpoints.folder_for(replicate)),
            log=str(self._settings.trial_log(self._search.id, replicate.key)),
            checkpoint_seconds=self._settings.checkpoint_seconds,
            timeout=self._settings.trial_seconds(spec.trial_timeout),
            memory_bytes=int(spec.memory_gb * 1e9) if spec.memory_gb else None,
        )

    def _keep_lease(self) -> None:
        """Renew the lease and watch for reasons to leave, until the driver ends."""
        renewed, cluster, answered = time.monotonic(), None, True
        shown = ShownProgress(self._record.pace)
        while not self._ended.wait(min(POLL_SECONDS, self._settings.renew_seconds)):
            due = time.monotonic() - renewed >= self._settings.renew_seconds
            executor = self._executor
            nodes = executor.nodes() if due and executor is not None else cluster
            try:
                with self._record.engine.begin() as connection:
                    if due:
                        leases.renew(connection, self._lease, self._settings.lease_seconds)
                    if nodes != cluster and nodes:
                        searches.set_cluster(connection, self._lease.search_id, nodes)
                    shown.save_if_due(connection, self._lease.search_id)
                    requested = searches.get(connection, self._lease.search_id).requested_status
            except Fenced:
                os._exit(EXIT_BUSY)  # another driver took over
            except DatabaseError as error:
                if answered:
                    log.warning("the lease cannot be renewed: %s", own_sentence(error))
                requested, answered = None, False
            else:
                cluster, renewed, answered = nodes, time.monotonic() if due else renewed, True
                shown.confirm()
            if requested:
                self._stop(Ending(event=Event.LEAVE, trial_detail=f"{requested} by a person"))
            elif os.getppid() != self._parent:
                self._stop(Ending(event=Event.LEAVE, reason="the worker that started the driver is gone"))
            elif fault := self._find_fault_of_ray():
                self._stop(Ending(event=Event.LEAVE, reason=fault, exit_code=EXIT_UNAVAILABLE))

    def _find_fault_of_ray(self) -> str:
        """Return why trials cannot run on this connection to Ray; empty if they can."""
        executor, since = self._executor, self._connecting_since
        if since is not None and time.monotonic() - since > CONNECT_SECONDS:
            return f"Ray did not start, or its cluster did not answer, for {CONNECT_SECONDS:g} s"
        if executor is not None and not executor.own_node_alive():
            return "the Ray node of the driver is dead"
        if executor is not None and executor.silent_seconds() > SILENT_SECONDS:
            return f"Ray did not answer for {SILENT_SECONDS:g} s"
        return ""

    def _install_signal_handlers(self) -> None:
        """Let SIGTERM leave the search queued, and SIGINT leave it paused."""
        for number, event in ((signal.SIGTERM, Event.LEAVE), (signal.SIGINT, Event.INTERRUPT)):
            signal.signal(number, self._signal_handler(event))

    def _signal_handler(self, event: Event) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, _: FrameType | None) -> None:
            ending = Ending(event=event, reason=f"stopped by {signal.Signals(number).name}")
            threading.Thread(target=self._stop, args=(ending,)).start()  # here it could wait for what it interrupts

        return handle

    def _stop(self, ending: Ending) -> None:
        """Stop the search early; exit after ``GRACE_SECONDS`` if trials do not stop."""
        if self._early_end is None or ending.event == Event.INTERRUPT:  # a person's Ctrl-C outweighs other reasons
            self._early_end = ending
        if self._stopping.is_set():
            return
        self._stopping.set()
        timer = threading.Timer(GRACE_SECONDS, self._exit_now)
        timer.daemon = True
        timer.start()

    def _exit_now(self) -> None:
        """Exit while trials still run; Ray kills their processes when this one has ended."""
        assert self._early_end is not None
        if self._ended.is_set():
            return
        try:
            self._finish(self._early_end)
        except Exception:
            log.exception("the search could not be left")
            os._exit(1)
        os._exit(self._early_end.exit_code)

    def _finish(self, ending: Ending) -> None:
        """End running trials, then store the status and release the lease in one transaction; once."""
        search_id = self._lease.search_id

        def leave(again: bool) -> None:
            with self._record.engine.begin() as connection:
                if again and searches.get(connection, search_id).status != Status.RUNNING:
                    return  # it was committed, and the answer was lost
                transitions.apply(connection, search_id, ending.event, ending.reason)
                leases.release(connection, self._lease)

        with self._finishing:
            if self._ended.is_set():
                return
            self._record.interrupt(Cause.CANCELLED, ending.trial_detail or ending.reason or "the search ended")
            self._patiently(leave)
            self._ended.set()
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
        code = main()
    except SearchError as error:
        logs.log_error(str(error))
        code = 1
    except Exception:
        sys.excepthook(*sys.exc_info())
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # Ray's handlers at exit ask a cluster once more that may not answer
