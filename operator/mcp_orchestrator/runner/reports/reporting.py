"""What a runner tells of its run: the status fields that are its own. Fed by the engine, sent by `applying`.

The report keeps within a budget of bytes, whatever tools answer. What does not fit stands in packs, with a preview.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunnerStatus, RunReason
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.reports import entries
from mcp_orchestrator.runner.reports.entries import Entry
from mcp_orchestrator.runner.reports.secrets import HIDDEN, Secrets
from mcp_orchestrator.runner.results import values
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Packs
from mcp_orchestrator.runner.results.records import Ending, UnitRecord, task_of

if TYPE_CHECKING:
    from mcp_orchestrator.runner.results.objects import Objects

BUDGET_BYTES = 168 * 1024
"""The most that the runner's fields take in the status; the operator's take less than 88 KiB."""
REFERENCE_BYTES = 128
"""What a reference takes at most: moving less than that out of the status would not help."""
TEXT_BYTES = 8 * 1024
"""The most text that stands beside the result that was read from it."""


@dataclass(slots=True)
class Identity:
    """Who reports."""

    pod_name: str
    pod_uid: str
    start_time: datetime
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The report at one moment."""

    version: int
    fields: Mapping[str, Any]
    packs: tuple[Mapping[str, Any], ...] = ()
    """ConfigMaps that must stand before the fields do."""
    secret: Mapping[str, Any] | None = None
    """The Secret of the sensitive outputs, likewise."""


@dataclass(slots=True)
class _End:
    runner: RunnerStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, Any] | None = None


