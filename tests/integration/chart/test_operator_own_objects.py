"""The operator deletes Jobs and ConfigMaps of runs, changes Deployments and Services of servers, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.chart.place import Place, a_server, an_object, until

FOREIGN = "may delete Jobs and ConfigMaps of WorkflowRuns only"
NOT_OF_A_SERVER = "may change Deployments and Services of MCPServers only"
POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}


def a_map(name: str) -> dict[str, Any]:
    return an_object("ConfigMap", name, "v1")


def a_job(name: str) -> dict[str, Any]:
    return an_object("Job", name, "batch/v1", spec={"suspend": True, "template": POD})


def a_deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return an_object("Deployment", name, "apps/v1", spec=spec)


def a_service(name: str) -> dict[str, Any]:
    return an_object("Service", name, "v1", spec={"ports": [{"name": "a", "port": 80}]})


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


def changed(place: Place, body: dict[str, Any]) -> str:
    """What is said when the operator changes the object, made for this; nothing if that is let through."""
    place.make(body)
    spec = {**body["spec"], **({"replicas": 1} if body["kind"] == "Deployment" else {"type": "LoadBalancer"})}
    said = place.apply(body | {"spec": spec}, place.operator, "--dry-run=server", "--field-manager=tests")
    place.kubectl("delete", body["kind"], body["metadata"]["name"], "--wait=false")
    return "" if "serverside-applied (server dry run)" in said else said


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


@pytest.mark.parametrize("made", [a_deployment, a_service], ids=["deployment", "service"])
def test_what_belongs_to_a_server_may_be_changed_and_nothing_else(
    place: Place, made: Callable[[str], dict[str, Any]]
) -> None:
    owner = a_server(f"owner-of-a-{made('x')['kind'].lower()}")
    assert changed(place, owned(made("child"), owner, place.make(owner))) == ""
    assert NOT_OF_A_SERVER in changed(place, made("nobodys"))


def test_others_are_not_held_to_it(place: Place) -> None:
    assert deleted(place, a_map("anybodys")) == ""
