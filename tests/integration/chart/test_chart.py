"""The chart on a real API server: it is accepted as it is, and the operator grants no more than it should."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests import cluster
from tests.integration.chart.place import CHART, Place, a_binding

from mcp_orchestrator.api.base import RUNNER_MANAGER


def test_the_operator_grants_no_more_than_the_runners_role(place: Place) -> None:
    for role, name, words in (
        ("cluster-admin", RUNNER_MANAGER, "attempting to grant RBAC permissions not currently held"),
        (RUNNER_MANAGER, "another", 'rolebindings.rbac.authorization.k8s.io "another" is forbidden'),
    ):
        place.kubectl("delete", "rolebinding", RUNNER_MANAGER, "--ignore-not-found")
        assert words in place.apply(a_binding(place, role, name), place.operator)
    assert "serverside-applied" in place.apply(a_binding(place, RUNNER_MANAGER), place.operator)


def lost(wanted: Any, stored: Any, path: str = "") -> Iterator[str]:
    """What was asked for and does not stand in what the API server keeps: a GitOps engine would never be in sync."""
    if isinstance(wanted, dict) and isinstance(stored, dict):
        for key, value in wanted.items():
            yield from lost(value, stored.get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(stored, list) and len(wanted) == len(stored):
        for number, pair in enumerate(zip(wanted, stored, strict=True)):
            yield from lost(*pair, f"{path}[{number}]")
    elif wanted != stored:
        yield path


def rendered(namespace: str) -> str:
    """All manifests of the chart, those of `helm test` left aside."""
    return subprocess.run(
        [cluster.tools() / "helm", "template", namespace, CHART, "--namespace", namespace, "--no-hooks"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_the_api_server_keeps_every_field_as_it_stands_in_the_chart(place: Place) -> None:
    manifests = rendered(place.namespace)
    words = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-o", "json", "-f", "-")
    stored = json.loads(cluster.kubectl(place.kubeconfig, *words, stdin=manifests))["items"]
    wanted = [one for one in yaml.safe_load_all(manifests) if one]
    assert len(wanted) == len(stored)
    found = {name(one): one for one in stored}
    assert {name(one): [*lost(one, found[name(one)])] for one in wanted} == {name(one): [] for one in wanted}


def name(one: dict[str, Any]) -> str:
    """Kind, namespace and name of an object."""
    return f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"


def test_the_api_server_takes_every_object_and_finds_every_pod_restricted(kubeconfig: Path) -> None:
    namespace = f"chart-{uuid.uuid4().hex[:8]}"
    manifests = rendered(namespace)
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
