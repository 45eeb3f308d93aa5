"""One unit as a report shows it: its facts, its words, and its result. Used by `reporting`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from mcp_orchestrator.api import moments
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.results import values
from mcp_orchestrator.runner.results.records import UnitRecord, task_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A unit as it is shown: its bare facts, its words, and its result."""

    record: UnitRecord
    facts: bytes
    """An object as JSON, without the closing brace."""
    message: str = ""
    result: bytes = b""
    """The result as JSON, if it may stand in the status."""
    text: str = ""
    preview: str = ""
    reference: str = ""

    @property
    def inline_bytes(self) -> int:
        """What its result takes in the status."""
        return len(self.result) + len(self.text)


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is told of each unit: how long its message and preview may be."""

    message_bytes: int
    preview_bytes: int
    bare: bool = False
    """Whether items are told without times."""
    references: bool = True
    """Whether it is told where items' results stand; without that, nobody can take them over."""


SHAPES = (
    Shape(wording.MESSAGE_BYTES, values.PREVIEW_BYTES),
    Shape(512, 128),
    Shape(96, 0, bare=True),
    Shape(0, 0, bare=True),
    Shape(0, 0, bare=True, references=False),
)
"""Less and less, under pressure."""


def facts(record: UnitRecord) -> bytes:
    """The facts of a unit that are always shown. Items and inner tasks, of which there may be many, show less."""
    fields: dict[str, Any] = {"name": record.name, "phase": record.phase}
    inner = task_of(record.name) != record.name
    if record.attempts:
        fields["attempts"] = record.attempts
    if record.progress:
        fields["progress"] = record.progress
    if record.start_time and not (inner and record.phase.final):
        fields["startTime"] = moments.written(record.start_time)
    if record.completion_time:
        fields["completionTime"] = moments.written(record.completion_time)
        fields["durationMilliseconds"] = record.duration_milliseconds
    if record.reason:
        fields["reason"] = record.reason
    if record.reused_from:
        fields["reusedFrom"] = record.reused_from
    if record.cache:
        fields["cache"] = record.cache
    return orjson.dumps(fields)[:-1]


def shown(entry: Entry, shape: Shape) -> bytes:
    """The unit as JSON, in that shape."""
    fields: dict[str, Any] = {}
    name = entry.record.name
    inner = task_of(name) != name
    message = wording.cut(entry.message, shape.message_bytes) if shape.message_bytes else "…"
    if entry.record.error:
        fields["error"] = {"class": entry.record.error.class_, "message": message}
    elif entry.message:
        fields["message"] = message
    if entry.result:
        fields["result"] = orjson.Fragment(entry.result)
        if entry.text:
            fields["resultText"] = entry.text
    elif entry.preview and shape.preview_bytes:
        fields["resultPreview"] = wording.cut(entry.preview, shape.preview_bytes)
    if entry.reference and (shape.references or not inner):
        fields["resultRef"] = entry.reference
    bare = orjson.dumps({"name": name, "phase": entry.record.phase})[:-1]
    return (bare if shape.bare and inner else entry.facts) + (b"," + orjson.dumps(fields)[1:] if fields else b"}")
