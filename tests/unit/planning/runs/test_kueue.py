"""Runs that Kueue lets in: what is planned as it holds their Jobs back, lets them in, and takes their pods away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW, a_run, a_server, a_task, a_template, around, metadata

from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.children import runjob
from mcp_orchestrator.planning.plan import Plan
from mcp_orchestrator.planning.queue.admission import CLUSTER
from mcp_orchestrator.planning.runs import attempts, endings, kueue
from mcp_orchestrator.planning.runs.decision import plan_run
from mcp_orchestrator.planning.runs.observed import ObservedRun
from mcp_orchestrator.planning.runs.runstatus import START_WAKE
from mcp_orchestrator.settings import Settings

SETTINGS = Settings(timeout_seconds=600, retry_attempts=1)
GENEROUS = Settings(timeout_seconds=600, retry_attempts=100)
AROUND = around(a_template(a_task("a")), {"time": a_server(observed_generation=1)})
LABELS = {runjob.QUEUE_LABEL: "team-a", runjob.PRIORITY_LABEL: "urgent", "team": "a"}
HELD: dict[str, Any] = {"metadata": {"name": "job"}, "spec": {"suspend": True}, "status": {}}
LET_IN: dict[str, Any] = {"metadata": {"name": "job"}, "status": {"active": 1}}
RUNNER = {"podName": "p", "podUid": "u", "startTime": "2026-01-02T03:04:07Z"}
TASKS = [{"name": "a", "phase": "Running", "startTime": "2026-01-02T03:04:07Z"}]


def labelled(labels: dict[str, str]) -> WorkflowRun:
    return a_run().model_copy(update={"metadata": metadata("field-notes-1", labels=labels)})


def plan(observed: ObservedRun, seconds: int = 0) -> Plan:
    return plan_run(observed, SETTINGS, NOW + timedelta(seconds=seconds))


def after(run: WorkflowRun, made: Plan) -> WorkflowRun:
    """The run after the operator's write; what its runner told stays."""
    assert made.status
    told = {name: value for name, value in run.status.wire().items() if name in ("runner", "tasks")}
    status = WorkflowRunStatus.model_validate({**told, **made.status})
    return run.model_copy(update={"status": status})


def admitted(labels: dict[str, str] | None = None) -> tuple[WorkflowRun, Plan]:
    run = labelled(LABELS if labels is None else labels)
    made = plan(ObservedRun(run, AROUND, slot=True))
    return after(run, made), made


def let_in(run: WorkflowRun, seconds: int) -> WorkflowRun:
    """The run, once Kueue let its Job in."""
    return after(run, plan(ObservedRun(run, job=LET_IN), seconds))


def at_work(run: WorkflowRun) -> WorkflowRun:
    """The run, once the pod of its attempt has begun."""
    wire = {**run.status.wire(), "runner": {**RUNNER, "attempt": run.status.attempt}, "tasks": TASKS}
    return run.model_copy(update={"status": WorkflowRunStatus.model_validate(wire)})


def taken(run: WorkflowRun, seconds: int) -> WorkflowRun:
    """The run, once Kueue took its pod away."""
    return after(run, plan(ObservedRun(run, job=HELD), seconds))


def test_the_job_waits_for_kueue_and_the_run_says_so_from_its_first_moment() -> None:
    run, made = admitted()
    (job,) = made.children
    assert job["spec"]["suspend"] is True
    assert {name: job["metadata"]["labels"].get(name) for name in LABELS} == {**LABELS, "team": None}
    assert (run.status.phase, run.status.waiting_reason) == ("Queued", "KueueQueue")
    assert run.status.message == (
        f"waits for Kueue in the queue team-a: kubectl describe job {run.status.job_name} tells how it stands"
    )
    for seconds in (0, 1, 10**5):
        assert plan(ObservedRun(run, job=HELD), seconds) == Plan()


