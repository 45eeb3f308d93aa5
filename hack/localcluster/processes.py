"""Processes of a cluster: started so that they can be found again after any crash, ended by id and never by name.

Each carries the cluster's token in its environment, and so does what it starts (containerd's shims). An id is believed
only together with the start time that the kernel reports for it, and signals go through a pidfd: a reused id is safe.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from console.problems import Problem

TOKEN = "MCP_ORCHESTRATOR_CLUSTER_TOKEN"  # noqa: S105 - a variable's name
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from a later one with the same id by its start time in clock ticks since boot."""

    name: str
    pid: int
    started_ticks: int

    def is_alive(self) -> bool:
        """Whether it still runs; one that ended and is not yet collected does not."""
        return identity(self.pid) == (self.started_ticks, True)


def identity(pid: int) -> tuple[int, bool] | None:
    """The start time of a process in ticks and whether it runs; None where there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name in parentheses, may hold anything.
    fields = text.rpartition(")")[2].split()
    return int(fields[19]), fields[0] not in "ZX"


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one cluster, recorded as files in `directory`."""

    directory: Path
    logs: Path
    token: str

    def start(self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Process:
        """Start a process in a session of its own, its output in a log. argv[0] is the executable."""
        self.directory.mkdir(exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [name, *argv[1:]],
                executable=argv[0],
                env={"PATH": os.environ.get("PATH", os.defpath), **(env or {}), TOKEN: self.token},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        known = identity(child.pid)
        process = Process(name, child.pid, known[0] if known else 0)
        # It outlives this program on purpose.
        child.returncode = 0
        (self.directory / f"{name}.json").write_text(json.dumps(asdict(process)))
        return process

    def recorded(self) -> tuple[Process, ...]:
        """Every process that `start` recorded, alive or not."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            with contextlib.suppress(json.JSONDecodeError):  # a crash in the middle of a write: the token finds it
                found.append(Process(**json.loads(path.read_text())))
        return tuple(found)

    def dead(self) -> tuple[str, ...]:
        """The names of recorded processes that run no more."""
        return tuple(process.name for process in self.recorded() if not process.is_alive())

    def check(self) -> None:
        """Raise Problem, with the end of its log, if a process has ended."""
        for name in self.dead():
            raise Problem(f"{name} ended at once. The end of its log:\n{self.tail(name)}")

    def tail(self, name: str, lines: int = 12) -> str:
        """The end of a process's log."""
        with contextlib.suppress(FileNotFoundError):
            text = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
            return "\n".join(f"     {line[:240]}" for line in text[-lines:])
        return ""

    def all(self) -> tuple[Process, ...]:
        """Every living process that carries the cluster's token, and every recorded one."""
        recorded = [process for process in self.recorded() if process.is_alive()]
        known = {process.pid for process in recorded}
        return (*recorded, *(process for process in marked(self.token) if process.pid not in known))

    def end(self) -> None:
        """End all processes. Raises Problem if one can't be ended."""
        for _ in range(20):
            if not (living := self.all()):
                return
            kill(living)
        raise Problem(f"These processes do not end: {', '.join(f'{p.name} ({p.pid})' for p in living)}.")


def marked(token: str) -> tuple[Process, ...]:
    """Every living process that has the token in its environment."""
    mark = f"{TOKEN}={token}".encode()
    found = []
    for directory in PROC.iterdir():
        if not directory.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            if mark in (directory / "environ").read_bytes().split(b"\0"):
                pid = int(directory.name)
                if (known := identity(pid)) and known[1]:
                    found.append(Process((directory / "comm").read_text().strip(), pid, known[0]))
    return tuple(found)


def kill(processes: Iterable[Process], *, timeout_seconds: float = 5.0) -> None:
    """End processes at once and wait until they are gone, at most for the timeout."""
    handles = []
    try:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(process.pid)
                handles.append(handle)
                # Looked at after the handle was taken: from here on it can't become another process.
                if process.is_alive():
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                else:
                    os.close(handles.pop())
        end = time.monotonic() + timeout_seconds
        for handle in handles:
            select.select([handle], [], [], max(0.0, end - time.monotonic()))
    finally:
        for handle in handles:
            os.close(handle)
