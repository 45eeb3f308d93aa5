"""What was seen when a run failed: short, in words, without secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW, a_run, a_server

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.taskstatus import TaskError, TaskPhase, TaskStatus
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.diagnosis import evidence, scene
from mcp_orchestrator.planning.diagnosis.scene import Scene, ServerScene

THEN = NOW.isoformat()
RUN = a_run(
    status=WorkflowRunStatus(
        admitted_at=NOW, servers=(ResolvedServer(name="time", url="http://time", tools_digest="sha256:1"),)
    )
)


def seen(found: Scene, run: WorkflowRun = RUN) -> list[tuple[str, str]]:
    return [(piece.source, piece.message) for piece in evidence.gather(run, (), found)]


def a_pod(name: str = "time-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def a_container(**fields: Any) -> dict[str, Any]:
    return {"name": "gateway", **fields}


def an_event(kind: str = "Pod", name: str = "time-1", note: str = "Back-off", **fields: Any) -> dict[str, Any]:
    return {"regarding": {"kind": kind, "name": name}, "reason": "BackOff", "note": note, **fields}


ENDED = {"reason": "Error", "exitCode": 3, "finishedAt": THEN, "message": "no file\nAPI_KEY=abc\n"}


@pytest.mark.parametrize(
    ("found", "pieces"),
    [
        pytest.param(
            Scene(server=ServerScene("time")),
            [("MCPServer time", "does not exist any more")],
            id="a server that was deleted",
        ),
        pytest.param(
            Scene(server=ServerScene("time", a_server(ready=False))),
            [("MCPServer time", "Ready=False (Starting) since 03:04:05Z: its first pod is starting")],
            id="a server that is not ready",
        ),
        pytest.param(
            Scene(server=ServerScene("time", a_server(tools_digest="sha256:2"))),
            [
                ("MCPServer time", "Ready=True (Ready) since 03:04:05Z: "),
                ("MCPServer time", "its tools have changed since the run began: their digest is another one"),
            ],
            id="tools that have changed",
        ),
        pytest.param(
            Scene(pods=(a_pod(containerStatuses=[a_container(state={"terminated": ENDED}, restartCount=2)]),)),
            [
                (
                    "pod time-1",
                    "container gateway last ended: Error, exit code 3; it wrote last: no file API_KEY=[redacted], "
                    "restarted 2 times",
                )
            ],
            id="a container that died",
        ),
        pytest.param(
            Scene(
                pods=(a_pod(containerStatuses=[a_container(state={"waiting": {"reason": "ErrImagePull"}})]),),
            ),
            [("pod time-1", "container gateway is waiting: ErrImagePull")],
            id="a container that waits",
        ),
        pytest.param(
            Scene(pods=(a_pod(phase="Failed", reason="Evicted", message="low on memory"),)),
            [("pod time-1", "Failed: Evicted: low on memory")],
            id="an eviction",
        ),
        pytest.param(
            Scene(
                pods=(
                    a_pod(
                        conditions=[
                            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"},
                            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1"},
                        ]
                    ),
                )
            ),
            [
                ("pod time-1", "DisruptionTarget: EvictionByEvictionAPI:"),
                ("pod time-1", "PodScheduled: Unschedulable: 0/1"),
            ],
            id="a drain, and no node",
        ),
        pytest.param(
            Scene(
                job={
                    "metadata": {"name": "job-1"},
                    "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
                }
            ),
            [("Job job-1", "Failed: DeadlineExceeded:")],
            id="a Job that failed",
        ),
        pytest.param(
            Scene(
                warnings=(
                    an_event(series={"count": 7, "lastObservedTime": THEN}),
                    an_event(series={"count": 3, "lastObservedTime": "2020-01-01T00:00:00Z"}),
                    an_event(name="time-2", note="token=abc", deprecatedCount=1),
                    an_event(kind="Job", eventTime="2020-01-01T00:00:00Z"),
                )
            ),
            [("event of Pod time-1", "BackOff ×7: Back-off"), ("event of Pod time-2", "BackOff: token=[redacted]")],
            id="events, each once, the newest first, and none from long ago",
        ),
        pytest.param(
            Scene(gaps=("events: forbidden",)),
            [("diagnosis", "not looked at: events: forbidden")],
            id="what could not be looked at",
        ),
    ],
)
def test_what_was_found_is_told(found: Scene, pieces: list[tuple[str, str]]) -> None:
    assert seen(found) == [(source, message.strip()) for source, message in pieces]


def test_the_end_of_a_process_and_its_last_lines_are_told_once() -> None:
    report = GatewayReport.model_validate(
        {
            "ok": False,
            "lastExit": {"at": THEN, "message": "exit code 3; it wrote last: no file | no luck"},
            "lastLines": "no file\nno luck",
            "error": {"class": "Connect", "message": "refused"},
        }
    )
    found = seen(Scene(server=ServerScene("time", a_server(), report=report)))[1:]

    assert found == [
        ("MCPServer time", "exit code 3; it wrote last: no file | no luck"),
        ("MCPServer time", "its gateway says: Connect: refused"),
    ]


def test_the_log_keeps_its_lines_and_its_end() -> None:
    log = "\n".join(f"line {number}" for number in range(1000))
    (_, (source, text)) = seen(Scene(server=ServerScene("time", a_server(), log=log)))

    assert source == "log of MCPServer time"
    assert text.startswith("…")
    assert text.endswith("line 998\nline 999")
    assert len(text.encode()) <= evidence.LOG_BYTES


def test_an_event_that_says_what_the_pod_says_is_not_told_again() -> None:
    note = "0/3 nodes are available: 3 Insufficient cpu."
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": note}
    pod = {"metadata": {"name": "time-1"}, "status": {"phase": "Pending", "conditions": [unplaced]}}
    found = evidence.gather(RUN, (), Scene(pods=(pod,), warnings=(an_event(note=note), an_event(name="b", note="no"))))

    assert [piece.message for piece in found] == [f"PodScheduled: Unschedulable: {note}", "BackOff: no"]


@given(
    st.lists(st.text(max_size=3000), max_size=30),
    st.lists(st.text(max_size=3000), max_size=30),
)
def test_however_much_there_is_to_tell_it_stays_within_its_budget(notes: list[str], errors: list[str]) -> None:
    tasks = [
        TaskStatus(
            name=f"t{number}",
            phase=TaskPhase.FAILED,
            completion_time=NOW + timedelta(seconds=number),
            error=TaskError(class_=ErrorClass.TOOL, message=message),
        )
        for number, message in enumerate(errors)
    ]
    found = evidence.gather(RUN, tasks, Scene(warnings=tuple(an_event(note=note) for note in notes)))

    assert sum(len(piece.message.encode()) + len(piece.source.encode()) for piece in found) <= evidence.MAX_BYTES
    assert len(found) >= min(len(tasks), evidence.MAX_TASKS)


@pytest.mark.parametrize(
    ("kind", "name", "about"),
    [
        pytest.param("Job", "run-1-abc", True, id="the Job"),
        pytest.param("Pod", "run-1-abc-x7k2p", True, id="its pod"),
        pytest.param("Pod", "run-1-abc-more-x7k2p", False, id="the pod of another Job"),
        pytest.param("MCPServer", "time", True, id="the server"),
        pytest.param("Pod", "time-7d9f-x7k2p", True, id="the server's pod"),
        pytest.param("ReplicaSet", "time-7d9f", True, id="the server's ReplicaSet"),
        pytest.param("Pod", "time-2-7d9f-x7k2p", False, id="the pod of another server"),
        pytest.param("ConfigMap", "time", False, id="something else of that name"),
    ],
)
def test_events_are_picked_by_what_they_are_about(kind: str, name: str, about: bool) -> None:
    assert scene.is_about(an_event(kind, name), "run-1-abc", "time") is about


def test_without_a_server_no_event_of_a_server_counts() -> None:
    assert not scene.is_about(an_event("MCPServer", ""), "run-1-abc", "")
    assert not scene.is_about(an_event("Job", ""), "", "time")
