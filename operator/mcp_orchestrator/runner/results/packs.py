"""Where results stand that are too large for the run's status: ConfigMaps, compressed, by digest. Used by `reporting`.

A pack is written once and never changed, before the status that names it. Its name follows from the run's Job and a
number, so a second try to write it finds the first.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.api.base import API_VERSION
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.planning import plain
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.results import packing, values
from mcp_orchestrator.runner.results.answers import Answer

PACK_BYTES = 700 * 1024
"""Compressed bytes at which a pack is full."""
ITEM_BYTES = 1000 * 1000
"""The most compressed bytes of one result: a ConfigMap holds 1 MiB in all."""
TOTAL_BYTES = 32 * 1024 * 1024
"""The most compressed bytes of all results of a run."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The run that the packs belong to, and the Job whose name they begin with."""

    namespace: str
    run_name: str
    run_uid: str
    job_name: str

    def metadata(self, name: str) -> dict[str, Any]:
        """Metadata of an object of the run's, deleted together with it."""
        owner = {"apiVersion": API_VERSION, "kind": "WorkflowRun", "name": self.run_name, "uid": self.run_uid}
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": {"app.kubernetes.io/part-of": "mcp-orchestrator", "app.kubernetes.io/component": "run"},
            "ownerReferences": [owner],
        }

    def outputs_secret(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The Secret that holds the run's sensitive outputs: texts as they are, other values as JSON."""
        texts = {name: plain.text(value) for name, value in outputs.items()}
        data = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        metadata = self.metadata(f"{self.job_name}-outputs")
        return {"metadata": metadata, "type": "Opaque", "data": data, "immutable": True}


class Packs:
    """The results of a run that stand outside of its status. `known` are references that exist already."""

    def __init__(self, owner: Owner, known: Iterable[str] = (), total_bytes: int = TOTAL_BYTES) -> None:
        self.owner = owner
        self._room = total_bytes
        self._references: dict[str, str] = {}
        self._open: dict[str, bytes] = {}
        self._number = 0
        self._closed: list[dict[str, Any]] = []
        for reference in known:
            self.know(reference)

    def reference(self, answer: Answer) -> str | None:
        """Where the answer stands, if it does."""
        return self._references.get(answer.digest)

    def know(self, reference: str) -> None:
        """An answer stands there, by its digest."""
        self._references[reference.rpartition("/")[2]] = reference

    def add(self, answer: Answer) -> str:
        """Put the answer into a pack; where it stands from now on. Raises CallFailed if there is no room for it."""
        if known := self.reference(answer):
            return known
        data = packing.pack(answer)
        if len(data) > ITEM_BYTES:
            words = "the tool's result has {} even when compressed, and the limit is {}"
            raise too_large(words, len(data), ITEM_BYTES)
        if len(data) > self._room:
            words = "the results of the run would have {} more when compressed, and there is room for {}"
            raise too_large(words, len(data), self._room)
        self._room -= len(data)
        if self._open and sum(map(len, self._open.values())) + len(data) > PACK_BYTES:
            self._close()
        self._open[answer.digest] = data
        self._references[answer.digest] = reference = f"{self._name()}/{answer.digest}"
        return reference

    def unwritten(self) -> list[dict[str, Any]]:
        """The ConfigMaps that are not written yet. What is added from now on goes into others."""
        if self._open:
            self._close()
        return list(self._closed)

    def written(self, name: str) -> None:
        """The ConfigMap of this name stands."""
        self._closed = [pack for pack in self._closed if pack["metadata"]["name"] != name]

    def _name(self) -> str:
        return f"{self.owner.job_name}-results-{self._number}"

    def _close(self) -> None:
        data = {key: base64.b64encode(value).decode() for key, value in self._open.items()}
        self._closed.append({"metadata": self.owner.metadata(self._name()), "binaryData": data, "immutable": True})
        self._open = {}
        self._number += 1


def too_large(words: str, size: int, limit: int) -> CallFailed:
    """The failure of a call whose result has no room; `words` have a place for each of the two numbers."""
    said = words.format(values.human(size), values.human(limit))
    return CallFailed(ErrorClass.RESULT_TOO_LARGE, f"{said}: ask the tool for less")
