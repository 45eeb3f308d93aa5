"""Orders to a run: suspend, resume, cancel, and what becomes of a run that is one too many."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NOW, a_run, a_server, a_task, a_template, around
from tests.oracles import kstatus
from tests.unit.planning.runs.test_decision import (
    ACTIVE,
    QUEUED,
    READY,
    SETTINGS,
    TEMPLATE,
    admitted,
    applied,
    ended,
    held,
    plan,
    reported,
    status_of,
    verdict,
)

from mcp_orchestrator.api.control import Concurrency, ConcurrencyPolicy
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.planning.plan import Plan
from mcp_orchestrator.planning.queue import concurrency
from mcp_orchestrator.planning.queue.concurrency import Rival, Rivals
from mcp_orchestrator.planning.runs import attempts
from mcp_orchestrator.planning.runs.decision import STOP_PATIENCE
from mcp_orchestrator.planning.runs.observed import ObservedRun

LATER = NOW + timedelta(minutes=5)
SKIP = Concurrency(max_runs=1, policy=ConcurrencyPolicy.SKIP)
REPLACE = Concurrency(max_runs=1, policy=ConcurrencyPolicy.REPLACE)
WITH_FINALLY = replace(READY, around=around(a_template(finally_=(a_task("z"),)), READY.around.servers))
DELETED = {"metadata": {**ACTIVE["metadata"], "deletionTimestamp": "2026-01-02T03:04:05Z"}, "status": {}}


def told(run: WorkflowRun, **spec: Any) -> WorkflowRun:
    """The run after its spec was changed."""
    changed = run.model_copy(update={"spec": run.spec.model_copy(update=dict(a_run(**spec).spec) | spec)})
    meta = run.metadata.model_copy(update={"generation": run.metadata.generation + 1})
    return changed.model_copy(update={"metadata": meta})


def suspended(run: WorkflowRun | None = None) -> WorkflowRun:
    """A run that worked, and whose runner stopped in the middle since it was asked to."""
    held_ = told(run or reported(admitted()), suspend=True)
    quiet = reported(held_, outcome="Suspended", reason="Suspended", message="held")
    return applied(quiet, plan(ObservedRun(quiet, job=ACTIVE)))


# --- suspend ---------------------------------------------------------------------------------------------------------


def test_a_run_that_is_held_before_it_starts_asks_for_no_slot() -> None:
    made = plan(replace(READY, run=a_run(suspend=True), slot=True))

    assert (status_of(made)["phase"], status_of(made)["waitingReason"]) == ("Suspended", "Suspended")
    assert status_of(made)["message"] == "held by spec.suspend: set it to false to go on"
    assert verdict(made) == kstatus.Verdict.IN_PROGRESS
    assert made.candidate is None
    assert made.children == ()


def test_a_run_that_is_let_go_is_a_candidate_like_any_other() -> None:
    run = a_run(suspend=True)
    let_go = told(applied(run, plan(replace(READY, run=run))), suspend=False)

    assert plan(replace(READY, run=let_go)).candidate
    assert plan(replace(READY, run=let_go, slot=True)).children


def test_a_running_run_that_is_to_be_held_says_so_once_and_keeps_its_slot_until_it_is_quiet() -> None:
    run = told(reported(admitted()), suspend=True)

    made = plan(ObservedRun(run, job=ACTIVE))

    assert status_of(made)["phase"] == "Running"
    assert status_of(made)["message"].startswith("being suspended")
    assert status_of(made)["observedGeneration"] == 2
    assert status_of(made)["admittedAt"]
    assert plan(ObservedRun(applied(run, made), job=ACTIVE)) == Plan()


def test_a_quiet_run_gives_its_slot_back_and_keeps_what_it_is_made_of() -> None:
    run = reported(told(reported(admitted()), suspend=True), outcome="Suspended")

    made = plan(ObservedRun(run, job=ACTIVE))
    status = status_of(made)

    assert (status["phase"], status["waitingReason"]) == ("Suspended", "Suspended")
    assert "admittedAt" not in status
    assert held(made)["Admitted"] == ("False", "Suspended")
    for name in ("template", "servers", "attempt", "jobName", "traceparent"):
        assert status[name] == run.status.wire()[name]
    assert plan(ObservedRun(applied(run, made))) == Plan()


def test_a_run_goes_on_with_another_pod_from_its_own_snapshot() -> None:
    other = around(a_template(a_task("other")), READY.around.servers)
    let_go = told(suspended(), suspend=False)

    asked = plan(ObservedRun(let_go, other), LATER)
    assert asked.candidate
    made = plan(ObservedRun(let_go, other, slot=True), LATER)
    status = status_of(made)

    assert made.children
    assert (status["phase"], status["attempt"], status["resumptions"]) == ("Running", 2, 1)
    assert status["pausedSeconds"] == 300
    assert status["jobName"] != let_go.status.job_name
    assert made.children[0]["metadata"]["name"] == status["jobName"]
    assert status["template"] == let_go.status.wire()["template"]
    assert made.events[0].note == f"The run goes on as Job {status['jobName']}"


def test_the_time_in_which_a_run_is_held_does_not_count_against_its_time_out() -> None:
    let_go = told(suspended(), suspend=False)
    going = applied(let_go, plan(ObservedRun(let_go, READY.around, slot=True), LATER))

    # It began two seconds after NOW, and the pause that counts is from NOW on.
    assert attempts.seconds_left(going, 600, LATER) == 600
    assert attempts.seconds_left(going, 600, LATER + timedelta(minutes=1)) == 542


def test_a_pause_before_the_first_runner_is_no_part_of_the_runs_time() -> None:
    held_ = applied(told(admitted(), suspend=True), plan(ObservedRun(told(admitted(), suspend=True))))
    let_go = told(held_, suspend=False)

    going = plan(ObservedRun(let_go, READY.around, slot=True), LATER)

    assert status_of(going)["pausedSeconds"] == 0


def test_a_run_that_was_held_may_lose_as_many_pods_as_any_other() -> None:
    run = told(suspended(), suspend=False)
    settings = replace(SETTINGS, retry_attempts=2)
    going = applied(run, plan(ObservedRun(run, READY.around, slot=True)))

    assert attempts.why_again(going, ended(), (), settings)
    lost_one = going.model_copy(update={"status": going.status.model_copy(update={"attempt": 3})})
    assert not attempts.why_again(lost_one, ended(), (), settings)


@pytest.mark.parametrize("job", [None, ended()], ids=["its Job is gone", "its pod is lost"])
def test_a_pod_that_is_lost_while_the_run_is_to_be_held_is_not_replaced(job: dict[str, Any] | None) -> None:
    run = told(reported(admitted()), suspend=True)

    made = plan(ObservedRun(run, job=job))

    assert status_of(made)["phase"] == "Suspended"
    assert made.children == ()


def test_a_pod_that_has_not_begun_is_taken_away_from_a_run_that_is_to_be_held() -> None:
    run = told(admitted(), suspend=True)

    first = plan(ObservedRun(run, job=ACTIVE))
    assert first.deletions == (ACTIVE,)
    assert first.status is None
    assert plan(ObservedRun(run, job=DELETED)).deletions == ()
    assert status_of(plan(ObservedRun(run)))["phase"] == "Suspended"


def test_a_held_run_waits_for_its_servers_before_it_goes_on() -> None:
    gone = around(TEMPLATE, {"time": a_server(ready=False)})
    let_go = told(suspended(), suspend=False)

    made = plan(ObservedRun(let_go, gone, slot=True))

    assert (status_of(made)["phase"], status_of(made)["waitingReason"]) == ("Pending", "ServerNotReady")
    assert status_of(made)["template"]
    missing = plan(ObservedRun(let_go, around(TEMPLATE, {}), slot=True))
    assert status_of(missing)["waitingReason"] == "ServerNotFound"


# --- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["Graceful", "Immediate"])
@pytest.mark.parametrize("suspend", [False, True])
def test_a_run_that_has_not_started_ends_at_once_when_it_is_cancelled(mode: str, suspend: bool) -> None:
    run = a_run(cancel=mode, suspend=suspend)

    made = plan(replace(READY, run=run, slot=True))
    status = status_of(made)

    assert (status["phase"], status["message"]) == ("Cancelled", f"spec.cancel is {mode}")
    assert held(made) == {
        "Succeeded": ("False", "Cancelled"),
        "Finished": ("True", "Cancelled"),
        "Reconciling": ("False", "Cancelled"),
        "Stalled": ("True", "Cancelled"),
        "Admitted": ("False", "Cancelled"),
    }
    assert verdict(made) == kstatus.Verdict.FAILED
    assert "diagnosis" not in status
    assert made.children == ()
    assert [(event.reason, event.type) for event in made.events] == [("Cancelled", "Normal")]


def test_a_running_run_is_cancelled_gracefully_by_its_runner() -> None:
    run = told(reported(admitted()), cancel="Graceful")

    made = plan(ObservedRun(run, job=ACTIVE))
    assert status_of(made)["message"] == "being cancelled: spec.cancel is Graceful"
    assert made.deletions == ()
    assert plan(ObservedRun(applied(run, made), job=ACTIVE)) == Plan()

    over = reported(applied(run, made), outcome="Cancelled", reason="Cancelled", message="cancelled; finally has run")
    end = status_of(plan(ObservedRun(over, job=ACTIVE)))
    assert (end["phase"], end["message"]) == ("Cancelled", "cancelled; finally has run")
    assert end["durationMilliseconds"] >= 0


def test_an_immediate_cancel_ends_the_pod_before_the_run() -> None:
    run = told(reported(admitted()), cancel="Immediate")

    assert plan(ObservedRun(run, job=ACTIVE)).deletions == (ACTIVE,)
    waiting = plan(ObservedRun(run, job=DELETED))
    assert waiting.status is None
    assert waiting.deletions == ()
    assert waiting.wake_at
    assert status_of(plan(ObservedRun(run)))["phase"] == "Cancelled"


def test_a_pod_that_does_not_go_holds_nobody_up_for_ever() -> None:
    run = told(reported(admitted()), cancel="Immediate")

    made = plan(ObservedRun(run, job=DELETED), NOW + STOP_PATIENCE)

    assert status_of(made)["phase"] == "Cancelled"


def test_a_run_that_ended_before_its_runner_heard_of_the_cancel_keeps_its_end() -> None:
    run = told(reported(admitted(), outcome="Succeeded", reason="Succeeded", message="fine"), cancel="Immediate")

    assert status_of(plan(ObservedRun(run, job=ACTIVE)))["phase"] == "Succeeded"


def test_a_held_run_that_is_cancelled_ends_at_once_where_there_is_no_finally_to_run() -> None:
    made = plan(ObservedRun(told(suspended(), suspend=True, cancel="Graceful"), READY.around))

    assert status_of(made)["phase"] == "Cancelled"


def test_a_held_run_that_is_cancelled_gets_a_slot_once_more_for_its_finally() -> None:
    held_ = suspended(reported(admitted_with_finally()))
    run = told(held_, suspend=True, cancel="Graceful")

    assert plan(ObservedRun(run, READY.around)).candidate
    made = plan(ObservedRun(run, READY.around, slot=True))
    assert made.children
    assert status_of(plan(ObservedRun(told(held_, suspend=True, cancel="Immediate"))))["phase"] == "Cancelled"


def admitted_with_finally() -> WorkflowRun:
    observed = replace(WITH_FINALLY, slot=True)
    return applied(observed.run, plan(observed))


def test_a_lost_pod_of_a_cancelled_run_is_replaced_only_for_its_finally() -> None:
    plain = told(reported(admitted()), cancel="Graceful")
    tidy = told(reported(admitted_with_finally()), cancel="Graceful")

    assert status_of(plan(ObservedRun(plain, job=ended())))["phase"] == "Cancelled"
    assert status_of(plan(ObservedRun(tidy, job=ended())))["attempt"] == 2


# --- runs that are too many ------------------------------------------------------------------------------------------


def test_a_run_too_many_is_left_out_where_the_policy_is_skip() -> None:
    made = plan(replace(READY, rivals=Rivals(SKIP, older=("first",))))

    assert status_of(made)["phase"] == "Cancelled"
    assert status_of(made)["message"] == "left out (concurrency.policy: Skip): 1 of 1 run: first"
    assert held(made)["Succeeded"] == ("False", "Skipped")


def test_a_run_that_has_started_is_not_left_out() -> None:
    assert plan(ObservedRun(reported(admitted()), job=ACTIVE, rivals=Rivals(SKIP, older=("first",)))) == Plan()


def test_a_newer_run_takes_the_place_of_one_that_waits_at_once() -> None:
    made = plan(replace(QUEUED, rivals=Rivals(REPLACE, replaced_by="next")))

    assert status_of(made)["phase"] == "Cancelled"
    assert held(made)["Succeeded"] == ("False", "Replaced")
    assert "WorkflowRun next takes its place" in status_of(made)["message"]


def test_a_newer_run_has_a_running_one_cancelled_gracefully() -> None:
    run, rivals = reported(admitted()), Rivals(REPLACE, replaced_by="next")

    made = plan(ObservedRun(run, job=ACTIVE, rivals=rivals))
    status = status_of(made)

    assert status["phase"] == "Running"
    assert (status["cancellation"]["mode"], status["cancellation"]["reason"]) == ("Graceful", "Replaced")
    stopping = applied(run, made)
    assert plan(ObservedRun(stopping, job=ACTIVE, rivals=rivals)) == Plan()
    assert plan(ObservedRun(stopping, job=ACTIVE)) == Plan(), "the order stands when the newer run is gone"
    over = reported(stopping, outcome="Cancelled", reason="Replaced", message="replaced")
    assert held(plan(ObservedRun(over, job=ACTIVE)))["Finished"] == ("True", "Replaced")


def test_rivals_are_sorted_by_age_and_of_one_second_those_that_started_come_first() -> None:
    me = Rival("2026-01-02T03:04:05Z", True, "b")
    others = [
        Rival("2026-01-02T03:04:04Z", True, "old"),
        Rival("2026-01-02T03:04:05Z", False, "started"),
        Rival("2026-01-02T03:04:05Z", True, "a"),
        Rival("2026-01-02T03:04:05Z", True, "c"),
        Rival("2026-01-02T03:04:06Z", False, "new"),
    ]

    found = concurrency.rivals(SKIP, me, [me, *others])

    assert found == Rivals(SKIP, older=("old", "started", "a"))
    assert concurrency.rivals(REPLACE, me, [*others[:3], me]).replaced_by == ""
    assert concurrency.rivals(REPLACE, me, others).replaced_by == "new"


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("runs", [1, 2, 5])
def test_as_many_runs_are_replaced_as_there_are_too_many(limit: int, runs: int) -> None:
    policy = Concurrency(max_runs=limit, policy=ConcurrencyPolicy.REPLACE)
    everybody = [Rival(f"2026-01-02T03:04:0{place}Z", True, f"r{place}", "Queued") for place in range(runs)]
    seen = {run.name: concurrency.rivals(policy, run, everybody) for run in everybody}

    replaced = [name for name, found in seen.items() if found.replaced_by]

    assert replaced == [run.name for run in everybody[: max(0, runs - limit)]]
    assert concurrency.displaced(seen[everybody[-1].name]) == tuple(replaced)


@pytest.mark.parametrize(
    ("limit", "phases", "replaced"),
    [
        pytest.param(1, ["Running", "Running", "Running"], "", id="a limit that is lowered stops nobody"),
        pytest.param(1, ["Running", "Running", "Queued"], "ab", id="but for a newer one"),
        pytest.param(2, ["Running", "Running", "Queued"], "a", id="that needs one place"),
        pytest.param(1, ["Running", ""], "", id="one that was not looked at may have mistakes"),
        pytest.param(1, ["Running", "Pending"], "", id="one that can't start stops no work"),
        pytest.param(1, ["Pending", "Pending"], "a", id="but of those that wait the newest is kept"),
        pytest.param(1, ["Queued", "Running"], "a", id="one that was held and goes on comes too late"),
        pytest.param(2, ["Running", "Queued", "Running"], "a", id="the oldest makes room"),
    ],
)
def test_a_run_is_replaced_only_for_one_that_needs_its_place(limit: int, phases: list[str], replaced: str) -> None:
    policy = Concurrency(max_runs=limit, policy=ConcurrencyPolicy.REPLACE)
    everybody = [
        Rival(f"2026-01-02T03:04:0{place}Z", phase != "Running", "abc"[place], phase)
        for place, phase in enumerate(phases)
    ]

    found = [run.name for run in everybody if concurrency.rivals(policy, run, everybody).replaced_by]

    assert found == list(replaced)


# --- servers that do not come ----------------------------------------------------------------------------------------


def test_a_run_waits_for_a_server_only_as_long_as_its_workflow_says() -> None:
    patient = around(a_template(server_wait_seconds=60), {"time": a_server(ready=False)})
    first = plan(replace(READY, around=patient))
    waiting = applied(READY.run, first)

    assert first.wake_at == NOW + timedelta(seconds=60)
    assert plan(replace(READY, run=waiting, around=patient), NOW + timedelta(seconds=59)).status is None
    made = plan(replace(READY, run=waiting, around=patient), NOW + timedelta(seconds=60))
    assert status_of(made)["phase"] == "Failed"
    assert held(made)["Succeeded"] == ("False", "ServerNotReady")
    assert status_of(made)["message"].startswith("the run has waited 60 s (serverWaitSeconds): MCPServer")
    assert "kubectl -n default get mcpservers -o wide" in status_of(made)["diagnosis"]["recommendations"][0]
    assert "raise serverWaitSeconds" in status_of(made)["diagnosis"]["recommendations"][0]


def test_the_wait_for_a_server_begins_anew_once_it_was_ready() -> None:
    gone = around(TEMPLATE, {"time": a_server(ready=False)})
    waiting = applied(READY.run, plan(replace(READY, around=gone)))
    queued = applied(waiting, plan(replace(QUEUED, run=waiting), LATER))

    again = plan(replace(READY, run=queued, around=gone), LATER)

    assert queued.status.phase == RunPhase.QUEUED
    assert status_of(again)["waitingSince"] == "2026-01-02T03:09:05.000Z"
