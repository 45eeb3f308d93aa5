"""Completion of names that stand in a cluster, told as kubectl asks for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from tests import cluster
from tests.e2e.space import eventually
from tests.objects import a_run, a_template

from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client


@pytest_asyncio.fixture
async def space(client: Client, namespace: str) -> str:
    """A namespace with a template, and a run of it that has a task."""
    template = a_template("clock", namespace, parameters=[{"name": "zone"}, {"name": "count"}])
    await client.create(resources.WORKFLOW_TEMPLATES, template)
    for name in ("first", "second"):
        await client.create(resources.WORKFLOW_RUNS, a_run(name, namespace))
    status = {"phase": "Running", "tasks": [{"name": "now", "phase": "Running"}]}
    await client.apply_status(resources.WORKFLOW_RUNS, {**a_run("first", namespace), "status": status}, manager="test")
    return namespace


def completed(kubeconfig: Path, *words: str) -> list[str]:
    """What could follow the words of a command, as kubectl is told."""
    program = Path(sys.executable).parent / "kubectl_complete-mcp"
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    done = subprocess.run([program, *words, ""], env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return sorted(done.stdout.splitlines()[:-1])


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        pytest.param(["run"], ["clock"], id="templates to run"),
        pytest.param(["list", "--template"], ["clock"], id="templates to list"),
        pytest.param(["get"], ["first", "second"], id="runs"),
        pytest.param(["results", "first", "--task"], ["now"], id="tasks of a run"),
        pytest.param(["results", "gone", "--task"], [], id="tasks of no run"),
        pytest.param(["run", "clock", "-p"], ["count=", "zone="], id="parameters of a template"),
        pytest.param(["run", "gone", "-p"], [], id="parameters of no template"),
    ],
)
def test_names_come_from_the_cluster(kubeconfig: Path, space: str, words: list[str], candidates: list[str]) -> None:
    command, *rest = words

    def answer() -> bool:
        """It says nothing if the cluster takes longer to answer than a person at a keyboard would wait."""
        return completed(kubeconfig, command, "-n", space, *rest) == candidates

    eventually(f"the candidates {candidates}", answer)


def test_kubectl_completes_its_plugin(kubeconfig: Path, space: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [cluster.tools() / "kubectl", "__complete", "mcp", "get", "-n", space, "fi"]
    environ = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig)}

    def answer() -> str:
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout

    eventually("the only candidate", lambda: answer() == "first\n:4\n")


def test_namespaces_and_contexts_are_completed(kubeconfig: Path, space: str) -> None:
    eventually("the namespace", lambda: space in completed(kubeconfig, "get", "-n"))
    contexts = yaml.safe_load(kubeconfig.read_text())["contexts"]
    assert completed(kubeconfig, "get", "--context") == [context["name"] for context in contexts]
