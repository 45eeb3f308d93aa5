"""When to send a request again; `client` asks after each failure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from mcp_orchestrator.cluster import errors


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and how patiently to try. A worker waits here, so it is short: the work queue has the long waits."""

    tries: int = 4
    first_wait_seconds: float = 0.1
    longest_retry_after_seconds: float = 5.0
    random: Callable[[], float] = random.random

    def wait_seconds(self, tried: int, error: errors.Unavailable, *, repeatable: bool) -> float | None:
        """The wait before the next try, after `tried` tries of which the last met `error`; None: give up.

        A request that is not `repeatable` is sent again only if the API server can't have carried it out.
        Doubles with each try, as much again at random; a Retry-After is the least wait, and if it is long, give up.
        """
        if tried >= self.tries or error.status == 401 or (error.sent and not repeatable):
            return None
        asked = error.retry_after_seconds or 0.0
        if asked > self.longest_retry_after_seconds:
            return None
        backoff = self.first_wait_seconds * 2.0 ** (tried - 1)
        return max(asked, backoff) + backoff * self.random()
