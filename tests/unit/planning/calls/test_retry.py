"""Whether a failed call is made again, and how soon."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_task

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.mcpserver import ServerRetry
from mcp_orchestrator.api.resolved import ResolvedServer, ResolvedTool
from mcp_orchestrator.api.task import Retry
from mcp_orchestrator.planning.calls import retry
from mcp_orchestrator.planning.calls.retry import Failure, Policy

CONNECT, BUSY, DOWN, TIMEOUT, TRANSPORT = (
    ErrorClass.CONNECT,
    ErrorClass.BUSY,
    ErrorClass.SERVER_DOWN,
    ErrorClass.TIMEOUT,
    ErrorClass.TRANSPORT,
)
TOOL, SCHEMA, PROTOCOL, AUTH = ErrorClass.TOOL, ErrorClass.SCHEMA, ErrorClass.PROTOCOL, ErrorClass.AUTH
PASSING = {CONNECT, BUSY, DOWN, TIMEOUT, TRANSPORT}
POLICY = Policy(attempts=3, backoff_seconds=1, max_backoff_seconds=30)

policies = st.builds(
    Policy,
    attempts=st.integers(1, 20),
    backoff_seconds=st.integers(0, 3600),
    max_backoff_seconds=st.integers(0, 3600),
    on=st.none() | st.frozensets(st.sampled_from(ErrorClass)),
)
failures = st.builds(
    Failure,
    st.sampled_from(ErrorClass),
    never_sent=st.booleans(),
    retry_after_seconds=st.none() | st.floats(0, 1e9),
    answered=st.booleans(),
)
chances = st.floats(0, 1, exclude_max=True)
lefts = st.floats(0, 1e6) | st.just(math.inf)


def wait(
    failure: Failure,
    policy: Policy = POLICY,
    *,
    attempt: int = 1,
    repeatable: bool = False,
    chance: float = 0.0,
    left_seconds: float = math.inf,
) -> float | None:
    return retry.wait_seconds(
        policy, failure, attempt=attempt, repeatable=repeatable, chance=chance, left_seconds=left_seconds
    )


# --- what is repeated ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_by_default_what_may_have_passed_is_tried_again(error_class: ErrorClass) -> None:
    assert (wait(Failure(error_class, never_sent=True)) is not None) == (error_class in PASSING)
    assert (wait(Failure(error_class), repeatable=True) is not None) == (error_class in PASSING)
    assert wait(Failure(error_class)) is None


@pytest.mark.parametrize("error_class", list(ErrorClass))
@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("never_sent", [True, False])
def test_classes_that_the_author_names_are_tried_again_where_that_is_harmless(
    error_class: ErrorClass, repeatable: bool, never_sent: bool
) -> None:
    failure = Failure(error_class, never_sent=never_sent)
    tried = wait(failure, Policy(3, 1, 30, frozenset(ErrorClass)), repeatable=repeatable) is not None
    assert tried == (repeatable or never_sent or error_class == TOOL)
    assert wait(failure, Policy(3, 1, 30, frozenset(ErrorClass) - {error_class}), repeatable=repeatable) is None
    assert wait(failure, Policy(3, 1, 30, frozenset()), repeatable=repeatable) is None


@given(policies, failures, st.integers(1, 30), chances, lefts)
def test_an_unsafe_call_whose_outcome_is_not_known_is_never_made_again(
    policy: Policy, failure: Failure, attempt: int, chance: float, left_seconds: float
) -> None:
    if not retry.is_known(failure, repeatable=False):
        assert wait(failure, policy, attempt=attempt, chance=chance, left_seconds=left_seconds) is None


@pytest.mark.parametrize(
    ("failure", "known"),
    [
        pytest.param(Failure(TRANSPORT), False, id="broken in the call"),
        pytest.param(Failure(TIMEOUT), False, id="no answer"),
        pytest.param(Failure(DOWN), False, id="the program died in the call"),
        pytest.param(Failure(PROTOCOL), False, id="an answer that nobody can read"),
        pytest.param(Failure(ErrorClass.CANCELLED), False, id="interrupted"),
        pytest.param(Failure(ErrorClass.RUNNER), False, id="a mistake of ours"),
        pytest.param(Failure(TRANSPORT, never_sent=True), True, id="broken before the call"),
        pytest.param(Failure(BUSY, never_sent=True), True, id="turned away"),
        pytest.param(Failure(PROTOCOL, answered=True), True, id="an error of the server's own"),
        pytest.param(Failure(TOOL), True, id="tool error"),
        pytest.param(Failure(SCHEMA), True, id="a result that breaks its schema"),
        pytest.param(Failure(ErrorClass.INPUT_REQUIRED), True, id="input of a person"),
        pytest.param(Failure(ErrorClass.RESULT_TOO_LARGE), True, id="too large"),
        pytest.param(Failure(ErrorClass.EXPRESSION), True, id="expression"),
    ],
)
def test_an_outcome_is_known_if_the_tool_did_not_run_or_the_server_told(failure: Failure, known: bool) -> None:
    assert retry.is_known(failure, repeatable=False) == known
    assert retry.is_known(failure, repeatable=True)


# --- how often and how soon ------------------------------------------------------------------------------------------


@given(policies, failures, st.booleans(), chances, lefts)
def test_there_are_never_more_attempts_than_allowed(
    policy: Policy, failure: Failure, repeatable: bool, chance: float, left_seconds: float
) -> None:
    attempt = 1
    while (
        wait(failure, policy, attempt=attempt, repeatable=repeatable, chance=chance, left_seconds=left_seconds)
        is not None
    ):
        attempt += 1
    assert attempt <= policy.attempts


@given(policies, failures, st.integers(1, 19), chances, lefts)
def test_every_pause_is_within_its_bounds(
    policy: Policy, failure: Failure, attempt: int, chance: float, left_seconds: float
) -> None:
    found = wait(failure, policy, attempt=attempt, repeatable=True, chance=chance, left_seconds=left_seconds)
    if found is None:
        return
    longest = min(policy.backoff_seconds * 2 ** (attempt - 1), policy.max_backoff_seconds)
    asked = min(failure.retry_after_seconds or 0, policy.max_backoff_seconds)
    assert 0 <= found <= policy.max_backoff_seconds
    assert found >= asked, "the server is heard"
    assert longest / 2 <= found <= max(longest, asked)
    assert found < left_seconds, "no attempt begins after the deadline"


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [(1, 0.0, 0.5), (1, 1.0, 1.0), (2, 0.0, 1.0), (2, 0.5, 1.5), (3, 1.0, 4.0), (5, 1.0, 16.0), (6, 1.0, 30.0)],
)
def test_pauses_double_and_half_of_each_is_left_to_chance(attempt: int, chance: float, seconds: float) -> None:
    policy = Policy(attempts=20, backoff_seconds=1, max_backoff_seconds=30)
    assert wait(Failure(CONNECT, never_sent=True), policy, attempt=attempt, chance=chance) == seconds


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param(None, 0.5, id="nothing"),
        pytest.param(0.0, 0.5, id="no time"),
        pytest.param(7.0, 7.0, id="more than the pause"),
        pytest.param(0.2, 0.5, id="less than the pause"),
        pytest.param(3600.0, 30.0, id="more than the longest pause"),
    ],
)
def test_a_server_that_asks_to_come_back_later_is_heard_within_reason(asked: float | None, seconds: float) -> None:
    assert wait(Failure(BUSY, never_sent=True, retry_after_seconds=asked)) == seconds


def test_a_pause_that_outlasts_the_deadline_is_not_begun() -> None:
    busy = Failure(BUSY, never_sent=True, retry_after_seconds=10)
    assert wait(busy, left_seconds=10.1) == 10
    assert wait(busy, left_seconds=10) is None


def test_the_last_attempt_is_the_last() -> None:
    refused = Failure(CONNECT, never_sent=True)
    assert wait(refused, attempt=2) is not None
    assert wait(refused, attempt=3) is None
    assert wait(refused, Policy(1, 1, 30)) is None


# --- whose words count -----------------------------------------------------------------------------------------------


def a_server(**tools: bool) -> ResolvedServer:
    return ResolvedServer(
        name="time",
        url="http://time",
        retry=ServerRetry(attempts=5, backoff_seconds=2, max_backoff_seconds=60),
        tools=tuple(ResolvedTool(name=name, repeatable=repeatable) for name, repeatable in tools.items()),
    )


@pytest.mark.parametrize(
    ("own", "policy"),
    [
        pytest.param(None, Policy(5, 2, 60), id="the server's"),
        pytest.param(Retry(), Policy(5, 2, 60), id="nothing said"),
        pytest.param(Retry(attempts=1), Policy(1, 2, 60), id="attempts"),
        pytest.param(Retry(backoff_seconds=0), Policy(5, 0, 60), id="no pause"),
        pytest.param(Retry(max_backoff_seconds=0), Policy(5, 2, 0), id="no longest pause"),
        pytest.param(Retry(on_errors=(TOOL, BUSY)), Policy(5, 2, 60, frozenset({TOOL, BUSY})), id="classes"),
        pytest.param(Retry(on_errors=()), Policy(5, 2, 60, frozenset()), id="no class"),
    ],
)
def test_a_task_says_what_it_wants_and_the_server_the_rest(own: Retry | None, policy: Policy) -> None:
    assert retry.policy(a_task(retry=own), a_server()) == policy


@pytest.mark.parametrize(
    ("idempotent", "tools", "repeatable"),
    [
        pytest.param(None, {"get_current_time": True}, True, id="the tool says that it is"),
        pytest.param(None, {"get_current_time": False}, False, id="the tool says that it is not"),
        pytest.param(None, {"other": True}, False, id="another tool says so"),
        pytest.param(None, {}, False, id="nothing is known"),
        pytest.param(True, {"get_current_time": False}, True, id="the task knows better"),
        pytest.param(False, {"get_current_time": True}, False, id="the task is careful"),
    ],
)
def test_a_call_is_repeatable_if_the_task_or_else_the_tool_says_so(
    idempotent: bool | None, tools: dict[str, bool], repeatable: bool
) -> None:
    assert retry.is_repeatable(a_task(idempotent=idempotent), a_server(**tools)) == repeatable
