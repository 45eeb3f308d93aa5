"""What was seen when a run failed, as it stands in status.diagnosis.evidence. Called by `failures`.

All of it stays within a budget. Runners and gateways took the secrets that they know out of their words; from what
comes from elsewhere they are taken out by their looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.diagnosis import Evidence
from mcp_orchestrator.api.mcpserverstatus import ServerCondition
from mcp_orchestrator.api.taskstatus import TaskStatus
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.planning import wording
from mcp_orchestrator.planning.diagnosis import masking, pods
from mcp_orchestrator.planning.diagnosis.scene import Object, Scene, ServerScene

MAX_TASKS = 8
"""Failed tasks that are told of."""
MAX_WARNINGS = 6
MAX_BYTES = 12 * 1024
"""All evidence of a run, so that there is room for its results."""
BEFORE = timedelta(minutes=5)
"""Events that are older than this when the run begins are not told of."""
SHORTLY = timedelta(minutes=1)
"""A server that died so shortly before the run may have failed it as well."""
_WELL = "Completed, exit code 0"
MESSAGE_BYTES = 1024
LOG_BYTES = 2000


def gather(run: WorkflowRun, failed: Iterable[TaskStatus], scene: Scene) -> tuple[Evidence, ...]:
    """The evidence: what the tasks said, the server, the run's pod, Events; as much as there is room for."""
    pieces = [
        *(_of_task(task) for task in [*failed][:MAX_TASKS]),
        *(_of_server(scene.server, run) if scene.server else ()),
        *_of_own_pods(scene),
    ]
    told = [piece.message for piece in pieces]
    pieces += [
        *(piece for piece in _of_warnings(scene.warnings, run) if not _is_told(piece, told)),
        *(_piece("diagnosis", f"not looked at: {gap}") for gap in scene.gaps),
    ]
    kept, left = [], MAX_BYTES
    for piece in pieces:
        left -= len(piece.message.encode()) + len(piece.source.encode()) + 64
        if left < 0:
            break
        kept.append(piece)
    return tuple(kept[:32])


