"""Which ended runs go, which only lose their children, and when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW, a_run, a_template

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.retention import History
from mcp_orchestrator.api.workflowrunstatus import RunCondition, RunReason, WorkflowRunStatus
from mcp_orchestrator.planning.templates import cleanup
from mcp_orchestrator.planning.templates.cleanup import LOOK_AGAIN, Action, CleanupPlan, EndedRun, Step

MINUTE = timedelta(minutes=1)


def ended(name: str = "run", ago: timedelta = MINUTE, succeeded: bool = True, **fields: Any) -> EndedRun:
    """A run that ended a while ago."""
    return EndedRun(name=name, uid=f"uid-of-{name}", ended_at=NOW - ago, succeeded=succeeded, **fields)


def plan(*runs: EndedRun, now: datetime = NOW, **template: Any) -> CleanupPlan:
    return cleanup.plan_cleanup(runs, a_template(**template).spec, now)


def done(found: CleanupPlan) -> list[tuple[str, str]]:
    return [(step.action, step.run.name) for step in found.steps]


# --- a time to live ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "templates", "age", "goes"),
    [
        pytest.param(None, None, timedelta(days=9999), False, id="nobody-set-one"),
        pytest.param(60, None, MINUTE, True, id="the-runs-own-is-over"),
        pytest.param(61, None, MINUTE, False, id="the-runs-own-is-not-over"),
        pytest.param(None, 60, MINUTE, True, id="the-templates-is-over"),
        pytest.param(None, 61, MINUTE, False, id="the-templates-is-not-over"),
        pytest.param(3600, 60, MINUTE, False, id="the-run-says-later-than-its-template"),
        pytest.param(60, 3600, MINUTE, True, id="the-run-says-earlier-than-its-template"),
        pytest.param(60, None, -timedelta(days=1), False, id="the-end-lies-in-the-future"),
    ],
)
def test_a_run_goes_when_its_time_is_over(own: int | None, templates: int | None, age: timedelta, goes: bool) -> None:
    found = plan(ended(ago=age, ttl_seconds=own), ttl_seconds_after_finished=templates)
    assert done(found) == ([(Action.DELETE, "run")] if goes else [])


def test_the_next_look_is_when_the_first_time_is_over() -> None:
    found = plan(ended("a", ttl_seconds=90), ended("b", ttl_seconds=70))
    assert found.wake_at == NOW + timedelta(seconds=10)


def test_a_look_is_never_far_away_since_clocks_jump() -> None:
    assert plan(ended(ttl_seconds=99_999)).wake_at == NOW + LOOK_AGAIN
    assert plan(ended(ago=-timedelta(days=400), ttl_seconds=60)).wake_at == NOW + LOOK_AGAIN


def test_without_a_template_only_the_runs_own_word_counts() -> None:
    runs = [ended("a", ttl_seconds=60), ended("b", ago=timedelta(days=99))]
    assert done(cleanup.plan_cleanup(runs, None, NOW)) == [(Action.DELETE, "a")]


# --- the history ------------------------------------------------------------------------------------------------------


def a_history(**fields: Any) -> dict[str, Any]:
    return {"history": History(**fields)}


def some(count: int, sort: str = "run", **fields: Any) -> list[EndedRun]:
    """Runs that ended a minute after each other; the last one is the newest."""
    return [ended(f"{sort}-{n:02}", ago=MINUTE * (count - n), **fields) for n in range(count)]


@pytest.mark.parametrize(
    ("template", "runs", "gone"),
    [
        pytest.param({}, some(30), [], id="without-a-history-all-are-kept"),
        pytest.param({}, some(12, scheduled=True), ["run-00", "run-01"], id="but-ten-of-those-of-schedules"),
        pytest.param(
            {},
            [*some(11, "ok", scheduled=True), *some(11, "bad", scheduled=True, succeeded=False), *some(20, "by-hand")],
            ["bad-00", "ok-00"],
            id="ten-of-each-sort",
        ),
        pytest.param(a_history(succeeded=2), some(4), ["run-00", "run-01"], id="the-newest-are-kept"),
        pytest.param(a_history(succeeded=0), some(2), ["run-00", "run-01"], id="none-are-kept"),
        pytest.param(a_history(succeeded=5), some(4), [], id="there-are-fewer"),
        pytest.param(
            a_history(succeeded=1), some(4, succeeded=False), [], id="a-limit-for-those-that-succeeded-is-for-no-others"
        ),
        pytest.param(
            a_history(failed=1), some(3, succeeded=False), ["run-00", "run-01"], id="a-limit-for-those-that-failed"
        ),
        pytest.param(
            a_history(succeeded=1),
            [*some(3, scheduled=True), *some(12, "bad", scheduled=True, succeeded=False)],
            ["bad-00", "bad-01", "run-00", "run-01"],
            id="what-the-history-does-not-say-has-its-default",
        ),
        pytest.param(a_history(succeeded=12), some(12, scheduled=True), [], id="a-history-counts-for-schedules-too"),
        pytest.param(a_history(succeeded=1), some(2, pruned=True), [], id="a-pruned-run-has-nothing-left-to-lose"),
    ],
)
def test_the_newest_runs_of_each_sort_are_kept(
    template: Mapping[str, Any], runs: list[EndedRun], gone: list[str]
) -> None:
    found = plan(*runs, **template)
    assert sorted(name for _, name in done(found)) == gone
    assert {step.reason for step in found.steps} <= {RunReason.HISTORY_LIMIT}


def test_the_oldest_goes_first() -> None:
    assert [name for _, name in done(plan(*reversed(some(5)), **a_history(succeeded=1)))] == [
        "run-00", "run-01", "run-02", "run-03"
    ]  # fmt: skip


# --- what somebody else owns ------------------------------------------------------------------------------------------


def test_a_run_that_git_owns_only_loses_its_children() -> None:
    (step,) = plan(ended(ttl_seconds=60, owner="Flux")).steps
    assert (step.action, step.reason) == (Action.PRUNE, RunReason.TTL_EXPIRED)
    assert "Flux owns the run, so it stays" in step.message


def test_that_is_done_once() -> None:
    assert plan(ended(ttl_seconds=60, owner="Flux", pruned=True)) == CleanupPlan()


@pytest.mark.parametrize("owner", ["", "Helm"])
def test_a_run_whose_results_another_one_may_need_stays_as_it_is(owner: str) -> None:
    found = plan(ended(ttl_seconds=60, resumed=True, owner=owner))
    assert found == CleanupPlan(wake_at=NOW + LOOK_AGAIN)


def test_a_run_that_was_edited_after_its_end_is_observed_and_then_cleaned_up() -> None:
    assert done(plan(ended(observed=False))) == [(Action.OBSERVE, "run")]
    assert done(plan(ended(observed=False, ttl_seconds=60))) == [(Action.OBSERVE, "run"), (Action.DELETE, "run")]


RUNS = st.lists(
    st.builds(
        ended,
        name=st.text("abc", min_size=1, max_size=4),
        ago=st.timedeltas(timedelta(days=-2), timedelta(days=2)),
        succeeded=st.booleans(),
        ttl_seconds=st.none() | st.integers(60, 90_000),
        owner=st.sampled_from(["", "Helm"]),
        scheduled=st.booleans(),
        pruned=st.booleans(),
        resumed=st.booleans(),
    ),
    max_size=40,
    unique_by=lambda run: run.name,
)
KEPT = st.none() | st.integers(0, 12)
HISTORIES = st.none() | st.builds(History, succeeded=KEPT, failed=KEPT)


@given(RUNS, HISTORIES, st.none() | st.integers(60, 90_000))
def test_what_is_owned_or_needed_is_never_deleted_and_an_order_without_limits_deletes_nothing(
    runs: list[EndedRun], history: History | None, ttl: int | None
) -> None:
    found = plan(*runs, history=history, ttl_seconds_after_finished=ttl)
    for step in found.steps:
        assert not step.run.resumed
        assert (step.action == Action.PRUNE) == (step.run.owner != "")
        if step.reason == RunReason.TTL_EXPIRED:
            assert step.run.ended_at < NOW, "an end in the future is not over"
        elif history is None:
            assert step.run.scheduled, "what people made stays until they say otherwise"


@given(RUNS, HISTORIES, st.none() | st.integers(60, 90_000))
def test_once_the_steps_are_taken_there_are_none_left(
    runs: list[EndedRun], history: History | None, ttl: int | None
) -> None:
    first = plan(*runs, history=history, ttl_seconds_after_finished=ttl)
    deleted = {step.run.name for step in first.steps if step.action == Action.DELETE}
    pruned = {step.run.name for step in first.steps if step.action == Action.PRUNE}
    left = [
        EndedRun(run.name, run.uid, run.ended_at, run.succeeded, run.ttl_seconds, run.owner, run.scheduled,
                 run.pruned or run.name in pruned, run.observed, run.resumed)
        for run in runs
        if run.name not in deleted
    ]  # fmt: skip
    assert plan(*left, history=history, ttl_seconds_after_finished=ttl).steps == ()


# --- from objects -----------------------------------------------------------------------------------------------------


OWNED = [
    pytest.param({"annotations": {"argocd.argoproj.io/tracking-id": "app:g/k:n/x"}}, "Argo CD", id="argo-annotation"),
    pytest.param({"labels": {"argocd.argoproj.io/instance": "app"}}, "Argo CD", id="argo-label"),
    pytest.param({"labels": {"app.kubernetes.io/instance": "app"}}, "Argo CD", id="argo-old-label"),
    pytest.param({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux", id="flux-kustomization"),
    pytest.param({"labels": {"helm.toolkit.fluxcd.io/name": "apps"}}, "Flux", id="flux-helm-release"),
    pytest.param({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm", id="helm-label"),
    pytest.param({"annotations": {"meta.helm.sh/release-name": "x"}}, "Helm", id="helm-annotation"),
    pytest.param({"labels": {"app.kubernetes.io/managed-by": "me"}}, "", id="managed-by-somebody-else"),
    pytest.param({"labels": {"team": "a"}, "annotations": {"note": "b"}}, "", id="other-words"),
    pytest.param({}, "", id="nothing"),
]


def body(metadata: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    status = {"phase": "Failed", "completionTime": "2026-01-02T03:03:05Z", "observedGeneration": 1}
    return {
        "metadata": {"name": "run", "uid": "uid-of-run", "generation": 1, **(metadata or {})},
        "spec": fields.get("spec", {}),
        "status": status | fields.get("status", {}),
    }


@pytest.mark.parametrize(("metadata", "owner"), OWNED)
def test_an_owner_is_known_by_its_marks(metadata: Mapping[str, Any], owner: str) -> None:
    run = cleanup.ended_run(body(metadata), resumed=False)
    assert run == ended(succeeded=False, owner=owner)


@pytest.mark.parametrize(
    "whole",
    [
        *(pytest.param(body(one.values[0]), id=one.id) for one in OWNED),  # type: ignore[arg-type]
        pytest.param(body(spec={"ttlSecondsAfterFinished": 60, "parameters": {"a": 1}}), id="ttl"),
        pytest.param(body({"labels": {"mcp-orchestrator.io/schedule": "hourly"}}), id="schedule"),
        pytest.param(body({"generation": 2}), id="edited"),
        pytest.param(body(status={"conditions": [{"type": "ChildrenPruned", "status": "True"}]}), id="pruned"),
    ],
)
def test_the_outline_of_a_run_tells_the_same_as_the_whole(whole: dict[str, Any]) -> None:
    more = cleanup.outline(whole)
    known = {
        "metadata": {name: whole["metadata"][name] for name in ("name", "uid")} | more["metadata"],
        "spec": more["spec"],
        "status": {n: whole["status"][n] for n in ("phase", "completionTime", "observedGeneration")} | more["status"],
    }
    assert cleanup.ended_run(known, resumed=False) == cleanup.ended_run(whole, resumed=False)


def test_of_most_runs_nothing_more_is_kept() -> None:
    assert cleanup.outline(body({"labels": {"a": "b"}}, spec={"parameters": {"a": 1}})) == {
        "metadata": {}, "spec": {}, "status": {}
    }  # fmt: skip


def test_a_run_that_does_not_tell_its_end_is_left_alone() -> None:
    whole = body()
    del whole["status"]["completionTime"]
    assert cleanup.ended_run(whole, resumed=False) is None


def test_after_its_end_a_runs_conditions_stay_and_tell_what_was_done() -> None:
    finished = conditions.merge((), {RunCondition.FINISHED: conditions.true("Succeeded")}, 1, NOW)
    run = a_run(status=WorkflowRunStatus(conditions=finished))
    run = run.model_copy(update={"metadata": run.metadata.model_copy(update={"generation": 7})})
    step = Step(Action.PRUNE, ended(), RunReason.TTL_EXPIRED, "why")

    observed = cleanup.conditions_after(run, Step(Action.OBSERVE, ended()), NOW + MINUTE)
    pruned = cleanup.conditions_after(run, step, NOW + MINUTE)

    assert [(one.type, one.observed_generation, one.last_transition_time) for one in observed] == [("Finished", 7, NOW)]
    assert pruned[0] == observed[0]
    assert (pruned[1].type, pruned[1].status, pruned[1].reason) == ("ChildrenPruned", "True", "TTLExpired")
