"""The status of one WorkflowRun behind the client's interface, with everything that can go wrong with it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.runner import fence

OWN = ("runner", *fence.OWN_FIELDS)


@dataclass
class FakeStatus:
    """One run. `faults` are called before each write, by its number; what they raise, the write raises.

    A fault may also change the run, or be a LostAnswer: then the write is carried out all the same.
    """

    run: dict[str, Any] | None
    faults: Mapping[int, Callable[[FakeStatus], Exception | None]] = field(default_factory=dict)
    writes: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    tries: int = 0
    reads: int = 0
    takes_seconds: float = 0.0
    created: list[dict[str, Any]] = field(default_factory=list)

    async def get(
        self, resource: resources.Resource, name: str, namespace: str = "", *, cached: bool = False
    ) -> dict[str, Any]:
        self.reads += 1
        if self.run is None:
            raise errors.NotFound("it is not there")
        return copy.deepcopy(self.run)

    async def create(self, resource: resources.Resource, body: dict[str, Any]) -> dict[str, Any]:
        if any(body["metadata"]["name"] == other["metadata"]["name"] for other in self.created):
            raise errors.AlreadyExists("it is there")
        self.created.append(orjson.loads(orjson.dumps(body)))
        return body

    async def apply_status(
        self,
        resource: resources.Resource,
        body: dict[str, Any],
        *,
        manager: str,
        force: bool = True,
        resource_version: str = "",
    ) -> dict[str, Any]:
        assert manager == "mcp-orchestrator-runner"
        self.tries += 1
        status = orjson.loads(orjson.dumps(body["status"]))
        await asyncio.sleep(self.takes_seconds)
        fault = self.faults.get(self.tries)
        error = fault(self) if fault else None
        if error and not isinstance(error, LostAnswer):
            raise error
        if self.run is None:
            raise errors.NotFound("it is not there")
        if resource_version and resource_version != self.run["metadata"]["resourceVersion"]:
            raise errors.Conflict("the object has been modified")
        kept = {name: value for name, value in self.run["status"].items() if name not in OWN}
        self.run["status"] = kept | status
        self.touch()
        self.writes.append((asyncio.get_running_loop().time(), status))
        if error:
            raise error
        return copy.deepcopy(self.run)

    def order(self, **spec: Any) -> None:
        """The user changes the run's spec."""
        assert self.run is not None
        self.run["spec"] |= spec
        self.run["metadata"]["generation"] += 1
        self.touch()

    def touch(self) -> None:
        """Somebody wrote: the version moves on."""
        assert self.run is not None
        metadata = self.run["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)


class LostAnswer(errors.Unavailable):
    """The write was carried out, and its answer lost."""


def unavailable(_: FakeStatus) -> Exception:
    return errors.Unavailable("connection refused", sent=False)


def forbidden(_: FakeStatus) -> Exception:
    return errors.Forbidden("not allowed")


def invalid(_: FakeStatus) -> Exception:
    return errors.Invalid("too large", status=413)


def lost_answer(_: FakeStatus) -> Exception:
    return LostAnswer("time-out")


def operator_writes(status: FakeStatus) -> None:
    status.touch()


def deleted(status: FakeStatus) -> None:
    status.run = None


def a_run_body(**status: Any) -> dict[str, Any]:
    """An admitted run of one task, as the API server has it."""
    template = {"digest": "sha256:0", "spec": {"tasks": [{"name": "now", "server": "time", "tool": "t"}]}}
    admitted = {"phase": "Queued", "admittedAt": "2026-11-24T11:59:00Z", "jobName": "r-job", "template": template}
    return {
        "metadata": {"name": "r", "namespace": "n", "uid": "u1", "resourceVersion": "7", "generation": 1},
        "spec": {"templateRef": {"name": "x"}},
        "status": {name: value for name, value in (admitted | status).items() if value is not None},
    }
