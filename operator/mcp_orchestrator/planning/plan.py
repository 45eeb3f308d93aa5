"""What a decision looks like: made by the plan_* functions, carried out by the controllers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mcp_orchestrator.planning.diagnosis.scene import Question
from mcp_orchestrator.planning.queue.admission import Candidate

Manifest = Mapping[str, Any]
"""A Kubernetes object as JSON."""


class EventType(StrEnum):
    """Types of Kubernetes Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling the owner of an object, once."""

    reason: str
    note: str
    type: EventType = EventType.NORMAL
    action: str = "Reconcile"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for one object. Steps are taken in the order of the fields."""

    receipt: Manifest | None = None
    """The receipt that gives the run its idempotency key."""
    status: Mapping[str, Any] | None = None
    """The whole status that the operator owns; None leaves it as it is."""
    children: tuple[Manifest, ...] = ()
    """Objects that must exist as described, owned by the object."""
    deletions: tuple[Manifest, ...] = ()
    """Children that must go."""
    events: tuple[Event, ...] = ()
    wake_at: datetime | None = None
    """When to look again, even if nothing happens."""
    candidate: Candidate | None = None
    """A run that could start now, if the admission queue gives it a slot."""
    question: Question | None = None
    """What to look at first: with the answer, the plan is made again."""
