"""Who may start: keeps the candidates, and asks planning.admission whenever a slot or a candidate comes or goes."""

from __future__ import annotations

from collections.abc import Callable

from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key
from mcp_orchestrator.planning import admission
from mcp_orchestrator.planning.admission import Candidate


class Admission:
    """The queue of runs that could start, and the slots that were given but are not on record yet.

    `active` counts the runs that hold a slot on record; `wake` is called with each run that gets one.
    """

    def __init__(self, limit: int, *, active: Callable[[], int], wake: Callable[[Key], None]) -> None:
        self._limit = limit
        self._active = active
        self._wake = wake
        self._queue: dict[Key, Candidate] = {}
        self._granted: set[Key] = set()

    def offer(self, key: Key, candidate: Candidate) -> bool:
        """Queue the run; True if it has a slot, now or from before."""
        if key not in self._granted:
            self._queue[key] = candidate
            self.decide()
        return key in self._granted

    def has_slot(self, key: Key) -> bool:
        """Whether a slot was given to the run that is not on record yet."""
        return key in self._granted

    def withdraw(self, key: Key) -> None:
        """Forget the run: it is admitted on record, has ended, is gone, or can't start after all."""
        self._queue.pop(key, None)
        if key in self._granted:
            self._granted.discard(key)
            self.decide()

    def decide(self) -> None:
        """Give the free slots away."""
        for candidate in admission.admit(self._queue.values(), self.taken(), self._limit):
            key = Key(records.RUN, candidate.namespace, candidate.name)
            del self._queue[key]
            self._granted.add(key)
            self._wake(key)

    def taken(self) -> int:
        """Slots in use: on record, and given but not on record yet."""
        return self._active() + len(self._granted)

    def waiting(self) -> int:
        """Number of candidates without a slot."""
        return len(self._queue)
