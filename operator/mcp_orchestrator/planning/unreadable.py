"""plan_unreadable: what to do about an object that our models can't hold. Called by all controllers.

The API server checks every object against the CRD, so this happens only between two versions of the operator. The
object's status may then hold what the other version must not lose: nothing is written.
"""

from __future__ import annotations

from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.planning.plan import Event, EventType, Plan

REASON = "Unreadable"


def plan_unreadable(found: Unreadable) -> Plan:
    """Tell it by an event, and leave the object alone."""
    note = f"this version of the operator can't read the object and leaves it alone: {found.message}"
    return Plan(events=(Event(REASON, note, EventType.WARNING),))