def test_a_wait_that_is_told_again_for_a_change_of_the_spec_goes_on_from_where_it_began() -> None:
    run, _ = admitted()
    changed = run.model_copy(update={"metadata": run.metadata.model_copy(update={"generation": 2})})
    again = after(changed, plan(ObservedRun(changed, job=HELD), 50))
    assert again.status.observed_generation == 2
    assert again.status.waiting_since == run.status.waiting_since == NOW
    assert plan(ObservedRun(again, job=HELD), 60) == Plan()


@pytest.mark.parametrize("labels", [{}, {runjob.QUEUE_LABEL: ""}, {runjob.PRIORITY_LABEL: "urgent"}])
def test_without_a_queue_kueue_has_no_say(labels: dict[str, str]) -> None:
    run, made = admitted(labels)
    (job,) = made.children
    assert run.status.kueue_queue is None
    assert "suspend" not in job["spec"]
    assert not {runjob.QUEUE_LABEL, runjob.PRIORITY_LABEL} & job["metadata"]["labels"].keys()
    assert run.status.phase == "Running"


def test_a_run_that_kueue_lets_in_starts_and_its_pod_has_the_usual_time_to_come() -> None:
    run, _ = admitted()
    started = let_in(run, 1000)
    assert (started.status.phase, started.status.waiting_reason) == ("Running", None)
    assert started.status.paused_seconds is None
    soon, late = (plan(ObservedRun(started, job=LET_IN), 1000 + seconds) for seconds in (1, START_WAKE.seconds))
    assert soon.status is None
    assert late.status
    assert "has no pod yet" in late.status["message"]


def test_a_run_that_kueue_stops_before_its_runner_began_waits_for_the_same_job() -> None:
    run, _ = admitted()
    started = let_in(run, 100)
    made = plan(ObservedRun(started, job=HELD), 200)
    again = after(started, made)
    assert (again.status.phase, again.status.waiting_reason) == ("Queued", "KueueQueue")
    assert (again.status.attempt, again.status.job_name, again.status.resumptions) == (1, run.status.job_name, None)
    assert made.children == ()
    assert plan(ObservedRun(again, job=HELD), 300) == Plan()


def test_a_run_that_loses_its_pod_to_kueue_goes_on_as_often_as_it_takes() -> None:
    run, _ = admitted()
    names = {run.status.job_name}
    for attempt in (2, 3, 4):
        working = at_work(let_in(run, 100))
        made = plan(ObservedRun(working, job=HELD), 200)
        run = after(working, made)
        names.add(run.status.job_name)
        (job,) = made.children
        (event,) = made.events
        assert (run.status.phase, run.status.waiting_reason) == ("Queued", "KueueQueue")
        assert (run.status.attempt, run.status.resumptions) == (attempt, attempt - 1)
        assert (job["metadata"]["name"], job["spec"]["suspend"]) == (run.status.job_name, True)
        assert event.note.startswith("Kueue took the run's pod away; the run goes on")
        assert run.status.tasks[0].name == "a"
        assert plan(ObservedRun(run, job=HELD), 300) == Plan()
    assert len(names) == 4


def test_a_pod_that_is_lost_otherwise_counts_whatever_kueue_did_before() -> None:
    run = at_work(let_in(taken(at_work(let_in(admitted()[0], 100)), 200), 300))
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}
    lost = ObservedRun(run, job={"metadata": {"name": "job"}, "status": {"conditions": [failed]}})
    twice, once = (
        plan_run(lost, replace(SETTINGS, retry_attempts=limit), NOW + timedelta(seconds=400)) for limit in (2, 1)
    )
    assert twice.status
    assert (twice.status["attempt"], twice.status["resumptions"], twice.status["phase"]) == (3, 1, "Queued")
    assert [event.note.split(";")[1] for event in twice.events] == [
        f" attempt 2 of 2 goes on from what is recorded, as Job {twice.status['jobName']}"
    ]
    assert once.status
    assert once.status["message"] == "the run's pod ended without a report (limit)"


