"""plan_server: what an MCPServer needs, and what its status says. Called by controllers.servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import Address, MCPServerStatus, ServerCondition, ServerInfo, ServerReason
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.diagnosis import pods
from mcp_orchestrator.planning.plan import Event, EventType, Plan
from mcp_orchestrator.planning.servers import toollists
from mcp_orchestrator.settings import Settings

STALE_AFTER = timedelta(minutes=10)
"""Moving figures (probe time, response time) are written along with real changes, and at least this often."""
STARTING_WAKE = timedelta(seconds=3)
BROKEN_WAKE = timedelta(seconds=15)

NEEDS_A_PERSON = frozenset(
    {
        ServerReason.INVALID_SPEC,
        ServerReason.NAME_CONFLICT,
        ServerReason.IMAGE_NOT_FOUND,
        ServerReason.REFERENCE_NOT_FOUND,
        ServerReason.COMMAND_NOT_FOUND,
        ServerReason.UNAUTHORIZED,
        ServerReason.PROTOCOL,
        ServerReason.PRIVATE_ADDRESS,
        ServerReason.SECRET_MISSING,
    }
)
"""Reasons that go away only when somebody changes something: the server is Stalled."""
NEEDS_A_PERSON_WHEN_REPEATED = frozenset({ServerReason.PROCESS_EXITED, ServerReason.POD_FAILED})
REPEATED = 3

_TIMED = frozenset({ServerCondition.READY, ServerCondition.VERIFIED})
_POD_REASONS = {
    "image": ServerReason.IMAGE_NOT_FOUND,
    "reference": ServerReason.REFERENCE_NOT_FOUND,
}
_POD_REMEDIES = {
    "image": "Correct the image in spec, or make it available to the nodes.",
    "reference": "Create what it names in this namespace, or correct spec.env, spec.remote.headers or spec.volumes.",
    "unschedulable": "Check spec.resources, spec.nodeSelector, spec.tolerations and spec.volumes against the nodes.",
    "oom": "Raise spec.resources.limits.memory.",
}


@dataclass(frozen=True, slots=True)
class ObservedServer:
    """An MCPServer and what was seen of it."""

    server: MCPServer
    deployment: Mapping[str, Any] | None = None
    pods: tuple[Mapping[str, Any], ...] = ()
    """Looked at only while no pod is ready."""
    report: GatewayReport | None = None
    unreachable: str = ""
    """Why no report could be had from a ready pod."""
    conflict: str = ""
    """An object of somebody else's that stands in the way, for example "Service time"."""
    mistake: str = ""
    """What the API server found wrong in a child object."""


def plan_server(observed: ObservedServer, settings: Settings, now: datetime) -> Plan:
    """The server's children and its status."""
    server = observed.server
    if server.metadata.deletion_timestamp:
        return Plan()
    verdict = _ready(observed)
    status = _status(observed, verdict, now)
    unchanged = _settled(status, server.status, now)
    return Plan(
        status=None if unchanged else status.wire(),
        children=()
        if observed.conflict
        else (manifests.server_service(server), manifests.server_deployment(server, settings)),
        events=() if unchanged else tuple(_events(server, verdict)),
        wake_at=now + _pause(server, _progress(observed, verdict)),
    )


def _ready(observed: ObservedServer) -> Verdict:
    """The Ready condition: the first thing that is wrong, from the outside in."""
    if observed.conflict:
        return conditions.false(
            ServerReason.NAME_CONFLICT,
            f"metadata.name: {observed.conflict} exists and belongs to somebody else; rename the server or remove it",
        )
    if observed.mistake:
        return conditions.false(ServerReason.INVALID_SPEC, f"spec: the API server refused the pods: {observed.mistake}")
    available = _available(observed)
    return available if available.status != conditions.ConditionStatus.TRUE else _verified(observed)


def _available(observed: ObservedServer) -> Verdict:
    """Whether a pod is ready to take calls."""
    ready = _count(observed.deployment, "readyReplicas")
    if ready and _current(observed.deployment):
        return conditions.true(
            ServerReason.READY, f"{ready} of {_count(observed.deployment, 'replicas')} pods are ready"
        )
    if observed.server.spec.replicas == 0:
        return conditions.false(
            ServerReason.SCALED_TO_ZERO, "spec.replicas is 0: no pod runs; set it to 1 or more to use the server"
        )
    trouble = _pods_trouble(observed)
    if trouble:
        return trouble
    if observed.report and observed.report.error:
        return conditions.false(observed.report.error.class_, observed.report.error.message)
    return conditions.false(ServerReason.STARTING, "the server's pod is starting")


def _pods_trouble(observed: ObservedServer) -> Verdict | None:
    """What keeps the pods from running, or from being made."""
    found = pods.first_trouble(observed.pods, answering="gateway" if observed.report else "")
    if found:
        reason = _POD_REASONS.get(found.kind, ServerReason.POD_FAILED)
        return conditions.false(reason, f"{found.message}. {_POD_REMEDIES.get(found.kind, '')}".strip())
    for condition in (observed.deployment or {}).get("status", {}).get("conditions", ()):
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            words = condition.get("message") or condition.get("reason", "")
            return conditions.false(ServerReason.POD_FAILED, f"the server's pods can't be made: {words}")
    return None


def _progress(observed: ObservedServer, ready: Verdict) -> Verdict | None:
    """What is still to be done; None if nothing is. Pods of an earlier spec serve until the new ones are ready."""
    if ready.status != conditions.ConditionStatus.TRUE:
        return ready
    if not is_rolling_out(observed.deployment):
        return None
    return _pods_trouble(observed) or conditions.false(ServerReason.STARTING, "pods of the new spec are starting")


