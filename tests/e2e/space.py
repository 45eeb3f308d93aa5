"""A namespace of the cluster, used as a person would: through kubectl. Made by the fixture `space`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import cluster
from tests.objects import condition

EXAMPLES = cluster.ROOT / "examples"
PATIENCE_SECONDS = 300
"""For machines that are busy with other things: what is waited for takes seconds."""
FINAL_PHASES = ("Succeeded", "Failed", "Cancelled")


@dataclass(frozen=True)
class Space:
    """A namespace of a cluster."""

    kubeconfig: Path
    namespace: str

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace; returns what it printed."""
        return cluster.kubectl(self.kubeconfig, "--namespace", self.namespace, *arguments, stdin=stdin, check=check)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects that are given as JSON."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def apply_example(self, *directories: str) -> None:
        """Apply directories of examples/, as their README says."""
        for directory in directories:
            self.kubectl("apply", "-f", str(EXAMPLES / directory))

    def get(self, kind: str, name: str) -> Any:
        """One object as JSON."""
        return json.loads(self.kubectl("get", kind, name, "-o", "json"))

    def list(self, kinds: str, *arguments: str) -> Any:
        """The objects of some kinds as JSON."""
        return json.loads(self.kubectl("get", kinds, *arguments, "-o", "json"))["items"]

    def children(self, kinds: str, run: str) -> Any:
        """The Jobs or pods of a run."""
        uid = self.get("mrun", run)["metadata"]["uid"]
        return self.list(kinds, "-l", f"mcp-orchestrator.io/run={uid}")

    def wait(self, what: str, condition: str, seconds: int = PATIENCE_SECONDS) -> None:
        """kubectl wait for a condition, for example Ready or Stalled=True."""
        self.kubectl("wait", what, f"--for=condition={condition}", f"--timeout={seconds}s")

    def wait_for(self, what: str, path: str, value: str = "", seconds: int = PATIENCE_SECONDS) -> None:
        """kubectl wait until the JSONPath of an object has that value, or any."""
        wanted = f"--for=jsonpath={path}" + (f"={value}" if value else "")
        self.kubectl("wait", what, wanted, f"--timeout={seconds}s")

    def wait_for_reason(self, server: str, reason: str) -> dict[str, Any]:
        """The Ready condition of a server, once its reason is that."""

        def look() -> dict[str, Any] | None:
            ready = condition(self.get("msrv", server), "Ready")
            return ready if ready.get("reason") == reason else None

        found: dict[str, Any] = eventually(f"{server}: {reason}", look)
        return found

    def finish(self, run: str) -> Any:
        """The run as JSON, once it has ended well or badly."""
        self.wait(f"mrun/{run}", "Finished")
        return self.get("mrun", run)

    def succeed(self, run: str) -> Any:
        """The run as JSON, once it has ended; it must have succeeded."""
        found = self.finish(run)
        assert found["status"]["phase"] == "Succeeded", json.dumps(found["status"], indent=1)
        return found

    def events(self, kind: str, name: str) -> list[dict[str, Any]]:
        """The Events of one object, oldest first."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = self.list("events", "--field-selector", selector)
        return sorted(found, key=lambda event: str(event.get("eventTime") or event["firstTimestamp"]))

    def execute(self, workload: str, *command: str, container: str = "gateway", check: bool = True) -> str:
        """Run a command in a container of a Deployment's pod; returns what it printed."""
        return self.kubectl("exec", workload, "-c", container, "--", *command, check=check)

    def raw(self, path: str) -> str:
        """GET a path of the API server, for example a pod's proxy."""
        return self.kubectl("get", "--raw", path)

    def proxied(self, pod: str, port: int, path: str) -> str:
        """GET a path of a pod of this namespace, by way of the API server."""
        return self.raw(f"/api/v1/namespaces/{self.namespace}/pods/{pod}:{port}/proxy{path}")

    def elsewhere(self, namespace: str) -> Space:
        """Another namespace of the same cluster."""
        return Space(self.kubeconfig, namespace)


def eventually(what: str, check: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first truthy answer of `check`, for what kubectl can't wait for."""
    end = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {seconds:.0f} s; the last answer was {answer!r}")
        time.sleep(0.2)  # another process can only be asked again, and it shares the processors with us
    return answer