@pytest.mark.parametrize(
    ("start", "paused"),
    [
        pytest.param(None, 800, id="the Job controller has not said so yet"),
        pytest.param(900, 700, id="it was let in a while ago"),
        pytest.param(50, 800, id="what it says is of an earlier time"),
    ],
)
def test_the_wait_for_kueue_does_not_count_against_the_time_out(start: int | None, paused: int) -> None:
    again = taken(at_work(let_in(admitted()[0], 100)), 200)
    began = LET_IN if start is None else {**LET_IN, "status": {"conditions": [resumed(start)]}}
    started = after(again, plan(ObservedRun(again, job=began), 1000))
    assert started.status.paused_seconds == paused
    assert plan(ObservedRun(started, job=began), 1001).status is None
    # A further pause comes on top.
    third = taken(at_work(started), 2000)
    assert third.status.paused_seconds == paused
    assert let_in(third, 2030).status.paused_seconds == paused + 30


def test_a_run_in_the_queue_is_stopped_or_held_without_a_pod() -> None:
    run = taken(at_work(let_in(admitted()[0], 100)), 200)
    job = a_job() | {"spec": {"suspend": True}}
    for order, phase in (({"cancel": CancelMode.GRACEFUL}, "Cancelled"), ({"suspend": True}, "Suspended")):
        ordered = run.model_copy(update={"spec": run.spec.model_copy(update=order)})
        first = plan(ObservedRun(ordered, job=job), 300)
        assert (first.status, first.deletions) == (None, (job,))
        then = plan(ObservedRun(ordered, job=None), 301)
        assert (then.status or {}).get("phase") == phase
        assert then.children == ()


def test_a_pod_that_begins_before_the_end_of_the_wait_is_on_record_does_not_count_it_either() -> None:
    again = taken(at_work(let_in(admitted()[0], 100)), 202)
    assert again.status.spent_seconds(NOW + timedelta(seconds=10**5)) == 200
    assert let_in(again, 1002).status.spent_seconds(NOW + timedelta(seconds=1012)) == 210


