"""The admission queue: first in, first out, and never above the limit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW

from mcp_orchestrator.planning.admission import Candidate, admit

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        created=st.integers(0, 3).map(lambda hours: NOW + timedelta(hours=hours)),
        namespace=st.sampled_from("ab"),
        name=st.text("xyz", min_size=1, max_size=3),
    ),
    unique=True,
    max_size=12,
)
COUNTS = st.integers(0, 12)


def a_candidate(name: str, hours: int = 0, namespace: str = "default") -> Candidate:
    return Candidate(NOW + timedelta(hours=hours), namespace, name)


@settings(max_examples=60)
@given(CANDIDATES, COUNTS, COUNTS)
def test_no_more_run_than_the_limit_and_no_slot_stays_free(queue: list[Candidate], active: int, limit: int) -> None:
    admitted = admit(queue, active, limit)

    assert len(admitted) == min(len(queue), max(0, limit - active))
    assert len(set(admitted)) == len(admitted)
    assert set(admitted) <= set(queue)


@settings(max_examples=60)
@given(CANDIDATES, COUNTS, COUNTS)
def test_nobody_is_overtaken_by_a_younger_one(queue: list[Candidate], active: int, limit: int) -> None:
    admitted = admit(queue, active, limit)
    left = set(queue) - set(admitted)

    assert list(admitted) == sorted(admitted)
    assert all(first < waiting for first in admitted for waiting in left)


@settings(max_examples=50)
@given(CANDIDATES.flatmap(lambda queue: st.tuples(st.just(queue), st.permutations(queue))), COUNTS)
def test_the_order_of_arrival_in_the_queue_does_not_matter(
    queues: tuple[list[Candidate], list[Candidate]], limit: int
) -> None:
    first, second = queues

    assert admit(first, 0, limit) == admit(second, 0, limit)


@pytest.mark.parametrize(
    ("queue", "order"),
    [
        pytest.param([a_candidate("b", hours=1), a_candidate("c")], ["c", "b"], id="the oldest first"),
        pytest.param([a_candidate("b"), a_candidate("a")], ["a", "b"], id="by name where the ages are the same"),
        pytest.param(
            [a_candidate("a", namespace="two"), a_candidate("b", namespace="one")], ["b", "a"], id="by namespace first"
        ),
    ],
)
def test_the_order_is_total(queue: list[Candidate], order: list[str]) -> None:
    assert [candidate.name for candidate in admit(queue, 0, 10)] == order


@pytest.mark.parametrize(
    ("active", "limit"),
    [
        pytest.param(0, 0, id="a limit of none"),
        pytest.param(3, 3, id="full"),
        pytest.param(5, 3, id="more than full, after the limit was lowered"),
    ],
)
def test_nobody_starts_without_a_free_slot(active: int, limit: int) -> None:
    assert admit([a_candidate("a")], active, limit) == ()
