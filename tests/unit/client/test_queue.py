"""How the queue reads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.builders import NOW, a_run

from mcp_orchestrator.api.control import Priority
from mcp_orchestrator.client import queue
from mcp_orchestrator.planning.queue.outlook import Place


@pytest.mark.parametrize(
    ("position", "seconds", "words"),
    [
        (1, 0.4, "any moment"),
        (1, 14.1, "in about 14s"),
        (2, 119.7, "in about 2m00s"),
        (3, 7325, "in about 2h02m"),
        (4, None, "not known"),
        (None, None, "when that has come"),
    ],
)
def test_an_expected_start_is_told_in_the_words_of_people(
    position: int | None, seconds: float | None, words: str
) -> None:
    start = None if seconds is None else NOW + timedelta(seconds=seconds)
    place = Place(a_run(), Priority.MEDIUM, "ClusterLimit", "ClusterLimit: 1 of 1 running", position, start)

    assert queue.expectation(place, NOW) == words


@pytest.mark.parametrize(
    ("namespace", "shown"),
    [
        pytest.param("default", "field-notes-1", id="the one that commands work in"),
        pytest.param("other", "default/field-notes-1", id="another one"),
    ],
)
def test_a_run_has_its_namespace_before_it_where_a_command_would_not_find_it_without(
    namespace: str, shown: str
) -> None:
    place = Place(a_run(), Priority.MEDIUM, "ClusterLimit", "ClusterLimit: 1 of 1 running", 1)

    assert [row[1] for row in queue.rows([place], namespace, NOW)] == [shown]
