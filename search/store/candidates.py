"""The projection that pages read: each candidate's summary, kept on write, made anew from the trials on take-over."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from search.selection import Candidate
from search.store.tables import candidates


def keep(connection: Connection, search_id: str, stage: str, candidate: Candidate) -> None:
    """Store a candidate's summary in place of the one before."""
    row = _row(search_id, stage, candidate)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(candidates).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(candidates.primary_key.columns),
            set_={name: row[name] for name in ("mean", "std", "n", "failed")},
        )
    )


def rebuild(connection: Connection, search_id: str, stage: str, summaries: Iterable[Candidate]) -> None:
    """Replace a stage's projection by summaries made from its trials."""
    connection.execute(delete(candidates).where(candidates.c.search_id == search_id, candidates.c.stage == stage))
    rows = [_row(search_id, stage, candidate) for candidate in summaries]
    if rows:
        connection.execute(insert(candidates), rows)


def read(connection: Connection, search_id: str) -> dict[str, list[Candidate]]:
    """Return the candidates of each stage of a search."""
    found: dict[str, list[Candidate]] = {}
    order = (candidates.c.stage, candidates.c.variant, candidates.c.gm, candidates.c.gc)
    for row in connection.execute(select(candidates).where(candidates.c.search_id == search_id).order_by(*order)):
        found.setdefault(row.stage, []).append(
            Candidate(gm=row.gm, gc=row.gc, mean=row.mean, std=row.std, n=row.n, failed=row.failed, variant=row.variant)
        )
    return found


def _row(search_id: str, stage: str, candidate: Candidate) -> dict[str, object]:
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
    }
