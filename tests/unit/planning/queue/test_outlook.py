"""The queue as people see it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NOW, a_parameter, a_run, a_server, a_spec, a_task, a_template

from mcp_orchestrator.api.control import Concurrency
from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.pods import KeySelector
from mcp_orchestrator.api.workflowrun import ParameterSource, WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.queue.outlook import Cluster, Outlook, outlook

WORKFLOW = a_spec(a_task("a"))
TEMPLATE = a_template(a_task("a"), estimated_duration_seconds=600)
RESOLVED = {"name": "field-notes", "generation": 1, "digest": "sha256:x", "spec": TEMPLATE.spec.wire()}
SERVERS = [{"name": "time", "url": "http://time"}]


def the_run(name: str, status: dict[str, Any], minutes: int = 0, **spec: Any) -> WorkflowRun:
    """A run of `field-notes` that was created so many minutes ago."""
    run = a_run(**spec)
    meta = run.metadata.model_copy(update={"name": name, "creation_timestamp": NOW - timedelta(minutes=minutes)})
    return run.model_copy(update={"metadata": meta, "status": WorkflowRunStatus.model_validate(status)})


def running(name: str, minutes: int) -> WorkflowRun:
    start = (NOW - timedelta(minutes=minutes)).isoformat()
    status = {"phase": "Running", "admittedAt": start, "template": RESOLVED, "servers": SERVERS}
    return the_run(name, status, minutes)


def queued(name: str, minutes: int = 0, **spec: Any) -> WorkflowRun:
    return the_run(name, {"phase": "Queued", "waitingReason": "ClusterLimit"}, minutes, **spec)


def seen(
    *runs: WorkflowRun, limits: Limits | None = None, template: Any = TEMPLATE, server: MCPServer | None = None
) -> Outlook:
    there = Cluster(
        runs,
        {("default", "field-notes"): template},
        {("default", "time"): server or a_server(observed_generation=1, tools_digest="sha256:t")},
        limits,
    )
    return outlook(there, NOW)


def test_runs_stand_in_the_order_in_which_they_start_with_what_keeps_them() -> None:
    found = seen(
        running("one", 4),
        queued("young"),
        queued("old", 9),
        queued("urgent", priority="high"),
        limits=Limits(max_concurrent_runs=1),
    )

    assert [(place.position, place.run.metadata.name) for place in found.places] == [
        (1, "urgent"),
        (2, "old"),
        (3, "young"),
    ]
    assert {place.words for place in found.places} == {"ClusterLimit: 1 of 1 running"}
    minutes = [(place.expected_start - NOW) / timedelta(minutes=1) for place in found.places if place.expected_start]
    assert minutes == [6, 16, 26]
    assert (found.running, found.limit) == (1, 1)


def test_without_the_limits_there_is_an_order_and_no_expected_start() -> None:
    found = seen(queued("b"), queued("a", 1))

    assert [place.run.metadata.name for place in found.places] == ["a", "b"]
    assert [place.expected_start for place in found.places] == [None, None]
    assert (found.running, found.limit) == (0, None)


@pytest.mark.parametrize(
    ("limits", "template", "server", "words"),
    [
        (Limits(namespaces={"default": 1}), TEMPLATE, None, "NamespaceLimit: 1 of 1 running"),
        (
            Limits(),
            TEMPLATE.model_copy(
                update={"spec": TEMPLATE.spec.model_copy(update={"concurrency": Concurrency(max_runs=1)})}
            ),
            None,
            "TemplateLimit: 1 of 1 running",
        ),
        (Limits(), TEMPLATE, 1, 'ServerLimit: "time" 1 of 1 running'),
    ],
)
def test_the_narrowest_limit_is_named(limits: Limits, template: Any, server: int | None, words: str) -> None:
    time = a_server(observed_generation=1, tools_digest="sha256:t")
    limited = time.model_copy(update={"spec": time.spec.model_copy(update={"max_concurrent_runs": server})})

    found = seen(running("one", 1), queued("two"), limits=limits, template=template, server=limited)

    assert [place.words for place in found.places] == [words]


def test_what_could_not_start_even_if_there_were_room_stands_at_the_end_without_a_position() -> None:
    lost = the_run("lost", {"phase": "Pending", "waitingReason": "ServerNotReady", "message": "time is not ready"}, 99)
    held = the_run("held", {"phase": "Suspended", "waitingReason": "Suspended"})
    over = the_run("over", {"phase": "Succeeded"})

    found = seen(lost, held, over, queued("two"), limits=Limits(max_concurrent_runs=0))

    assert [(place.position, place.run.metadata.name, place.reason) for place in found.places] == [
        (1, "two", "ClusterLimit"),
        (None, "lost", "ServerNotReady"),
    ]
    assert found.places[1].words == "ServerNotReady: time is not ready"


def test_a_queued_run_has_its_place_also_if_what_it_reads_can_not_be_seen() -> None:
    source = ParameterSource(name="topic", config_map_key_ref=KeySelector(name="topics", key="first"))
    template = a_template(a_task("a"), parameters=[a_parameter()])

    found = seen(
        queued("retry", 3, resume_from="earlier", parameters={"topic": "notes"}),
        queued("reader", 2, parameters_from=(source,)),
        template=template,
    )

    assert [(place.position, place.run.metadata.name) for place in found.places] == [(1, "retry"), (2, "reader")]


def test_a_run_that_kueue_holds_back_waits_for_no_place_that_it_has_itself() -> None:
    limited = TEMPLATE.spec.model_copy(update={"concurrency": Concurrency(max_runs=1)})
    status = {"phase": "Queued", "waitingReason": "KueueQueue", "message": "waits for Kueue", "kueueQueue": "team"}
    placed = {"admittedAt": NOW.isoformat(), "template": RESOLVED, "servers": SERVERS}

    found = seen(
        the_run("kueued", status | placed, 9),
        queued("next"),
        limits=Limits(max_concurrent_runs=5),
        template=TEMPLATE.model_copy(update={"spec": limited}),
    )

    assert [(place.position, place.run.metadata.name, place.words) for place in found.places] == [
        (1, "next", "TemplateLimit: 1 of 1 running"),
        (None, "kueued", "KueueQueue: waits for Kueue"),
    ]
    assert found.places[0].expected_start is None, "nobody knows when Kueue lets the other one in"


def test_a_run_that_goes_on_from_its_snapshot_is_queued_as_it_was_resolved() -> None:
    status = {"phase": "Queued", "waitingReason": "ClusterLimit", "template": RESOLVED, "servers": SERVERS}
    there = Cluster((the_run("again", status),), limits=Limits(max_concurrent_runs=0))

    (place,) = outlook(there, NOW).places

    assert (place.position, place.reason) == (1, "ClusterLimit")
