"""Kernel settings that a real node changes, and their way back. Used by embedded."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path("/proc/sys")
# What has to be set for the network of pods.
WANTED = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
# What kubelet and kube-proxy set by themselves. Setting ip_forward resets others, but to the values they have.
CHANGED_BY_OTHERS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
)


def current(root: Path = ROOT) -> dict[str, str]:
    """The settings as they are, without those that this kernel does not have."""
    values = {}
    for name in (*WANTED, *CHANGED_BY_OTHERS):
        with contextlib.suppress(OSError):
            values[name] = (root / name).read_text().strip()
    return values


def write(values: Mapping[str, str], root: Path = ROOT) -> None:
    """Write the settings that differ; one that can't be written stays."""
    now = current(root)
    for name, value in values.items():
        if now.get(name) not in (None, value):
            with contextlib.suppress(OSError):
                (root / name).write_text(value)
