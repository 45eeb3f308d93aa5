"""Which runs of a workflow are too many, by its concurrency. Called by planning.runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from mcp_orchestrator.api.control import Concurrency, ConcurrencyPolicy


class Rival(NamedTuple):
    """An unfinished run of the workflow. Rivals sort by age; of two of the same second, the one that has started is the
    older one.
    """

    created: str
    """As the API server writes it."""
    waits: bool
    name: str


@dataclass(frozen=True, slots=True)
class Rivals:
    """The concurrency of a run's workflow as it is now, and the names of its other unfinished runs."""

    concurrency: Concurrency
    older: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()


def rivals(concurrency: Concurrency, run: Rival, others: Iterable[Rival]) -> Rivals:
    """The other runs, sorted by whether they are older than `run`."""
    found = sorted(other for other in others if other.name != run.name)
    return Rivals(
        concurrency,
        older=tuple(other.name for other in found if other < run),
        newer=tuple(other.name for other in found if other > run),
    )


def skipped(found: Rivals | None) -> bool:
    """Whether the run, which has not started, is to be left out."""
    limit = found and found.concurrency.max_runs
    return bool(found and limit and found.concurrency.policy == ConcurrencyPolicy.SKIP and len(found.older) >= limit)


def replaced_by(found: Rivals | None) -> str:
    """Name of the newer run that takes the place of this one; empty if none does."""
    limit = found and found.concurrency.max_runs
    if found and limit and found.concurrency.policy == ConcurrencyPolicy.REPLACE and len(found.newer) >= limit:
        return found.newer[limit - 1]
    return ""


def displaced(found: Rivals | None) -> tuple[str, ...]:
    """Names of the older runs that must give way to this one."""
    limit = found and found.concurrency.max_runs
    if found and limit and found.concurrency.policy == ConcurrencyPolicy.REPLACE:
        return found.older[: max(0, len(found.older) + len(found.newer) + 1 - limit)]
    return ()
