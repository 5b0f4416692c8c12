"""The projection for pages: summaries and finished trials of candidates. Updated on write, rebuilt on takeover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import quantiles

from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, select, tuple_, update

from search.plan.selection import Candidate, Mode, Point
from search.store.attempts import read_attempts
from search.store.tables import candidates
from search.store.upsert import upsert
from search.vocabulary.states import TrialState

Finished = tuple[int, int, float]  #: trial_id, seed and value of a finished trial
SUMMARY_COLUMNS = [column for column in candidates.c if column.name not in ("finished", "quartiles")]


def save(
    connection: Connection, search_id: str, stage: str, candidate: Candidate, finished: Sequence[Finished]
) -> None:
    """Insert or update a candidate's summary and finished trials."""
    row = _row(search_id, stage, candidate, finished)
    upsert(connection, candidates, row, ("mean", "std", "n", "failed", "finished", "quartiles"))


def rebuild(
    connection: Connection,
    search_id: str,
    stage: str,
    summaries: Iterable[tuple[Candidate, Sequence[Finished]]],
) -> None:
    """Replace a stage's projection with summaries computed from its trials."""
    connection.execute(delete(candidates).where(candidates.c.search_id == search_id, candidates.c.stage == stage))
    rows = [_row(search_id, stage, candidate, finished) for candidate, finished in summaries]
    if rows:
        connection.execute(insert(candidates), rows)


def backfill_finished(connection: Connection) -> None:
    """Store the finished trials of candidates that an older version stored without them."""
    without = select(candidates.c.search_id, candidates.c.stage).where(candidates.c.finished.is_(None)).distinct()
    for search_id, stage in connection.execute(without).all():
        found: dict[Point, list[Finished]] = {}
        for attempt in read_attempts(connection, search_id, stage):
            if attempt.state == TrialState.COMPLETE and attempt.value is not None:
                trial = (attempt.trial_id, attempt.replicate.seed, attempt.value)
                found.setdefault(attempt.replicate.point, []).append(trial)
        for point, finished in found.items():
            values = {"finished": finished, "quartiles": compute_quartiles([value for *_, value in finished])}
            connection.execute(update(candidates).where(_matches_point(search_id, stage, point)).values(values))
        condition = (candidates.c.search_id == search_id) & (candidates.c.stage == stage)
        connection.execute(update(candidates).where(condition, candidates.c.finished.is_(None)).values(finished=[]))


def count_ended(connection: Connection, search_id: str) -> dict[str, int]:
    """Count the replicates of each stage that have ended and do not run again."""
    row = candidates.c
    ended = select(row.stage, func.sum(row.n + row.failed).label("ended")).where(row.search_id == search_id)
    return {found.stage: found.ended for found in connection.execute(ended.group_by(row.stage))}


def count_failed(connection: Connection, search_id: str) -> int:
    """Count the replicates that have failed, unless they run again."""
    failed = select(func.coalesce(func.sum(candidates.c.failed), 0)).where(candidates.c.search_id == search_id)
    return int(connection.execute(failed).scalar_one())


def read_candidates(
    connection: Connection, search_id: str, without: Iterable[str] = (), with_values: str | None = None
) -> dict[str, list[Candidate]]:
    """Return the candidates of a search by stage, except for the stages in ``without``.

    Those of the stage ``with_values`` come with their values by seed.
    """
    found: dict[str, list[Candidate]] = {}
    order = (candidates.c.stage, candidates.c.variant, candidates.c.gm, candidates.c.gc)
    condition = (candidates.c.search_id == search_id) & candidates.c.stage.not_in(without)
    finished = case((candidates.c.stage == with_values, candidates.c.finished)).label("finished")
    for row in connection.execute(select(*SUMMARY_COLUMNS, finished).where(condition).order_by(*order)):
        found.setdefault(row.stage, []).append(
            Candidate(
                gm=row.gm,
                gc=row.gc,
                mean=row.mean,
                std=row.std,
                n=row.n,
                failed=row.failed,
                variant=row.variant,
                values={seed: value for _, seed, value in row.finished} if row.finished else None,
            )
        )
    return found


def read_finished(
    connection: Connection, search_id: str, stage: str, best: int | None = None, mode: Mode = "max"
) -> dict[Point, list[Finished]]:
    """Return the finished trials of each point of a stage; ``best`` limits them to that many best means, in order."""
    row = candidates.c
    condition = (row.search_id == search_id) & (row.stage == stage) & (row.n > 0)
    statement = select(row.variant, row.gm, row.gc, row.finished).where(condition)
    if best is not None:
        statement = statement.order_by(row.mean.desc() if mode == "max" else row.mean).limit(best)
    rows = connection.execute(statement.order_by(row.variant, row.gm, row.gc))
    return {Point(each.variant, each.gm, each.gc): [(*trial,) for trial in each.finished or ()] for each in rows}


def read_point(connection: Connection, search_id: str, stage: str, point: Point) -> list[Finished]:
    """Return the finished trials of one point of a stage."""
    found = connection.execute(
        select(candidates.c.finished).where(_matches_point(search_id, stage, point))
    ).scalar_one_or_none()
    return [(*trial,) for trial in found or ()]


def read_quartiles(
    connection: Connection, search_id: str, stage: str, points: Iterable[Point]
) -> dict[Point, tuple[float, float, float, float, float]]:
    """Return minimum, quartiles and maximum of each given point that has a finished trial."""
    row = candidates.c
    expected = tuple_(row.variant, row.gm, row.gc).in_([(point.variant, point.gm, point.gc) for point in points])
    condition = (row.search_id == search_id) & (row.stage == stage) & row.quartiles.is_not(None)
    rows = connection.execute(select(row.variant, row.gm, row.gc, row.quartiles).where(condition, expected))
    return {Point(each.variant, each.gm, each.gc): (*each.quartiles,) for each in rows}


def compute_quartiles(values: Sequence[float]) -> list[float] | None:
    """Return minimum, three quartiles and maximum of some values; None if there are none."""
    if len(values) < 2:
        return [*values] * 5 or None
    return [min(values), *quantiles(values, n=4, method="inclusive"), max(values)]


def _matches_point(search_id: str, stage: str, point: Point) -> ColumnElement[bool]:
    row = candidates.c
    condition = (row.search_id == search_id) & (row.stage == stage)
    return condition & (row.variant == point.variant) & (row.gm == point.gm) & (row.gc == point.gc)


def _row(search_id: str, stage: str, candidate: Candidate, finished: Sequence[Finished]) -> dict[str, object]:
    return {
        "search_id": search_id,
        "stage": stage,
        "variant": candidate.variant,
        "gm": candidate.gm,
        "gc": candidate.gc,
        "mean": candidate.mean,
        "std": candidate.std,
        "n": candidate.n,
        "failed": candidate.failed,
        "finished": [list(trial) for trial in finished],
        "quartiles": compute_quartiles([value for *_, value in finished]),
    }
