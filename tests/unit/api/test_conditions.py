"""The rules for changing conditions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Condition, ConditionStatus, Verdict

LATER = NOW + timedelta(hours=1)
VERDICTS = st.builds(
    Verdict,
    status=st.sampled_from(ConditionStatus),
    reason=st.sampled_from(["Ready", "Starting"]),
    message=st.sampled_from(["", "a word"]),
)


def merged(before: tuple[Condition, ...], verdict: Verdict, generation: int = 1) -> Condition:
    (condition,) = conditions.merge(before, {"Ready": verdict}, generation, LATER)
    return condition


def test_a_new_condition_is_dated_now_with_the_generation_it_was_computed_from() -> None:
    condition = merged((), conditions.false("Starting", "wait a little"), generation=7)

    assert condition.wire() == {
        "type": "Ready",
        "status": "False",
        "reason": "Starting",
        "message": "wait a little",
        "lastTransitionTime": "2026-01-02T04:04:05Z",
        "observedGeneration": 7,
    }


@pytest.mark.parametrize(
    ("after", "moves"),
    [
        pytest.param(conditions.false("Broken", "other words"), False, id="another reason and message"),
        pytest.param(conditions.true("Starting", "m"), True, id="the status"),
        pytest.param(conditions.unknown("Starting", "m"), True, id="to unknown"),
    ],
)
def test_the_transition_time_moves_only_with_the_status(after: Verdict, moves: bool) -> None:
    before = conditions.merge((), {"Ready": conditions.false("Starting", "m")}, 1, NOW)

    condition = merged(before, after)

    assert condition.last_transition_time == (LATER if moves else NOW)
    assert (condition.reason, condition.message) == (after.reason, after.message)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["Ready", "Stalled", "Reconciling"]), VERDICTS, min_size=1))
def test_merging_the_same_verdicts_again_changes_nothing(verdicts: dict[str, Verdict]) -> None:
    once = conditions.merge((), verdicts, 3, NOW)

    assert conditions.merge(once, verdicts, 3, LATER) == once


def test_fractions_of_a_second_are_left_out_as_in_all_times_of_kubernetes() -> None:
    (condition,) = conditions.merge((), {"Ready": conditions.true("Ready")}, 1, NOW.replace(microsecond=123_456))

    assert condition.last_transition_time == NOW


def test_a_condition_without_a_verdict_is_dropped() -> None:
    before = conditions.merge((), {"Old": conditions.true("Ready"), "Ready": conditions.true("Ready")}, 1, NOW)

    assert [c.type for c in conditions.merge(before, {"Ready": conditions.true("Ready")}, 1, NOW)] == ["Ready"]


@pytest.mark.parametrize("length", [4095, 4096, 4097, 100_000])
def test_a_message_always_fits_the_bound_of_the_api(length: int) -> None:
    condition = merged((), conditions.true("Ready", "x" * length))

    assert len(condition.message) == min(length, 4096)
    assert condition.message.endswith("…") == (length > 4096)


def test_a_condition_can_be_found_by_its_type_and_asked() -> None:
    present = conditions.merge((), {"Ready": conditions.true("Ready"), "Stalled": conditions.false("Ready")}, 1, NOW)

    assert conditions.find(present, "Ready") is present[0]
    assert conditions.find(present, "Available") is None
    assert [conditions.is_true(present, type_) for type_ in ("Ready", "Stalled", "Available")] == [True, False, False]
