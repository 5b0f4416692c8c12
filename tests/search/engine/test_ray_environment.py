"""What Ray finds in its environment."""

from __future__ import annotations

import os

from search.engine.ray_environment import HEALTH_CHECKS, LOOPBACK, VARIABLES, variables_for


def test_a_private_cluster_has_a_secret_of_its_own_and_looks_at_its_nodes_often() -> None:
    first, second = variables_for(""), variables_for("")
    assert first.items() >= (VARIABLES | LOOPBACK | HEALTH_CHECKS | {"RAY_AUTH_MODE": "token"}).items()
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]


def test_a_cluster_that_is_there_keeps_its_own_secret_and_health_checks() -> None:
    assert variables_for("head:6379") == VARIABLES


def test_asking_for_the_variables_sets_none() -> None:
    before = dict(os.environ)
    variables_for("")
    assert dict(os.environ) == before
