"""Each kind of server that can't be used, and what /status says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from tests.integration.gateway.running import run_gateway, stdio
from tests.servers.rubbish_http import serving

LIMITS = {"startTimeoutSeconds": 2, "healthCheck": {"intervalSeconds": 60, "timeoutSeconds": 1}}


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        pytest.param(
            {"stdio": {"command": "no-such-command"}},
            "CommandNotFound",
            ["'no-such-command' is not in the image", "spec.stdio.command", "spec.stdio.image"],
            id="command not found",
        ),
        pytest.param(
            {"stdio": {"command": "/etc/passwd"}},
            "CommandNotFound",
            ["'/etc/passwd' may not be executed"],
            id="not a program",
        ),
        pytest.param(
            stdio("misbehaving.py", "--exit", "3", "--complain", "no API key given"),
            "ProcessExited",
            ["exit code 3", "no API key given"],
            id="exits at start",
        ),
        pytest.param(
            stdio("misbehaving.py", "--exit", "0"),
            "ProcessExited",
            ["exit code 0", "it wrote nothing to standard error"],
            id="exits without a word",
        ),
        pytest.param(
            {"stdio": {"command": sys.executable, "args": ["-c", "import safla_is_not_there"]}},
            "ProcessExited",
            ["exit code 1", "ModuleNotFoundError: No module named 'safla_is_not_there'"],
            id="broken program",
        ),
        pytest.param(
            {"stdio": {"command": "sh", "args": ["-c", "echo Server is running on port 3000; cat > /dev/null"]}},
            "Protocol",
            ["'Server is running on port 3000'", "no MCP message", "spec.stdio.args"],
            id="speaks no MCP",
        ),
        pytest.param(stdio("raw_stdio.py", "--mute"), "Timeout", ["has not answered yet"], id="never answers"),
        pytest.param(stdio("raw_stdio.py", "--deaf"), "Timeout", ["has not answered yet"], id="never reads"),
        pytest.param(
            stdio("raw_stdio.py", "--broken", "wobbly"),
            "Protocol",
            ["tool 'wobbly'", "inputSchema"],
            id="broken tool definition",
        ),
        pytest.param(
            {**stdio("raw_stdio.py"), "protocol": "2026-07-28"}, "Protocol", ["no such method"], id="wrong revision"
        ),
    ],
)
async def test_a_stdio_server_that_can_not_be_used_is_explained(
    source: dict[str, Any], kind: str, words: list[str]
) -> None:
    async with run_gateway({**(LIMITS if kind in ("Timeout", "Protocol") else {}), **source}) as gateway:
        report = await gateway.failed(kind)
        assert (await gateway.get("/readyz")).status_code == 503
        assert (await gateway.get("/livez")).status_code == 200
    assert report["ok"] is False
    for word in words:
        assert word in report["error"]["message"]


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        pytest.param("/status/401", "Unauthorized", ["HTTP 401", "spec.remote.headers"], id="401"),
        pytest.param("/status/403", "Unauthorized", ["HTTP 403", "Authorization"], id="403"),
        pytest.param("/status/404", "Protocol", ["HTTP 404", "spec.remote.url"], id="404"),
        pytest.param("/status/500", "Protocol", ["HTTP 500"], id="500"),
        pytest.param("/status/503", "Protocol", ["HTTP 503"], id="503"),
        pytest.param("/html", "Protocol", ["text/html", "not MCP"], id="html"),
        pytest.param("/broken-json", "Protocol", ["JSON"], id="broken json"),
        pytest.param("/redirect?http://other.example/mcp", "Protocol", ["redirects"], id="redirect elsewhere"),
        pytest.param("/redirect?http://169.254.169.254/", "Protocol", ["redirects"], id="redirect to metadata"),
        pytest.param("/reset", "Connect", ["connection", "127.0.0.1"], id="reset"),
        pytest.param("/hang", "Timeout", ["not answered"], id="hang"),
    ],
)
async def test_a_remote_server_that_can_not_be_used_is_explained(path: str, kind: str, words: list[str]) -> None:
    header = {"name": "Authorization", "prefix": "Bearer ", "env": "MCP_ORCHESTRATOR_HEADER_0"}
    async with serving() as rubbish:
        remote = {"url": rubbish.url(path), "allowPrivate": True, "headers": [header]}
        environ = {"MCP_ORCHESTRATOR_HEADER_0": "s3cr3t-token\n"}
        async with run_gateway({**LIMITS, "remote": remote}, environ) as gateway:
            report = await gateway.failed(kind)
            shown = json.dumps(report) + gateway.log()
    for word in words:
        assert word in report["error"]["message"]
    assert "s3cr3t-token" not in shown
    assert any("authorization: bearer s3cr3t-token\r\n" in head.lower() for head in rubbish.requests)
    assert all(f"host: 127.0.0.1:{rubbish.port}\r\n" in head.lower() for head in rubbish.requests)


@pytest.mark.parametrize(
    ("remote", "kind", "words"),
    [
        pytest.param(
            {"url": "https://127.0.0.1/mcp"}, "PrivateAddress", ["127.0.0.1 is not a", "allowPrivate"], id="loopback"
        ),
        pytest.param({"url": "https://localhost/mcp"}, "PrivateAddress", ["localhost is "], id="name of loopback"),
        pytest.param({"url": "https://2130706433/mcp"}, "PrivateAddress", ["127.0.0.1"], id="loopback as a number"),
        pytest.param({"url": "https://[::ffff:10.0.0.1]/"}, "PrivateAddress", ["not a public"], id="mapped"),
        pytest.param({"url": "https://169.254.169.254/"}, "PrivateAddress", ["169.254.169.254"], id="metadata"),
        pytest.param({"url": "https://no-such-host.invalid/"}, "Connect", ["no-such-host.invalid"], id="no such name"),
        pytest.param(
            {"url": "http://127.0.0.1:9/mcp", "allowPrivate": True},
            "Connect",
            ["127.0.0.1:9", "spec.remote.url"],
            id="connection refused",
        ),
        pytest.param(
            {"url": "https://127.0.0.1/", "headers": [{"name": "X-Api-Key", "env": "NOT_SET_ANYWHERE"}]},
            "SecretMissing",
            ["X-Api-Key", "Secret"],
            id="secret missing",
        ),
    ],
)
async def test_an_address_that_is_not_reached_is_explained(remote: dict[str, Any], kind: str, words: list[str]) -> None:
    async with run_gateway({**LIMITS, "remote": remote}) as gateway:
        report = await gateway.failed(kind)
        with pytest.raises((MCPError, BaseExceptionGroup)) as caught:
            async with Client(gateway.url):
                pass
    for word in words:
        assert word in report["error"]["message"]
    assert caught.type is BaseExceptionGroup or caught.value.args


async def test_a_server_that_is_slow_to_start_is_said_to_be_and_then_works(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    line = f"until test -e {gate}; do sleep 0.1; done; exec {sys.executable} {_script()}"
    slow = {"stdio": {"command": "sh", "args": ["-c", line]}}
    limits = {"startTimeoutSeconds": 300, "healthCheck": {"timeoutSeconds": 2}}
    async with run_gateway({**slow, **limits}) as gateway:
        early = await gateway.failed()
        assert early["starting"] is True
        assert early["error"]["class"] == "Timeout"
        assert "given up after 300 s" in early["error"]["message"]
        gate.touch()
        assert (await gateway.ready())["restarts"] == 0


async def test_old_servers_that_ignore_what_they_do_not_know_are_still_reached() -> None:
    async with run_gateway({**stdio("raw_stdio.py", "--silent-on-discover"), "protocol": "2025-11-25"}) as gateway:
        assert (await gateway.ready())["protocolVersion"] == "2025-11-25"


async def test_lines_before_the_first_message_do_no_harm() -> None:
    async with run_gateway(stdio("misbehaving.py", "--banner", "Welcome!")) as gateway:
        await gateway.ready()
        assert "holds something that is no MCP message: Welcome!" in gateway.log()


async def test_a_flood_of_standard_error_is_kept_to_its_end() -> None:
    flood = "import sys; [print('x' * 5000, n, file=sys.stderr) for n in range(200)]; sys.exit('the very last words')"
    async with run_gateway({"stdio": {"command": sys.executable, "args": ["-c", flood]}}) as gateway:
        message = (await gateway.failed())["error"]["message"]
    assert "the very last words" in message
    assert len(message) < 5000


def _script() -> str:
    return str(stdio("misbehaving.py")["stdio"]["args"][0])
