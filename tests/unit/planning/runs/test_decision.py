"""plan_run: the life of a run, step by step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW, a_parameter, a_run, a_server, a_task, a_template, around, metadata
from tests.oracles import kstatus

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.control import Concurrency, ConcurrencyPolicy
from mcp_orchestrator.api.workflow import RunnerPod
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunCondition, RunPhase, WorkflowRunStatus
from mcp_orchestrator.planning.children import runjob
from mcp_orchestrator.planning.plan import EventType, Plan
from mcp_orchestrator.planning.queue.admission import CLUSTER, Candidate, pools_of
from mcp_orchestrator.planning.queue.concurrency import Rivals
from mcp_orchestrator.planning.runs import decision, runstatus
from mcp_orchestrator.planning.runs.decision import plan_run
from mcp_orchestrator.planning.runs.observed import ObservedRun, Obstacle
from mcp_orchestrator.planning.workflows import resolution
from mcp_orchestrator.settings import Settings

SETTINGS = Settings(max_concurrent_workflows=2, timeout_seconds=600)
SERVERS = {"time": a_server(observed_generation=1, tools_digest="sha256:t")}
TEMPLATE = a_template(a_task("a"), a_task("b"))
READY = ObservedRun(a_run(), around(TEMPLATE, SERVERS))
QUEUED = replace(READY, obstacle=Obstacle(CLUSTER, 2))
CANDIDATE = Candidate(NOW, "default", "field-notes-1", pools_of("default", "field-notes", ["time"]), level=1)
RUNNER = {"podName": "p", "podUid": "u", "startTime": "2026-01-02T03:04:07Z"}
TASKS = [
    {"name": "a", "phase": "Succeeded", "result": None, "startTime": "2026-01-02T03:04:07Z"},
    {"name": "b", "phase": "Running", "startTime": "2026-01-02T03:04:08Z"},
]
ACTIVE = {"metadata": {"name": "job"}, "status": {"active": 1}}
NO_IMAGE = {
    "metadata": {"name": "p"},
    "status": {
        "containerStatuses": [
            {"name": "runner", "image": "i", "state": {"waiting": {"reason": "ErrImagePull", "message": "gone"}}}
        ]
    },
}


def ended(type_: str = "Failed", reason: str = "BackoffLimitExceeded", message: str = "limit") -> dict[str, Any]:
    condition = {"type": type_, "status": "True", "reason": reason, "message": message}
    return {"metadata": {"name": "job"}, "status": {"conditions": [condition]}}


def plan(observed: ObservedRun, now: datetime = NOW) -> Plan:
    return plan_run(observed, SETTINGS, now)


def status_of(made: Plan) -> Mapping[str, Any]:
    assert made.status is not None
    return made.status


def applied(run: WorkflowRun, made: Plan) -> WorkflowRun:
    """The run after server-side apply: what the operator leaves out goes, what the runner applied stays."""
    if made.status is None:
        return run
    fields = run.status.wire()
    by_runner: dict[str, Any] = {name: fields[name] for name in ("runner", "tasks", "outputs") if name in fields}
    if "runner" in by_runner and "progress" in fields:
        by_runner["progress"] = fields["progress"]
    status = WorkflowRunStatus.model_validate({"observedGeneration": -1, **by_runner, **made.status})
    return run.model_copy(update={"status": status})


def reported(run: WorkflowRun, tasks: list[dict[str, Any]] | None = None, **runner: Any) -> WorkflowRun:
    """The run after its runner applied what it has to say."""
    wire = {**run.status.wire(), "runner": {**RUNNER, **runner}, "tasks": tasks or TASKS, "progress": "1/2"}
    return run.model_copy(update={"status": WorkflowRunStatus.model_validate(wire)})


def admitted(run: WorkflowRun | None = None, **fields: Any) -> WorkflowRun:
    observed = replace(READY, run=run or a_run(**fields), slot=True)
    return applied(observed.run, plan(observed))


def held(made: Plan) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status_of(made)["conditions"]}


def verdict(made: Plan) -> kstatus.Verdict:
    return kstatus.verdict({"metadata": {"generation": 1}, "status": status_of(made)})


# --- before the run has a slot ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "reason", "message"),
    [
        pytest.param(
            replace(READY, around=around(None, SERVERS)),
            "TemplateNotFound",
            'spec.templateRef.name: there is no WorkflowTemplate "field-notes" in namespace "default"; '
            "create it, or delete this run and name another",
            id="no template",
        ),
        pytest.param(
            replace(READY, around=around(TEMPLATE, {})),
            "ServerNotFound",
            'WorkflowTemplate field-notes spec.tasks[0].server: there is no MCPServer "time" in the namespace; '
            'create an MCPServer named "time"',
            id="no server",
        ),
        pytest.param(
            replace(READY, around=around(TEMPLATE, {"time": a_server(ready=False)})),
            "ServerNotReady",
            'MCPServer "time" has not been ready since 2026-01-02T03:04:05Z: Starting',
            id="a server that is not ready",
        ),
    ],
)
def test_a_run_that_can_not_start_yet_is_pending_with_the_reason(
    observed: ObservedRun, reason: str, message: str
) -> None:
    made = plan(observed)
    status = status_of(made)

    assert (status["phase"], status["waitingReason"], status["message"]) == ("Pending", reason, message)
    assert held(made) == {
        "Succeeded": ("Unknown", reason),
        "Finished": ("False", reason),
        "Reconciling": ("True", reason),
        "Stalled": ("False", reason),
        "Admitted": ("False", reason),
    }
    assert verdict(made) == kstatus.Verdict.IN_PROGRESS
    assert [(e.type, e.reason, e.note) for e in made.events] == [(EventType.NORMAL, reason, message)]
    assert made.candidate is None
    assert made.children == ()


def test_a_run_that_could_start_is_queued_until_it_has_a_slot() -> None:
    assert plan(READY) == Plan(candidate=CANDIDATE)

    made = plan(QUEUED)
    status = status_of(made)

    assert made.candidate == CANDIDATE
    assert made.children == ()
    assert made.events == ()
    assert (status["phase"], status["waitingReason"], status["progress"]) == ("Queued", "ClusterLimit", "0/2")
    assert status["message"] == "waits for a slot: the cluster has its limit of 2 at once"
    assert verdict(made) == kstatus.Verdict.IN_PROGRESS
    assert "jobName" not in status


def test_the_tasks_of_finally_count_before_the_start_too() -> None:
    template = a_template(a_task("a"), finally_=(a_task("z"),))
    ready = ObservedRun(a_run(), around(template, SERVERS))

    assert status_of(plan(replace(ready, obstacle=QUEUED.obstacle)))["progress"] == "0/2"
    assert status_of(plan(replace(ready, slot=True)))["progress"] == "0/2"


def test_a_queued_run_goes_on_wanting_a_slot_without_a_write() -> None:
    waiting = replace(QUEUED, run=applied(READY.run, plan(QUEUED)))

    made = plan(waiting, NOW + timedelta(hours=1))

    assert made == Plan(candidate=CANDIDATE)


def test_a_run_whose_server_went_away_gives_its_slot_back() -> None:
    gone = around(TEMPLATE, {"time": a_server(ready=False)})
    queued = replace(READY, run=applied(READY.run, plan(QUEUED)), slot=True, around=gone)

    made = plan(queued)

    assert status_of(made)["phase"] == "Pending"
    assert status_of(made)["progress"] == "0/2"
    assert made.candidate is None
    assert made.children == ()


@pytest.mark.parametrize("length", [4000, 4096])
def test_the_long_words_of_a_server_never_stop_a_run_from_telling_why_it_waits(length: int) -> None:
    server = a_server(ready=False)
    verdicts = {"Ready": conditions.false("Connect", "x" * length)}
    held = conditions.merge((), verdicts, 1, NOW)
    status = server.status.model_copy(update={"conditions": held})

    made = plan(replace(READY, around=around(TEMPLATE, {"time": server.model_copy(update={"status": status})})))

    assert len(status_of(made)["message"]) <= 4096


@pytest.mark.parametrize(
    ("observed", "reason", "message", "remedy"),
    [
        pytest.param(
            replace(READY, around=around(a_template(parameters=[a_parameter()]), SERVERS)),
            "InvalidParameter",
            "spec.parameters.topic: it is missing, and has no default: give it a value",
            "Create a new run with the parameters corrected.",
            id="a missing parameter",
        ),
        pytest.param(
            replace(
                READY,
                run=a_run(parameters={"topic": 7}),
                around=around(a_template(parameters=[a_parameter(schema={"type": "string"})]), SERVERS),
            ),
            "InvalidParameter",
            "spec.parameters.topic: ",
            "Create a new run with the parameters corrected.",
            id="a parameter of another type",
        ),
        pytest.param(
            replace(READY, around=around(a_template(a_task(depends_on=["x"])), SERVERS)),
            "TemplateInvalid",
            'WorkflowTemplate field-notes spec.tasks[0].dependsOn[0]: unknown task "x"',
            "Mend the workflow, then create a new run.",
            id="a graph that makes no sense",
        ),
        pytest.param(
            replace(READY, around=around(a_template(a_task(tool="get_time")), SERVERS)),
            "TemplateInvalid",
            'WorkflowTemplate field-notes spec.tasks[0].tool: MCPServer "time" has no tool "get_time"',
            "Mend the workflow, then create a new run.",
            id="no such tool",
        ),
    ],
)
@pytest.mark.parametrize("slot", [False, True])
def test_a_run_that_can_never_start_fails_at_once(
    observed: ObservedRun, reason: str, message: str, remedy: str, slot: bool
) -> None:
    made = plan(replace(observed, slot=slot))
    status = status_of(made)

    assert status["phase"] == "Failed"
    assert status["message"].startswith(message)
    assert status["diagnosis"]["class"] == reason
    assert status["diagnosis"]["summary"] == status["message"]
    assert status["diagnosis"]["recommendations"] == [remedy]
    assert held(made) == {
        "Succeeded": ("False", reason),
        "Finished": ("True", reason),
        "Reconciling": ("False", reason),
        "Stalled": ("True", reason),
        "Admitted": ("False", reason),
    }
    assert status["completionTime"] == "2026-01-02T03:04:05.000Z"
    assert "duration" not in status
    assert "waitingReason" not in status
    assert verdict(made) == kstatus.Verdict.FAILED
    assert made.candidate is None
    assert made.children == ()


# --- with a slot -----------------------------------------------------------------------------------------------------


def test_a_run_with_a_slot_is_admitted_with_everything_that_was_seen() -> None:
    made = plan(replace(READY, slot=True))
    status = status_of(made)

    assert made.children
    assert (status["phase"], status["message"], status["progress"]) == ("Running", runstatus.STARTING, "0/2")
    assert status["template"]["name"] == "field-notes"
    assert status["template"]["spec"] == TEMPLATE.spec.wire()
    assert status["servers"] == [
        {
            "name": "time",
            "url": "http://time.default.svc:8080/mcp",
            "timeoutSeconds": 30,
            "digest": resolution.digest(SERVERS["time"].spec),
            "toolsDigest": "sha256:t",
            "tools": [{"name": "get_current_time", "repeatable": False}],
        }
    ]
    assert (status["attempt"], status["admittedAt"]) == (1, "2026-01-02T03:04:05.000Z")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", status["traceparent"])
    assert "waitingReason" not in status
    assert held(made) == {
        "Succeeded": ("Unknown", "Running"),
        "Finished": ("False", "Running"),
        "Reconciling": ("True", "Running"),
        "Stalled": ("False", "Running"),
        "Admitted": ("True", "Admitted"),
    }
    assert verdict(made) == kstatus.Verdict.IN_PROGRESS
    assert made.wake_at == NOW + runstatus.START_WAKE
    (event,) = made.events
    assert (event.reason, event.note) == ("Admitted", f"The run starts as Job {status['jobName']}")


def test_the_job_is_the_one_that_the_status_names() -> None:
    made = plan(replace(READY, slot=True, run=a_run(timeout_seconds=60)))
    (job,) = made.children

    assert job["metadata"]["name"] == status_of(made)["jobName"]
    assert job["metadata"]["namespace"] == "default"
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-of-field-notes-1"
    assert job["spec"]["activeDeadlineSeconds"] == 60 + runjob.START_SECONDS


@settings(max_examples=30)
@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?){0,9}", fullmatch=True))
def test_the_name_of_the_job_fits_and_stays_for_every_legal_name_of_a_run(name: str) -> None:
    observed = replace(READY, run=a_run(name), slot=True)

    first, again = plan(observed), plan(observed, NOW + timedelta(minutes=5))

    job = status_of(first)["jobName"]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", job)
    assert job == status_of(again)["jobName"]
    assert [child["metadata"]["name"] for child in first.children] == [job]


@pytest.mark.parametrize(
    ("own", "workflow", "seconds"),
    [
        pytest.param(60, 120, 60, id="the run's own word"),
        pytest.param(None, 120, 120, id="its workflow's"),
        pytest.param(None, None, 600, id="the operator's"),
    ],
)
def test_the_time_out_is_that_of_the_run_then_of_the_workflow_then_of_the_operator(
    own: int | None, workflow: int | None, seconds: int
) -> None:
    template = a_template(timeout_seconds=workflow)
    run = a_run(timeout_seconds=own)

    (job,) = plan(ObservedRun(run, around(template, SERVERS), slot=True)).children

    assert job["spec"]["activeDeadlineSeconds"] == seconds + runjob.START_SECONDS


def test_a_run_goes_by_the_workflow_that_it_was_admitted_with() -> None:
    other = a_template(a_task("other"), pod=RunnerPod(node_selector={"a": "b"}))

    made = plan(ObservedRun(admitted(), around(other, SERVERS)))

    assert made.status is None
    assert "nodeSelector" not in made.children[0]["spec"]["template"]["spec"]


def test_the_same_job_is_made_again_if_it_is_not_there_before_its_runner_was_at_work() -> None:
    first = plan(replace(READY, slot=True))
    run = applied(READY.run, first)

    again = plan(ObservedRun(run), NOW + timedelta(minutes=1))

    assert again.children == first.children
    assert again.status is None
    assert again.wake_at == NOW + timedelta(minutes=1) + runstatus.START_WAKE


def test_nothing_is_done_while_the_runner_works() -> None:
    assert plan(ObservedRun(reported(admitted()), job=ACTIVE)) == Plan()


def test_a_pod_that_takes_its_time_is_looked_at_again() -> None:
    assert plan(ObservedRun(admitted(), job=ACTIVE)) == Plan(wake_at=NOW + runstatus.START_WAKE)


@pytest.mark.parametrize(
    ("waited", "seconds"),
    [
        pytest.param(timedelta(seconds=30), 10, id="soon-at-first"),
        pytest.param(timedelta(minutes=3), 30, id="then-rarely"),
        pytest.param(timedelta(hours=3), 60, id="but-not-too-rarely"),
    ],
)
@pytest.mark.parametrize("seen", [pytest.param((), id="no-pod"), pytest.param((NO_IMAGE,), id="trouble")])
def test_a_pod_that_takes_long_is_looked_at_less_often(seen: tuple[Any, ...], waited: timedelta, seconds: int) -> None:
    told = plan(ObservedRun(admitted(), job=ACTIVE, pods=seen), NOW + waited)
    assert told.wake_at == NOW + waited + timedelta(seconds=seconds)
    run = applied(admitted(), told)
    assert plan(ObservedRun(run, job=ACTIVE, pods=seen), NOW + waited).wake_at == told.wake_at


def test_what_keeps_the_pod_from_starting_is_told_once_and_taken_back_when_the_runner_works() -> None:
    run = admitted()
    stuck = ObservedRun(run, job=ACTIVE, pods=(NO_IMAGE,))
    told = plan(stuck, NOW + timedelta(seconds=10))
    run = applied(run, told)
    again = plan(replace(stuck, run=run), NOW + timedelta(seconds=20))
    working = reported(run)
    back = plan(ObservedRun(working, job=ACTIVE), NOW + timedelta(seconds=30))
    working = applied(working, back)

    message = "image i of pod p can't be pulled: gone"
    assert (status_of(told)["waitingReason"], "waitingReason" in status_of(back)) == ("ImagePull", False)
    assert (status_of(told)["phase"], status_of(told)["message"]) == ("Running", message)
    assert [(e.type, e.reason, e.note) for e in told.events] == [(EventType.WARNING, "PodNotStarting", message)]
    assert verdict(told) == kstatus.Verdict.IN_PROGRESS
    assert run.status.progress == "0/2"
    assert again == Plan(wake_at=NOW + timedelta(seconds=20) + runstatus.START_WAKE)
    assert status_of(back)["message"] == "the run's tasks are under way"
    assert working.status.progress == "1/2"
    assert working.status.job_name == run.status.job_name
    assert working.status.template == run.status.template
    assert plan(ObservedRun(working, job=ACTIVE), NOW + timedelta(seconds=40)) == Plan()


def test_what_kept_a_pod_is_not_forgotten_when_its_job_takes_it_away() -> None:
    told = applied(admitted(), plan(ObservedRun(admitted(), job=ACTIVE, pods=(NO_IMAGE,)), NOW + timedelta(seconds=10)))

    assert plan(ObservedRun(told, job=ACTIVE), NOW + timedelta(seconds=20)).status is None


def test_words_of_the_kubelet_that_do_not_fit_are_told_once_as_well() -> None:
    state = {"waiting": {"reason": "ErrImagePull", "message": "x" * 9000}}
    pod = {"metadata": {"name": "p"}, "status": {"containerStatuses": [{"name": "runner", "state": state}]}}
    stuck = ObservedRun(admitted(), job=ACTIVE, pods=(pod,))

    told = plan(stuck)

    assert len(status_of(told)["message"]) == 4096
    assert plan(replace(stuck, run=applied(stuck.run, told))).status is None


@pytest.mark.parametrize("slot", [False, True])
@pytest.mark.parametrize("run", [pytest.param(a_run(), id="new"), pytest.param(admitted(), id="admitted")])
def test_nothing_is_done_for_a_run_that_is_being_deleted(run: WorkflowRun, slot: bool) -> None:
    going = run.model_copy(update={"metadata": metadata(run.metadata.name, deletion_timestamp=NOW)})

    assert plan(replace(READY, run=going, slot=slot)) == Plan()


# --- properties ------------------------------------------------------------------------------------------------------


SOME_RUN = a_run(parameters={"x": 1})
RUNS = st.sampled_from(
    [
        a_run(),
        SOME_RUN,
        a_run(suspend=True),
        a_run(cancel="Graceful"),
        applied(a_run(), plan(QUEUED)),
        admitted(),
        admitted().model_copy(update={"spec": a_run(suspend=True).spec}),
        reported(admitted().model_copy(update={"spec": a_run(cancel="Immediate").spec})),
        reported(admitted(), outcome="Suspended", reason="Suspended", message="held"),
        reported(admitted(), outcome="Cancelled", reason="Cancelled", message="stopped"),
        reported(admitted()),
        reported(admitted(), outcome="Succeeded", reason="Succeeded", message="fine"),
        reported(admitted(), outcome="Failed", reason="TaskFailed", message="task a failed"),
        applied(admitted(), plan(ObservedRun(admitted(), job=ACTIVE, pods=(NO_IMAGE,)))),
    ]
)
OBSERVED = st.builds(
    ObservedRun,
    run=RUNS,
    around=st.builds(
        around,
        st.sampled_from([None, TEMPLATE, a_template(a_task(depends_on=["x"]))]),
        st.sampled_from([{}, SERVERS, {"time": a_server(ready=False)}]),
    ),
    slot=st.booleans(),
    obstacle=st.just(Obstacle(CLUSTER, 2)),
    rivals=st.sampled_from(
        [
            None,
            Rivals(Concurrency(max_runs=1, policy=ConcurrencyPolicy.SKIP), older=("first",)),
            Rivals(Concurrency(max_runs=1, policy=ConcurrencyPolicy.REPLACE), replaced_by="next"),
        ]
    ),
    job=st.sampled_from([None, ACTIVE, ended(), ended(reason="DeadlineExceeded"), ended("Complete", "")]),
    foreign_job=st.booleans(),
    mistake=st.sampled_from(["", "", "spec.template.x: no"]),
    pods=st.sampled_from([(), (NO_IMAGE,)]),
)
TIMES = st.integers(0, 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds))
EXAMPLES = settings(max_examples=50)


@EXAMPLES
@given(OBSERVED, OBSERVED, TIMES)
def test_an_end_is_for_ever(before: ObservedRun, after: ObservedRun, later: datetime) -> None:
    run = applied(before.run, plan(before))
    if run.status.phase and run.status.phase.final:
        assert plan(replace(after, run=run), later) == Plan()


@EXAMPLES
@given(OBSERVED, TIMES)
def test_planning_again_after_the_write_writes_nothing(observed: ObservedRun, later: datetime) -> None:
    first = plan(observed)
    again = plan(replace(observed, run=applied(observed.run, first)), later)

    if (
        first.children
        and not observed.run.status.admitted_at
        and (observed.foreign_job or observed.mistake or observed.job or observed.pods)
    ):
        return  # these are facts of an admitted run: they are heard for the first time now
    if first.status and first.status.get("attempt", 1) > 1:
        return  # it has a new Job now, of which nothing has been seen yet
    if first.status and first.status["phase"] == "Suspended" and observed.run.status.admitted_at:
        return  # it has no slot any more: what stands beside it counts again
    if again.status is not None:  # a Job without a pod is told of once, when some time has passed
        assert "has no pod yet" in again.status["message"]
        again = plan(replace(observed, run=applied(applied(observed.run, first), again)), later)
    assert again.status is None
    assert again.events == ()
    assert again.candidate == first.candidate


@EXAMPLES
@given(OBSERVED, TIMES)
def test_a_job_is_made_only_once_its_name_is_on_record(observed: ObservedRun, now: datetime) -> None:
    made = plan(observed, now)

    for job in made.children:
        name = (made.status or {}).get("jobName") or observed.run.status.job_name
        assert job["metadata"]["name"] == name
        assert (made.status or {}).get("admittedAt") or observed.run.status.admitted_at
        assert not (made.status or {}).get("completionTime")


@EXAMPLES
@given(OBSERVED, TIMES)
def test_phase_conditions_and_times_agree_in_every_status(observed: ObservedRun, now: datetime) -> None:
    made = plan(observed, now)
    if made.status is None:
        return
    run = applied(observed.run, made)
    status = {c.type: c.status.value for c in run.status.conditions}
    phase = run.status.phase

    assert phase
    assert list(status) == [type_ for type_ in RunCondition if type_ != RunCondition.CHILDREN_PRUNED]
    assert status["Finished"] == str(phase.final)
    assert status["Reconciling"] == str(not phase.final)
    bad = phase in (RunPhase.FAILED, RunPhase.CANCELLED)
    assert status["Stalled"] == str(bad)
    assert status["Succeeded"] == ("True" if phase == RunPhase.SUCCEEDED else "False" if bad else "Unknown")
    assert status["Admitted"] == str(run.status.admitted_at is not None)
    assert (run.status.completion_time is not None) == phase.final
    assert (run.status.diagnosis is not None) == (phase == RunPhase.FAILED)
    assert run.status.observed_generation == run.metadata.generation
    well = kstatus.Verdict.CURRENT if phase == RunPhase.SUCCEEDED else kstatus.Verdict.IN_PROGRESS
    assert verdict(made) == (kstatus.Verdict.FAILED if bad else well)
    for condition in run.status.conditions:
        earlier = conditions.find(observed.run.status.conditions, condition.type)
        moved = not earlier or earlier.status != condition.status
        assert earlier is None or condition.last_transition_time == (now if moved else earlier.last_transition_time)


@EXAMPLES
@given(OBSERVED, TIMES)
def test_what_was_admitted_stays_on_record(observed: ObservedRun, now: datetime) -> None:
    made = plan(observed, now)
    before, after = observed.run.status, applied(observed.run, made).status

    if before.admitted_at is not None:
        kept = ["template", "servers", "attempt", "job_name", "traceparent", "runner", "tasks"]
        if after.phase != RunPhase.SUSPENDED:
            kept.append("admitted_at")
        for name in kept:
            assert getattr(after, name) == getattr(before, name)


@pytest.mark.parametrize(
    ("run", "label"),
    [
        pytest.param(a_run(), "field-notes", id="of a template"),
        pytest.param(a_run(template=TEMPLATE.spec), "inline", id="inline"),
    ],
)
def test_metrics_know_a_run_by_its_template(run: WorkflowRun, label: str) -> None:
    assert decision.workflow_type(run) == label


def test_the_trace_of_a_run_is_its_own_and_stays() -> None:
    assert runstatus.traceparent("a") == runstatus.traceparent("a") != runstatus.traceparent("b")


def test_a_job_that_the_api_server_does_not_take_now_is_told_once_and_tried_again() -> None:
    run = admitted()

    first = plan(ObservedRun(run, refusal="exceeded quota: pods, used 5 of 5"))

    assert first.status
    assert first.status["phase"] == "Running"
    assert first.status["message"] == "the run's Job can't be created: exceeded quota: pods, used 5 of 5"
    assert first.wake_at == NOW + runstatus.START_WAKE
    again = plan(ObservedRun(applied(run, first), refusal="exceeded quota: pods, used 5 of 5"))
    assert again.status is None


def test_the_job_of_a_later_attempt_has_the_same_time_to_get_its_pod() -> None:
    run, made = admitted(), NOW + timedelta(minutes=5)
    job = {"metadata": {"name": run.status.job_name, "creationTimestamp": "2026-01-02T03:09:05Z"}, "status": {}}

    early = plan(ObservedRun(run, job=job), made + runstatus.START_WAKE / 2)
    late = plan(ObservedRun(run, job=job), made + runstatus.START_WAKE)

    assert early == Plan(wake_at=made + runstatus.START_WAKE * 1.5)
    assert "has no pod yet" in status_of(late)["message"]


def test_a_job_without_a_pod_says_where_the_reason_stands() -> None:
    run = admitted()
    job = {"metadata": {"name": run.status.job_name}, "status": {}}

    early = plan(ObservedRun(run, job=job), NOW + runstatus.START_WAKE / 2)
    late = plan(ObservedRun(run, job=job), NOW + runstatus.START_WAKE)

    assert early.status is None
    assert late.status
    assert (
        late.status["message"]
        == f"Job {run.status.job_name} has no pod yet: kubectl describe job {run.status.job_name} tells why"
    )
