"""The chart, installed on a cluster with a real node, and a namespace of its own for each test module."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cluster
from tests.e2e import release
from tests.e2e.release import Release
from tests.e2e.space import Space


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests here time to wait for a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """A cluster with a real node and the chart on it."""
    path = cluster.kubeconfig("dev", "real")
    done = subprocess.run(
        [str(cluster.ROOT / "hack" / "install")], stdout=sys.__stdout__, stderr=sys.__stderr__, check=False
    )
    if done.returncode != 0:
        pytest.exit("hack/install failed: its last lines above say why", returncode=1)
    return path


@pytest.fixture(scope="session")
def operator(kubeconfig: Path) -> Release:
    """The installed operator."""
    return Release(Space(kubeconfig, release.NAMESPACE))


@pytest.fixture(scope="module")
def space(kubeconfig: Path) -> Iterator[Space]:
    """A new namespace that enforces the restricted Pod Security Standard; deleted afterwards."""
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl(kubeconfig, "create", "-f", "-", stdin=json.dumps(manifest))
    yield Space(kubeconfig, name)
    # Nobody needs to wait for it: names are never used twice.
    cluster.kubectl(kubeconfig, "delete", "namespace", name, "--wait=false")
