"""Processes of a load: started from the source tree, watched by /proc, and ended by their id. Used by scenarios."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HACK = Path(__file__).resolve().parents[2]
END_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used until a moment."""

    at: float
    """Seconds of the monotonic clock."""
    cpu_seconds: float
    resident_mib: float

    def cpu_percent_since(self, earlier: Usage) -> float:
        """The share of one core between two moments."""
        elapsed = self.at - earlier.at
        return round(100 * (self.cpu_seconds - earlier.cpu_seconds) / elapsed, 1) if elapsed > 0 else 0.0


def usage(pid: int) -> Usage:
    """What a process has used. Raises OSError if there is none."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(time.monotonic(), cpu_seconds, round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1))


@contextmanager
def running(module: str, environment: Mapping[str, str], log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A module of this package as a process of its own, asked to end at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"bench.load.{module}", *words],
            env={**os.environ, "PYTHONPATH": str(HACK), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
        if process.poll() is not None:
            raise SystemExit(f"{module} ended with exit code {process.returncode}: see {log}")
    finally:
        end(process)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and see that it does."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
