"""What can go wrong, as a person meets it."""

from __future__ import annotations

import inspect
import re

import pytest

from search.vocabulary import errors
from search.vocabulary.errors import InvalidSpec, NotFound, SearchError

CLASSES = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    first, *below = re.findall(r"^(?:[├└]── )?([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)[1:]
    assert first == "SearchError"
    assert {*below, first} == set(CLASSES)


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_every_error_is_caught_as_one_of_a_search_and_says_what_it_was_given(kind: str) -> None:
    with pytest.raises(SearchError, match=r"^a rule: got a value\. A remedy\.$"):
        raise CLASSES[kind]("a rule: got a value. A remedy.")


def test_errors_of_input_are_pythons_own_too() -> None:
    assert issubclass(InvalidSpec, ValueError)
    assert issubclass(NotFound, LookupError)
