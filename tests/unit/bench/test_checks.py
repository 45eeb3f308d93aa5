"""The load bench's judgement of an operator: its limit and the order of its queue, from what the API server saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bench.load.audit import Call
from bench.load.checks import Ledger, Limit, Moment, Step, over_limit, overtaken, unannounced
from mcp_orchestrator.api.control import Priority

ONE = [Limit(0.0, 1)]
TWO = [Limit(0.0, 2)]
Q, A, S, E = Step.QUEUED, Step.ADMITTED, Step.STARTED, Step.ENDED


def steps(*told: tuple[float, Step, str]) -> list[Moment]:
    return sorted(Moment(at, step, run, at, at) for at, step, run in told)


OVER_LIMIT = [
    pytest.param(ONE, [(1, A, "a"), (2, E, "a"), (3, A, "b")], [], id="one-after-the-other"),
    pytest.param(ONE, [(1, A, "a"), (2, A, "b"), (3, E, "a")], ["b"], id="one-too-many"),
    pytest.param(TWO, [(1, A, "a"), (2, A, "b")], [], id="as-many-as-may"),
    pytest.param(ONE, [(1, A, "a"), (1, E, "a"), (1, A, "b")], ["b"], id="at-once-the-end-of-another-counts-first"),
    pytest.param([Limit(0, 1), Limit(5, 2)], [(1, A, "a"), (6, A, "b")], [], id="after-the-limit-was-raised"),
    pytest.param([Limit(0, 2), Limit(5, 1)], [(1, A, "a"), (2, A, "b")], [], id="before-the-limit-was-lowered"),
    pytest.param([Limit(0, 2), Limit(5, 1)], [(1, A, "a"), (6, A, "b")], ["b"], id="after-the-limit-was-lowered"),
    pytest.param(ONE, [(1, E, "refused"), (2, A, "a")], [], id="a-run-that-was-never-admitted-gives-no-slot-back"),
]


@pytest.mark.parametrize(("limits", "told", "expected"), OVER_LIMIT)
def test_an_admission_beyond_the_limit_is_found(
    limits: list[Limit], told: list[tuple[float, Step, str]], expected: list[str]
) -> None:
    assert [found.split()[0] for found in over_limit(steps(*told), limits)] == expected


PRIORITIES = {"low": Priority.LOW, "high": Priority.HIGH, "other": Priority.HIGH, "medium": Priority.MEDIUM}
OVERTAKEN = [
    pytest.param(ONE, [(1, Q, "low"), (1, Q, "high"), (5, A, "high")], [], id="the-higher-first"),
    pytest.param(ONE, [(1, Q, "low"), (1, Q, "high"), (5, A, "low")], ["low"], id="the-lower-first"),
    pytest.param(ONE, [(1, Q, "low"), (4.5, Q, "high"), (5, A, "low")], [], id="the-higher-came-just-now"),
    pytest.param(TWO, [(1, Q, "low"), (1, Q, "high"), (5, A, "low"), (5.1, A, "high")], [], id="a-slot-for-both"),
    pytest.param(
        TWO, [(1, Q, "low"), (1, Q, "high"), (1, Q, "other"), (5, A, "low")], ["low"], id="no-slots-for-all-higher-ones"
    ),
    pytest.param(ONE, [(1, Q, "high"), (2, E, "high"), (5, A, "low")], [], id="the-higher-ended-in-the-queue"),
    pytest.param(ONE, [(1, Q, "unnamed"), (5, A, "medium")], [], id="medium-is-the-default"),
    pytest.param(ONE, [(1, Q, "low"), (1, Q, "unnamed"), (5, A, "low")], ["low"], id="the-default-is-overtaken"),
]


@pytest.mark.parametrize(("limits", "told", "expected"), OVERTAKEN)
def test_a_run_that_takes_the_slot_of_a_higher_one_is_found(
    limits: list[Limit], told: list[tuple[float, Step, str]], expected: list[str]
) -> None:
    assert [found.split()[0] for found in overtaken(steps(*told), limits, PRIORITIES)] == expected


def test_an_admission_that_was_decided_before_the_higher_run_came_is_no_wrong() -> None:
    told = [*steps((3, Q, "high")), Moment(5, A, "low", 5, 2)]
    assert overtaken(told, ONE, PRIORITIES) == []


def test_a_job_before_its_runs_admission_is_found() -> None:
    assert unannounced(steps((1, A, "a"), (2, S, "a"))) == []
    assert len(unannounced(steps((1, S, "a"), (2, A, "a")))) == 1


def test_steps_are_the_operators_own_that_were_accepted_each_once() -> None:
    ledger = Ledger("operator")
    admitted = {"phase": "Running", "jobName": "run-1-job", "admittedAt": "2026-01-01T00:00:00Z"}
    ledger.take(
        [
            a_status(1, {"phase": "Queued"}),
            a_status(2, admitted, code=409),
            a_status(3, admitted),
            a_status(3.5, {"phase": "Failed"}, agent="other"),
            a_job(4, "run-1-job"),
            a_status(5, admitted | {"phase": "Succeeded"}),
        ]
    )
    assert [(moment.at, moment.step, moment.run) for moment in ledger.steps()] == [
        (1, Step.QUEUED, "run-1"),
        (3, Step.ADMITTED, "run-1"),
        (4, Step.STARTED, "run-1"),
        (5, Step.ENDED, "run-1"),
    ]


def a_status(at: float, status: Mapping[str, Any], agent: str = "operator", code: int = 200) -> Call:
    return Call(at, at, "patch", "workflowruns/status", "space", "run-1", agent, code, {"status": status})


def a_job(at: float, name: str) -> Call:
    return Call(at, at, "create", "jobs", "space", name, "operator", 201, {})
