"""Who may start: keeps the candidates, counts the places in use, and asks planning.queue when either changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.api.workflowrunstatus import RunReason
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.planning.queue import admission
from mcp_orchestrator.planning.queue.admission import CLUSTER, Candidate, Draft, Pool, Queue
from mcp_orchestrator.settings import clock

EXPLAINED = 100
"""So many runs at the head of the queue are kept informed of why they wait. A run further behind hears it when it
comes to the queue, or is looked at for another cause: what changes for one run must not cost a write for each other.
"""


class Admission:
    """The queue of runs that could start, and the places that were given but are not on record yet.

    Make it before the store is filled. `wake` is called with each run that gets its places, or that waits for another
    reason than it says.
    """

    def __init__(self, store: Store, limits: Limits, wake: Callable[[Key], None]) -> None:
        self._store = store
        self._limits = limits
        self._wake = wake
        self._queue = Queue()
        self._waiting: dict[Key, Candidate] = {}
        self._granted: dict[Key, Candidate] = {}
        self._used: Counter[Pool] = Counter()
        self._unseen: set[Key] = set()
        self._moved = False
        store.listen(self._changed)

    def wait_for(self, keys: Iterable[Key]) -> None:
        """Give no place away until each of these runs was looked at: who goes first is not known before that."""
        self._unseen = set(keys)

    def looked_at(self, key: Key) -> None:
        """The run was looked at, whatever came of it."""
        if key in self._unseen:
            self._unseen.discard(key)
            self.decide()

    def offer(self, key: Key, candidate: Candidate) -> bool:
        """Queue the run; True if it has its places, now or from before."""
        granted = self._granted.get(key)
        if granted and granted.pools == candidate.pools:
            return True
        self._take_back(key)
        if self._waiting.get(key) != candidate:
            self._forget(key)
            self._waiting[key] = candidate
            self._queue.add(candidate)
            self._moved = True
        self.decide()
        return key in self._granted

    def obstacle(self, candidate: Candidate) -> tuple[Pool, int]:
        """The pool that keeps the candidate, and its limit."""
        pool = admission.full_pool(candidate.pools, self._used, self.limit_of) or candidate.pools[-1]
        return pool, self.limit_of(pool) or 0

    def withdraw(self, key: Key) -> None:
        """Forget the run: it has ended, is gone, or can't start after all."""
        self._forget(key)
        if self._take_back(key):
            self.decide()

    def set_limits(self, limits: Limits) -> None:
        """Decide by other limits from now on. Runs that have their places keep them."""
        self._limits = limits
        self._moved = True
        self.decide()

    def decide(self) -> None:
        """Give the free places away."""
        if not self._waiting or self._unseen:
            return
        chosen = admission.admit(self._queue, self._used, self.limit_of, clock(), self._limits.aging_seconds)
        for candidate in chosen:
            key = Key(records.RUN, candidate.namespace, candidate.name)
            self._forget(key)
            self._granted[key] = candidate
            self._used.update(candidate.pools)
            self._wake(key)

    def explain(self) -> None:
        """Wake the runs at the head of the queue that wait for another reason than they say."""
        if not self._moved:
            return
        self._moved = False
        draft = Draft(self._queue, self._used, lambda pool: None, self._limits.aging_seconds)
        now = clock()
        for _ in range(EXPLAINED):
            candidate = draft.next(now)
            if candidate is None:
                return
            key = Key(records.RUN, candidate.namespace, candidate.name)
            told = (self._store.get(key) or {}).get("status", {}).get("waitingReason")
            if told != self.obstacle(candidate)[0].reason:
                self._wake(key)

    def taken(self) -> int:
        """Places of the cluster in use: on record, and given but not on record yet."""
        return self._used[CLUSTER]

    def waiting(self) -> int:
        """Number of candidates without a place."""
        return len(self._waiting)

    def limit_of(self, pool: Pool) -> int | None:
        """The number of places in the pool; None for as many as one likes."""
        kind = records.TEMPLATE if pool.reason == RunReason.TEMPLATE_LIMIT else records.SERVER
        owner = self._store.get(Key(kind, pool.namespace, pool.name)) if pool.name else None
        return admission.limit_of(pool, self._limits, owner)

    def _changed(self, key: Key, old: Any, new: Any) -> None:
        if key.kind in (records.TEMPLATE, records.SERVER):
            if admission.own_limit(old) != admission.own_limit(new):
                self._moved = True
                self.decide()
            return
        if key.kind != records.RUN:
            return
        before, after = records.pools(old), records.pools(new)
        self._used.update(after)
        self._used.subtract(before)
        if after:
            # What was given is on record now.
            self._take_back(key)
        if before != after:
            self._moved = True
            self.decide()

    def _take_back(self, key: Key) -> bool:
        candidate = self._granted.pop(key, None)
        if candidate:
            self._used.subtract(candidate.pools)
        return candidate is not None

    def _forget(self, key: Key) -> None:
        candidate = self._waiting.pop(key, None)
        if candidate:
            self._queue.remove(candidate)
