"""When waiting runs may start."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW
from tests.unit.planning.queue.test_admission import CANDIDATES, NUMBERS, a_candidate, only

from mcp_orchestrator.planning.queue.admission import CLUSTER, Candidate, Pool, Queue, admit, pools_of
from mcp_orchestrator.planning.queue.forecast import Active, expected_starts

MINUTE = timedelta(minutes=1)


def running(minutes_left: float | None) -> Active:
    return Active(pools_of("default", "", ()), None if minutes_left is None else NOW + minutes_left * MINUTE)


def lasting(name: str, minutes: int | None, hours: float = 0) -> Candidate:
    """A candidate that will run for so many minutes."""
    return a_candidate(name, hours=hours)._replace(estimate_seconds=None if minutes is None else minutes * 60)


@pytest.mark.parametrize(
    ("active", "queue", "expected"),
    [
        pytest.param([], [lasting("a", 5)], {"a": 0}, id="there is room"),
        pytest.param([running(2)], [lasting("a", 5), lasting("b", 5)], {"a": 2, "b": 7}, id="one after the other"),
        pytest.param([running(-3)], [lasting("a", 5)], {"a": 0}, id="one that should have ended may end any moment"),
        pytest.param([running(None)], [lasting("a", 5)], {}, id="nobody knows how long the first one takes"),
        pytest.param([running(1)], [lasting("a", None), lasting("b", 5)], {"a": 1}, id="nor the one in front"),
        pytest.param(
            [running(1)], [lasting("new", 5), lasting("old", 5, 1)], {"old": 1, "new": 6}, id="in their order"
        ),
    ],
)
def test_a_run_starts_when_those_before_it_have_ended(
    active: list[Active], queue: list[Candidate], expected: dict[str, float]
) -> None:
    found = expected_starts(Queue(queue), active, only(1), NOW)

    assert {candidate.name: (start - NOW) / MINUTE for candidate, start in found.items()} == expected


@settings(max_examples=80)
@given(CANDIDATES, NUMBERS)
def test_what_the_queue_would_admit_now_is_expected_now(found: list[Candidate], limits: dict[Pool, int]) -> None:
    starts = expected_starts(Queue(found), [], limits.get, NOW)

    assert {candidate for candidate, start in starts.items() if start == NOW} == set(
        admit(Queue(found), {}, limits.get, NOW)
    )


@settings(max_examples=60)
@given(CANDIDATES, st.integers(1, 4), st.lists(st.integers(0, 9), max_size=4))
def test_with_estimates_for_all_every_run_has_its_time_and_no_more_run_than_may(
    found: list[Candidate], limit: int, active: list[int]
) -> None:
    queue = [candidate._replace(estimate_seconds=600, pools=(*candidate.pools[:0], CLUSTER)) for candidate in found]

    starts = expected_starts(
        Queue(queue), [Active((CLUSTER,), NOW + minutes * MINUTE) for minutes in active], only(limit), NOW
    )

    assert set(starts) == set(queue)
    for moment in starts.values():
        assert overlapping(moment, starts, active) <= max(limit, len(active))


def overlapping(moment: datetime, starts: dict[Candidate, datetime], active: list[int]) -> int:
    """Runs under way at that moment."""
    mine = sum(start <= moment < start + 10 * MINUTE for start in starts.values())
    return mine + sum(moment < NOW + minutes * MINUTE for minutes in active)