def ended(container: Mapping[str, Any]) -> tuple[datetime | None, str]:
    """When and how a container last came to its end; empty words if it never did."""
    state = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
    if not state:
        return None, ""
    words = f"{state.get('reason', 'Error')}, exit code {state.get('exitCode')}"
    last = wording.one_line(masking.masked(str(state.get("message") or "").strip()[-LOG_BYTES:]), MESSAGE_BYTES // 2)
    return _time(state.get("finishedAt")), f"{words}; it wrote last: {last}" if last else words


def deaths(found: ServerScene, run: WorkflowRun) -> list[str]:
    """How containers and processes of the server came to their ends, not long before the run or during it."""
    ends = [ended(container) for pod in found.pods for container in pods.containers(pod)]
    if found.report and found.report.last_exit:
        ends.append((found.report.last_exit.at, found.report.last_exit.message))
    since = run.status.admitted_at - SHORTLY if run.status.admitted_at else None
    return [how for time, how in ends if how and how != _WELL and not (since and time and time < since)]


def _of_task(task: TaskStatus) -> Evidence:
    error = task.error
    assert error  # noqa: S101 - only tasks that failed are asked for
    attempts = f" (attempt {task.attempts})" if task.attempts else ""
    return _piece(f"task {task.name}", f"{task.phase}{attempts}: {error.class_}: {error.message}", task.completion_time)


def _of_server(found: ServerScene, run: WorkflowRun) -> Iterator[Evidence]:
    source = f"MCPServer {found.name}"
    if found.server is None:
        yield _piece(source, "does not exist any more")
        return
    ready = conditions.find(found.server.status.conditions, ServerCondition.READY)
    if ready:
        since = f"since {ready.last_transition_time:%H:%M:%S}Z"
        yield _piece(source, f"Ready={ready.status} ({ready.reason}) {since}: {ready.message}")
    then = next((known for known in run.status.servers if known.name == found.name), None)
    now = found.server.status.tools_digest
    if then and then.tools_digest and now and then.tools_digest != now:
        yield _piece(source, "its tools have changed since the run began: their digest is another one")
    for pod in found.pods:
        yield from _of_server_pod(pod)
    report = found.report
    if report and report.last_exit:
        yield _piece(source, report.last_exit.message, report.last_exit.at)
    if report and report.error and not (ready and report.error.message in ready.message):
        yield _piece(source, f"its gateway says: {report.error.class_}: {report.error.message}", report.checked_at)
    log = found.log or (report.last_lines if report else "")
    told = report.last_exit.message if report and report.last_exit else ""
    if log.strip() and " | ".join(log.splitlines()) not in told:
        yield _piece(f"log of {source}", _last_lines(log), limit=LOG_BYTES)


def _of_server_pod(pod: Object) -> Iterator[Evidence]:
    source = f"pod {pod['metadata']['name']}"
    for container in pods.containers(pod):
        name, restarts = container.get("name", ""), container.get("restartCount", 0)
        time, how = ended(container)
        if how.startswith(_WELL):
            continue
        if how:
            again = f", restarted {restarts} time{'s'[: restarts != 1]}" if restarts else ""
            yield _piece(source, f"container {name} last ended: {how}{again}", time)
        elif waiting := container.get("state", {}).get("waiting"):
            words = f"{waiting.get('reason', '')}: {waiting.get('message', '')}".strip(": ")
            yield _piece(source, f"container {name} is waiting: {words}")


def _of_own_pods(scene: Scene) -> Iterator[Evidence]:
    for pod in scene.pods:
        source, status = f"pod {pod['metadata']['name']}", pod.get("status", {})
        if status.get("reason"):
            yield _piece(source, f"{status.get('phase', '')}: {status['reason']}: {status.get('message', '')}")
        for condition in status.get("conditions", ()):
            gone = condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"
            unplaced = condition.get("type") == "PodScheduled" and condition.get("status") == "False"
            if gone or unplaced:
                words = f"{condition['type']}: {condition.get('reason', '')}: {condition.get('message', '')}"
                yield _piece(source, words, _time(condition.get("lastTransitionTime")))
        yield from _of_server_pod(pod)
    if scene.job and (condition := pods.holding(scene.job, "Failed")):
        words = f"Failed: {condition.get('reason', '')}: {condition.get('message', '')}"
        name = scene.job.get("metadata", {}).get("name", "")
        yield _piece(f"Job {name}", words, _time(condition.get("lastTransitionTime")))


def _of_warnings(warnings: Iterable[Object], run: WorkflowRun) -> list[Evidence]:
    """The newest Events, of each kind about each object one; what happened long before the run says nothing of it."""
    since = run.status.admitted_at - BEFORE if run.status.admitted_at else None
    told: dict[tuple[str, str], Evidence] = {}
    for event in sorted(warnings, key=lambda event: str(_event_time(event) or ""), reverse=True):
        time, regarding, reason = _event_time(event), event.get("regarding", {}), event.get("reason", "")
        if since and time and time < since:
            continue
        source = f"event of {regarding.get('kind', '')} {regarding.get('name', '')}"
        times = (event.get("series") or {}).get("count") or event.get("deprecatedCount") or 1
        words = f"{reason}{f' ×{times}' if times > 1 else ''}: {masking.masked(event.get('note', ''))}"
        told.setdefault((source, reason), _piece(source, words, time))
    return [*told.values()][:MAX_WARNINGS]


def _is_told(event: Evidence, told: Iterable[str]) -> bool:
    """Whether the status of an object says the same as the Event, in the same words."""
    note = event.message.partition(": ")[2]
    return bool(note) and any(message.endswith(note) for message in told)


def _event_time(event: Object) -> datetime | None:
    series = event.get("series") or {}
    known = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
    return next((time for value in known if (time := _time(value))), None)


def _last_lines(log: str) -> str:
    text, limit = masking.masked(log.rstrip()), LOG_BYTES
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= limit - 8 else "…" + raw[-(limit - 8) :].decode("utf-8", "ignore")


def _piece(source: str, message: str, time: datetime | None = None, *, limit: int = MESSAGE_BYTES) -> Evidence:
    times = {"time": time} if time else {}
    return Evidence(source=source[:320], message=wording.fit(message, limit), **times)


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
