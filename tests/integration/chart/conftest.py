"""The chart without pods on a real API server, with an author of few rights and two runs."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import cluster
from tests.integration.chart import place as places
from tests.integration.chart.place import JOB, Place, an_object

from mcp_orchestrator.api.base import GROUP, OPERATOR_MANAGER, RUNNER_MANAGER


@pytest.fixture(scope="session")
def place(kubeconfig: Path) -> Iterator[Place]:
    """The chart without pods, in a namespace of its own, with two runs and an author of few rights."""
    namespace = f"chart-{uuid.uuid4().hex[:8]}"
    where = Place(kubeconfig, namespace)
    manifests = subprocess.run(
        [
            cluster.tools() / "helm", "template", namespace, places.CHART, "--namespace", namespace, "--no-hooks",
            "--set", f"crds.install=false,replicaCount=0,watchNamespaces={{{namespace}}}",
        ],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cluster.kubectl(kubeconfig, "create", "namespace", namespace)
    try:
        cluster.kubectl(kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)
        make_author(where)
        for name in ("one", "two", "queued"):
            where.make(an_object("WorkflowRun", name, spec={"templateRef": {"name": "t"}}))
        server, run = places.a_server(**places.naming("theirs")), places.a_run("secrets/theirs")
        places.until(lambda: "may not read" in places.refusal(where, server))
        places.until(lambda: "may not read" in places.refusal(where, run))
        yield where
    finally:
        cluster.kubectl(
            kubeconfig, "delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=manifests, check=False
        )
        cluster.kubectl(kubeconfig, "delete", "--wait=false", "namespace", namespace, check=False)


def make_author(where: Place) -> None:
    """alice writes MCPServers and runs and reads the Secrets and ConfigMaps mine and s0 to s8; she makes no pods."""
    places.grant(
        where, "alice", "author",
        places.rule("mcpservers", "get", "create", "patch", group=GROUP),
        places.rule("workflowruns", "get", "create", "patch", group=GROUP),
        *(places.rule(resource, "get", names=places.READABLE) for resource in ("secrets", "configmaps")),
    )  # fmt: skip


@pytest.fixture(scope="session")
def run(place: Place) -> Place:
    """The place, with the runners' account made by the operator, and two runs admitted by it."""
    account = an_object("ServiceAccount", RUNNER_MANAGER, "v1")
    for made in (account, places.a_binding(place, RUNNER_MANAGER)):
        said = place.apply(made, place.operator, f"--field-manager={OPERATOR_MANAGER}")
        assert "serverside-applied" in said, said
    for name, job in (("one", JOB), ("two", "two-0123456789")):
        status = {"observedGeneration": 1, "phase": "Running", "jobName": job, "progress": "0/1"}
        said = place.write_status(name, status, place.operator, manager=OPERATOR_MANAGER)
        assert "serverside-applied" in said, said
    said = place.write_status("queued", {"phase": "Queued"}, place.operator, manager=OPERATOR_MANAGER)
    assert "serverside-applied" in said, said
    places.until(lambda: "its own run only" in places.write(place, {}, "two"))
    nameless = an_object("ConfigMap", "nameless", "v1")
    places.until(lambda: "name of its own Job" in places.refusal(place, nameless, places.runner(place.namespace)))
    return place
