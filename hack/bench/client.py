#!/usr/bin/env python3
"""What the command line costs: seconds by the clock and of CPU, and how many bare starts of Python that is.

Run it as `hack/env python hack/bench/client.py`. The local runs call real servers out of the PATH: mcp-server-time
comes with the development environment; for the others, `npm ci` in a copy of examples/servers, and put its
node_modules/.bin into the PATH.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
FILES = 100
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PYTHON = (sys.executable, "-c", "pass")
PROGRAM = (sys.executable, "-m", "mcp_orchestrator")
TEMPLATE = """
apiVersion: mcp-orchestrator.io/v1alpha1
kind: WorkflowTemplate
metadata:
  name: generated-{number}
spec:
  parameters:
    - name: zone
      schema: {{type: string}}
  tasks:
"""
TASK = """
    - name: t{place}
      server: time
      tool: get_current_time
      arguments:
        timezone: ${{{{ {source} }}}}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A command to measure."""

    name: str
    command: Sequence[str | Path]
    budget_seconds: float
    needs: tuple[str, ...] = ()
    """Programs that it starts."""


def cases(directory: Path) -> tuple[Case, ...]:
    """The commands; `directory` has the generated files."""
    local = (*PROGRAM, "run", "--local", "-f")
    node = ("mcp-server-everything", "mcp-server-memory")
    return (
        Case("--help", (*PROGRAM, "--help"), 0.3),
        Case(f"validate {FILES} files of 10 tasks", (*PROGRAM, "validate", directory), 1.5),
        Case("run --local, 1 task, 1 server", (*local, EXAMPLES / "hello"), 5, ("mcp-server-time",)),
        Case("run --local, 6 tasks, 2 servers", (*local, EXAMPLES / "guide/offline", "code-offline"), 5, node),
    )


def write(directory: Path) -> None:
    """The generated templates: each task uses the result of the one before it."""
    for number in range(FILES):
        sources = ["params.zone", *(f"tasks.t{place}.result.timezone" for place in range(9))]
        tasks = (TASK.format(place=place, source=source) for place, source in enumerate(sources))
        (directory / f"{number}.yaml").write_text(TEMPLATE.format(number=number) + "".join(tasks))


def spent(command: Sequence[str | Path]) -> tuple[float, float]:
    """Seconds by the clock, and of CPU with all that the command started: the medians of several runs."""
    clock, cpu = [], []
    for _ in range(ROUNDS):
        begun, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        clock.append(time.monotonic() - begun)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))} ended with exit code {done.returncode}: {done.stderr}")
    return statistics.median(clock), statistics.median(cpu)


def main() -> int:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        for case in cases(Path(name)):
            missing = [program for program in case.needs if not shutil.which(program)]
            row = {"case": case.name, "budgetSeconds": case.budget_seconds, "missing": missing}
            if not missing:
                (bare, _), (clock, cpu) = spent(PYTHON), spent(case.command)
                row |= {"seconds": round(clock, 2), "cpuSeconds": round(cpu, 2), "ratio": round(clock / bare)}
            rows.append(row)
    if "-o" in sys.argv and "json" in sys.argv:
        print(json.dumps({"rows": rows, "load": os.getloadavg()[0]}, indent=1))
        return 0
    print(f"{'command':<34} {'clock':>8} {'budget':>8} {'CPU':>8}   times python -c pass")
    for row in rows:
        told = f"not in the PATH: {', '.join(row['missing'])}"
        if not row["missing"]:
            clock, cpu = f"{row['seconds']:>6.2f} s", f"{row['cpuSeconds']:>6.2f} s"
            told = f"{clock} {row['budgetSeconds']:>6} s {cpu}   {row['ratio']:>5}"
        print(f"{row['case']:<34} {told}")
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
