"""Where clusters and caches live on this machine, and what is recorded about each. Used by cli and providers."""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from console.problems import Problem

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
# Below the kernel's ephemeral ports and Kubernetes' node ports, so nothing gets there by chance.
FIRST_PORT, LAST_PORT = 26000, 29999
PORT_NAMES = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubelet-healthz",
    "kube-proxy-healthz",
    "kube-proxy-metrics",
    "dns",
    "dns-ready",
    "kwok",
)


@dataclass(frozen=True, slots=True)
class Record:
    """What is known about a cluster: enough to use it, and to take it down after any crash."""

    name: str
    provider: str  # embedded, kind or current
    nodes: str  # real or fake
    version: str = ""
    # Every process of the cluster carries it in its environment, and no other process does.
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    ports: Mapping[str, int] = field(default_factory=dict)
    # Kernel settings as they were before the cluster changed them.
    sysctls: Mapping[str, str] = field(default_factory=dict)
    # Whether the audit log has the states of runs too.
    audit_states: bool = False
    # How long the first start took, in seconds; None while the cluster is not ready.
    ready_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of caches and clusters."""

    root: Path

    @property
    def cache(self) -> Path:
        return self.root / "cluster-cache"

    def cluster(self, name: str) -> "Place":
        """The place of one cluster. Raises Problem for a name that can't be."""
        if not NAME.fullmatch(name):
            raise Problem(f"\"{name}\" can't be a cluster's name.", "Use lower-case letters, digits and dashes.")
        return Place(self.root / "clusters" / name)

    def clusters(self) -> tuple["Place", ...]:
        """All clusters that left a record here."""
        return tuple(Place(path.parent) for path in sorted((self.root / "clusters").glob("*/cluster.json")))


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one cluster."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def _record(self) -> Path:
        return self.directory / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def failed_logs(self) -> Path:
        """The logs of a start that failed; the next `up` or `down` removes them."""
        return self.directory.with_name(f"{self.name}.failed")

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def volumes(self) -> Path:
        return self.directory / "volumes"

    def read(self) -> Record | None:
        """The cluster's record, or None where there is no cluster."""
        try:
            return Record(**json.loads(self._record.read_text()))
        except FileNotFoundError:
            return None

    def write(self, record: Record) -> Record:
        """Record a cluster, all or nothing; returns the record."""
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(record), indent=2)
        partial = self.directory / "cluster.json.partial"
        partial.write_text(text)
        partial.replace(self._record)
        return record

    def forget(self) -> None:
        """Remove everything, the record last. The caller has seen to it that nothing is mounted below."""
        if not self.directory.exists():
            return
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != self._record:
                path.unlink()
        shutil.rmtree(self.directory)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time for one cluster."""
        with locked(self.directory.parent.with_name("locks") / self.name):
            yield


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; waits while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def home(named: str | None, environ: Mapping[str, str] = os.environ) -> Home:
    """The home that was asked for, by flag or by environment, else the user's cache directory.

    Without symbolic links: the kernel's table of mounts has none, and what is mounted there must never be missed.
    """
    if root := named or environ.get("MCP_ORCHESTRATOR_CLUSTER_HOME"):
        return Home(Path(root).expanduser().resolve())
    cache = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Home(Path(cache).resolve() / "mcp-orchestrator")


def free_ports(home: Home) -> dict[str, int]:
    """A port for each part of a cluster, which neither a process nor another recorded cluster has. Raises Problem."""
    taken = {port for place in home.clusters() if (record := place.read()) for port in record.ports.values()}
    free = (port for port in range(FIRST_PORT, LAST_PORT) if port not in taken and _is_free(port))
    ports = dict(zip(PORT_NAMES, free, strict=False))
    if len(ports) < len(PORT_NAMES):
        raise Problem(f"Fewer than {len(PORT_NAMES)} of the ports {FIRST_PORT}-{LAST_PORT} are free.")
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
