"""From an error and its traces to words for a person, with the remedy. Pure; used by gateway.upstream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp import MCPError
from pydantic import ValidationError

from mcp_orchestrator.gateway import child, config, egress, sdk
from mcp_orchestrator.gateway.failures import Failure, FailureClass, UpstreamError
from mcp_orchestrator.planning import wording

_REFUSALS = frozenset({401, 403, 408, 425, 429, 502, 503, 504})
_ANSWER_TYPES = ("application/json", "text/event-stream")


def is_refusal(exchange: egress.Exchange) -> bool:
    """Whether HTTP turned the request away before it reached anything that speaks MCP."""
    return exchange.error is not None or exchange.status in _REFUSALS


def is_http(error: MCPError, exchange: egress.Exchange) -> bool:
    """Whether `error` stands for an HTTP answer, and is not what the server said itself in JSON-RPC."""
    if exchange.error is not None:
        return True
    if exchange.status < 400:
        # A redirect that is not followed, or something that can't hold JSON-RPC.
        return exchange.status >= 300 or (exchange.status > 0 and exchange.content_type not in _ANSWER_TYPES)
    return error.message in ("Server returned an error response", "Not Found")


def explain(
    configuration: config.GatewayConfig,
    error: BaseException,
    exchange: egress.Exchange,
    process: child.Child | None,
    tools: Mapping[str, Any],
) -> Failure:
    """Why `error` happened, from what HTTP said, how the process ended and what the last tools/list held."""
    if isinstance(error, UpstreamError):
        return error.failure
    if process is not None and process.ended.is_set() and not process.dismissed:
        if process.oversized:
            return Failure(FailureClass.PROTOCOL, "the server sent a message of more than 64 MiB, and was stopped")
        return Failure(FailureClass.PROCESS_EXITED, f"the server's process has ended: {exited(process)}")
    if process is None:
        failure = _http(configuration, exchange)
        if failure is not None:
            return failure
    if sdk.is_timeout(error):
        return _slow(configuration, process)
    if isinstance(error, ValidationError):
        return Failure(FailureClass.PROTOCOL, _invalid(error, tools))
    return Failure(
        FailureClass.PROTOCOL, f"the server's answer can't be used: {wording.of_error(error)}{_rubbish(process)}"
    )


def slow_start(configuration: config.GatewayConfig, process: child.Child | None) -> Failure:
    """What to say of a server that has not answered yet."""
    limit = configuration.start_timeout_seconds
    if process is not None and process.rubbish:
        return Failure(FailureClass.PROTOCOL, f"the server has not answered yet{_rubbish(process)}")
    message = f"the server has not answered yet, and is given up after {limit:g} s{_last_words(process)}"
    return Failure(FailureClass.TIMEOUT, message)


def exited(process: child.Child) -> str:
    """How the process ended, with the last lines of its standard error."""
    code = process.exit_code
    if code is None:
        how = "it closed its standard output"
    elif code < 0:
        how = f"signal {-code}" + (" (out of memory?)" if code == -9 else "")
    else:
        how = f"exit code {code}"
    return how + _last_words(process, nothing="; it wrote nothing to standard error")


def _http(configuration: config.GatewayConfig, exchange: egress.Exchange) -> Failure | None:
    source = configuration.remote or configuration.http
    if source is None:
        return None
    host = urlsplit(source.url).netloc.rpartition("@")[2]
    field = "spec.remote.url" if configuration.remote else "spec.http.port"
    if exchange.error is not None:
        return _transport(exchange.error, host, field)
    status = exchange.status
    if status in (401, 403):
        names = ", ".join(header.name for header in (configuration.remote.headers if configuration.remote else ()))
        remedy = f"check the Secret behind header {names} (spec.remote.headers)"
        if not names:
            place = "spec.remote.headers" if configuration.remote else "spec.env, from a Secret"
            remedy = f"it wants credentials: add them to {place}"
        return Failure(FailureClass.UNAUTHORIZED, f"{host} refused access with HTTP {status}: {remedy}")
    if 300 <= status < 400:
        return Failure(FailureClass.PROTOCOL, f"{host} redirects elsewhere, which is not followed: check {field}")
    path = field.replace("port", "path")
    if status in (429, 503):
        return Failure(FailureClass.PROTOCOL, f"{host} answered HTTP {status}")
    if status >= 500:
        return Failure(FailureClass.PROTOCOL, f"{host} answered HTTP {status}: see the server's own log")
    if status >= 400:
        return Failure(FailureClass.PROTOCOL, f"{host} answered HTTP {status}: check {path} and the server's own log")
    if status and exchange.content_type not in (*_ANSWER_TYPES, ""):
        kind = exchange.content_type
        return Failure(FailureClass.PROTOCOL, f"{host} answered with {kind}, which is not MCP: check {path}")
    return None


def is_refused_connection(exchange: egress.Exchange) -> bool:
    """Whether the request never left the gateway, since there was no connection to send it on."""
    return isinstance(exchange.error, httpx2.ConnectError | httpx2.ConnectTimeout)


def _transport(error: Exception, host: str, field: str) -> Failure:
    if isinstance(error.__cause__, egress.PrivateAddress):
        message = f"{error}: set spec.remote.allowPrivate if that is intended"
        return Failure(FailureClass.PRIVATE_ADDRESS, message)
    if isinstance(error, httpx2.DecodingError):
        return Failure(FailureClass.PROTOCOL, f"the answer of {host} can't be used: {wording.of_error(error)}")
    if isinstance(error, httpx2.ReadTimeout | httpx2.WriteTimeout):
        return Failure(FailureClass.TIMEOUT, f"{host} did not answer in time")
    if isinstance(error, httpx2.ConnectTimeout):
        limit = egress.CONNECT_TIMEOUT_SECONDS
        return Failure(FailureClass.CONNECT, f"{host} did not accept a connection within {limit:g} s: check {field}")
    if isinstance(error, httpx2.ConnectError):
        return Failure(FailureClass.CONNECT, f"can't connect to {host}: {wording.of_error(error)}: check {field}")
    return Failure(FailureClass.CONNECT, f"the connection to {host} broke: {wording.of_error(error)}")


def _slow(configuration: config.GatewayConfig, process: child.Child | None) -> Failure:
    limit = configuration.health_check.timeout_seconds
    message = f"the server did not answer in time (spec.healthCheck.timeoutSeconds is {limit:g}){_last_words(process)}"
    return Failure(FailureClass.TIMEOUT, message)


def _invalid(error: ValidationError, tools: Mapping[str, Any]) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    match problem["loc"]:
        case ("tools", int(index), *rest):
            where = ".".join(str(part) for part in rest)
            return f"the definition of {_tool_name(tools, index)} is invalid: {where}: {problem['msg']}"
        case path:
            return f"the server's answer is invalid: {'.'.join(map(str, path))}: {problem['msg']}"


def _tool_name(tools: Mapping[str, Any], index: int) -> str:
    listed = tools.get("tools")
    if isinstance(listed, list) and index < len(listed) and isinstance(listed[index], dict):
        name = listed[index].get("name")
        if isinstance(name, str):
            return f"tool {name!r}"
    return f"tool number {index + 1}"


def _rubbish(process: child.Child | None) -> str:
    if process is None or not process.rubbish:
        return ""
    return (
        f"; its standard output holds something that is no MCP message: {process.rubbish!r}: "
        "check spec.stdio.args (some servers need one to speak MCP on stdio), and let it log to standard error"
    )


def _last_words(process: child.Child | None, nothing: str = "") -> str:
    tail = process.tail() if process is not None else ""
    # On one line: kubectl's tables end at the first line break.
    return f"; it wrote last: {' | '.join(tail.splitlines())}" if tail else nothing
