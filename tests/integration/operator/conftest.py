"""The operator in this process, against a real API server, with the rights of the chart in the test's own namespace.

Nodes are simulated: pods of Deployments become ready by themselves. What a gateway would report comes from `Probes`;
what a runner would report, the tests write themselves as a runner does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from mcp_orchestrator import settings as settings_module
from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.controllers import operator
from mcp_orchestrator.controllers.probe import Unreachable
from mcp_orchestrator.settings import Settings
from tests import cluster
from tests.objects import condition
from tests.quotas import RESOURCE_QUOTAS, a_quota
from tests.waiting import PATIENCE_SECONDS, eventually

Json = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """kopf ends its connections by cancelling what uses them, and aiohttp then leaves sockets to the garbage collector.

    In a process that ends with its operator nobody notices; here the next test would be blamed.
    """
    left_behind = pytest.mark.filterwarnings(
        "ignore:Exception ignored in.*(socket|_SelectorTransport):pytest.PytestUnraisableExceptionWarning"
    )
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(left_behind)


NOWHERE = {"nodeSelector": {"no-such": "node"}}
"""Placement that keeps a run's pod from starting, so that the test can play its runner."""

TIME_TOOL: Json = {
    "name": "get_current_time",
    "digest": "sha256:1",
    "inputSchema": {
        "type": "object",
        "properties": {"timezone": {"type": "string"}},
        "required": ["timezone"],
        "additionalProperties": False,
    },
}


def a_report(**fields: Any) -> GatewayReport:
    """The report of a healthy server with one tool."""
    whole = {
        "ok": True,
        "responseTimeMilliseconds": 3,
        "serverInfo": {"name": "mcp-time", "version": "1"},
        "protocolVersion": "2026-07-28",
        "tools": [TIME_TOOL],
        "toolsDigest": "sha256:2",
    }
    return GatewayReport.model_validate(whole | fields)


@dataclass
class Probes:
    """What the gateways say; tests change it."""

    reports: dict[str, GatewayReport | str] = field(default_factory=dict)

    async def of_service(self, server: MCPServer) -> GatewayReport:
        """The report, or Unreachable with the words that stand in its place."""
        found = self.reports.get(server.metadata.name, a_report())
        if isinstance(found, str):
            raise Unreachable(found)
        return found

    async def of_pod(self, pod: Mapping[str, Any]) -> GatewayReport:
        """No pod can be reached by itself."""
        raise Unreachable("simulated pods have no network")


