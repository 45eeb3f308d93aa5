"""What containerd, CNI and kubelet write outside the cluster's directory, and its removal. Used by embedded."""

import contextlib
import socket
from pathlib import Path

from . import network

# Where they put things, whatever their configuration says; removed when empty, from the inside to the outside.
DIRECTORIES = (
    "run/containerd/s",
    "run/containerd/fifo",
    "run/containerd/runc/k8s.io",
    "run/containerd/runc",
    "run/containerd",
    "run/netns",
    "var/lib/cni/results",
    "var/lib/cni/cache",
    "var/lib/cni",
    "var/log/containers",
    "var/lib/kubelet/device-plugins",
    "var/lib/kubelet",
)


def remove(directory: Path, root: Path = Path("/")) -> None:
    """Remove what the cluster in `directory` left, and nothing of anyone else. Its processes have ended."""
    for path in (*_shim_sockets(directory, root), root / "var/lib/kubelet/device-plugins/kubelet.sock"):
        if _is_abandoned(path):
            path.unlink()
    for path in _cni_results(directory, root / "var/lib/cni/results"):
        path.unlink()
    for path in (root / "var/log/containers").glob("*.log"):
        if path.is_symlink() and str(path.readlink()).startswith(f"{directory}/"):
            path.unlink()
    for name in DIRECTORIES:
        with contextlib.suppress(OSError):  # not there, or in use by someone else
            (root / name).rmdir()


def _shim_sockets(directory: Path, root: Path) -> list[Path]:
    """Each container's shim says in a file where its socket is."""
    addresses = (path.read_text().strip() for path in directory.glob("containerd/state/*/k8s.io/*/address"))
    return [root / address.removeprefix("unix:///") for address in addresses if address.startswith("unix:///run/")]


def _is_abandoned(path: Path) -> bool:
    """Whether this is a socket that no process listens on."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _cni_results(directory: Path, results: Path) -> set[Path]:
    """What CNI remembers of our network, and of the loopback interfaces of our pods."""
    pods = [path.name for path in directory.glob("containerd/root/io.containerd.grpc.v1.cri/sandboxes/*")]
    found = set(results.glob(f"{network.NETWORK}-*"))
    return found.union(*(results.glob(f"*-{pod}-*") for pod in pods))
