"""The chart on a real API server: it is accepted as it is, and its rights and policies do what they should."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests import cluster

from mcp_orchestrator.api.base import API_VERSION, OPERATOR_MANAGER, RUNNER_MANAGER

CHART = cluster.ROOT / "helm" / "mcp-orchestrator"
JOB = "one-0123456789"
POD = f"{JOB}-abcde"
UID = "8a1c3b52-0000-4000-8000-000000000001"
PATIENCE_SECONDS = 30.0
RBAC = {"apiGroup": "rbac.authorization.k8s.io"}
HEADER = {"name": "Authorization", "secretKeyRef": {"name": "theirs", "key": "k"}}
OWN = {"progress": "1/1", "tasks": [{"name": "a", "phase": "Succeeded", "result": {"n": None}}], "outputs": {"o": 1}}


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace in which the chart's rights and policies are in force."""

    kubeconfig: Path
    namespace: str

    @property
    def operator(self) -> str:
        """The operator's user name."""
        return f"--as=system:serviceaccount:{self.namespace}:{self.namespace}-mcp-orchestrator"

    def kubectl(self, *words: str, body: dict[str, Any] | None = None) -> str:
        """Run kubectl in the namespace; returns what it said, an error too."""
        stdin = json.dumps(body) if body else None
        return cluster.kubectl(self.kubeconfig, "-n", self.namespace, *words, stdin=stdin, check=False)

    def apply(self, body: dict[str, Any], *words: str) -> str:
        """Server-side apply, as the operator and the runner do it."""
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", *words, body=body)

    def make(self, body: dict[str, Any]) -> str:
        """Create an object with all rights; returns its UID."""
        said = self.kubectl("create", "-f", "-", "-o", "jsonpath={.metadata.uid}", body=body)
        assert len(said) == 36, said
        return said

    def write_status(self, name: str, status: dict[str, Any], *words: str, manager: str) -> str:
        """Apply the status of a run."""
        body = an_object("WorkflowRun", name) | {"status": status}
        return self.apply(body, "--subresource=status", f"--field-manager={manager}", *words)


def an_object(kind: str, name: str, version: str = API_VERSION, **fields: Any) -> dict[str, Any]:
    """An object without a namespace: kubectl adds it."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def a_server(name: str = "server", **spec: Any) -> dict[str, Any]:
    """An MCPServer."""
    return an_object("MCPServer", name, spec={"stdio": {"command": "x"}, **spec})


def naming(*secrets: str) -> dict[str, Any]:
    """The part of a server's spec that takes variables from Secrets."""
    names = enumerate(secrets)
    return {"env": [{"name": f"V{n}", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}} for n, name in names]}


def until(happened: Callable[[], bool]) -> None:
    """Wait for a policy: the API server takes a moment to know it. Each look is a request, so it needs no pause."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < end, "the policy was not in force in time"


@pytest.fixture(scope="module")
def place(kubeconfig: Path) -> Iterator[Place]:
    """The chart without pods, in a namespace of its own, with one run under way and an author of few rights."""
    namespace = f"chart-{uuid.uuid4().hex[:8]}"
    where = Place(kubeconfig, namespace)
    manifests = subprocess.run(
        [
            cluster.tools() / "helm", "template", namespace, CHART, "--namespace", namespace, "--no-hooks",
            "--set", f"crds.install=false,replicaCount=0,watchNamespaces={{{namespace}}}",
        ],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    cluster.kubectl(kubeconfig, "create", "namespace", namespace)
    try:
        cluster.kubectl(kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)
        make_author(where)
        where.make(an_object("WorkflowRun", "one", spec={"templateRef": {"name": "t"}}))
        where.make(an_object("WorkflowRun", "two", spec={"templateRef": {"name": "t"}}))
        until(lambda: "may not read" in refusal(where, naming("theirs")))
        yield where
    finally:
        cluster.kubectl(
            kubeconfig, "delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=manifests, check=False
        )
        cluster.kubectl(kubeconfig, "delete", "--wait=false", "namespace", namespace, check=False)


def make_author(where: Place) -> None:
    """alice writes MCPServers and reads the Secrets mine and s0 to s8; she makes no pods."""
    readable = ["mine", *(f"s{n}" for n in range(9))]
    rules = [
        {"apiGroups": ["mcp-orchestrator.io"], "resources": ["mcpservers"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": readable, "verbs": ["get"]},
    ]
    where.make(an_object("Role", "author", "rbac.authorization.k8s.io/v1", rules=rules))
    bind(where, "author", "alice", "Role")


def bind(where: Place, role: str, user: str, kind: str) -> None:
    """Give a user a role in the namespace."""
    where.make(
        an_object(
            "RoleBinding", f"{role}-{user}", "rbac.authorization.k8s.io/v1",
            roleRef={**RBAC, "kind": kind, "name": role}, subjects=[{**RBAC, "kind": "User", "name": user}],
        )
    )  # fmt: skip


def runner(where: Place) -> str:
    """The runners' service account, without a pod."""
    return f"--as=system:serviceaccount:{where.namespace}:{RUNNER_MANAGER}"


