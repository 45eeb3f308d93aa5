"""The units of a run as they stand, and what expressions read of them. Kept by the engine, told to its Reporter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.taskstatus import SkipReason, TaskPhase
from mcp_orchestrator.planning import wording
from mcp_orchestrator.planning.workflows import scopes
from mcp_orchestrator.runner.control.stop import Stopped
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import Reporter, UnitFailed, UnitRecord, UnitSkipped

NAMES_BYTES = 136 * 1024
"""What units may take in the status when nothing but their names and phases is shown: less than a report may have."""
_BARE_BYTES = len('{"name":"","phase":"Indeterminate"},')


class Board:
    """The records of all units. `recorded` are those of an earlier pod, or of the run that this one resumes."""

    def __init__(
        self, recorded: Mapping[str, UnitRecord], report: Reporter, clock: Callable[[], datetime], most_units: int
    ) -> None:
        self._records = dict(recorded)
        self._report = report
        self._clock = clock
        self._most = self._room = most_units
        self._names_room = NAMES_BYTES
        self.stopping = False
        """Whether what is open is left to another pod: then nothing is put on record that stopping brought about."""
        for record in recorded.values():
            report.update(record)

    def __getitem__(self, unit: str) -> UnitRecord:
        return self._records.get(unit) or UnitRecord(unit)

    def take_in(self, units: Sequence[str]) -> str:
        """Count further units by their names. Returns why the run can't have them; empty if it can."""
        size = sum(len(unit.encode()) + _BARE_BYTES for unit in units)
        if len(units) > self._room:
            return f"the run would have more than {self._most} tasks; do less in one run"
        if size > self._names_room:
            return "the names of the run's tasks would not fit into its status; shorten the keys, or do less in one run"
        self._room -= len(units)
        self._names_room -= size
        return ""

    def begin(self, unit: str) -> None:
        """A unit of several calls runs, unless it is on record as ended."""
        if not self[unit].phase.final:
            self.start(unit)

    def start(self, unit: str, attempts: int = 0) -> None:
        """The unit runs. It keeps the start that it has on record."""
        record = self[unit]
        start = record.start_time or self._clock()
        self.note(replace(record, phase=TaskPhase.RUNNING, start_time=start, attempts=attempts))

    def put_back(self, unit: str) -> None:
        """Nothing of the unit is under way: whoever goes on may call, even what must not be called twice."""
        self.note(replace(self[unit], phase=TaskPhase.PENDING))

    def succeed(self, unit: str, answer: Answer, *, derived: bool = False, cache: CacheUse | None = None) -> UnitRecord:
        """The unit has a result; the record. One that succeeded before keeps what is known of that."""
        if self[unit].phase == TaskPhase.SUCCEEDED and derived:
            self.note(replace(self[unit], answer=answer, derived=True))
            return self[unit]
        return self._end(unit, TaskPhase.SUCCEEDED, answer=answer, derived=derived, cache=cache)

    def conceal(self, value: Any) -> None:
        """Show the value nowhere from now on."""
        self._report.conceal(value)

    async def keep(self, answer: Answer) -> None:
        """Find room for an answer. Raises CallFailed if there is none."""
        await self._report.keep(answer)

    def hides(self, encoded: bytes) -> bool:
        """Whether JSON has a secret in it."""
        return self._report.hides(encoded)

    def fail(self, unit: str, failed: UnitFailed) -> UnitRecord:
        """The unit has none; the record."""
        if failed.interrupted and self.stopping:
            raise UnitSkipped(SkipReason.RUN_STOPPED, str(failed))
        return self._end(unit, failed.phase, error=failed.error)

    def _end(self, unit: str, phase: TaskPhase, **fields: Any) -> UnitRecord:
        record, now = self[unit], self._clock()
        elapsed = max(timedelta(0), now - (record.start_time or now))
        ended = replace(
            record,
            phase=phase,
            completion_time=now,
            duration_milliseconds=round(elapsed / timedelta(milliseconds=1)),
            **fields,
        )
        self.note(ended)
        return ended

    def note(self, record: UnitRecord) -> None:
        """The unit stands so."""
        self._records[record.name] = record
        self._report.update(record)

    def skip(self, unit: str, skipped: UnitSkipped) -> UnitRecord:
        """The unit does not run; the record."""
        record = replace(
            self[unit], phase=TaskPhase.SKIPPED, reason=str(skipped.reason), message=wording.fit(skipped.message)
        )
        self.note(record)
        return record

    async def commit(self) -> None:
        """Return once all of it is on record. Raises UnitSkipped if it can't be: then nothing must be done either."""
        try:
            await self._report.commit()
        except Stopped as stopped:
            self.stopping = True
            raise UnitSkipped(SkipReason.RUN_STOPPED, str(stopped)) from stopped


def view(record: UnitRecord) -> dict[str, Any]:
    """What expressions read of a unit that has ended."""
    found = scopes.outcome(record.phase, record.attempts)
    if record.error:
        found["error"] = {"class": str(record.error.class_), "message": record.error.message}
    return found | (record.answer.content() if record.answer else {})