@pytest.mark.parametrize(
    ("labels", "message", "phase"),
    [
        pytest.param({runjob.QUEUE_LABEL: "team-b"}, "from team-a to team-b", "Queued", id="another queue"),
        pytest.param({}, "from team-a to none", "Running", id="none any more"),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_run_whose_queue_is_changed_while_kueue_holds_it_back_asks_for_a_slot_anew(
    labels: dict[str, str], message: str, phase: str, begun: bool
) -> None:
    run = taken(at_work(let_in(admitted()[0], 2)), 102) if begun else admitted()[0]
    attempt = run.status.attempt or 0
    changed = run.model_copy(update={"metadata": run.metadata.model_copy(update={"labels": labels})})
    job = a_job() | {"spec": {"suspend": True}}
    assert plan(ObservedRun(changed, job=job), 300).deletions == (job,)

    asking = after(changed, plan(ObservedRun(changed), 300))
    assert (asking.status.phase, asking.status.waiting_reason) == ("Pending", "QueueChanged")
    assert message in (asking.status.message or "")
    assert (asking.status.admitted_at, asking.status.kueue_queue) == (None, None)
    candidate = plan(ObservedRun(asking, AROUND), 301).candidate
    assert candidate
    assert (CLUSTER in candidate.pools) == (not labels)

    made = plan(ObservedRun(asking, AROUND, slot=True), 400)
    again = after(asking, made)
    (new,) = made.children
    assert (again.status.phase, again.status.attempt) == (phase, attempt + 1)
    assert (again.status.kueue_queue or "") == new["metadata"]["labels"].get(runjob.QUEUE_LABEL, "")
    assert again.status.kueue_queue == (labels.get(runjob.QUEUE_LABEL) or None)
    assert ("suspend" in new["spec"]) == bool(labels)
    assert again.status.spent_seconds(NOW + timedelta(seconds=400)) == (100 if begun else 0)


@pytest.mark.parametrize("before", [LABELS, {}])
def test_a_change_of_the_queue_of_a_run_that_has_its_pod_changes_nothing(before: dict[str, str]) -> None:
    run = at_work(let_in(admitted()[0], 100)) if before else at_work(admitted({})[0])
    labels = {} if before else LABELS
    changed = run.model_copy(update={"metadata": run.metadata.model_copy(update={"labels": labels})})
    assert plan(ObservedRun(changed, job=LET_IN), 200) == plan(ObservedRun(run, job=LET_IN), 200)

    failed = {"metadata": {"name": "job"}, "status": FAILED}
    next_, unchanged = (
        plan_run(ObservedRun(one, job=failed), GENEROUS, NOW + timedelta(seconds=300)) for one in (changed, run)
    )
    assert next_.status
    assert next_.status.get("kueueQueue") == ("team-a" if before else None)
    assert ("suspend" in next_.children[0]["spec"]) == ("suspend" in unchanged.children[0]["spec"]) == bool(before)


def reports(run: WorkflowRun, outcome: str) -> WorkflowRun:
    """The run, once the runner of its present attempt has begun and ended before the operator saw either."""
    wire = at_work(run).status.wire()
    wire["runner"] |= {"outcome": outcome, "reason": outcome, "message": "it was"}
    return run.model_copy(update={"status": WorkflowRunStatus.model_validate(wire)})


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_that_ends_before_the_end_of_the_wait_is_on_record_has_not_run_while_it_waited(ended: bool) -> None:
    run = reports(taken(at_work(let_in(admitted()[0], 2)), 102), "Succeeded")
    conditions = [resumed(1002), *(ending("Complete")["conditions"] if ended else [])]
    job = LET_IN | {"status": {"conditions": conditions}}
    for _ in range(2):
        run = after(run, plan(ObservedRun(run, job=job), 1012))
    assert (run.status.phase, run.status.paused_seconds) == ("Succeeded", 900)
    assert run.status.duration_milliseconds == 110_000


def test_the_work_of_a_run_that_is_suspended_before_the_end_of_the_wait_is_on_record_counts() -> None:
    run = reports(taken(at_work(let_in(admitted()[0], 2)), 102), "Suspended")
    run = run.model_copy(update={"spec": run.spec.model_copy(update={"suspend": True})})
    job = LET_IN | {"status": {"conditions": [resumed(1002)]}}
    for _ in range(2):
        run = after(run, plan(ObservedRun(run, job=job), 1012))
    assert (run.status.phase, run.status.paused_seconds) == ("Suspended", 900)
    run = run.model_copy(update={"spec": run.spec.model_copy(update={"suspend": False})})
    again = after(run, plan(ObservedRun(run, AROUND, slot=True), 2000))
    assert again.status.spent_seconds(NOW + timedelta(seconds=2000)) == 110


def test_the_next_jobs_time_is_what_the_pauses_left_of_it() -> None:
    again = taken(at_work(let_in(admitted()[0], 100)), 202)
    made = plan(ObservedRun(at_work(let_in(again, 1002)), job=HELD), 1102)
    (job,) = made.children
    assert job["spec"]["activeDeadlineSeconds"] == 300 + runjob.START_SECONDS


def at(seconds: int) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def resumed(seconds: int) -> dict[str, str]:
    """What the Job controller says of a Job that was let in."""
    return {"type": "Suspended", "status": "False", "reason": "JobResumed", "lastTransitionTime": at(seconds)}


def ending(type_: str) -> dict[str, Any]:
    return {"conditions": [{"type": type_, "status": "True"}]}


def a_job(status: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    known = {"name": "job-1", "namespace": "default", "uid": "u", "labels": {}}
    return {"metadata": known | fields, "status": status or {}}


@pytest.mark.parametrize(
    ("earlier", "removed"),
    [
        pytest.param(None, False, id="there is none"),
        pytest.param(a_job(), True, id="it could run again"),
        pytest.param(a_job(deletionTimestamp="2026-01-02T03:04:05Z"), False, id="it goes already"),
        pytest.param(a_job(ending("Failed")), False, id="its log may be wanted"),
    ],
)
def test_the_job_before_must_not_run_again(earlier: dict[str, Any] | None, removed: bool) -> None:
    run, _ = admitted()
    again = taken(at_work(let_in(run, 100)), 200)
    assert kueue.earlier_job(run) == ""
    assert kueue.earlier_job(again) == run.status.job_name
    made = plan(ObservedRun(again, job=HELD, earlier_job=earlier), 300)
    assert made.deletions == ((earlier,) if removed else ())
    assert made.status is None


FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}]}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["hold", "let in", "let in", "begin", "begin", "lose", "suspend", "resume", "cancel", "move", "leave"]
        ),
        st.integers(0, 5000),
    ),
    max_size=12,
)


