"""Servers whose process dies after they have worked: what is seen of it, and what becomes of runs."""

from __future__ import annotations

import pytest

from tests.e2e.servers import MISBEHAVING, VOLUME, hold, the_programs
from tests.e2e.space import Space, eventually
from tests.objects import DEMO_IMAGE, a_run, a_server, a_template

BREAKABLE = """
echo $$ > /tmp/pid
test ! -e /tmp/broken || { echo 'the disk is full' >&2; exit 7; }
exec "$0" "$@"
"""
KILL = ("sh", "-c", "kill -9 $(cat /tmp/pid)")


def breakable(name: str, *command: str) -> dict[str, object]:
    """A server that can be killed, and kept from starting again."""
    source = {"image": DEMO_IMAGE, "command": "sh", "args": ["-c", BREAKABLE, *command]}
    return a_server(name, stdio=source, volumes=[VOLUME])


@pytest.fixture(scope="module")
def servers(space: Space) -> Space:
    """Servers that can be broken, ready."""
    space.apply(the_programs(), breakable("time", "mcp-server-time"), breakable("program", *MISBEHAVING), a_template())
    for name in ("time", "program"):
        space.wait(f"msrv/{name}", "Ready")
    return space


def test_a_server_that_dies_is_down_until_it_can_start_again_and_runs_wait_for_it(servers: Space) -> None:
    servers.execute("deploy/time", "touch", "/tmp/broken")
    servers.execute("deploy/time", *KILL)
    message = servers.wait_for_reason("time", "ProcessExited")["message"]
    assert "the disk is full" in message
    assert "7" in message

    servers.apply(a_run("patient"))
    servers.wait_for("mrun/patient", "{.status.waitingReason}", "ServerNotReady")
    waiting = servers.get("mrun", "patient")["status"]
    assert waiting["phase"] == "Pending"
    assert '"time"' in waiting["message"]

    servers.execute("deploy/time", "rm", "/tmp/broken")
    servers.wait("msrv/time", "Ready")
    servers.succeed("patient")
    told = [event["reason"] for event in servers.events("MCPServer", "time") if event["reason"] != "Timeout"]
    # The same news in the same words is told once in ten minutes: there may be one Ready or two. And a busy machine may
    # need longer to start a server than a check waits, which is told too.
    assert told[:2] == ["Ready", "ProcessExited"]
    assert told.count("ProcessExited") == 1


def test_a_server_that_dies_and_starts_again_at_once_is_missed_by_nobody(servers: Space) -> None:
    servers.execute("deploy/time", *KILL)
    servers.apply(a_run("hasty"))
    servers.succeed("hasty")


def test_a_run_whose_server_dies_in_the_middle_of_a_call_says_so(servers: Space) -> None:
    """The tool may be called again, and the author does not want that."""
    work = hold("work", idempotent=True, retry={"attempts": 1})
    servers.apply(a_run("unlucky", template={"tasks": [work]}))
    servers.wait_for("mrun/unlucky", "{.status.tasks[0].phase}", "Running")
    servers.execute("deploy/program", *KILL)
    status = servers.finish("unlucky")["status"]
    assert status["phase"] == "Failed"
    assert status["diagnosis"]["class"] == "Transport"
    assert status["diagnosis"]["task"] == "work"
    assert "signal 9" in status["message"]
    assert any("was killed" in advice for advice in status["diagnosis"]["recommendations"])
    servers.wait("msrv/program", "Ready")

    def told() -> bool:
        notes = [event["message"] for event in servers.events("WorkflowRun", "unlucky")]
        return any("work: Transport" in note for note in notes)

    eventually("the event of the failure", told)
