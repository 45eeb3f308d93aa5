"""The examples on this machine: they come to the same as on a cluster, which tests/e2e looks at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import examples, npm
from tests.cluster import ROOT

EXAMPLES = ROOT / "examples"
RUNS = [
    *(pytest.param("language", run, outputs, id=run) for run, outputs in examples.LANGUAGE.items()),
    *(pytest.param("guide/offline", run, outputs, id=run) for run, outputs in examples.GUIDE.items()),
]


@pytest.fixture(scope="module")
def path() -> str:
    """A PATH with the servers that the examples call."""
    servers = npm.installed(EXAMPLES / "servers", "demo-servers") / ".bin"
    return f"{servers}:{npm.NODE.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"


def run(path: str, directory: str, name: str = "") -> Any:
    """What a local run tells programs; it must have succeeded."""
    words = ["run", "--local", "-f", EXAMPLES / directory, *([name] if name else []), "-o", "json"]
    command = [sys.executable, "-m", "mcp_orchestrator", *words]
    environ = {**os.environ, "PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=200)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return json.loads(done.stdout)


@pytest.mark.parametrize(("directory", "name", "outputs"), RUNS)
def test_an_example_comes_to_the_same_as_on_a_cluster(
    path: str, directory: str, name: str, outputs: dict[str, Any]
) -> None:
    assert run(path, directory, name)["outputs"] == outputs


def test_the_smallest_example_needs_no_name(path: str) -> None:
    assert run(path, "hello")["outputs"]["greeting"].startswith("Hello! In Asia/Tokyo it is ")