def refusal(where: Place, spec: dict[str, Any], user: str = "alice") -> str:
    """What is said when the user makes such a server; nothing if it is let through."""
    said = where.kubectl("create", "-f", "-", "--dry-run=server", f"--as={user}", body=a_server(**spec))
    return "" if "created" in said else said


@pytest.fixture(scope="module")
def run(place: Place) -> Place:
    """The place, with the runners' account made by the operator, and two runs admitted by it."""
    account = an_object("ServiceAccount", RUNNER_MANAGER, "v1")
    for made in (account, a_binding(place, RUNNER_MANAGER)):
        said = place.apply(made, place.operator, f"--field-manager={OPERATOR_MANAGER}")
        assert "serverside-applied" in said, said
    for name, job in (("one", JOB), ("two", "two-0123456789")):
        status = {"observedGeneration": 1, "phase": "Running", "jobName": job, "progress": "0/1"}
        said = place.write_status(name, status, place.operator, manager=OPERATOR_MANAGER)
        assert "serverside-applied" in said, said
    until(lambda: "its own run only" in write(place, {}, "two"))
    return place


def a_binding(place: Place, role: str, name: str = RUNNER_MANAGER) -> dict[str, Any]:
    """What binds the runners' account to a ClusterRole."""
    return an_object(
        "RoleBinding", name, "rbac.authorization.k8s.io/v1",
        roleRef={**RBAC, "kind": "ClusterRole", "name": role},
        subjects=[{"kind": "ServiceAccount", "name": RUNNER_MANAGER, "namespace": place.namespace}],
    )  # fmt: skip


def in_pod(name: str = POD, uid: str = UID) -> tuple[str, str]:
    """What the API server adds to a request whose token is bound to that pod."""
    key = "authentication.kubernetes.io"
    return f"--as-user-extra={key}/pod-name={name}", f"--as-user-extra={key}/pod-uid={uid}"


def write(run: Place, status: dict[str, Any], name: str = "one", pod: tuple[str, ...] = ()) -> str:
    """What is said when the runner of the run `one` writes that status."""
    body = {**OWN, "runner": {"podName": POD, "podUid": UID}, **status}
    return run.write_status(name, body, runner(run), *(pod or in_pod()), manager=RUNNER_MANAGER)


def test_a_runner_writes_its_own_run_again_and_again(run: Place) -> None:
    for progress in ("0/1", "1/1"):
        assert "serverside-applied" in write(run, {"progress": progress})


@pytest.mark.parametrize(
    ("status", "name", "pod", "words"),
    [
        pytest.param({}, "two", (), "its own run only", id="another-run"),
        pytest.param(
            {"phase": "Succeeded"}, "one", (), "runner, tasks, progress, outputs and outputsSecret only", id="the-phase"
        ),
        pytest.param(
            {"duration": "1s"}, "one", (), "runner, tasks, progress, outputs and outputsSecret only", id="a-new-field"
        ),
        pytest.param({"jobName": "two-0123456789"}, "one", (), "outputs and outputsSecret only", id="the-jobs-name"),
        pytest.param({}, "one", in_pod(uid="other"), "another pod's name", id="in-another-pods-name"),
        pytest.param(
            {}, "one", in_pod(name=f"{JOB}-0123456789-abcde"), "own run only", id="from-a-job-with-a-longer-name"
        ),
        pytest.param({}, "one", ("--as-group=system:authenticated",), "own run only", id="with-a-token-of-no-pod"),
    ],
)
def test_a_runner_writes_nothing_else(
    run: Place, status: dict[str, Any], name: str, pod: tuple[str, ...], words: str
) -> None:
    assert words in write(run, status, name, pod)


