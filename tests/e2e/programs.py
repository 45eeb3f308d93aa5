"""The command line as a person runs it: a process of its own, with its exit code and what it printed."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.e2e.space import PATIENCE_SECONDS, Space


def command(*arguments: str) -> list[str]:
    """The command line of the program."""
    return [sys.executable, "-m", "mcp_orchestrator", *arguments]


def environ(space: Space) -> dict[str, str]:
    """What a person's shell has."""
    return {"KUBECONFIG": str(space.kubeconfig), "PATH": os.environ["PATH"]}


def run(space: Space, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in the space's namespace, to its end."""
    words = command(arguments[0], "-n", space.namespace, *arguments[1:])
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env=environ(space), timeout=PATIENCE_SECONDS
    )
