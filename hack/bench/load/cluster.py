"""The cluster that carries the load: a control plane of its own with fake nodes, taken down afterwards."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import embedded, state

HACK = Path(__file__).resolve().parents[2]
TOLD = ("kube-apiserver", "kube-controller-manager", "etcd")
PATHS = ("/", "https://", "http://")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that runs."""

    name: str
    kubeconfig: Path
    audit_log: Path
    facts: Mapping[str, Any]
    """What a figure means little without: versions, flags, cores."""
    processes: Mapping[str, int]
    """The control plane's parts, and their process ids."""


@contextmanager
def up(name: str, *, keep: bool) -> Iterator[Cluster]:
    """A cluster with our kinds, whose audit log tells the states of runs."""
    _cluster("up", "--name", name, "--nodes", "fake", "--audit-states")
    try:
        told = json.loads(_cluster("status", "--name", name, "-o", "json", quiet=True))
        kubeconfig = Path(told["kubeconfig"])
        tools = Path(_cluster("tools", quiet=True).strip())
        _install_kinds(tools / "kubectl", kubeconfig)
        yield Cluster(name, kubeconfig, Path(told["auditLog"]), facts(name, told["version"]), parts(name))
    finally:
        if not keep:
            _cluster("down", "--name", name)


def parts(name: str) -> Mapping[str, int]:
    """The processes of the control plane and of its fake nodes."""
    place = state.home(None).cluster(name)
    record = place.read()
    found = embedded.processes_of(place, record).recorded() if record else ()
    return {process.name: process.pid for process in found}


def facts(name: str, version: str) -> Mapping[str, Any]:
    """What the cluster is made of, from the command lines of its processes; paths and addresses left out."""
    flags = {}
    for part, pid in parts(name).items():
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[1:-1]
        flags[part] = [word for word in words if not word.partition("=")[2].startswith(PATHS)]
    return {
        "kubernetes": version,
        "flags": {part: flags[part] for part in TOLD},
        "notes": "concurrent job syncs: 5 (default); etcd without fsync; all processes on this machine",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _install_kinds(kubectl: Path, kubeconfig: Path) -> None:
    base = [str(kubectl), "--kubeconfig", str(kubeconfig)]
    crds = str(HACK.parent / "crds")
    subprocess.run([*base, "apply", "--server-side", "-f", crds], check=True, stdout=subprocess.DEVNULL)
    wait = ["wait", "--for=condition=Established", "--timeout=30s", "crd", "-l", "!none"]
    subprocess.run([*base, *wait], check=True, stdout=subprocess.DEVNULL)


def _cluster(*words: str, quiet: bool = False) -> str:
    """Run hack/cluster; what it printed, if that is not for the reader's eyes. Raises CalledProcessError."""
    command = [str(HACK / "cluster"), *words]
    output = subprocess.PIPE if quiet else None
    return subprocess.run(command, check=True, stdout=output, text=True).stdout or ""
