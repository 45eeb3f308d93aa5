"""The admission queue: who starts next, and what keeps the others. Pure. Called by controllers.admission.

A run takes a place in several pools at once: one of the whole cluster, one of its namespace, one of its template and
one of each server that it calls. It starts when all of them have room. Among those that could start, the higher
priority goes first, then the namespace with the fewest runs, then the oldest.
"""

from __future__ import annotations

import bisect
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, TypeAlias

from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.workflowrunstatus import RunReason
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate


class Pool(NamedTuple):
    """Places that runs take. `reason` says what kind of pool it is, and why a run waits that finds no place in it."""

    reason: RunReason
    namespace: str = ""
    name: str = ""


CLUSTER = Pool(RunReason.CLUSTER_LIMIT)


def pools_of(namespace: str, template: str, servers: Iterable[str], *, queued_elsewhere: bool = False) -> Pools:
    """The pools that a run takes a place in, those with the narrowest reason first.

    The capacity of the cluster and of the namespace is not ours to give to a run that is `queued_elsewhere`.
    """
    return _pools(namespace, template, tuple(sorted(servers)), queued_elsewhere)


@functools.lru_cache(maxsize=4096)
def _pools(namespace: str, template: str, servers: tuple[str, ...], queued_elsewhere: bool) -> Pools:
    """One object for all the runs of a template: thousands may wait."""
    narrow = [Pool(RunReason.SERVER_LIMIT, namespace, server) for server in servers]
    if template:
        narrow.append(Pool(RunReason.TEMPLATE_LIMIT, namespace, template))
    wide = () if queued_elsewhere else (Pool(RunReason.NAMESPACE_LIMIT, namespace), CLUSTER)
    return (*narrow, *wide)


class Candidate(NamedTuple):
    """A run that could start now."""

    created: datetime
    namespace: str
    name: str
    pools: Pools
    level: int = 0
    """Of its priority: the higher one goes first."""
    estimate_seconds: int | None = None
    """How long it will run, if anybody knows."""


Pools: TypeAlias = tuple[Pool, ...]
LimitOf: TypeAlias = Callable[[Pool], "int | None"]
"""The number of places in a pool; None for as many as one likes."""


class Group(NamedTuple):
    """Candidates that differ in their age alone: the oldest speaks for all of them."""

    level: int
    namespace: str
    pools: Pools


class Queue:
    """The candidates, by group, the oldest first."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self._groups: dict[Group, list[Candidate]] = {}
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        """Take the candidate in; it must not be in the queue yet."""
        bisect.insort(self._groups.setdefault(_group(candidate), []), candidate)

    def remove(self, candidate: Candidate) -> None:
        """Take the candidate out. Raises KeyError if it is not there."""
        group = _group(candidate)
        members = self._groups[group]
        place = bisect.bisect_left(members, candidate)
        if members[place : place + 1] != [candidate]:
            raise KeyError(candidate)
        del members[place]
        if not members:
            del self._groups[group]

    def groups(self) -> Mapping[Group, list[Candidate]]:
        """The candidates of each group, the oldest first."""
        return self._groups

    def __iter__(self) -> Iterator[Candidate]:
        for members in self._groups.values():
            yield from members


def admit(
    queue: Queue, used: Mapping[Pool, int], limit_of: LimitOf, now: datetime, aging_seconds: int = 0
) -> tuple[Candidate, ...]:
    """The candidates that start now, in order, beside the runs that have `used` so many places of each pool."""
    draft = Draft(queue, used, limit_of, aging_seconds)
    return tuple(iter(lambda: draft.next(now), None))


def order(queue: Queue, used: Mapping[Pool, int], now: datetime, aging_seconds: int = 0) -> tuple[Candidate, ...]:
    """All candidates in the order in which they would start if there were room for them one by one."""
    return admit(queue, used, lambda pool: None, now, aging_seconds)


def limit_of(pool: Pool, limits: Limits, owner: object) -> int | None:
    """The number of places in the pool; None for as many as one likes. `owner` is the template or server it is of."""
    match pool.reason:
        case RunReason.CLUSTER_LIMIT:
            return limits.max_concurrent_runs
        case RunReason.NAMESPACE_LIMIT:
            return limits.of_namespace(pool.namespace)
        case _:
            return own_limit(owner)


def own_limit(owner: object) -> int | None:
    """The limit that a template or a server has for its runs; None if it has none, or is not there."""
    if isinstance(owner, WorkflowTemplate):
        return owner.spec.concurrency.max_runs if owner.spec.concurrency else None
    return owner.spec.max_concurrent_runs if isinstance(owner, MCPServer) else None


def full_pool(pools: Pools, used: Mapping[Pool, int], limit_of: LimitOf) -> Pool | None:
    """The pool with the narrowest reason that has no place left."""
    for pool in pools:
        limit = limit_of(pool)
        if limit is not None and used.get(pool, 0) >= limit:
            return pool
    return None


class Draft:
    """Candidates drawn from a queue one after the other, without a change of the queue."""

    def __init__(self, queue: Queue, used: Mapping[Pool, int], limit_of: LimitOf, aging_seconds: int = 0) -> None:
        self._queue = queue.groups()
        self._used = Counter(used)
        self._limit_of = limit_of
        self._aging_seconds = aging_seconds
        self._drawn = dict.fromkeys(self._queue, 0)
        self._open = set(self._queue)

    def next(self, now: datetime) -> Candidate | None:
        """Draw the candidate that starts next, if any has room; it takes its places."""
        best: tuple[int, int, Candidate, Group] | None = None
        for group in tuple(self._open):
            if full_pool(group.pools, self._used, self._limit_of):
                self._open.discard(group)
                continue
            head = self._queue[group][self._drawn[group]]
            share = self._used[Pool(RunReason.NAMESPACE_LIMIT, group.namespace)]
            rank = (-self._level(head, now), share, head, group)
            best = rank if best is None else min(best, rank)
        if best is None:
            return None
        _, _, candidate, group = best
        self._used.update(candidate.pools)
        self._drawn[group] += 1
        if self._drawn[group] == len(self._queue[group]):
            self._open.discard(group)
        return candidate

    def release(self, pools: Pools) -> None:
        """Give the places back that a run had."""
        self._used.subtract(pools)
        self._open = {group for group, members in self._queue.items() if self._drawn[group] < len(members)}

    def _level(self, candidate: Candidate, now: datetime) -> int:
        """The candidate's level, which grows with its age where there is aging; not at all if the clock is behind."""
        if not self._aging_seconds:
            return candidate.level
        waited = max(0.0, (now - candidate.created).total_seconds())
        return candidate.level + int(waited // self._aging_seconds)


def _group(candidate: Candidate) -> Group:
    return Group(candidate.level, candidate.namespace, candidate.pools)
