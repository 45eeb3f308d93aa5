"""Percentiles, rates and counts of what the audit log tells. Used by scenarios."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.load.audit import Call

EVENTS = "events"
BASE_MIB = 110
"""What the operator may take beside 4 KiB for each run."""


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many percent of them do not exceed; not a number if there are none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def milliseconds(seconds: Sequence[float]) -> Mapping[str, float]:
    """p50, p95 and p99 of durations, and how many there are."""
    figures = {f"p{percent}": round(1000 * percentile(seconds, percent), 1) for percent in (50, 95, 99)}
    return {"count": len(seconds), **figures}


def per_second(moments: Sequence[float]) -> float:
    """How many happened each second, from the first to the last; not a number for fewer than two."""
    if len(moments) < 2 or max(moments) == min(moments):
        return math.nan
    return (len(moments) - 1) / (max(moments) - min(moments))


def calls_per_run(calls: Iterable[Call], agent: str, runs: int) -> Mapping[str, float]:
    """What a client asked for each run, by verb and resource, the most frequent first. Watches are left out."""
    counted = Counter(f"{call.verb} {call.resource}" for call in calls if call.agent == agent and call.verb != "watch")
    return {what: round(number / runs, 3) for what, number in counted.most_common()}


def writes_per_run(calls: Iterable[Call], agent: str, runs: int) -> float:
    """How often a client wrote for each run, refused writes included, Events left out."""
    found = [call for call in calls if call.agent == agent and call.is_write and call.resource != EVENTS]
    return round(len(found) / runs, 3)


def kib_per_run(rows: Sequence[Mapping[str, float]]) -> float:
    """The memory that most runs take beyond the base, by the last of the rows."""
    last = rows[-1]
    return round(max(0.0, last["MiB"] - BASE_MIB) * 1024 / last["runs"], 2)
