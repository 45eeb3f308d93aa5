"""When waiting runs may start, from what runs now and how long runs take. Pure. Called by client.queue."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from mcp_orchestrator.planning.queue.admission import Candidate, Draft, LimitOf, Pools, Queue


class Active(NamedTuple):
    """A run that has its places."""

    pools: Pools
    ends: datetime | None
    """When it will end, as far as anybody knows; one that should have ended already may end any moment."""


def expected_starts(
    queue: Queue, active: Iterable[Active], limit_of: LimitOf, now: datetime, aging_seconds: int = 0
) -> Mapping[Candidate, datetime]:
    """When each candidate starts if every run takes as long as estimated, and no other comes.

    Left out are those of whom nobody can tell: they wait for runs without an estimate, or for a limit to be raised.
    """
    present = tuple(active)
    used = Counter(pool for run in present for pool in run.pools)
    draft = Draft(queue, used, limit_of, aging_seconds)
    ends = [(max(now, run.ends), place, run.pools) for place, run in enumerate(present) if run.ends]
    heapq.heapify(ends)
    serial = itertools.count(len(present))
    starts: dict[Candidate, datetime] = {}
    moment = now
    while True:
        while candidate := draft.next(moment):
            starts[candidate] = moment
            if candidate.estimate_seconds is not None:
                end = moment + timedelta(seconds=candidate.estimate_seconds)
                heapq.heappush(ends, (end, next(serial), candidate.pools))
        if not ends:
            return starts
        moment, _, pools = heapq.heappop(ends)
        draft.release(pools)
