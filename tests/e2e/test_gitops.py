"""What a GitOps engine does all day, applying what is there already, changes nothing."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests import cluster
from tests.e2e import release
from tests.e2e.release import Release
from tests.e2e.space import Space
from tests.objects import a_template

CHART = cluster.ROOT / "helm" / "mcp-orchestrator"


def helm(space: Space, *arguments: str) -> str:
    """Run helm on the operator's release; returns what it printed."""
    command = [cluster.tools() / "helm", "--kubeconfig", space.kubeconfig, "-n", release.NAMESPACE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def settled(space: Space) -> Space:
    """The example hello, after its run."""
    space.apply_example("hello")
    space.succeed("hello-1")
    space.wait(f"job/{space.get('mrun', 'hello-1')['status']['jobName']}", "Complete")
    space.wait("msrv/clock", "Ready")
    space.wait("mtpl/hello", "Ready")
    return space


def versions(space: Space) -> dict[str, str]:
    """The resource versions of all objects of ours and of what the operator made for them."""
    found = space.list("msrv,mtpl,mrun,deployments,services,jobs,serviceaccounts,rolebindings")
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in found}


def test_an_unchanged_manifest_changes_nothing(settled: Space) -> None:
    before = versions(settled)
    settled.apply_example("hello")
    # Once the operator has seen to something that was made later, it has seen what was applied before.
    settled.apply(a_template("later", tasks=[{"name": "a", "server": "clock", "tool": "get_current_time"}]))
    settled.wait_for("mtpl/later", "{.status.observedGeneration}", "1")
    settled.kubectl("delete", "mtpl", "later")
    assert versions(settled) == before


def test_an_unchanged_manifest_shows_no_difference(settled: Space) -> None:
    """kubectl diff has the exit code 1 if there is one, and kubectl() then fails."""
    assert settled.kubectl("diff", "-f", str(cluster.ROOT / "examples" / "hello")) == ""


def test_an_object_of_a_user_carries_nothing_of_the_operators_but_its_status(settled: Space) -> None:
    for kind, name in (("msrv", "clock"), ("mtpl", "hello"), ("mrun", "hello-1")):
        metadata = settled.get(kind, name)["metadata"]
        assert metadata.get("finalizers", []) == []
        assert set(metadata.get("annotations", {})) == {"kubectl.kubernetes.io/last-applied-configuration"}
        assert metadata["generation"] == 1


def test_an_upgrade_to_the_same_rolls_no_pod(settled: Space, operator: Release) -> None:
    def pods() -> dict[str, Any]:
        everywhere = operator.pods() + settled.list("pods")
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in everywhere}

    before, generation = pods(), operator.space.get("deployment", release.NAME)["metadata"]["generation"]
    for _ in range(2):
        helm(settled, "upgrade", release.NAME, str(CHART), "--reuse-values", "--wait", "--timeout=5m")
    assert pods() == before
    assert operator.space.get("deployment", release.NAME)["metadata"]["generation"] == generation


def test_what_helm_installed_is_what_is_there(operator: Release) -> None:
    """Nobody, and the operator least of all, writes to what Helm owns."""
    manifest = helm(operator.space, "get", "manifest", release.NAME)
    words = ("diff", "--server-side", "--force-conflicts", "--field-manager=tests", "-f", "-")
    said = operator.space.kubectl(*words, stdin=manifest)
    assert said == ""
