"""A cluster made by kind, where a Docker daemon answers. Used by cli."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from console import commands
from console.problems import Problem
from console.progress import Progress

from . import build, images, tools, versions
from .state import Home, Place, Record


def docker_answers() -> bool:
    """Whether there is a Docker daemon that this user may use."""
    if not shutil.which("docker"):
        return False
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=10)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def prepare(nodes: str) -> None:
    """Raise Problem early for what kind can't do here."""
    if nodes == "fake":
        raise Problem("Fake nodes are the embedded provider's.", "Leave --provider out, or name embedded.")
    if not docker_answers():
        raise Problem("kind needs a Docker daemon, and none answers.", "Start Docker, or use --provider embedded.")


def up(home: Home, place: Place, nodes: str, shown: Progress, environ: Mapping[str, str]) -> None:
    """Create a cluster and wait until it can be used. Raises Problem; then nothing is left."""
    program = executable(home, shown)
    shown.begin()
    record = place.write(Record(place.name, "kind", nodes))
    command: list[str | Path] = [program, "create", "cluster", "--name", _name(place)]
    command += ["--kubeconfig", place.kubeconfig, "--wait", "180s"]
    try:
        commands.run(command, on_line=lambda line: shown.under_way("cluster", line.strip() or "kind"), env=environ)
        version = server_version(tools.ensure(home, shown), place.kubeconfig)
    except BaseException:
        down(place, record, program)
        raise
    place.write(Record(place.name, "kind", nodes, version=version, ready_after_seconds=0.0))
    shown.done("cluster", f"kind, Kubernetes {version}")


def executable(home: Home, shown: Progress) -> Path:
    """kind from the PATH, else built from source and cached."""
    if found := shutil.which("kind"):
        return Path(found)
    return build.installed(home, "sigs.k8s.io/kind", versions.KIND, shown)


def down(place: Place, record: Record, program: Path) -> None:
    """Delete the cluster. Raises Problem."""
    commands.run([program, "delete", "cluster", "--name", _name(place), "--kubeconfig", place.kubeconfig])
    place.forget()


def problems(home: Home, place: Place, record: Record, shown: Progress) -> tuple[str, ...]:
    """What is wrong with the cluster, in a few words; nothing for a healthy one."""
    if record.ready_after_seconds is None:
        return ("it was never ready",)
    return reachable(tools.ensure(home, shown), place.kubeconfig)


def reachable(tool: tools.Tools, kubeconfig: Path) -> tuple[str, ...]:
    """What keeps a kubeconfig's cluster from being used; nothing for a healthy one."""
    asked = _get(tool, kubeconfig, "/readyz")
    return () if asked.returncode == 0 else (f"the API server does not answer: {asked.stderr.strip()[-200:]}",)


def server_version(tool: tools.Tools, kubeconfig: Path) -> str:
    """The version of a cluster's API server, like `1.37.2`; empty if it does not say."""
    said = _get(tool, kubeconfig, "/version").stdout
    found = [line.split('"')[3] for line in said.splitlines() if '"gitVersion"' in line]
    return found[0].removeprefix("v") if found else ""


def _get(tool: tools.Tools, kubeconfig: Path, path: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [
        tool.kubectl,
        "--kubeconfig",
        kubeconfig,
        "--request-timeout=10s",
        "get",
        "--raw",
        path,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def load_image(home: Home, place: Place, archive: Path, shown: Progress) -> bool:
    """Bring an archive's images to the nodes, if they have not got them; whether that was needed. Raises Problem."""
    return load_into(home, _name(place), archive, shown)


def load_into(home: Home, name: str, archive: Path, shown: Progress) -> bool:
    """The same for a cluster of kind's that goes by its own name."""
    # kind names its first node so; it sees to it that all nodes get the same images.
    node = ("docker", "exec", f"{name}-control-plane", "ctr", "--namespace", "k8s.io")
    if images.is_present(archive, node):
        return False
    commands.run([executable(home, shown), "load", "image-archive", archive, "--name", name], env=os.environ)
    return True


def _name(place: Place) -> str:
    return f"mcp-orchestrator-{place.name}"
