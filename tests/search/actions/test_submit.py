"""Everything is checked before anything is stored."""

from __future__ import annotations

from typing import Any

import pytest

from search.actions.submit import prepare
from search.settings import Settings
from search.store import searches
from search.store.database import open_engine
from search.store.provenance import collect_provenance
from search.store.schema import upgrade
from search.vocabulary.errors import InvalidSpec
from tests.search.stored import PLANTED


def test_a_search_that_can_be_run_is_prepared_and_not_stored(settings: Settings) -> None:
    submission = prepare(settings, PLANTED)
    assert submission.spec.gm == PLANTED["gm"]
    assert sum(submission.plan.count_trials().values()) == 5 * 3 + 3 * 3 + 4 * 3
    assert set(submission.digest) == {"recipe", "numbers", "data", "seqnorm"}
    assert not settings.home.exists()


def test_what_was_prepared_is_stored_queued_with_its_owner_and_what_it_was_submitted_with(settings: Settings) -> None:
    upgrade(settings.database_url)
    submission = prepare(settings, {**PLANTED, "name": "mine", "numbers": {"noise": 0.5}})
    with open_engine(settings.database_url).begin() as connection:
        stored = searches.get(connection, submission.store(connection, "ada"))
    assert (stored.status, stored.owner, stored.parent, stored.name) == ("queued", "ada", None, "mine")
    assert (stored.spec, stored.digest) == (submission.spec, submission.digest)
    assert (stored.metric, stored.mode, stored.numbers["main"]["noise"]) == ("accuracy", "max", 0.5)
    assert stored.provenance == collect_provenance("planted")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"recipe": "nosuch"}, "no recipe is named 'nosuch'"),
        ({"gm": [3]}, "gm must divide the batch: got gm=3 for 64 samples"),
        ({"recipe": "cifar10-resnet56", "gm": [4], "gc": [1]}, "CIFAR-10 must be at "),
    ],
    ids=["recipe", "group count", "absent data"],
)
def test_a_search_that_cannot_be_run_is_refused(settings: Settings, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        prepare(settings, {**PLANTED, **fields})
    assert not settings.home.exists()
