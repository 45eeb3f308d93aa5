"""Renders the chart with the real helm. Used by the tests beside it."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import cluster

CHART = cluster.ROOT / "helm" / "mcp-orchestrator"
RELEASE, NAMESPACE = "release", "mcp-system"
NAME = f"{RELEASE}-mcp-orchestrator"
NO_CRDS = {"crds": {"install": False}}


class Refused(Exception):
    """helm would not render the chart; the message is what it said."""


def objects(values: Mapping[str, Any] = NO_CRDS, release: str = RELEASE) -> list[dict[str, Any]]:
    """What would be installed with these values, tests included."""
    return [found for found in yaml.safe_load_all(render(values, release)) if found]


def the(kind: str, name: str, values: Mapping[str, Any] = NO_CRDS) -> dict[str, Any]:
    """The object of that kind and name."""
    (found,) = (one for one in objects(values) if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def deployment(values: Mapping[str, Any] = NO_CRDS) -> dict[str, Any]:
    """The operator's Deployment."""
    return the("Deployment", NAME, values)


def container(values: Mapping[str, Any] = NO_CRDS) -> dict[str, Any]:
    """The operator's container."""
    (found,) = deployment(values)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(values: Mapping[str, Any] = NO_CRDS) -> dict[str, str]:
    """The operator's plain environment variables."""
    return {one["name"]: one["value"] for one in container(values)["env"] if "value" in one}


def pod_specs(values: Mapping[str, Any] = NO_CRDS) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec, with the name of the object that has it."""
    for one in objects(values):
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one["spec"]
        elif "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def render(values: Mapping[str, Any] = NO_CRDS, release: str = RELEASE) -> str:
    """The text of all manifests. Raises Refused."""
    return _render(json.dumps(values, sort_keys=True), release)


@functools.cache
def _render(values: str, release: str) -> str:
    done = run("template", release, str(CHART), "--namespace", NAMESPACE, "--values", "-", stdin=values)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm."""
    return subprocess.run([program(), *arguments], input=stdin, capture_output=True, text=True, check=False)


@functools.cache
def program() -> Path:
    """helm of the version that the project is tested with, else the one in PATH; skips the test without either."""
    try:
        return cluster.tools() / "helm"
    except (OSError, subprocess.CalledProcessError):
        if found := shutil.which("helm"):
            return Path(found)
    pytest.skip("there is no helm, and hack/cluster tools could not fetch it")
