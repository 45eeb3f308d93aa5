#!/usr/bin/env python3
"""What a runner's start costs: CPU time of its process until its first tool call arrives.

Run it as `hack/env python hack/bench/runner_start.py`. The process is the one of a run's Job. The API server and the
MCP server are stand-ins in this process, on loopback, that answer at once: what counts is the runner's own
time, without TLS.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROUNDS = 7
BUDGET_SECONDS = 1.5
COMPLETE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
ANSWERS: dict[str, dict[str, Any]] = {
    "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **COMPLETE},
    "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}], **COMPLETE},
    "tools/call": {"content": [{"type": "text", "text": "good"}], **COMPLETE},
}


class Stage:
    """The stand-ins, the run, and what was measured."""

    def __init__(self) -> None:
        stage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(stage.run)

            def do_PATCH(self) -> None:
                stage.merge(self.body()["status"])
                self.answer(stage.run)

            def do_POST(self) -> None:
                asked = self.body()
                if asked["method"] == "tools/call":
                    stage.arrived()
                self.answer({"jsonrpc": "2.0", "id": asked.get("id"), "result": ANSWERS[asked["method"]]})

            def body(self) -> dict[str, Any]:
                found: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                return found

            def answer(self, what: object) -> None:
                encoded = json.dumps(what).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *_: object) -> None:
                """Each request is no news."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.pid = 0
        self.cpu = 0.0
        self.called = threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arrived(self) -> None:
        """The first call is here: what has its sender spent?"""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        self.cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        self.called.set()

    def merge(self, status: dict[str, Any]) -> None:
        self.run["status"] |= status

    def reset(self) -> None:
        workflow = {"tasks": [{"name": "only", "server": "s", "tool": "t", "arguments": {"x": "${{ 1 + 1 }}"}}]}
        self.called.clear()
        self.run: dict[str, Any] = {
            "apiVersion": "mcp-orchestrator.io/v1alpha1",
            "kind": "WorkflowRun",
            "metadata": {"name": "r", "namespace": "n", "uid": "u", "resourceVersion": "1", "generation": 1},
            "spec": {"template": workflow},
            "status": {
                "phase": "Running",
                "admittedAt": "2026-01-02T03:04:05Z",
                "jobName": "r-job",
                "attempt": 1,
                "template": {"digest": "sha256:0", "spec": workflow},
                "servers": [{"name": "s", "url": f"{self.url}/mcp"}],
            },
        }


def once(stage: Stage, kubeconfig: Path) -> tuple[float, float]:
    """Seconds until the first call: of the runner's CPU, and by the clock."""
    stage.reset()
    own = {
        "KUBECONFIG": str(kubeconfig),
        "MCP_ORCHESTRATOR_RUN_NAME": "r",
        "MCP_ORCHESTRATOR_RUN_NAMESPACE": "n",
        "MCP_ORCHESTRATOR_POD_NAME": "r-job-abcde",
        "MCP_ORCHESTRATOR_POD_UID": "uid",
        "MCP_ORCHESTRATOR_TERMINATION_LOG": str(kubeconfig.parent / "termination-log"),
    }
    begun = time.monotonic()
    command = [sys.executable, "-m", "mcp_orchestrator", "runner"]
    with subprocess.Popen(command, env=os.environ | own, stdout=subprocess.DEVNULL) as process:
        stage.pid = process.pid
        if not stage.called.wait(60):
            process.kill()
            raise SystemExit("the runner made no call within 60 s")
        elapsed = time.monotonic() - begun
        if process.wait(60) != 0:
            raise SystemExit(f"the runner ended with exit code {process.returncode}")
    return stage.cpu, elapsed


def main() -> int:
    stage = Stage()
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory, "kubeconfig")
        kubeconfig.write_text(
            json.dumps(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                    "clusters": [{"name": "c", "cluster": {"server": stage.url}}],
                }
            )
        )
        once(stage, kubeconfig)  # byte code is compiled once
        measured = [once(stage, kubeconfig) for _ in range(ROUNDS)]
    cpu, clock = (statistics.median(values) for values in zip(*measured, strict=True))
    if "-o" in sys.argv and "json" in sys.argv:
        print(json.dumps({"cpuSeconds": round(cpu, 2), "seconds": round(clock, 2)}, indent=1))
        return 0
    print(f"runner's start to its first call: {cpu:.2f} s CPU (budget {BUDGET_SECONDS} s), {clock:.2f} s by the clock")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
