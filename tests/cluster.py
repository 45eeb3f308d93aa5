"""Clusters for tests: brings one up by hack/cluster, once for each pytest session, and says why where that can't be."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import layers

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "hack" / "cluster"


@functools.cache
def kubeconfig(name: str, nodes: str) -> Path:
    """Path of the kubeconfig of a running cluster; `nodes` is real or fake. Skips the test where it can't be had.

    With MCP_ORCHESTRATOR_TEST_KUBECONFIG set, tests with fake nodes use that cluster instead.
    """
    if nodes == "fake" and (given := os.environ.get("MCP_ORCHESTRATOR_TEST_KUBECONFIG")):
        return Path(given)
    if reason := layers.no_simulation() if nodes == "fake" else layers.no_real_node():
        pytest.skip(reason)
    command = [str(CLUSTER), "up", "--name", name, "--nodes", nodes]
    # Its progress is worth seeing: a cold build takes minutes.
    done = subprocess.run(command, stdout=sys.__stdout__, stderr=sys.__stderr__, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed"
    path = subprocess.run(
        [str(CLUSTER), "kubeconfig", "--name", name], capture_output=True, text=True, check=True
    ).stdout.strip()
    return Path(path)


@functools.cache
def tools() -> Path:
    """The directory that holds kubectl and helm."""
    return Path(subprocess.run([str(CLUSTER), "tools"], capture_output=True, text=True, check=True).stdout.strip())


def kubectl(config: Path, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl on that cluster; returns what it printed."""
    done = subprocess.run(
        [str(tools() / "kubectl"), "--kubeconfig", str(config), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr
