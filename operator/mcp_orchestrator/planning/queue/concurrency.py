"""Which runs of a workflow are too many, by its concurrency. Called by planning.runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mcp_orchestrator.api.control import Concurrency, ConcurrencyPolicy
from mcp_orchestrator.api.workflowrunstatus import RunPhase


class Rival(NamedTuple):
    """An unfinished run of the workflow. Rivals sort by age; of two of the same second, the one that has started is the
    older one.
    """

    created: str
    """As the API server writes it."""
    waits: bool
    name: str
    phase: str = ""
    """Empty for one that was not looked at yet."""


@dataclass(frozen=True, slots=True)
class Rivals:
    """The concurrency of a run's workflow as it is now, and what its other unfinished runs mean for the run."""

    concurrency: Concurrency
    older: tuple[str, ...] = ()
    """Names of the older ones."""
    replaced_by: str = ""
    """Name of the newer one that takes the place of the run; empty if none does."""


def rivals(concurrency: Concurrency, run: Rival, others: Iterable[Rival]) -> Rivals:
    """What the other runs mean for `run`."""
    found = sorted(other for other in others if other.name != run.name)
    newer = [other for other in found if other > run and _competes(other, run)]
    return Rivals(
        concurrency,
        older=tuple(other.name for other in found if other < run),
        replaced_by=_replaced_by(concurrency, run, newer),
    )


def skipped(found: Rivals | None) -> bool:
    """Whether the run, which has not started, is to be left out."""
    limit = found and found.concurrency.max_runs
    return bool(found and limit and found.concurrency.policy == ConcurrencyPolicy.SKIP and len(found.older) >= limit)


def displaced(found: Rivals | None) -> tuple[str, ...]:
    """Names of the older runs that may have to give way to this one."""
    limit = found and found.concurrency.max_runs
    if found and limit and found.concurrency.policy == ConcurrencyPolicy.REPLACE:
        return found.older[: max(0, len(found.older) + 1 - limit)]
    return ()


def _competes(newer: Rival, run: Rival) -> bool:
    """Whether the newer run may take the place of `run`. No work is stopped for one that can't start itself."""
    return not newer.waits or newer.phase == RunPhase.QUEUED or (run.waits and bool(newer.phase))


def _replaced_by(concurrency: Concurrency, run: Rival, newer: Sequence[Rival]) -> str:
    """The newest `maxRuns` runs have the places. One that has started gives its own up only if one of these waits: a
    limit that is lowered stops nobody.
    """
    limit = concurrency.max_runs
    if not limit or concurrency.policy != ConcurrencyPolicy.REPLACE or len(newer) < limit:
        return ""
    takers = [other.name for other in newer[-limit:] if other.waits or run.waits]
    return takers[-1] if takers else ""