def test_the_operator_goes_on_after_a_runner(run: Place) -> None:
    assert "serverside-applied" in write(run, {})
    status = {"observedGeneration": 1, "phase": "Succeeded", "jobName": JOB}
    assert "serverside-applied" in run.write_status(
        "one", status, run.operator, "--dry-run=server", manager=OPERATOR_MANAGER
    )


def test_the_operator_grants_no_more_than_the_runners_role(place: Place) -> None:
    for role, name, words in (
        ("cluster-admin", RUNNER_MANAGER, "attempting to grant RBAC permissions not currently held"),
        (RUNNER_MANAGER, "another", 'rolebindings.rbac.authorization.k8s.io "another" is forbidden'),
    ):
        place.kubectl("delete", "rolebinding", RUNNER_MANAGER, "--ignore-not-found")
        assert words in place.apply(a_binding(place, role, name), place.operator)
    assert "serverside-applied" in place.apply(a_binding(place, RUNNER_MANAGER), place.operator)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="none"),
        pytest.param(naming("mine", "mine", "mine"), id="one-three-times"),
        pytest.param(naming(*(f"s{n}" for n in range(8))), id="eight"),
        pytest.param({"volumes": [{"name": "v", "mountPath": "/v", "emptyDir": {}}]}, id="another-volume"),
        pytest.param({"env": [{"name": "A", "value": "b"}]}, id="another-variable"),
    ],
)
def test_an_author_may_name_secrets_that_he_may_read(place: Place, spec: dict[str, Any]) -> None:
    assert refusal(place, spec) == ""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(naming("mine", "theirs"), "may not read the Secret theirs", id="variable"),
        pytest.param(
            {"stdio": None, "remote": {"url": "https://a.example", "headers": [HEADER]}},
            "may not read the Secret theirs",
            id="header",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "mountPath": "/v", "secret": {"name": "theirs"}}]},
            "may not read the Secret theirs", id="volume",
        ),
        pytest.param({"imagePullSecrets": [{"name": "theirs"}]}, "may not read the Secret theirs", id="pull-secret"),
        pytest.param(naming(*(f"s{n}" for n in range(9))), "more than 8 Secrets", id="nine"),
        pytest.param({"serviceAccountName": "rich"}, "may not create pods", id="service-account"),
    ],
)  # fmt: skip
def test_an_author_may_not_use_what_he_may_not_read(place: Place, spec: dict[str, Any], words: str) -> None:
    assert words in refusal(place, spec)


def test_who_may_read_all_secrets_may_name_as_many_as_fit(place: Place) -> None:
    rules = [
        {"apiGroups": ["mcp-orchestrator.io"], "resources": ["mcpservers"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ]
    place.make(an_object("Role", "keeper", "rbac.authorization.k8s.io/v1", rules=rules))
    bind(place, "keeper", "bob", "Role")
    until(lambda: refusal(place, {}, user="bob") == "")
    assert refusal(place, naming(*(f"s{n}" for n in range(64))), user="bob") == ""


def test_a_server_with_a_foreign_secret_can_be_labelled_but_not_changed(place: Place) -> None:
    place.make(a_server("boss", **naming("theirs")))
    words = ("patch", "mcpserver", "boss", "--type=merge", "--as=alice", "-p")
    assert "may not read" in place.kubectl(*words, '{"spec": {"stdio": {"command": "env"}}}')
    assert "patched" in place.kubectl(*words, '{"metadata": {"labels": {"a": "b"}}}')
    assert "patched" in place.kubectl(*words, '{"spec": {"env": null}}')


def test_the_api_server_takes_every_object_and_finds_every_pod_restricted(kubeconfig: Path) -> None:
    namespace = f"chart-{uuid.uuid4().hex[:8]}"
    manifests = subprocess.run(
        [cluster.tools() / "helm", "template", namespace, CHART, "--namespace", namespace, "--no-hooks"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    label = {"pod-security.kubernetes.io/warn": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": label}}
    cluster.kubectl(kubeconfig, "create", "-f", "-", stdin=json.dumps(body))
    command = [
        str(cluster.tools() / "kubectl"),
        "--kubeconfig",
        str(kubeconfig),
        "apply",
        "--server-side",
        "--force-conflicts",
    ]
    try:
        done = subprocess.run(
            [*command, "--dry-run=server", "--validate=strict", "-f", "-"],
            input=manifests, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        cluster.kubectl(kubeconfig, "delete", "--wait=false", "namespace", namespace)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
