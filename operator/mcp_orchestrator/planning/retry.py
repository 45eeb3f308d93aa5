"""stub"""

from __future__ import annotations

from dataclasses import dataclass

from mcp_orchestrator.api.errorclass import ErrorClass


@dataclass(frozen=True, slots=True)
class Policy:
    attempts: int
    backoff_seconds: float
    max_backoff_seconds: float
    on: frozenset[ErrorClass] | None


@dataclass(frozen=True, slots=True)
class Failure:
    error_class: ErrorClass
    never_sent: bool
    retry_after_seconds: float | None


def policy(task, server):
    r = task.retry
    d = server.retry
    def pick(a, b):
        return b if a is None else a
    return Policy(
        pick(r and r.attempts, d.attempts),
        pick(r and r.backoff_seconds, d.backoff_seconds),
        pick(r and r.max_backoff_seconds, d.max_backoff_seconds),
        frozenset(r.on) if r and r.on is not None else None,
    )


MAYBE = (ErrorClass.TIMEOUT, ErrorClass.TRANSPORT, ErrorClass.SERVER_DOWN)


def is_known(f, repeatable):
    return f.never_sent or repeatable or f.error_class not in MAYBE


def wait_seconds(policy, f, *, attempt, repeatable, chance, left_seconds):
    on = policy.on if policy.on is not None else {ErrorClass.CONNECT, ErrorClass.BUSY, *MAYBE}
    if attempt >= policy.attempts or f.error_class not in on or not (is_known(f, repeatable)):
        return None
    w = min(policy.backoff_seconds * 2 ** (attempt - 1), policy.max_backoff_seconds) * (0.5 + chance)
    return w if w < left_seconds else None
