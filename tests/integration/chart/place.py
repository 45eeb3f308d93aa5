"""A namespace with the chart's rights and policies in force, and what people and runners may try there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import cluster
from tests.waiting import PATIENCE_SECONDS

from mcp_orchestrator.api.base import API_VERSION, RUNNER_MANAGER

CHART = cluster.ROOT / "helm" / "mcp-orchestrator"
JOB = "one-0123456789"
POD = f"{JOB}-abcde"
UID = "8a1c3b52-0000-4000-8000-000000000001"
READABLE = ("mine", *(f"s{n}" for n in range(9)))
"""Names of the Secrets and ConfigMaps that alice may read."""
OWN = {"progress": "1/1", "tasks": [{"name": "a", "phase": "Succeeded", "result": {"n": None}}], "outputs": {"o": 1}}
RBAC = {"apiGroup": "rbac.authorization.k8s.io"}


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


def a_run(*sources: str, name: str = "run") -> dict[str, Any]:
    """A WorkflowRun whose parameters come from such sources: secrets/NAME or configmaps/NAME."""
    kinds = {"secrets": "secretKeyRef", "configmaps": "configMapKeyRef"}
    named = enumerate(source.split("/") for source in sources)
    taken = [{"name": f"p{n}", kinds[kind]: {"name": found, "key": "k"}} for n, (kind, found) in named]
    spec = {"templateRef": {"name": "t"}, **({"parametersFrom": taken} if taken else {})}
    return an_object("WorkflowRun", name, spec=spec)


def refusal(where: Place, body: dict[str, Any], user: str = "alice", *words: str) -> str:
    """What is said when the user creates the object; nothing if it is let through. It isn't kept."""
    said = where.kubectl("create", "-f", "-", "--dry-run=server", f"--as={user}", *words, body=body)
    return "" if "created (server dry run)" in said else said


def until(happened: Callable[[], bool]) -> None:
    """Wait for a policy: the API server takes a moment to know it. Each look is a request, so it needs no pause."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < end, "the policy was not in force in time"


def grant(where: Place, user: str, role: str, *rules: dict[str, Any]) -> None:
    """Give a user rights in the namespace."""
    where.make(an_object("Role", role, "rbac.authorization.k8s.io/v1", rules=list(rules)))
    where.make(
        an_object(
            "RoleBinding", role, "rbac.authorization.k8s.io/v1",
            roleRef={**RBAC, "kind": "Role", "name": role}, subjects=[{**RBAC, "kind": "User", "name": user}],
        )
    )  # fmt: skip


def rule(resource: str, *verbs: str, group: str = "", names: tuple[str, ...] = ()) -> dict[str, Any]:
    """A rule of a role."""
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs), "resourceNames": list(names)}


def a_binding(where: Place, role: str, name: str = RUNNER_MANAGER) -> dict[str, Any]:
    """What binds the runners' account to a ClusterRole."""
    return an_object(
        "RoleBinding", name, "rbac.authorization.k8s.io/v1",
        roleRef={**RBAC, "kind": "ClusterRole", "name": role},
        subjects=[{"kind": "ServiceAccount", "name": RUNNER_MANAGER, "namespace": where.namespace}],
    )  # fmt: skip


def runner(namespace: str) -> str:
    """The user name of a namespace's runners."""
    return f"system:serviceaccount:{namespace}:{RUNNER_MANAGER}"


def in_pod(name: str = POD, uid: str = UID) -> tuple[str, str]:
    """What the API server adds to a request whose token is bound to that pod."""
    key = "authentication.kubernetes.io"
    return f"--as-user-extra={key}/pod-name={name}", f"--as-user-extra={key}/pod-uid={uid}"


def write(where: Place, status: dict[str, Any], name: str = "one", pod: tuple[str, ...] = in_pod()) -> str:
    """What is said when the runner of the run `one` writes that status."""
    body = {**OWN, "runner": {"podName": POD, "podUid": UID}, **status}
    who = f"--as={runner(where.namespace)}"
    return where.write_status(name, body, who, *pod, manager=RUNNER_MANAGER)
