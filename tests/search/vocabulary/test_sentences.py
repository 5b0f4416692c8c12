"""What an exception says itself."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from search.vocabulary.sentences import own_sentences


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("values", [{"a": "hunter2"}, {"a": "hunter2 [SQL: x] [parameters: y]\n]"}])
def test_sql_values_and_links_are_removed(hidden: bool, values: dict[str, str]) -> None:
    engine = create_engine("sqlite://", hide_parameters=hidden)
    with engine.connect() as connection, pytest.raises(DBAPIError) as fault:
        connection.execute(text("SELECT :a,\n  '[1]' FROM nowhere"), values)
    for said in (str(fault.value), " ".join(str(fault.value).split())):
        assert own_sentences(f"before: {said}\nafter") == (
            "before: (sqlite3.OperationalError) no such table: nowhere\nafter"
        )


@pytest.mark.parametrize("said", ["", "no room", "a list [1]\n(in the background)", "[SQL: kept by itself]"])
def test_all_other_text_stays(said: str) -> None:
    assert own_sentences(said) == said


def test_the_rows_that_postgresql_quotes_are_removed() -> None:
    said = 'duplicate key value violates unique constraint "once"\nDETAIL:  Key (word)=(hunter2) already exists.\nend'
    assert own_sentences(said) == 'duplicate key value violates unique constraint "once"\nend'
