"""The official conformance suite, an npm package."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import npm


def installed() -> Path:
    """The folder of the installed suite."""
    return npm.installed(Path(__file__).parent, "conformance") / "@modelcontextprotocol/conformance"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the suite's command line to its end."""
    program = [npm.NODE, "--no-deprecation", installed() / "dist" / "index.js", *words]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=200)