def is_rolling_out(deployment: Mapping[str, Any] | None) -> bool:
    """Whether some pods are of an earlier spec."""
    return _count(deployment, "replicas") != _count(deployment, "updatedReplicas")


def _verified(observed: ObservedServer) -> Verdict:
    """Whether the server answered the last check over the protocol."""
    report = observed.report
    if report and report.ok:
        count, milliseconds = len(report.tools), report.response_time_milliseconds or 0
        return conditions.true(ServerReason.READY, f"{count} tool{'s'[: count != 1]}, checked in {milliseconds} ms")
    if report and report.error:
        return conditions.false(report.error.class_, report.error.message)
    if observed.unreachable:
        return conditions.false(ServerReason.UNREACHABLE, observed.unreachable)
    return conditions.unknown(ServerReason.NOT_VERIFIED, "the server has not been checked yet")


def _status(observed: ObservedServer, ready: Verdict, now: datetime) -> MCPServerStatus:
    server, before, report = observed.server, observed.server.status, observed.report
    progress = _progress(observed, ready)
    stalled = progress is not None and _stalled(observed, progress)
    verdicts: dict[str, Verdict] = {
        ServerCondition.READY: ready,
        ServerCondition.RECONCILING: conditions.true(progress.reason, progress.message)
        if progress and not stalled
        else conditions.false(ready.reason),
        ServerCondition.STALLED: conditions.true(progress.reason, progress.message)
        if progress and stalled
        else conditions.false(ready.reason),
        ServerCondition.AVAILABLE: _available(observed),
        ServerCondition.VERIFIED: _verified(observed),
    }
    fields: dict[str, Any] = {
        "observed_generation": server.metadata.generation,
        "conditions": conditions.merge(before.conditions, verdicts, server.metadata.generation, now),
        "source": server.spec.source,
        "address": Address(url=manifests.server_url(server)),
        "replicas": _count(observed.deployment, "replicas"),
        "ready_replicas": _count(observed.deployment, "readyReplicas"),
        "selector": manifests.selector(server),
    }
    if report and report.ok:
        tools = toollists.known_tools(report.tools)
        fields |= {
            "server_info": ServerInfo(
                name=conditions.shorten(report.server_info.name, 512) if report.server_info else "",
                version=conditions.shorten(report.server_info.version, 256) if report.server_info else "",
                protocol_version=conditions.shorten(report.protocol_version or "", 32),
            ),
            "tools": tools,
            "tool_count": len(report.tools),
            "tools_digest": report.tools_digest,
        }
    else:
        kept = ("server_info", "tools", "tool_count", "tools_digest")
        fields |= {name: getattr(before, name) for name in kept if name in before.model_fields_set}
    if report and not report.starting:
        fields |= {
            "last_probe_time": (report.checked_at or now).replace(microsecond=0),
            "response_time_milliseconds": report.response_time_milliseconds,
            "consecutive_failures": report.consecutive_failures,
        }
    return MCPServerStatus(**fields)


def _stalled(observed: ObservedServer, progress: Verdict) -> bool:
    if progress.reason in NEEDS_A_PERSON:
        return True
    failures = observed.report.consecutive_failures if observed.report else 0
    restarts = sum(
        container.get("restartCount", 0)
        for pod in observed.pods
        for container in pod.get("status", {}).get("containerStatuses", ())
    )
    return progress.reason in NEEDS_A_PERSON_WHEN_REPEATED and max(failures, restarts) >= REPEATED


def _settled(status: MCPServerStatus, before: MCPServerStatus, now: datetime) -> bool:
    """Whether the status on record says the same; figures that move by themselves count only when they are old."""
    if status.wire() == before.wire():
        return True
    moving = {"last_probe_time", "response_time_milliseconds", "consecutive_failures"}
    if _comparable(status, moving) != _comparable(before, moving):
        return False
    recorded = before.last_probe_time
    return recorded is None or status.last_probe_time is None or now - recorded < STALE_AFTER


def _comparable(status: MCPServerStatus, moving: set[str]) -> dict[str, Any]:
    value = status.model_dump(mode="json", exclude=moving)
    for condition in value["conditions"]:
        if condition["status"] == conditions.ConditionStatus.TRUE and condition["type"] in _TIMED:
            condition["message"] = ""  # it tells the time of the check, which moves
    return value


def _events(server: MCPServer, ready: Verdict) -> Iterable[Event]:
    before = conditions.find(server.status.conditions, ServerCondition.READY)
    if before and before.status == ready.status and before.reason == ready.reason:
        return
    if ready.status == conditions.ConditionStatus.TRUE:
        yield Event(ready.reason, "The server answers, and has told its tools")
    elif ready.reason == ServerReason.UNREACHABLE and not (before and before.status == conditions.ConditionStatus.TRUE):
        return  # the nodes take a moment to wire a new Service to its pods
    elif ready.reason not in (ServerReason.STARTING, ServerReason.NOT_VERIFIED):
        yield Event(ready.reason, ready.message, EventType.WARNING)


def _pause(server: MCPServer, progress: Verdict | None) -> timedelta:
    if progress is None:
        return timedelta(seconds=server.spec.health_check.interval_seconds)
    if progress.reason in (ServerReason.STARTING, ServerReason.NOT_VERIFIED, ServerReason.UNREACHABLE):
        return STARTING_WAKE
    return BROKEN_WAKE


def _count(deployment: Mapping[str, Any] | None, name: str) -> int:
    return int((deployment or {}).get("status", {}).get(name, 0))


def _current(deployment: Mapping[str, Any] | None) -> bool:
    """Whether the Deployment's status speaks of its newest pods."""
    if not deployment:
        return False
    status = deployment.get("status", {})
    observed = status.get("observedGeneration", 0) >= deployment.get("metadata", {}).get("generation", 0)
    return bool(observed and status.get("updatedReplicas", 0) >= 1)