@dataclass
class Clock:
    """The present moment, as far ahead as a test says."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return settings_module.clock() + self.ahead


@dataclass
class World:
    """A namespace with an operator in it."""

    client: Client
    """Has all rights: the tests' own."""
    connection: Connection
    """Has the operator's rights."""
    namespace: str
    settings: Settings
    probes: Probes = field(default_factory=Probes)
    clock: Clock = field(default_factory=Clock)
    """Tells the operator when ended runs go."""

    @contextlib.asynccontextmanager
    async def operator(self, **changes: Any) -> AsyncIterator[None]:
        """Run an operator in a thread of its own, since kopf ends all younger tasks of its loop; it must end well."""
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def main() -> None:
            stop = asyncio.Event()
            started.set_result((asyncio.get_running_loop(), stop))
            settings = replace(self.settings, **changes)
            await operator.serve(settings, self.connection, probe=self.probes, stop=stop, clock=self.clock)

        running = asyncio.create_task(asyncio.to_thread(asyncio.run, main()))
        loop, stop = await asyncio.wrap_future(started)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await running
            gc.collect()  # what kopf left open is found now, in this test, where it is expected

    async def apply(self, *objects: Json) -> None:
        """Apply objects as kubectl would."""
        for body in objects:
            resource = next(known for known in KINDS if known.kind == body["kind"])
            body["metadata"]["namespace"] = self.namespace
            await self.client.apply(resource, body, manager="kubectl")

    async def pass_time(self, *templates: str, **passed: float) -> None:
        """Let as much time pass, and have the operator look at these templates, as its timers would."""
        self.clock.ahead += timedelta(**passed)
        for name in templates:
            metadata = {"name": name, "namespace": self.namespace, "annotations": {"passed": str(self.clock.ahead)}}
            body = {"kind": "WorkflowTemplate", "metadata": metadata}
            await self.client.apply(resources.WORKFLOW_TEMPLATES, body, manager="time")

    async def get(self, resource: Resource, name: str) -> Json:
        """An object; empty if it is not there."""
        try:
            return await self.client.get(resource, name, self.namespace)
        except errors.NotFound:
            return {}

    async def until(self, resource: Resource, name: str, what: str, holds: Callable[[Json], Any]) -> Json:
        """The object as soon as `holds` is true of it."""
        last: Json = {}

        async def check() -> Json | None:
            nonlocal last
            last = await self.get(resource, name)
            return last if last and holds(last) else None

        found: Json = await eventually(f"{name}: {what} (last: {last.get('status')})", check)
        return found

    async def until_gone(self, resource: Resource, *names: str) -> None:
        """Wait until these objects are not there any more."""
        for name in names:

            async def gone(name: str = name) -> bool:
                return not await self.get(resource, name)

            await eventually(f"{resource.kind} {name}: gone", gone)

    async def until_condition(self, resource: Resource, name: str, type_: str, status: str, reason: str = "") -> Json:
        """The object as soon as it has that condition."""

        def holds(found: Json) -> bool:
            there = condition(found, type_)
            return there.get("status") == status and (not reason or there["reason"] == reason)

        return await self.until(resource, name, f"{type_}={status} {reason}", holds)

    async def until_phase(self, name: str, phase: str) -> Json:
        """The run as soon as it has that phase."""
        return await self.until(
            resources.WORKFLOW_RUNS, name, phase, lambda run: run.get("status", {}).get("phase") == phase
        )

    async def forbid(self, plural: str) -> None:
        """Let a quota refuse each new object of a kind, from when this returns."""
        await self.client.create(RESOURCE_QUOTAS, a_quota("none", self.namespace, plural))
        await self.until(RESOURCE_QUOTAS, "none", "in force", lambda found: found.get("status", {}).get("hard"))

    async def play_runner(self, name: str, **fields: Any) -> None:
        """Write a runner's part of the status, as a runner does."""
        status = {"runner": {"podName": "pod", "podUid": "uid", "startTime": "2026-01-02T03:04:05Z"}} | fields
        body = {
            "apiVersion": resources.WORKFLOW_RUNS.api_version,
            "kind": "WorkflowRun",
            "metadata": {"name": name, "namespace": self.namespace},
            "status": status,
        }
        await self.client.apply_status(resources.WORKFLOW_RUNS, body, manager=RUNNER_MANAGER)

    async def succeed(self, name: str) -> None:
        """Report as a runner whose tasks succeeded."""
        runner = {"podName": "pod", "podUid": "uid", "startTime": "2026-01-02T03:04:05Z", "outcome": "Succeeded"}
        tasks = [{"name": "now", "phase": "Succeeded", "result": {"datetime": "2026-01-02T03:04:05Z"}}]
        await self.play_runner(name, runner=runner, tasks=tasks, progress="1/1", outputs={"when": "now"})

    async def jobs(self) -> list[Json]:
        """All Jobs of the namespace."""
        return list((await self.client.list_all(resources.JOBS, self.namespace, convert=dict)).items)

    async def end_pods_of(self, run: str, exit_code: int) -> None:
        """Let the simulated pod of a run end by itself, as soon as it is there."""
        status = (await self.until_phase(run, "Running"))["status"]
        selector = f"batch.kubernetes.io/job-name={status['jobName']}"

        async def pods() -> list[Json]:
            found = await self.client.list_all(resources.PODS, self.namespace, label_selector=selector, convert=dict)
            return list(found.items)

        for pod in await eventually("a pod of the run", pods):
            body = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": pod["metadata"]["name"],
                    "namespace": self.namespace,
                    "annotations": {"hack-cluster/exit-code": str(exit_code)},
                },
            }
            await self.client.apply(resources.PODS, body, manager="test")

    async def never(self, what: str, check: Callable[[], Awaitable[Any]], looks: int = 20) -> None:
        """`check` stays false for as many looks, a moment apart."""
        for _ in range(looks):
            assert not await check(), what
            await asyncio.sleep(0.05)


