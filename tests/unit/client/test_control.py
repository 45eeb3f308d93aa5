"""Orders to runs and retries of them: what they change, when they have no meaning, and how a run's state is told."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW, a_run

from mcp_orchestrator.api.control import Cancellation, CancelMode
from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunnerStatus, RunPhase
from mcp_orchestrator.client import orders, phases, retry, runs
from mcp_orchestrator.client.cluster import Cluster
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.orders import Verb
from mcp_orchestrator.client.progress import Progress
from mcp_orchestrator.client.runs import show_end
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.planning.runs.decision import plan_run
from mcp_orchestrator.planning.runs.observed import ObservedRun
from mcp_orchestrator.settings import Settings

REPLACED = Cancellation(mode=CancelMode.GRACEFUL, reason="Replaced", message="a newer run takes its place")


def run_of(phase: RunPhase | None, spec: dict[str, Any] | None = None, **status: Any) -> WorkflowRun:
    run = a_run()
    return run.model_copy(
        update={
            "spec": run.spec.model_copy(update=spec or {}),
            "status": run.status.model_copy(update={"phase": phase, **status}),
        }
    )


@pytest.mark.parametrize(
    ("run", "verb", "spec", "told"),
    [
        pytest.param(run_of(RunPhase.RUNNING), Verb.SUSPEND, {"suspend": True}, "is being suspended", id="hold"),
        pytest.param(run_of(None), Verb.SUSPEND, {"suspend": True}, "is being suspended", id="hold a new one"),
        pytest.param(
            run_of(RunPhase.SUSPENDED, {"suspend": True}), Verb.SUSPEND, {}, "is suspended already", id="held already"
        ),
        pytest.param(
            run_of(RunPhase.SUSPENDED, {"suspend": True}), Verb.RESUME, {"suspend": False}, "goes on", id="go on"
        ),
        pytest.param(run_of(RunPhase.QUEUED), Verb.RESUME, {}, "is not suspended", id="was not held"),
        pytest.param(run_of(RunPhase.RUNNING), Verb.CANCEL, {"cancel": "Graceful"}, "(Graceful)", id="stop"),
        pytest.param(run_of(RunPhase.RUNNING), Verb.CANCEL_NOW, {"cancel": "Immediate"}, "(Immediate)", id="stop now"),
        pytest.param(
            run_of(RunPhase.RUNNING, {"cancel": CancelMode.GRACEFUL}), Verb.CANCEL, {}, "already", id="stopped already"
        ),
        pytest.param(
            run_of(RunPhase.RUNNING, {"cancel": CancelMode.GRACEFUL}),
            Verb.CANCEL_NOW,
            {"cancel": "Immediate"},
            "(Immediate)",
            id="stop faster",
        ),
        pytest.param(
            run_of(RunPhase.RUNNING, {"cancel": CancelMode.IMMEDIATE}),
            Verb.CANCEL,
            {},
            "already (Immediate)",
            id="slower",
        ),
        pytest.param(
            run_of(RunPhase.SUSPENDED, {"suspend": True}), Verb.CANCEL, {"cancel": "Graceful"}, "cancelled", id="held"
        ),
        pytest.param(run_of(RunPhase.CANCELLED), Verb.CANCEL, {}, "is cancelled already", id="done"),
    ],
)
def test_an_order_changes_its_own_field_and_nothing_that_is_so_already(
    run: WorkflowRun, verb: Verb, spec: dict[str, Any], told: str
) -> None:
    step = orders.decide(run, verb)
    assert step.spec == spec
    assert told in step.told


@pytest.mark.parametrize(
    ("run", "verb", "words"),
    [
        (run_of(RunPhase.SUCCEEDED), Verb.CANCEL, "has ended (Succeeded): nothing to cancel"),
        (run_of(RunPhase.FAILED), Verb.CANCEL_NOW, "has ended (Failed): nothing to cancel"),
        (run_of(RunPhase.SUCCEEDED), Verb.SUSPEND, "has ended (Succeeded): nothing to suspend"),
        (run_of(RunPhase.CANCELLED), Verb.RESUME, "has ended (Cancelled): nothing to resume"),
        (run_of(RunPhase.RUNNING, {"cancel": CancelMode.GRACEFUL}), Verb.SUSPEND, "it can't be suspended"),
        (run_of(RunPhase.RUNNING, cancellation=REPLACED), Verb.RESUME, "is being cancelled: it can't go on"),
    ],
)
def test_an_order_that_comes_too_late_is_refused_in_words(run: WorkflowRun, verb: Verb, words: str) -> None:
    with pytest.raises(Failed) as refused:
        orders.decide(run, verb)
    assert words in str(refused.value)
    assert refused.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("run", "state"),
    [
        (run_of(None), "Pending"),
        (run_of(RunPhase.QUEUED, waiting_reason="ClusterLimit"), "Queued (ClusterLimit)"),
        (run_of(RunPhase.SUSPENDED, {"suspend": True}, waiting_reason="Suspended"), "Suspended"),
        (run_of(RunPhase.RUNNING), "Running"),
        (run_of(RunPhase.RUNNING, {"suspend": True}), "Running, being suspended"),
        (run_of(RunPhase.RUNNING, {"cancel": CancelMode.GRACEFUL, "suspend": True}), "Running, being cancelled"),
        (run_of(RunPhase.RUNNING, cancellation=REPLACED), "Running, being cancelled"),
        (run_of(RunPhase.SUCCEEDED, {"cancel": CancelMode.GRACEFUL}), "Succeeded"),
        (run_of(RunPhase.CANCELLED, {"cancel": CancelMode.GRACEFUL}), "Cancelled"),
    ],
)
def test_a_runs_state_says_why_it_waits_and_which_order_it_has_still_to_follow(run: WorkflowRun, state: str) -> None:
    assert phases.state(run) == state


@pytest.mark.parametrize(
    ("spec", "cancellation", "told"),
    [
        ({"cancel": CancelMode.GRACEFUL}, None, "Running, being cancelled: spec.cancel is Graceful"),
        ({}, REPLACED, "Running, being cancelled: a newer run takes its place"),
        (
            {"suspend": True},
            None,
            "Running, being suspended: tasks under way go on to their end, and no others start",
        ),
    ],
)
def test_what_the_operator_says_of_an_order_is_told_once(
    spec: dict[str, Any], cancellation: Cancellation | None, told: str
) -> None:
    runner = RunnerStatus(pod_name="run-1", pod_uid="u", start_time=NOW, attempt=1)
    fields: dict[str, Any] = {"admitted_at": NOW, "attempt": 1, "job_name": "run-1", "runner": runner}
    run = run_of(RunPhase.RUNNING, spec, cancellation=cancellation, **fields)
    status = plan_run(ObservedRun(run=run, job={"metadata": {}}), Settings(), NOW).status
    assert status

    run = run_of(RunPhase.RUNNING, spec, cancellation=cancellation, message=status["message"])
    assert phases.sentence(run) == f"{run.metadata.name} is {told}"


def test_the_end_of_a_cancelled_run_is_told_once() -> None:
    out = io.StringIO()
    run = run_of(RunPhase.CANCELLED, {"cancel": CancelMode.GRACEFUL}, message="spec.cancel is Graceful", duration="3s")
    show_end(run, Terminal(out))
    assert out.getvalue().splitlines()[0] == f"{run.metadata.name} was cancelled in 3s: spec.cancel is Graceful"


def test_a_retry_is_the_same_run_without_its_orders() -> None:
    spec = {
        "templateRef": {"name": "report"},
        "parameters": {"topic": "herons", "pages": 3},
        "parametersFrom": [
            {"name": "key", "secretKeyRef": {"name": "keys", "key": "a"}},
            {"name": "depth", "configMapKeyRef": {"name": "depths", "key": "a"}},
        ],
        "priority": "high",
        "resumeFrom": "report-0",
        "suspend": True,
        "cancel": "Graceful",
        "of a newer version": 1,
    }
    assert retry.spec_after("report-1", spec, {"topic": "owls", "depth": "2"}) == {
        "templateRef": {"name": "report"},
        "parameters": {"topic": "owls", "pages": 3, "depth": "2"},
        "parametersFrom": [{"name": "key", "secretKeyRef": {"name": "keys", "key": "a"}}],
        "priority": "high",
        "resumeFrom": "report-1",
        "of a newer version": 1,
    }
    assert retry.spec_after("a", {"template": {"tasks": []}, "idempotencyKey": "used up"}, {}) == {
        "template": {"tasks": []},
        "resumeFrom": "a",
    }


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ({}, {}),
        ({"app.kubernetes.io/instance": "of-git"}, {}),
        (
            {"kueue.x-k8s.io/queue-name": "a", "kueue.x-k8s.io/priority-class": "b", "team": "c"},
            {"labels": {"kueue.x-k8s.io/queue-name": "a", "kueue.x-k8s.io/priority-class": "b"}},
        ),
    ],
)
def test_a_retry_waits_in_the_same_queue_of_kueue_and_takes_no_other_label(
    labels: dict[str, str], kept: dict[str, Any]
) -> None:
    run = a_run()
    labelled = run.model_copy(update={"metadata": run.metadata.model_copy(update={"labels": labels})})
    assert retry.labels_after(labelled) == kept


@given(st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", fullmatch=True))
def test_the_name_of_a_retry_is_bounded_and_does_not_grow_with_further_ones(name: str) -> None:
    first = retry.name_after(name)
    again = retry.name_after(first)
    assert len(first) <= 53
    assert len(again) == len(first)
    assert first.rpartition("-")[0] == again.rpartition("-")[0]
    assert first[0].isalnum()


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (
            None,
            "has not ended (Pending): nothing to retry; to follow it: mcp-orchestrator watch field-notes-1 -n default",
        ),
        (RunPhase.SUSPENDED, "has not ended (Suspended)"),
        (RunPhase.SUCCEEDED, "nothing to retry; to run it all again: mcp-orchestrator run field-notes -n default"),
    ],
)
def test_a_run_that_has_nothing_left_is_not_retried(phase: RunPhase | None, words: str) -> None:
    with pytest.raises(Failed) as refused:
        retry.check(run_of(phase))
    assert words in str(refused.value)


@pytest.mark.parametrize("phase", [RunPhase.FAILED, RunPhase.CANCELLED])
def test_a_run_that_failed_or_was_stopped_may_be_retried(phase: RunPhase) -> None:
    retry.check(run_of(phase))


class Screen(io.StringIO):
    """A terminal that shows what is left of it after the lines that were gone back over."""

    def shown(self) -> list[str]:
        lines: list[str] = []
        for part in self.getvalue().split("\n"):
            while part.startswith("\x1b["):
                count, _, rest = part[2:].partition("A")
                lines = lines[: len(lines) - int(count)]
                part = rest.removeprefix("\x1b[J")
            lines.append(part)
        return lines[:-1]


def test_news_of_a_run_stand_above_its_table() -> None:
    screen, now = Screen(), datetime(2026, 1, 1, tzinfo=UTC)
    progress = Progress(Terminal(screen, columns=80))
    task = TaskStatus(name="work", phase=TaskPhase.PENDING)
    for news in ("a is Queued", "a is Suspended"):
        progress.tell(news)
        progress.show([task], now)
    assert screen.shown() == ["a is Queued", "a is Suspended", "  · work"]


class HeardTwice:
    """An API server that has carried a create out whose answer got lost: the second try finds the name taken."""

    async def create(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        raise errors.AlreadyExists(f"{body['metadata']['name']} already exists")

    async def get(self, resource: Resource, name: str, namespace: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": namespace, "uid": "u"}}


async def test_a_run_whose_name_was_made_up_is_ours_if_it_is_there_already_and_another_is_not() -> None:
    client: Any = HeardTwice()
    cluster = Cluster(client, "default")

    made = await runs.create(cluster, runs.Order("report"), {})

    assert made["metadata"]["uid"] == "u"
    assert made["metadata"]["name"].startswith("report-")
    with pytest.raises(Failed, match='there is a run "mine" already: give another --name'):
        await runs.create(cluster, runs.Order("report", name="mine"), {})
