"""MCPServers: children, readiness that can fall back, and other people's objects left alone."""

from __future__ import annotations

from mcp_orchestrator.cluster import resources
from tests.integration.operator.conftest import World, a_report
from tests.objects import a_server, condition

SERVERS = resources.MCP_SERVERS


async def test_a_server_becomes_ready_with_its_tools_and_its_address(running: World) -> None:
    await running.apply(a_server())
    server = await running.until_condition(SERVERS, "time", "Ready", "True")
    status = server["status"]
    assert status["address"] == {"url": f"http://time.{running.namespace}.svc:8080/mcp"}
    assert [tool["name"] for tool in status["tools"]] == ["get_current_time"]
    assert status["toolCount"] == 1
    assert status["serverInfo"] == {"name": "mcp-time", "version": "1", "protocolVersion": "2026-07-28"}
    assert status["observedGeneration"] == server["metadata"]["generation"]
    assert condition(server, "Reconciling")["status"] == "False"
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)


async def test_ready_falls_back_when_the_server_stops_answering_and_its_tools_stay_known(running: World) -> None:
    await running.apply(a_server(stdio={"command": "x"}, healthCheck={"intervalSeconds": 5}))
    await running.until_condition(SERVERS, "time", "Ready", "True")
    words = {"class": "ProcessExited", "message": "the program ended with exit code 3"}
    running.probes.reports["time"] = a_report(ok=False, tools=[], error=words)
    server = await running.until_condition(SERVERS, "time", "Ready", "False", "ProcessExited")
    assert condition(server, "Ready")["message"] == "the program ended with exit code 3"
    assert condition(server, "Stalled")["status"] == "False"
    assert server["status"]["toolCount"] == 1


async def test_a_settled_server_is_not_written_again(running: World) -> None:
    await running.apply(a_server(stdio={"command": "x"}, healthCheck={"intervalSeconds": 5}))
    ready = await running.until_condition(SERVERS, "time", "Ready", "True")

    async def moved() -> bool:
        now = await running.get(SERVERS, "time")
        return bool(now["metadata"]["resourceVersion"] != ready["metadata"]["resourceVersion"])

    await running.never("the status was written again", moved, looks=120)


async def test_a_service_of_somebody_else_is_left_alone_and_named(running: World) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "time"},
        "spec": {"selector": {"app": "clock"}, "ports": [{"port": 80}]},
    }
    await running.apply(foreign)
    before = await running.get(resources.SERVICES, "time")
    await running.apply(a_server())
    server = await running.until_condition(SERVERS, "time", "Stalled", "True", "NameConflict")
    assert "Service time exists and belongs to somebody else" in condition(server, "Ready")["message"]
    assert (await running.get(resources.SERVICES, "time"))["spec"] == before["spec"]


async def test_a_deployment_that_was_edited_or_deleted_comes_back(running: World) -> None:
    await running.apply(a_server())
    await running.until_condition(SERVERS, "time", "Ready", "True")
    edited = await running.get(resources.DEPLOYMENTS, "time")
    edited["spec"]["template"]["spec"]["containers"][0]["image"] = "somebody/elses:1"
    del edited["metadata"]["resourceVersion"]  # whatever became of its status meanwhile
    await running.client.replace(resources.DEPLOYMENTS, edited)

    def image(found: dict[str, object]) -> object:
        return found["spec"]["template"]["spec"]["containers"][0]["image"]  # type: ignore[index] # JSON

    mended = await running.until(
        resources.DEPLOYMENTS, "time", "mended", lambda found: image(found) != "somebody/elses:1"
    )
    await running.client.delete(resources.DEPLOYMENTS, "time", running.namespace, uid=mended["metadata"]["uid"])
    uid = mended["metadata"]["uid"]
    await running.until(resources.DEPLOYMENTS, "time", "back again", lambda found: found["metadata"]["uid"] != uid)


async def test_pods_that_the_api_server_refuses_are_told_with_their_fault(running: World) -> None:
    bad = a_server(stdio={"command": "x"}, resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}})
    await running.apply(bad)
    server = await running.until_condition(SERVERS, "time", "Stalled", "True", "InvalidSpec")
    assert "must be less than or equal to memory limit" in condition(server, "Ready")["message"]


async def test_the_operator_puts_nothing_on_a_users_object(running: World) -> None:
    await running.apply(a_server())
    server = await running.until_condition(SERVERS, "time", "Ready", "True")
    assert "annotations" not in server["metadata"]
    assert "finalizers" not in server["metadata"]
    assert "labels" not in server["metadata"]