class Report:
    """The state of a run for its status; `changed` is set at each change, and `version` grows with it."""

    def __init__(
        self,
        tasks: Iterable[str],
        identity: Identity,
        packs: Packs,
        secrets: Secrets | None = None,
        objects: Objects | None = None,
    ) -> None:
        self.changed = asyncio.Event()
        self.version = 0
        self._packs = packs
        self._objects = objects
        self._secrets = Secrets() if secrets is None else secrets
        self._order = {name: place for place, name in enumerate(tasks)}
        self._end = _End(
            RunnerStatus(
                pod_name=identity.pod_name,
                pod_uid=identity.pod_uid,
                attempt=identity.attempt,
                start_time=identity.start_time,
            )
        )
        self._entries: dict[str, Entry] = {name: Entry(r := UnitRecord(name), entries.facts(r)) for name in self._order}
        self._bare = False

    def update(self, record: UnitRecord) -> None:
        """Take note of a unit's change."""
        self._entries[record.name] = self._entry(record)
        self._note()

    async def keep(self, answer: Answer) -> None:
        """Put a large answer into the object store, else into a pack. Raises CallFailed if it has no room there."""
        if self._secrets.stand_in(encoded := answer.encode()) or len(encoded) <= values.INLINE_BYTES:
            return
        if self._objects is None or self._packs.reference(answer):
            self._packs.add(answer)
        else:
            await self._objects.keep(answer, self._packs)

    def conceal(self, value: Any) -> None:
        """Show the value nowhere from now on."""
        self._secrets = self._secrets.with_another(value)

    def hides(self, encoded: bytes) -> bool:
        """Whether JSON has a secret in it."""
        return self._secrets.stand_in(encoded)

    def close(self, ending: Ending, sensitive: Collection[str] = ()) -> None:
        """Take note of the run's end. The outputs that are named as sensitive go into a Secret."""
        hidden = {name: value for name, value in ending.outputs.items() if name in sensitive}
        if hidden:
            self._end.secret = self._packs.owner.outputs_secret(hidden)
        self._end.runner = self._end.runner.model_copy(
            update={
                "outcome": ending.outcome,
                "reason": str(ending.reason),
                "message": wording.fit(self._secrets.redact(ending.message)),
            }
        )
        self._end.outputs = {
            name: HIDDEN if self._secrets.stand_in(encoded) else orjson.Fragment(encoded)
            for name, encoded in ((name, values.encode(value)) for name, value in ending.outputs.items())
            if name not in hidden
        }
        self._note()

    def strip(self, why: str) -> bool:
        """Leave out all that tools said, since the API server does not take it; False if that was done already."""
        if self._bare:
            return False
        self._bare, self._end.outputs = True, {}
        runner = self._end.runner
        if runner.outcome is not None:
            message = f"the run ended as {runner.outcome}, but its results can't be recorded: {why}"
            update = {
                "outcome": Outcome.FAILED,
                "reason": str(RunReason.RUNNER_FAILED),
                "message": wording.one_line(message),
            }
            self._end.runner = runner.model_copy(update=update)
        self._note()
        return True

    def snapshot(self) -> Snapshot:
        """The complete set of the runner's status fields, as JSON, and the packs that they refer to."""
        tops = [entry for name, entry in self._entries.items() if name in self._order]
        ended = sum(entry.record.phase.final and entry.record.phase != TaskPhase.SKIPPED for entry in tops)
        fields: dict[str, Any] = {
            "runner": self._end.runner.wire(),
            "progress": f"{ended}/{len(self._order)}",
        }
        if self._end.outputs:
            fields["outputs"] = self._end.outputs
        if self._end.secret:
            fields["outputsSecret"] = self._end.secret["metadata"]["name"]
        room = BUDGET_BYTES - len(orjson.dumps(fields)) - 1024
        fields["tasks"] = orjson.Fragment(self._tasks(room))
        return Snapshot(self.version, fields, tuple(self._packs.unwritten()), self._end.secret)

    def written(self, pack: str) -> None:
        """The pack of that name stands."""
        self._packs.written(pack)

    def _note(self) -> None:
        self.version += 1
        self.changed.set()

    def _entry(self, record: UnitRecord) -> Entry:
        entry = Entry(record, entries.facts(record), message=self._secrets.redact(_message(record)))
        if record.phase != TaskPhase.SUCCEEDED or record.answer is None:
            return entry
        return self._with_result(entry, record.answer, derived=record.derived)

    def _with_result(self, entry: Entry, answer: Answer, *, derived: bool) -> Entry:
        encoded = values.encode(answer.result)
        facts = entry.facts + b',"resultBytes":%d' % len(encoded)
        if self._secrets and (self._secrets.stand_in(encoded) or self._secrets.stand_in(answer.encode())):
            return replace(entry, facts=facts, preview=HIDDEN)
        preview = values.preview(answer.result, encoded)
        whole = derived or answer.is_its_result
        text = "" if whole or answer.structured or len(answer.blocks) != 1 else answer.text
        fits = len(encoded) <= values.INLINE_BYTES
        if derived:
            return replace(entry, facts=facts, preview=preview, result=encoded if fits else b"")
        if fits and (whole or 0 < len(text) <= TEXT_BYTES):
            return replace(entry, facts=facts, preview=preview, result=encoded, text=text)
        return replace(entry, facts=facts, preview=preview, reference=self._reference(answer))

    def _reference(self, answer: Answer) -> str:
        try:
            return self._packs.add(answer)
        except CallFailed:
            return ""  # what `keep` found no room for has failed; this is a small one that came too late

    def _tasks(self, room: int) -> bytes:
        if self._bare:
            return b"[%s]" % b",".join(entry.facts + b"}" for entry in self._sorted())
        self._make_room(room)
        units = self._sorted()
        for shape in entries.SHAPES:
            shown = b"[%s]" % b",".join(entries.shown(entry, shape) for entry in units)
            if len(shown) <= room:
                break
        return shown

    def _make_room(self, room: int) -> None:
        """Take the largest results out, into packs where they are not just what other units came to."""
        total = sum(len(entry.facts) + 2 + entry.inline_bytes for entry in self._entries.values())
        if total <= room:
            return
        for entry in sorted(self._entries.values(), key=lambda entry: -entry.inline_bytes):
            if total <= room or entry.inline_bytes <= REFERENCE_BYTES:
                return
            answer = entry.record.answer
            reference = "" if entry.record.derived or answer is None else self._reference(answer)
            total -= entry.inline_bytes - len(reference)
            self._entries[entry.record.name] = replace(entry, result=b"", text="", reference=reference)

    def _sorted(self) -> list[Entry]:
        """The entries in the workflow's order, each task's items and inner tasks after it, as they came."""
        return sorted(self._entries.values(), key=lambda entry: self._place(entry.record.name))

    def _place(self, name: str) -> int:
        return self._order.get(task_of(name), len(self._order))


def _message(record: UnitRecord) -> str:
    return record.error.message if record.error else record.message or ""
