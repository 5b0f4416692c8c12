"""Searches of somebody's own command, and who may run them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import update

from search.store import binding, leases, queries, searches, transitions
from search.store.binding import Binding
from search.store.database import Engine, open_engine
from search.store.tables import searches as rows
from search.vocabulary.errors import Conflict
from search.vocabulary.states import Status
from tests.search.stored import COMMAND, open_recorder, show, submit, train

ELSEWHERE = Binding(host="far", machine="far", user="ada")


def bind(engine: Engine, search_id: str, **changes: str) -> None:
    bound = {**asdict(Binding.here()), **changes}
    with engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.id == search_id).values(bound=bound))


def resume(engine: Engine, search_id: str) -> None:
    with engine.begin() as connection:
        searches.resume(connection, search_id)


def next_claimable(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return leases.next_claimable(connection)


def test_a_search_of_a_command_is_stored_with_it_and_bound_to_host_and_user(database_url: str) -> None:
    search_id = submit(database_url, command=COMMAND, recipe="train.sh", gm=[1, 3])
    engine = open_engine(database_url)
    with engine.connect() as connection:
        stored = searches.get(connection, search_id)
    assert (stored.command, stored.bound) == (COMMAND, Binding.here())
    assert next_claimable(engine) == search_id


@pytest.mark.parametrize("other", [{"machine": "another"}, {"user": "somebody"}])
def test_other_workers_leave_it_alone(database_url: str, other: dict[str, str]) -> None:
    bound, free = submit(database_url, command=COMMAND, priority=1), submit(database_url)
    engine = open_engine(database_url)
    bind(engine, bound, **other)
    assert next_claimable(engine) == free
    with pytest.raises(Conflict, match=f"run by its user on its host: got {bound}, which is bound to "):
        leases.acquire(engine, bound, 60)


def test_a_host_that_was_renamed_is_the_same(database_url: str) -> None:
    search_id = submit(database_url, command=COMMAND)
    engine = open_engine(database_url)
    bind(engine, search_id, host="as it was called")
    assert next_claimable(engine) == search_id


def test_resuming_elsewhere_says_where_and_who(database_url: str) -> None:
    search_id = submit(database_url, command=COMMAND)
    engine = open_engine(database_url)
    bind(engine, search_id, **asdict(ELSEWHERE))
    with engine.begin() as connection:
        transitions.set_status(connection, search_id, Status.PAUSED, "")
        with pytest.raises(Conflict, match=rf"bound to ada on far\. There, type “seqnorm resume {search_id}”\.$"):
            searches.resume(connection, search_id)
        searches.request_status(connection, search_id, Status.CANCELLED)
    assert show(database_url, search_id).status == "cancelled"


def test_what_waits_for_another_host_says_so(database_url: str) -> None:
    search_id = submit(database_url, command=COMMAND)
    engine = open_engine(database_url)
    bind(engine, search_id, **asdict(ELSEWHERE))
    with engine.connect() as connection:
        (waiting,) = queries.show_cluster(connection).waiting
    assert waiting.why == f"it waits for a worker of ada on far; there, type “seqnorm resume {search_id}” to run it"


def test_a_command_is_measured_against_batchnorm_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    search_id = submit(url, command=COMMAND, recipe="train.sh", gm=[1, 2, 3], gc=[1, 2], seeds=1)
    train(open_recorder(url, search_id), search_id)
    shown = show(url, search_id)
    assert (shown.status, shown.progress.finished) == ("done", shown.progress.planned)
    assert {row.labels for row in shown.test} >= {("BatchNorm",)}
    assert not [row for row in shown.test if row.gm == 0]
    assert shown.numbers == {"main": {}}


def test_without_a_machine_id_the_name_of_the_host_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "MACHINE_ID", tmp_path / "machine-id")
    binding._read_machine_id.cache_clear()
    assert Binding.here().machine == Binding.here().host
    (tmp_path / "machine-id").write_text("0123\n")
    binding._read_machine_id.cache_clear()
    identified = Binding.here().machine
    binding._read_machine_id.cache_clear()
    assert identified not in (Binding.here().host, "0123")


def test_a_command_that_is_bound_to_nobody_is_run_by_nobody(database_url: str) -> None:
    forged = submit(database_url, command=COMMAND)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(update(rows).where(rows.c.id == forged).values(bound=None))
    assert next_claimable(engine) is None
    for run in (lambda: leases.acquire(engine, forged, 60), lambda: resume(engine, forged)):
        with pytest.raises(Conflict, match="bound to nobody on no host"):
            run()