def settled(run: WorkflowRun, job: dict[str, Any] | None, seconds: int) -> tuple[WorkflowRun, dict[str, Any] | None]:
    """The run and its Job once the operator has nothing left to write at that moment. The test creates its Jobs."""
    for _ in range(6):
        made = plan_run(ObservedRun(run, job=job, slot=True, around=AROUND), GENEROUS, NOW + timedelta(seconds=seconds))
        if made.status:
            run = after(run, made)
        for child in made.children:
            assert child["metadata"]["name"] == run.status.job_name
            job = {"metadata": {"name": run.status.job_name, "uid": "u"}, "spec": child["spec"], "status": {}}
        if made.deletions:
            job = None
        if not (made.status or made.children or made.deletions):
            return run, job
    raise AssertionError(f"the operator does not come to rest: {made}")


@settings(max_examples=300)
@given(STEPS)
def test_whatever_kueue_and_people_do_the_operator_comes_to_rest_and_counts_right(steps: list[tuple[str, int]]) -> None:
    run, job = settled(labelled(LABELS), None, 0)
    seconds = lost = 0
    for step, passed in steps:
        seconds += passed
        held = job is None or kueue.holds_back(job)
        match step:
            case "hold" | "let in" if job and run.status.kueue_queue:
                job = job | {"spec": {"suspend": step == "hold"}}
            case "begin" if not held and run.status.phase == "Running":
                wire = {**run.status.wire(), "runner": {**RUNNER, "attempt": run.status.attempt}, "tasks": TASKS}
                run = run.model_copy(update={"status": WorkflowRunStatus.model_validate(wire)})
            case "lose" if job and not held and run.status.phase == "Running":
                job, lost = job | {"status": FAILED}, lost + 1
            case "suspend" | "resume":
                spec = run.spec.model_copy(update={"suspend": step == "suspend"})
                run = run.model_copy(update={"spec": spec})
            case "move" | "leave":
                labels = {runjob.QUEUE_LABEL: f"team-{seconds}"} if step == "move" else {}
                run = run.model_copy(update={"metadata": run.metadata.model_copy(update={"labels": labels})})
            case "cancel":
                run = run.model_copy(update={"spec": run.spec.model_copy(update={"cancel": CancelMode.GRACEFUL})})
        before = run.status
        run, job = settled(run, job, seconds)
        status = run.status
        assert status.attempt is None or status.attempt >= (before.attempt or 0)
        assert (status.resumptions or 0) <= max(0, (status.attempt or 1) - 1)
        assert (status.paused_seconds or 0) <= seconds
        if status.phase == "Queued":
            assert status.waiting_reason == "KueueQueue"
            assert job is not None
            assert kueue.holds_back(job)
        if status.phase == "Running" and job:
            assert not kueue.holds_back(job)
        if status.phase in ("Suspended", "Cancelled"):
            assert job is None or endings.has_ended(job)
        assert attempts.counted(run) <= lost + 1
