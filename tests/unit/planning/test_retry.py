"""When a call is made again: never too often, never too soon, and never where it could do something twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_task

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.mcpserver import ServerRetry
from mcp_orchestrator.api.workflowrun import ResolvedServer, ResolvedTool
from mcp_orchestrator.api.workflowtemplate import Retry
from mcp_orchestrator.planning import retry
from mcp_orchestrator.planning.retry import Failure, Policy

POLICY = Policy(attempts=5, backoff_seconds=1, max_backoff_seconds=30)

classes = st.sampled_from(list(ErrorClass))
failures = st.builds(Failure, classes, st.booleans(), st.none() | st.floats(0, 1000, allow_nan=False), st.booleans())
policies = st.builds(
    Policy,
    st.integers(1, 20),
    st.integers(0, 60),
    st.integers(0, 60),
    st.none() | st.frozensets(classes),
)


def wait(failure: Failure, policy: Policy = POLICY, **fields: object) -> float | None:
    known = {"attempt": 1, "repeatable": False, "chance": 0.0, "left_seconds": 1000.0, **fields}
    return retry.wait_seconds(policy, failure, **known)  # type: ignore[arg-type] # a table's fields


@pytest.mark.parametrize(
    ("failure", "repeatable", "again"),
    [
        pytest.param(Failure(ErrorClass.CONNECT, never_sent=True), False, True, id="never reached its server"),
        pytest.param(Failure(ErrorClass.BUSY, never_sent=True), False, True, id="refused as busy"),
        pytest.param(Failure(ErrorClass.SERVER_DOWN, never_sent=True), False, True, id="the server is down"),
        pytest.param(Failure(ErrorClass.TRANSPORT), False, False, id="perhaps carried out, unsafe"),
        pytest.param(Failure(ErrorClass.TRANSPORT), True, True, id="perhaps carried out, harmless"),
        pytest.param(Failure(ErrorClass.TIMEOUT), False, False, id="late, unsafe"),
        pytest.param(Failure(ErrorClass.TIMEOUT), True, True, id="late, harmless"),
        pytest.param(Failure(ErrorClass.TOOL, answered=True), True, False, id="the tool says no"),
        pytest.param(Failure(ErrorClass.AUTH, never_sent=True), True, False, id="no access"),
        pytest.param(Failure(ErrorClass.SCHEMA, answered=True), True, False, id="a result that breaks its schema"),
    ],
)
def test_without_a_word_of_the_author_what_may_pass_is_tried_again(
    failure: Failure, repeatable: bool, again: bool
) -> None:
    assert (wait(failure, repeatable=repeatable) is not None) == again


def test_an_author_may_name_other_classes_but_not_make_an_unsafe_call_repeat() -> None:
    named = Policy(5, 1, 30, frozenset({ErrorClass.TOOL, ErrorClass.TIMEOUT}))
    assert wait(Failure(ErrorClass.TOOL, answered=True), named) is not None
    assert wait(Failure(ErrorClass.TIMEOUT), named) is None
    assert wait(Failure(ErrorClass.TIMEOUT), named, repeatable=True) is not None
    assert wait(Failure(ErrorClass.CONNECT, never_sent=True), named) is None


def test_pauses_double_up_to_their_bound_and_are_spread_by_chance() -> None:
    failure = Failure(ErrorClass.CONNECT, never_sent=True)
    policy = Policy(20, 1, 8)
    assert [wait(failure, policy, attempt=n, chance=1.0) for n in range(1, 6)] == [1, 2, 4, 8, 8]
    assert wait(failure, policy, attempt=3, chance=0.0) == 2


def test_a_server_that_asks_to_come_back_later_is_heard_up_to_the_longest_pause() -> None:
    assert wait(Failure(ErrorClass.BUSY, never_sent=True, retry_after_seconds=12)) == 12
    assert wait(Failure(ErrorClass.BUSY, never_sent=True, retry_after_seconds=3600)) == 30


@given(policies, failures, st.integers(1, 30), st.booleans(), st.floats(0, 1), st.floats(-5, 500))
def test_no_attempt_is_too_many_too_late_or_a_danger(
    policy: Policy, failure: Failure, attempt: int, repeatable: bool, chance: float, left: float
) -> None:
    found = retry.wait_seconds(
        policy, failure, attempt=attempt, repeatable=repeatable, chance=chance, left_seconds=left
    )
    if found is None:
        return
    assert attempt < policy.attempts
    assert 0 <= found <= policy.max_backoff_seconds
    assert found < left
    assert failure.never_sent or repeatable or failure.error_class == ErrorClass.TOOL


def test_a_task_s_words_count_more_than_its_server_s() -> None:
    server = ResolvedServer(
        name="s",
        url="http://s",
        retry=ServerRetry(attempts=7, backoff_seconds=2),
        tools=(ResolvedTool(name="read", repeatable=True), ResolvedTool(name="write", repeatable=False)),
    )
    assert retry.policy(a_task(), server) == Policy(7, 2, 30)
    own = a_task(retry=Retry(attempts=1, max_backoff_seconds=5, on_errors=(ErrorClass.TOOL,)))
    assert retry.policy(own, server) == Policy(1, 2, 5, frozenset({ErrorClass.TOOL}))
    assert retry.is_repeatable(a_task(tool="read"), server)
    assert not retry.is_repeatable(a_task(tool="write"), server)
    assert not retry.is_repeatable(a_task(tool="unknown"), server)
    assert retry.is_repeatable(a_task(tool="write", idempotent=True), server)
    assert not retry.is_repeatable(a_task(tool="read", idempotent=False), server)
