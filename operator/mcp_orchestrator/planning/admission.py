"""The admission queue as one pure function. Called by controllers.admission."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class Candidate(NamedTuple):
    """A run that could start now. Candidates sort first in, first out; the name makes the order total."""

    created: datetime
    namespace: str
    name: str


def admit(queue: Iterable[Candidate], active: int, limit: int) -> tuple[Candidate, ...]:
    """The candidates that start now, in order: never more than `limit` runs beside the `active` ones."""
    free = max(0, limit - active)
    return tuple(heapq.nsmallest(free, queue)) if free else ()
