"""The operator deletes Jobs and ConfigMaps of runs, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.chart.place import Place, a_server, an_object, until

FOREIGN = "may delete Jobs and ConfigMaps of WorkflowRuns only"
POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}


def a_map(name: str) -> dict[str, Any]:
    return an_object("ConfigMap", name, "v1")


def a_job(name: str) -> dict[str, Any]:
    return an_object("Job", name, "batch/v1", spec={"suspend": True, "template": POD})


def owned(body: dict[str, Any], owner: dict[str, Any], uid: str) -> dict[str, Any]:
    """The object with an owner, which must exist: the garbage collector is at work here."""
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
    return body | {"metadata": body["metadata"] | {"ownerReferences": [reference | {"uid": uid}]}}


def deleted(place: Place, body: dict[str, Any], *who: str) -> str:
    """What is said when the object, made for this, is deleted; nothing if that is let through. It isn't kept."""
    place.make(body)
    target = (body["kind"], body["metadata"]["name"])
    said = place.kubectl("delete", *target, "--dry-run=server", *who)
    place.kubectl("delete", *target, "--wait=false")
    return "" if "(server dry run)" in said else said


@pytest.fixture(scope="module", autouse=True)
def in_force(place: Place) -> None:
    """The policy needs a moment."""
    until(lambda: FOREIGN in deleted(place, a_map("probe"), place.operator))


@pytest.mark.parametrize("body", [pytest.param(a_map("mine"), id="results"), pytest.param(a_job("mine"), id="job")])
def test_what_belongs_to_a_run_may_go(place: Place, body: dict[str, Any]) -> None:
    run = an_object("WorkflowRun", "one")
    uid = place.kubectl("get", "mrun", "one", "-o", "jsonpath={.metadata.uid}")
    assert deleted(place, owned(body, run, uid), place.operator) == ""


@pytest.mark.parametrize("body", [a_map("nobodys"), a_job("nobodys")], ids=["configmap", "job"])
def test_what_belongs_to_nobody_may_not(place: Place, body: dict[str, Any]) -> None:
    assert FOREIGN in deleted(place, body, place.operator)


@pytest.mark.parametrize("owner", [a_server("owner"), a_map("owner")], ids=["a-server", "another-kind"])
def test_what_belongs_to_something_else_may_not(place: Place, owner: dict[str, Any]) -> None:
    body = owned(a_map("others"), owner, place.make(owner))
    assert FOREIGN in deleted(place, body, place.operator)


def test_others_are_not_held_to_it(place: Place) -> None:
    assert deleted(place, a_map("anybodys")) == ""
