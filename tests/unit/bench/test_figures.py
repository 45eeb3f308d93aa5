"""Percentiles, rates and counts of the load bench."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load import figures
from bench.load.audit import Call


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        pytest.param(50, 50.0, id="half"),
        pytest.param(95, 95.0, id="most"),
        pytest.param(100, 100.0, id="all"),
        pytest.param(0, 1.0, id="none"),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent: float, expected: float) -> None:
    assert figures.percentile(range(1, 101), percent) == expected


@given(values=st.lists(st.floats(0, 1e6), min_size=1), percent=st.integers(1, 100))
def test_so_many_values_are_within_a_percentile(values: list[float], percent: int) -> None:
    found = figures.percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_there_is_no_percentile_of_nothing_and_no_rate_of_one_moment() -> None:
    assert math.isnan(figures.percentile([], 50))
    assert math.isnan(figures.per_second([1.0]))
    assert math.isnan(figures.per_second([1.0, 1.0]))


def test_a_rate_counts_from_the_first_to_the_last() -> None:
    assert figures.per_second([10.0, 10.5, 12.0]) == 1.0


def test_writes_per_run_are_one_clients_with_those_that_were_refused_and_without_events() -> None:
    calls = [
        a_call("patch", "workflowruns/status"),
        a_call("patch", "workflowruns/status", code=409),
        a_call("create", "jobs"),
        a_call("create", "events"),
        a_call("get", "jobs"),
        a_call("watch", "jobs"),
        a_call("create", "jobs", agent="other"),
    ]
    assert figures.writes_per_run(calls, "operator", runs=2) == 1.5
    assert figures.calls_per_run(calls, "operator", runs=2) == {
        "patch workflowruns/status": 1.0,
        "create jobs": 0.5,
        "create events": 0.5,
        "get jobs": 0.5,
    }


@pytest.mark.parametrize(
    ("resident_mib", "expected"), [pytest.param(90, 0, id="within-the-base"), pytest.param(120, 10.24, id="beyond-it")]
)
def test_memory_of_runs_is_what_is_taken_beyond_the_base(resident_mib: float, expected: float) -> None:
    assert figures.kib_per_run([{"runs": 0, "MiB": 80}, {"runs": 1000, "MiB": resident_mib}]) == expected


def a_call(verb: str, resource: str, agent: str = "operator", code: int = 200) -> Call:
    return Call(0.0, 0.0, verb, resource, "space", "name", agent, code, {})
