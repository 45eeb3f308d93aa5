"""The control group that holds all pods of a real node, in every hierarchy that the kernel has. Used by embedded."""

import contextlib
import time
from pathlib import Path

from console.problems import Problem

from . import processes

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


def hierarchies(mounts: Path = Path("/proc/self/mounts")) -> tuple[Path, ...]:
    """The top directory of every hierarchy: one with cgroup v2, several with v1."""
    lines = (line.split() for line in mounts.read_text().splitlines())
    groups = (fields for fields in lines if fields[2] in ("cgroup", "cgroup2"))
    return tuple(Path(fields[1]) for fields in groups if "ro" not in fields[3].split(","))


def create(name: str) -> None:
    """Make the group, for kubelet to fill."""
    for top in hierarchies():
        (top / name).mkdir(exist_ok=True)
        if (top / "cgroup.subtree_control").exists():
            for controller in CONTROLLERS:
                with contextlib.suppress(OSError):  # not in this kernel, or bound to a v1 hierarchy
                    (top / "cgroup.subtree_control").write_text(f"+{controller}")


def remove(name: str) -> None:
    """End every process in the group, and remove it. Raises Problem if that takes more than ten seconds."""
    end = time.monotonic() + 10
    while left := [top / name for top in hierarchies() if (top / name).exists()]:
        processes.kill(_processes(left))
        for group in left:
            _remove_tree(group)
        if time.monotonic() > end:
            raise Problem(f"The control group {left[0]} can't be removed.")
        time.sleep(0.01)


def _processes(groups: list[Path]) -> list[processes.Process]:
    pids: set[int] = set()
    for group in groups:
        for path in group.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(pid) for pid in path.read_text().split())
    # Id 0 stands for a process outside this program's namespace.
    found = ((pid, processes.identity(pid)) for pid in pids if pid)
    return [processes.Process("pod", pid, known[0]) for pid, known in found if known]


def _remove_tree(group: Path) -> None:
    children = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
    for path in (*children, group):
        with contextlib.suppress(OSError):  # a process is not quite gone: the caller tries again
            path.rmdir()
