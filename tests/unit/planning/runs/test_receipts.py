"""One key, one execution: what a receipt means for a run with its key, and what is written to it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW, a_run, metadata
from tests.unit.planning.runs.test_decision import READY, admitted, plan, reported, status_of

from mcp_orchestrator.api import reading
from mcp_orchestrator.api.base import ObjectMeta, TemplateReference
from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.api.runreceipt import MOST_OUTPUT_BYTES, RunReceipt, RunReceiptSpec
from mcp_orchestrator.api.workflowrun import ParameterSource, WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.expiry import Kept
from mcp_orchestrator.planning.runs import receipts
from mcp_orchestrator.planning.runs.observed import ObservedRun
from mcp_orchestrator.planning.runs.receipts import CLAIM, Found, Full

SECOND = timedelta(seconds=1)
MINE = a_run("mine", idempotency_key="once")
FIRST = a_run("first", idempotency_key="once")
OTHERS = a_run("first", idempotency_key="once", parameters={"topic": "owls"})
UNREADABLE = Found(Unreadable(ObjectMeta(name="0" * 64), "spec.until: no date"))


def found(run: WorkflowRun = FIRST, at_work: bool = False, **spec: Any) -> Found:
    """The receipt that the run has made."""
    body = receipts.claim(run, None, NOW)
    assert body
    made = RunReceipt.model_validate(body)
    told = RunReceiptSpec.model_validate(made.spec.wire() | spec)
    return Found(RunReceipt(metadata=metadata(made.metadata.name, resource_version="7"), spec=told), at_work)


def look(receipt: Found | None, run: WorkflowRun = MINE, slot: bool = True) -> ObservedRun:
    """A run that could start, with that receipt of its key."""
    return replace(READY, run=run, receipt=receipt, slot=slot)


def spec_of(body: dict[str, Any] | None) -> RunReceiptSpec:
    """The spec of a receipt that is written, as the API server gives it back."""
    assert body
    read = reading.read(RunReceipt, body)
    assert isinstance(read, RunReceipt)
    return read.spec


# --- what it means ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("receipt", "version"),
    [
        pytest.param(None, "", id="a new key"),
        pytest.param(found(at_work=False), "7", id="its run is gone"),
        pytest.param(found(OTHERS, at_work=False), "7", id="its run is gone, which had other parameters"),
        pytest.param(found(phase="Succeeded", until=NOW), "7", id="it is over"),
    ],
)
def test_a_run_takes_a_key_that_nobody_has_as_it_starts(receipt: Found | None, version: str) -> None:
    made = plan(look(receipt))

    assert status_of(made)["phase"] == "Running"
    assert made.receipt
    assert made.receipt["metadata"].get("resourceVersion", "") == version
    assert made.receipt["spec"] == {
        "template": "field-notes",
        "run": {"name": "mine", "uid": "uid-of-mine"},
        "parametersDigest": receipts.parameters_digest(MINE),
        "until": (NOW + CLAIM).isoformat().replace("+00:00", "Z"),
    }


def test_a_run_takes_no_key_before_it_has_its_slot() -> None:
    assert plan(look(None, slot=False)).receipt is None


def test_a_run_that_has_its_key_already_starts_without_a_write() -> None:
    made = plan(look(found(MINE)))

    assert status_of(made)["phase"] == "Running"
    assert made.receipt is None


def test_a_run_without_a_key_has_no_receipt() -> None:
    assert plan(replace(READY, slot=True)).receipt is None


@pytest.mark.parametrize(
    ("receipt", "words"),
    [
        pytest.param(found(at_work=True), "waits for the outcome of run first, which has the same key", id="at work"),
        pytest.param(UNREADABLE, "this version of the operator can't read RunReceipt 000000", id="unreadable"),
    ],
)
def test_a_run_waits_without_a_slot_while_it_is_open_whether_its_key_is_used(receipt: Found, words: str) -> None:
    made = plan(look(receipt))
    status = status_of(made)

    assert (status["phase"], status["waitingReason"]) == ("Pending", "KeyInUse")
    assert words in status["message"]
    assert made.children == ()
    assert not made.candidate
    assert made.wake_at == NOW + timedelta(seconds=10)


def test_a_run_with_a_new_key_waits_while_the_namespace_has_no_room_for_its_receipt() -> None:
    made = plan(look(Full(10)))
    status = status_of(made)

    assert (status["phase"], status["waitingReason"]) == ("Pending", "ReceiptLimit")
    assert status["message"] == (
        "the namespace has 10 RunReceipts (kubectl get mrcpt), and may have no more: "
        "the run waits until one is over, or is deleted"
    )
    assert (made.receipt, made.candidate, made.children) == (None, None, ())
    assert made.wake_at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("order", "phase"), [({"suspend": True}, "Suspended"), ({"cancel": CancelMode.GRACEFUL}, "Cancelled")]
)
def test_an_order_to_a_run_counts_before_the_room_for_its_receipt(order: dict[str, Any], phase: str) -> None:
    run = MINE.model_copy(update={"spec": MINE.spec.model_copy(update=order)})
    assert status_of(plan(look(Full(10), run)))["phase"] == phase


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_run_ends_as_the_one_that_was_executed(phase: str) -> None:
    told = {"phase": phase, "reason": "TimedOut", "message": "so it ended", "outputs": {"answer": [1]}}
    status = status_of(plan(look(found(**told))))

    assert status["phase"] == phase
    assert status["message"] == "taken over from run first: so it ended"
    assert status["outputs"] == {"answer": [1]}
    assert {one["reason"] for one in status["conditions"]} == {"AlreadyExecuted"}
    assert ("diagnosis" in status) == (phase == "Failed")
    assert not {"admittedAt", "jobName", "startTime", "duration"} & status.keys()


def test_a_run_tells_where_outputs_stand_that_are_too_large_to_be_taken_over() -> None:
    status = status_of(plan(look(found(phase="Succeeded", message="well", outputsLeftOut=True))))

    assert status["message"].endswith(
        "its outputs are too large to be taken over: they stand in the status of that run"
    )
    assert "outputs" not in status


@pytest.mark.parametrize("spec", [{"at_work": True}, {"phase": "Succeeded"}])
def test_a_run_with_other_parameters_is_refused(spec: dict[str, Any]) -> None:
    status = status_of(plan(look(found(OTHERS, **spec))))

    assert status["phase"] == "Failed"
    assert status["diagnosis"]["class"] == "IdempotencyConflict"
    assert "run first has the same spec.idempotencyKey and other parameters" in status["message"]
    assert "another spec.idempotencyKey" in status["diagnosis"]["recommendations"][0]


@pytest.mark.parametrize(
    ("order", "phase"),
    [
        pytest.param({"suspend": True}, "Suspended", id="held"),
        pytest.param({"cancel": CancelMode.GRACEFUL}, "Cancelled", id="cancelled"),
    ],
)
def test_orders_to_a_run_count_more_than_what_its_key_was_used_for(order: dict[str, Any], phase: str) -> None:
    status = status_of(plan(look(found(phase="Succeeded"), a_run("mine", idempotency_key="once", **order))))

    assert status["phase"] == phase
    assert "AlreadyExecuted" not in json.dumps(status)


# --- what is written --------------------------------------------------------------------------------------------------


def ended(run: WorkflowRun, **fields: Any) -> tuple[WorkflowRun, WorkflowRunStatus]:
    """The run as its runner reported, and the status that ends it."""
    done = reported(admitted(run), outcome="Succeeded", message="all well")
    done = done.model_copy(update={"status": done.status.model_copy(update=fields)})
    return done, WorkflowRunStatus.model_validate(status_of(plan(ObservedRun(done))))


def test_an_outcome_is_kept_for_as_many_days_as_the_operator_is_told() -> None:
    told = spec_of(receipts.outcome(*ended(MINE, outputs={"answer": None}), found(MINE), 3))

    assert (told.phase, told.reason, told.message) == ("Succeeded", "Succeeded", "all well")
    assert (told.completion_time, told.until) == (NOW, NOW + timedelta(days=3))
    assert told.outputs == {"answer": None}


@pytest.mark.parametrize(("more", "kept"), [(0, True), (1, False)])
def test_outputs_are_kept_up_to_a_bound_of_bytes(more: int, kept: bool) -> None:
    overhead = len('{"a": "é"}'.encode()) - 2
    outputs = {"a": "é" + "x" * (MOST_OUTPUT_BYTES - overhead - 2 + more)}
    told = spec_of(receipts.outcome(*ended(MINE, outputs=outputs), found(MINE), 1))

    assert (told.outputs == outputs, told.outputs_left_out) == (kept, not kept)


def test_an_outcome_is_written_anew_where_the_receipt_was_lost_and_not_at_all_where_another_run_has_the_key() -> None:
    body = receipts.outcome(*ended(MINE), None, 1)
    assert body
    assert "resourceVersion" not in body["metadata"]
    assert receipts.outcome(*ended(MINE), found(FIRST), 1) is None
    assert receipts.outcome(*ended(MINE), UNREADABLE, 1) is None


@pytest.mark.parametrize(
    ("until", "goes"),
    [(None, True), (NOW - SECOND, True), (NOW, True), (NOW + SECOND, False), (NOW + 2 * CLAIM, False)],
)
def test_a_receipt_goes_when_it_is_over_or_tells_no_end(until: datetime | None, goes: bool) -> None:
    assert receipts.is_over(Kept("default", "0" * 64, "7", NOW, until), NOW) == goes


# --- digests ----------------------------------------------------------------------------------------------------------


def test_a_receipt_is_named_after_template_and_key_and_nothing_else() -> None:
    run = a_run("a", "x", idempotency_key="once")
    same = a_run("b", "x", idempotency_key="once", parameters={"topic": "owls"})
    others = [a_run("a", "y", idempotency_key="once"), a_run("a", "x", idempotency_key="onc")]

    assert receipts.name(run) == receipts.name(same)
    assert len({receipts.name(one) for one in (run, *others)}) == 3
    assert "once" not in json.dumps(receipts.claim(run, None, NOW))


@given(*[st.tuples(st.text(min_size=1, max_size=3), st.text(min_size=1, max_size=3))] * 2)
def test_no_two_pairs_of_template_and_key_share_a_receipt(one: tuple[str, str], other: tuple[str, str]) -> None:
    def named(template: str, key: str) -> str:
        reference = TemplateReference.model_construct(name=template)
        spec = MINE.spec.model_copy(update={"template_ref": reference, "idempotency_key": key})
        return receipts.name(MINE.model_copy(update={"spec": spec}))

    names = [named(*one), named(*other)]
    assert (names[0] == names[1]) == (one == other)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
parameters = st.dictionaries(st.text(min_size=1, max_size=3), values, max_size=4)


def shuffled(value: Any) -> Any:
    """The same value, its objects written in another order."""
    if isinstance(value, dict):
        return {key: shuffled(inner) for key, inner in reversed(value.items())}
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


def digest(given: Any, sources: tuple[ParameterSource, ...] = ()) -> str:
    return receipts.parameters_digest(a_run(parameters=given, parameters_from=sources))


@given(parameters)
def test_the_order_in_which_parameters_are_written_does_not_count(given_: dict[str, Any]) -> None:
    assert digest(given_) == digest(shuffled(given_))


@given(parameters, parameters)
def test_other_parameters_have_another_digest(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


def source(name: str, key: str) -> ParameterSource:
    return ParameterSource.model_validate({"name": name, "secretKeyRef": {"name": "keys", "key": key}})


def test_where_a_parameter_is_read_from_counts_but_not_the_order() -> None:
    a, b = source("a", "one"), source("b", "two")

    assert digest({}, (a, b)) == digest({}, (b, a))
    assert len({digest({}, sources) for sources in ((), (a,), (a, b), (a, source("b", "three")))}) == 4
