"""Servers of the tests' own, whose programs come in a ConfigMap; one has a tool that takes until it is let go.

What a test has to do while a task is under way then needs no certain number of seconds.
"""

from __future__ import annotations

from typing import Any

from tests import cluster
from tests.e2e.space import Space
from tests.objects import DEMO_IMAGE, a_server

VOLUME = {"name": "programs", "mountPath": "/srv", "configMap": {"name": "programs"}}
PYTHON = "/opt/mcp-orchestrator/bin/python"
"""Of the image: it has the SDK, which is not on the path of servers."""
MISBEHAVING = (PYTHON, "/srv/misbehaving.py")
HOLDING_SECONDS = 600
"""No test takes so long."""


def the_programs() -> dict[str, Any]:
    """The ConfigMap that all servers here mount."""
    sources = ("faults_http.py", "misbehaving.py")
    data = {name: (cluster.ROOT / "tests" / "servers" / name).read_text() for name in sources}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "programs"}, "data": data}


def by_http(name: str, **spec: Any) -> dict[str, Any]:
    """A container whose tool goes wrong as it is told."""
    source = {"image": DEMO_IMAGE, "command": ["python3", "/srv/faults_http.py", "8000"], "port": 8000}
    return a_server(name, http=source, volumes=[VOLUME], **spec)


def by_stdio(name: str = "program", **spec: Any) -> dict[str, Any]:
    """A program with tools that go wrong, and with the one that takes until it is let go."""
    command, *arguments = MISBEHAVING
    source = {"image": DEMO_IMAGE, "command": command, "args": arguments}
    return a_server(name, stdio=source, volumes=[VOLUME], **spec)


def hold(name: str, gate: str = "gate", **fields: Any) -> dict[str, Any]:
    """A task that takes until `let_go` opens its gate."""
    task = {"name": name, "server": "program", "tool": "hold", "arguments": {"until": f"/tmp/{gate}"}}
    return {**task, "timeoutSeconds": HOLDING_SECONDS, **fields}


def let_go(space: Space, gate: str = "gate") -> None:
    """End the tasks that are held at that gate, and let later ones through."""
    space.execute("deploy/program", "touch", f"/tmp/{gate}")
