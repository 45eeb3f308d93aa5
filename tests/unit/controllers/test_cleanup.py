"""How fast ended runs are deleted, and what wakes their clean-up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.controllers.cleanup import BACKLOG_SECONDS, PER_SECOND, Pace


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("due", "first", "a_second_later"),
    [
        pytest.param(3, 3, 3, id="few-go-at-once"),
        pytest.param(100, PER_SECOND, PER_SECOND, id="many-go-a-few-a-second"),
        pytest.param(60_000, PER_SECOND, 1000, id="so-many-that-a-minute-would-not-do-go-faster"),
    ],
)
def test_deletions_are_paced(due: int, first: int, a_second_later: int) -> None:
    clock = Seconds()
    pace = Pace(clock)
    assert pace.take(due) == first
    clock.now += 1
    assert pace.take(due) == a_second_later


def test_nothing_more_goes_in_the_same_moment() -> None:
    pace = Pace(Seconds())
    pace.take(100)
    assert pace.take(100) == 0


@given(st.integers(1, 20_000))
def test_a_backlog_is_gone_after_some_minutes(due: int) -> None:
    clock = Seconds()
    pace = Pace(clock)
    seconds = 0
    while due:
        due -= pace.take(due)
        clock.now += 1
        seconds += 1
    assert seconds <= 10 * BACKLOG_SECONDS
