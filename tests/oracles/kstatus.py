"""kstatus in Python: what Helm's --wait and Flux make of an object's status. An oracle for tests of our own statuses.

Ported from sigs.k8s.io/cli-utils/pkg/kstatus: its rules for kinds that it does not know by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What kstatus says of an object."""

    TERMINATING = "Terminating"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    CURRENT = "Current"


def verdict(body: Mapping[str, Any]) -> Verdict:
    """kstatus' word on the object `body`, as JSON."""
    metadata, status = body.get("metadata", {}), body.get("status", {})
    if metadata.get("deletionTimestamp"):
        return Verdict.TERMINATING
    if "observedGeneration" in status and status["observedGeneration"] != metadata.get("generation", 0):
        return Verdict.IN_PROGRESS
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    if conditions.get("Reconciling") == "True":
        return Verdict.IN_PROGRESS
    if conditions.get("Stalled") == "True":
        return Verdict.FAILED
    if "Ready" in conditions and conditions["Ready"] != "True":
        return Verdict.IN_PROGRESS
    return Verdict.CURRENT
