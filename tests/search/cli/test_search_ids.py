"""The search that a person names."""

from __future__ import annotations

import pytest

from search.cli.search_ids import LENGTH, MAX_NAMED, complete, find_id
from search.settings import Settings
from search.store import searches, transitions
from search.store.database import open_engine
from search.vocabulary.errors import InvalidSpec, NotFound
from search.vocabulary.states import Status
from tests.search.stored import prepare, submit


def named(settings: Settings, search_id: str, **fields: object) -> str:
    """Store a search with a given id."""
    letters = iter(search_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches.secrets, "choice", lambda alphabet: next(letters))
        return submit(settings.database_url, **fields)


def archive(settings: Settings, search_id: str) -> None:
    with open_engine(settings.database_url).begin() as connection:
        transitions.set_status(connection, search_id, Status.DONE, "")
        searches.archive(connection, search_id)


def test_an_id_that_is_complete_is_not_looked_up(settings: Settings) -> None:
    assert find_id(settings, "0123456789") == "0123456789"
    assert len(submit(settings.database_url)) == LENGTH


def test_the_start_of_an_id_is_enough_if_no_other_id_starts_so(settings: Settings) -> None:
    first, second = named(settings, "abc4567890"), named(settings, "abd4567890", name="mine")
    assert [find_id(settings, start) for start in ("abc", "abd", "abd456789")] == [first, second, second]
    with pytest.raises(InvalidSpec) as caught:
        find_id(settings, "ab")
    assert str(caught.value) == (
        "the start of an id must match one search: got 'ab', which matches "
        "abd4567890 (queued, planted, mine), abc4567890 (queued, planted). Give more of it."
    )


def test_an_archived_search_has_an_id_too(settings: Settings) -> None:
    archived = named(settings, "abc4567890")
    archive(settings, archived)
    assert find_id(settings, "abc") == archived


def test_of_many_candidates_a_few_are_named(settings: Settings) -> None:
    for number in range(MAX_NAMED + 1):
        named(settings, f"a{number}34567890"[:LENGTH])
    with pytest.raises(InvalidSpec, match=r"a534567890 \(queued, planted\), .*, …\. Give more of it\.$"):
        find_id(settings, "a")


def test_what_is_no_start_of_an_id_is_left_for_the_command_to_refuse(settings: Settings) -> None:
    named(settings, "abc4567890")
    for given in ("", "zz", "%", "_bc", "no-where", "ABC", "a b"):
        assert find_id(settings, given) == given


def test_last_is_the_newest_search_in_the_list(settings: Settings) -> None:
    prepare(settings.database_url)
    start = "Start one with: seqnorm tune digits-mlp --gm"
    with pytest.raises(NotFound, match=rf"^`last` needs a search: there is none yet\. {start}"):
        find_id(settings, "last")
    first, second = submit(settings.database_url), submit(settings.database_url)
    assert find_id(settings, "last") == second
    archive(settings, second)
    assert find_id(settings, "last") == first


def test_a_shell_is_offered_ids_with_what_they_are_but_nobodys_words(settings: Settings) -> None:
    first, second = named(settings, "abc4567890"), named(settings, "xyz4567890", name=r"\$(reboot)")
    last = ("last", "the newest search")
    assert complete(settings, "") == [(second, "queued, planted"), (first, "queued, planted"), last]
    assert complete(settings, "ab") == [(first, "queued, planted"), last]