def is_seen(found: Json) -> bool:
    """Whether the operator has seen the object as it is now."""
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])


@contextlib.asynccontextmanager
async def undeletable(client: Client, resource: Resource, probe: Json) -> AsyncIterator[None]:
    """A policy of the cluster under which objects of that kind, in the namespace of `probe`, that have the label `keep`
    may not be deleted. The probe is made to see that it is in force, and stays.
    """
    namespace = probe["metadata"]["namespace"]
    probe["metadata"]["labels"] = {"keep": ""}
    matched = {"apiVersions": ["*"], "operations": ["DELETE"], "resources": [resource.plural]}
    spec = {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [{"apiGroups": [resource.group], **matched}],
        },
        "validations": [{"expression": "!has(oldObject.metadata.labels) || !('keep' in oldObject.metadata.labels)"}],
    }
    binding = {"policyName": namespace, "validationActions": ["Deny"]}
    await client.create(POLICIES, {"metadata": {"name": namespace}, "spec": spec})
    await client.create(BINDINGS, {"metadata": {"name": namespace}, "spec": binding})

    async def in_force() -> bool:
        with contextlib.suppress(errors.Forbidden, errors.Invalid, errors.AlreadyExists):
            await client.create(resource, probe)
            await client.delete(resource, probe["metadata"]["name"], namespace)
            return False
        return True

    await eventually("the policy is in force", in_force)
    try:
        yield
    finally:
        await client.delete(BINDINGS, namespace)
        await client.delete(POLICIES, namespace)


POLICIES, BINDINGS = (
    Resource("admissionregistration.k8s.io", "v1", plural, kind, namespaced=False)
    for plural, kind in (
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
        ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
    )
)
KINDS = (resources.MCP_SERVERS, resources.WORKFLOW_TEMPLATES, resources.WORKFLOW_RUNS, resources.SERVICES)


OPERATOR = "mcp-orchestrator"
"""Name of the operator's service account in the test's namespace."""


@pytest.fixture(scope="session")
def rights(kubeconfig: Path) -> Iterator[str]:
    """Name of a ClusterRole with the rights that the chart gives to the operator, and no others."""
    name = f"rights-{uuid.uuid4().hex[:8]}"
    chart = cluster.ROOT / "helm" / "mcp-orchestrator"
    words = (
        "template",
        name,
        chart,
        "--set",
        f"fullnameOverride={name}",
        "--show-only",
        "templates/rbac/operator.yaml",
    )
    done = subprocess.run([cluster.tools() / "helm", *words], capture_output=True, text=True, check=True)
    (role,) = (one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "ClusterRole")
    cluster.kubectl(kubeconfig, "create", "-f", "-", stdin=json.dumps(role))
    yield name
    cluster.kubectl(kubeconfig, "delete", "clusterrole", name)


def a_binding(role: str, namespace: str) -> Json:
    """What gives the operator a ClusterRole's rights in a namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": OPERATOR, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": namespace}],
    }


async def may_list(connection: Connection, namespace: str) -> bool:
    """Whether the API server has heard of the binding: that takes it a moment."""
    async with Client(connection) as asking:
        try:
            await asking.list_all(resources.MCP_SERVERS, namespace, convert=dict)
        except errors.Forbidden:
            return False
    return True


@pytest_asyncio.fixture
async def world(client: Client, connection: Connection, namespace: str, rights: str) -> World:
    """The test's namespace, without an operator yet."""
    user = f"system:serviceaccount:{namespace}:{OPERATOR}"
    own = replace(connection, headers={"Impersonate-User": user})
    await client.create(resources.ROLE_BINDINGS, a_binding(rights, namespace))
    await eventually("the operator's rights", lambda: may_list(own, namespace))
    settings = Settings(
        watch_namespaces=(namespace,), leader_elect=False, http_port=0, namespace=namespace, log_level="DEBUG"
    )
    return World(client, own, namespace, settings)


@pytest_asyncio.fixture
async def running(world: World) -> AsyncIterator[World]:
    """The test's namespace with an operator at work."""
    async with world.operator():
        yield world
