"""Conditions as the Kubernetes API conventions have them, and the rules for changing them.

The contract of each kind is the one that kstatus (Helm `--wait`, Flux) and `kubectl wait` understand:
`Reconciling` while work goes on, `Stalled` when only a person can help, and one happy condition of the kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic.config import JsonDict

from mcp_orchestrator.api.base import Model

BY_TYPE: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
"""Schema extras of a list of conditions: one of each type, and each can have a writer of its own."""


class ConditionStatus(StrEnum):
    """The three values a condition can have."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One aspect of an object's state."""

    type: Annotated[str, StringConstraints(max_length=316)] = Field(description="Which aspect of the state this tells.")
    status: ConditionStatus = Field(description="Whether the condition holds.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="One CamelCase word for programs: why the condition has this status."
    )
    message: Annotated[str, StringConstraints(max_length=4096)] = Field(
        "", description="A sentence for people: what happened, and what to do about it."
    )
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int = Field(0, description="The metadata.generation that this condition was computed from.")


class Verdict(Model):
    """A condition as a decision, before times and generations are known."""

    status: ConditionStatus
    reason: str
    message: str = ""


def true(reason: str, message: str = "") -> Verdict:
    """The condition holds."""
    return Verdict(status=ConditionStatus.TRUE, reason=reason, message=message)


def false(reason: str, message: str = "") -> Verdict:
    """The condition does not hold."""
    return Verdict(status=ConditionStatus.FALSE, reason=reason, message=message)


def unknown(reason: str, message: str = "") -> Verdict:
    """It is not known yet whether the condition holds."""
    return Verdict(status=ConditionStatus.UNKNOWN, reason=reason, message=message)


def merge(
    before: Iterable[Condition], verdicts: Mapping[str, Verdict], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions after `verdicts`: the transition time moves only with the status (API conventions)."""
    known = {condition.type: condition for condition in before}
    merged = []
    for type_, verdict in verdicts.items():
        earlier = known.get(type_)
        since = earlier.last_transition_time if earlier and earlier.status == verdict.status else now
        merged.append(
            Condition(
                type=type_,
                status=verdict.status,
                reason=verdict.reason,
                message=shorten(verdict.message),
                last_transition_time=since.replace(microsecond=0),
                observed_generation=generation,
            )
        )
    return tuple(merged)


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition of that type is there and holds."""
    found = find(conditions, type_)
    return found is not None and found.status == ConditionStatus.TRUE


def shorten(text: str, limit: int = 4096) -> str:
    """`text` within the API's bound of `limit` characters, marked where it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
