"""The real program, as people start it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(*arguments: str | Path, given: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `given` is its standard input."""
    command = [sys.executable, "-W", "error", "-m", "mcp_orchestrator", *map(str, arguments)]
    return subprocess.run(command, input=given, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
