"""The health report of the product as a whole."""

from __future__ import annotations

import pytest
from tests.builders import a_server

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.controllers import overview


@pytest.mark.parametrize(
    ("servers", "condition", "message"),
    [
        pytest.param([], "healthy", "0 of 0 servers are ready", id="no servers"),
        pytest.param([a_server("a"), a_server("b")], "healthy", "2 of 2 servers are ready", id="all ready"),
        pytest.param(
            [a_server("a"), a_server("b", ready=False)],
            "degraded",
            "1 of 2 servers are ready; not ready: default/b",
            id="one is not ready",
        ),
        pytest.param(
            [a_server("a", ready=False)],
            "unhealthy",
            "0 of 1 servers are ready; not ready: default/a",
            id="none is ready",
        ),
    ],
)
def test_servers_are_as_well_as_they_are_ready(servers: list[MCPServer], condition: str, message: str) -> None:
    report = overview.of_servers(servers)
    assert (report.condition, report.message) == (condition, message)


def test_no_more_than_five_broken_servers_are_named() -> None:
    report = overview.of_servers([a_server(f"s{number}", ready=False) for number in range(7)])
    assert report.message.endswith("not ready: default/s0, default/s1, default/s2, default/s3, default/s4 …")


@pytest.mark.parametrize(
    ("active", "waiting", "limit", "condition"),
    [(0, 0, 10, "healthy"), (10, 0, 10, "healthy"), (10, 3, 10, "degraded"), (0, 1, 0, "unhealthy")],
)
def test_the_queue_is_well_while_nobody_waits_for_a_slot(active: int, waiting: int, limit: int, condition: str) -> None:
    report = overview.of_queue(active, waiting, limit)
    assert report.condition == condition
    assert report.message == f"{active} of {limit} slots are taken, {waiting} runs wait for one"
