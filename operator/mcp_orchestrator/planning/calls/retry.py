"""Whether and when a call that failed is made again, and whether its outcome is known. Called by the runner's engine.

What may be repeated follows from two facts: whether the tool can have seen the call, and whether it does harm if it
sees one twice. An author's `retry.onErrors` widens or narrows the classes, but never makes an unsafe call repeat whose
outcome is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.task import Retry, Task

DEFAULT = frozenset(
    {ErrorClass.CONNECT, ErrorClass.BUSY, ErrorClass.SERVER_DOWN, ErrorClass.TIMEOUT, ErrorClass.TRANSPORT}
)
"""What is tried again if the author does not say: what may have passed a moment later."""
_ANSWERED = frozenset(
    {
        ErrorClass.TOOL,
        ErrorClass.SCHEMA,
        ErrorClass.INPUT_REQUIRED,
        ErrorClass.RESULT_TOO_LARGE,
        ErrorClass.EXPRESSION,
    }
)
"""Classes of calls that came to an end: the tool answered, or was never asked."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a call is made, how long the pauses are, and for which classes; `on` unset means DEFAULT."""

    attempts: int
    backoff_seconds: float
    max_backoff_seconds: float
    on: frozenset[ErrorClass] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a call that failed.

    `never_sent`: the tool surely did not run. `answered`: the server itself told how the call ended.
    """

    error_class: ErrorClass
    never_sent: bool = False
    retry_after_seconds: float | None = None
    answered: bool = False


def policy(task: Task, server: ResolvedServer) -> Policy:
    """The task's policy: what it says itself, and the server's words for the rest."""
    own, default = task.retry or Retry(), server.retry
    return Policy(
        attempts=default.attempts if own.attempts is None else own.attempts,
        backoff_seconds=default.backoff_seconds if own.backoff_seconds is None else own.backoff_seconds,
        max_backoff_seconds=(
            default.max_backoff_seconds if own.max_backoff_seconds is None else own.max_backoff_seconds
        ),
        on=None if own.on_errors is None else frozenset(own.on_errors),
    )


def is_repeatable(task: Task, server: ResolvedServer) -> bool:
    """Whether it does no harm if the tool sees the call twice: as the task says, else as the tool itself says."""
    if task.idempotent is not None:
        return task.idempotent
    return any(tool.repeatable for tool in server.tools if tool.name == task.tool)


def is_known(failure: Failure, repeatable: bool) -> bool:
    """Whether it is known what became of the call, or does not matter: False makes the task Indeterminate."""
    return failure.never_sent or failure.answered or failure.error_class in _ANSWERED or repeatable


def wait_seconds(
    policy: Policy, failure: Failure, *, attempt: int, repeatable: bool, chance: float, left_seconds: float
) -> float | None:
    """The pause before the next attempt; None if there is to be none.

    `attempt` is the number of the one that failed, from 1. Half of the pause, which doubles each time, is spread by
    `chance`, from 0 to 1. A server that asks to come back later is heard, up to the policy's longest pause. No attempt
    begins when `left_seconds` are over.
    """
    if attempt >= policy.attempts or not _may_repeat(policy, failure, repeatable):
        return None
    pause = min(policy.backoff_seconds * 2.0 ** min(attempt - 1, 32), policy.max_backoff_seconds)
    asked = min(failure.retry_after_seconds or 0.0, policy.max_backoff_seconds)
    wait = max(pause * (1 + chance) / 2, asked)
    return wait if wait < left_seconds else None


def _may_repeat(policy: Policy, failure: Failure, repeatable: bool) -> bool:
    wanted = DEFAULT if policy.on is None else policy.on
    # A tool that reports an error says itself that it did not do its work; whoever names the class relies on that.
    harmless = failure.never_sent or repeatable or failure.error_class is ErrorClass.TOOL
    return harmless and failure.error_class in wanted
