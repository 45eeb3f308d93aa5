"""The gateway's configuration: what it accepts, and the one line that a bad one gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from mcp_orchestrator.api import mcpserver
from mcp_orchestrator.gateway import config

STDIO = {"stdio": {"command": "mcp-server-time", "args": ["--local-timezone", "UTC"]}}


def read(value: Any) -> config.GatewayConfig:
    text = value if isinstance(value, str) else json.dumps(value)
    return config.read({config.VARIABLE: text})


def test_the_operators_json_is_read_with_its_defaults() -> None:
    found = read({"name": "time", "namespace": "default", **STDIO})
    assert found.stdio is not None
    assert (found.stdio.command, found.stdio.args) == ("mcp-server-time", ("--local-timezone", "UTC"))
    assert (found.protocol, found.timeout_seconds) == ("Auto", 30)
    assert (found.health_check.interval_seconds, found.health_check.timeout_seconds) == (60, 10)
    assert found.port == mcpserver.GATEWAY_PORT


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param("", "MCP_ORCHESTRATOR_GATEWAY is not set", id="absent"),
        pytest.param("{", "Invalid JSON", id="no json"),
        pytest.param({"name": "time"}, "exactly one of stdio, http and remote", id="no source"),
        pytest.param({"name": "a", **STDIO, "http": {"url": "http://h/"}}, "exactly one", id="two sources"),
        pytest.param(STDIO, "name: Field required", id="no name"),
        pytest.param({"name": "a", "stdio": {"args": []}}, "stdio.command: Field required", id="no command"),
        pytest.param({"name": "a", **STDIO, "timeoutSeconds": 0}, "timeoutSeconds: Input should be greater", id="zero"),
        pytest.param({"name": "a", **STDIO, "timeout": 5}, "timeout: Extra inputs", id="unknown field"),
        pytest.param({"name": "a", **STDIO, "protocol": "1"}, "protocol: Input should be 'Auto'", id="protocol"),
        pytest.param({"name": "a", **STDIO, "port": 70000}, "port: Input should be less", id="port"),
        pytest.param({"name": "a", "http": {"url": "127.0.0.1:3000"}}, "http.url: is not an http", id="no scheme"),
        pytest.param({"name": "a", "http": {"url": "http://h:x/"}}, "http.url: is not an http", id="bad port"),
        pytest.param(
            {"name": "a", "remote": {"url": "http://h/"}}, "remote: url must begin with https", id="plain http"
        ),
        pytest.param(
            {"name": "a", "remote": {"url": "https://h/", "headers": [{"name": "A:B", "env": "X"}]}},
            "remote.headers.0.name: String should match",
            id="header name",
        ),
    ],
)
def test_a_bad_configuration_gets_one_line_that_names_the_field(value: Any, words: str) -> None:
    with pytest.raises(config.InvalidConfig) as caught:
        read(value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"name": "a", "stdio": {"command": ""}}'])
def test_the_program_ends_with_code_2_and_no_traceback(text: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import sys; from mcp_orchestrator.gateway import main; sys.exit(main.run())"],
        env={**os.environ, config.VARIABLE: text},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(config.VARIABLE)
    assert ended.stderr.count("\n") == 1


def test_plain_http_is_allowed_inside_the_cluster() -> None:
    assert read({"name": "a", "remote": {"url": "http://h/", "allowPrivate": True}}).remote is not None


def test_the_child_gets_the_environment_without_the_gateways_own() -> None:
    environ = {"PATH": "/bin", "MCP_ORCHESTRATOR_GATEWAY": "{}", "MCP_ORCHESTRATOR_HEADER_0": "x", "API_KEY": "k"}
    assert config.child_environment(environ) == {"PATH": "/bin", "API_KEY": "k"}


REMOTE = config.Remote.model_validate(
    {"url": "https://h/", "headers": [{"name": "Authorization", "prefix": "Bearer ", "env": "H0"}]}
)


def test_headers_are_built_from_prefix_and_secret_without_the_newline_of_a_file() -> None:
    assert config.header_values(REMOTE, {"H0": "abc\n"}) == {"Authorization": "Bearer abc"}


@pytest.mark.parametrize("environ", [{}, {"H0": ""}, {"H0": " \n"}, {"H0": "a\nb"}, {"H0": "clé"}])
def test_a_header_without_a_usable_value_names_the_header_and_not_the_value(environ: dict[str, str]) -> None:
    with pytest.raises(config.MissingSecret, match=r"header Authorization .*check the Secret") as caught:
        config.header_values(REMOTE, environ)
    assert "clé" not in str(caught.value)
