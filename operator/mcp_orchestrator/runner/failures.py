"""From an error of the SDK, and from what the wire saw, to the class and the words of a failed call. Called by `tools`.

The class is decided by where the error arose. What counts most is whether the tool can have seen the call: if it surely
did not, the call may be made again, whatever the tool does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import mcp_types
from mcp import MCPError
from pydantic import ValidationError

from mcp_orchestrator import settings
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner import results, wire, wording
from mcp_orchestrator.runner.calls import CallFailed

MAYBE = "the tool may have done its work"
_STAND_INS = frozenset({"Server returned an error response", "Not Found", "Session terminated"})
"""What the SDK says for an HTTP status; a server that says the same in JSON-RPC means the same."""
_NEEDS_PERSON = frozenset({mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY, -32042})
"""The tool wants to ask somebody: this client declares that nobody is there."""
_WRONG_REQUEST = frozenset(
    {
        mcp_types.INVALID_REQUEST,
        mcp_types.METHOD_NOT_FOUND,
        mcp_types.INVALID_PARAMS,
        mcp_types.HEADER_MISMATCH,
        mcp_types.UNSUPPORTED_PROTOCOL_VERSION,
    }
)
"""What a server says of a request that it did not carry out."""
_GATEWAY = {
    "CommandNotFound": (ErrorClass.SERVER_DOWN, ErrorClass.SERVER_DOWN, True),
    "ProcessExited": (ErrorClass.SERVER_DOWN, ErrorClass.TRANSPORT, True),
    "Connect": (ErrorClass.CONNECT, ErrorClass.TRANSPORT, True),
    "Unauthorized": (ErrorClass.AUTH, ErrorClass.AUTH, False),
    "Timeout": (ErrorClass.CONNECT, ErrorClass.TIMEOUT, True),
    "Protocol": (ErrorClass.PROTOCOL, ErrorClass.PROTOCOL, False),
    "PrivateAddress": (ErrorClass.CONNECT, ErrorClass.CONNECT, False),
    "SecretMissing": (ErrorClass.AUTH, ErrorClass.AUTH, False),
}
"""A gateway's classes: ours if the tool can't have seen the call, ours if it can, and whether waiting may help."""


def leaf(error: BaseException) -> BaseException:
    """The error inside nested exception groups: task groups wrap what really happened."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def explain(error: BaseException, seen: wire.Wire, server: str) -> CallFailed:
    """What `error`, met while calling a tool of `server`, means."""
    error = leaf(error)
    exchange = seen.last or wire.Exchange("")
    if exchange.oversized:
        return results.too_large(exchange.size)
    if exchange.error:
        return _broken(exchange.error, seen, server)
    if isinstance(error, MCPError):
        if isinstance(error.data, Mapping) and isinstance(error.data.get("sent"), bool):
            return _from_gateway(error, error.data)
        if exchange.status >= 400 and (error.message in _STAND_INS or exchange.refused):
            return _http(error, exchange, seen, server)
        return _json_rpc(error, seen, server)
    words = wording.one_line(str(error) or type(error).__name__, 1024)
    if isinstance(error, ValidationError):
        words = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:3])
    return CallFailed(ErrorClass.PROTOCOL, f'the answer of server "{server}" is no valid MCP: {words}')


def _broken(error: Exception, seen: wire.Wire, server: str) -> CallFailed:
    words = wording.one_line(str(error) or type(error).__name__, 1024)
    if isinstance(error, httpx2.ConnectError):
        return CallFailed(ErrorClass.CONNECT, f'can\'t connect to server "{server}": {words}', never_sent=True)
    if isinstance(error, httpx2.ConnectTimeout):
        limit = f"{wire.CONNECT_TIMEOUT_SECONDS:g} s"
        message = f'server "{server}" did not accept a connection within {limit}'
        return CallFailed(ErrorClass.CONNECT, message, never_sent=True)
    if isinstance(error, httpx2.DecodingError | httpx2.UnsupportedProtocol):
        return CallFailed(ErrorClass.PROTOCOL, f'the answer of server "{server}" can\'t be read: {words}')
    if not seen.call_sent:
        message = f'the connection to server "{server}" broke before the call was made: {words}'
        return CallFailed(ErrorClass.CONNECT, message, never_sent=True)
    message = f'the connection to server "{server}" broke during the call ({words}): {MAYBE}'
    return CallFailed(ErrorClass.TRANSPORT, message)


def _from_gateway(error: MCPError, data: Mapping[str, Any]) -> CallFailed:
    sent, status = bool(data["sent"]), data.get("httpStatus")
    if isinstance(status, int) and status >= 400 and data.get("class") == "Protocol":
        return _refusal(error.message, status, str(data.get("retryAfter") or ""))
    unsent, maybe, may_help = _GATEWAY.get(str(data.get("class")), _GATEWAY["Protocol"])
    error_class = maybe if sent else unsent
    hint = f": {MAYBE}" if error_class in (ErrorClass.TRANSPORT, ErrorClass.TIMEOUT) else ""
    return CallFailed(error_class, error.message + hint, never_sent=may_help and not sent)


def _http(error: MCPError, exchange: wire.Exchange, seen: wire.Wire, server: str) -> CallFailed:
    if error.message == "Session terminated":
        # Another replica, or the same server restarted: it does not know the session, so it ran nothing.
        message = f'server "{server}" no longer knows the session that it had just opened'
        return CallFailed(ErrorClass.TRANSPORT, message, never_sent=True)
    words = f'server "{server}" answered HTTP {exchange.status}'
    return _refusal(words, exchange.status, exchange.retry_after, sent=seen.call_sent)


def _refusal(words: str, status: int, retry_after: str, *, sent: bool = True) -> CallFailed:
    """The failure that an HTTP status stands for: unless the server broke down over the call, the tool did not run."""
    error_class, hint = _of_status(status, retry_after)
    broke_down = error_class == ErrorClass.TRANSPORT
    if broke_down and not sent:
        hint = ""
    return CallFailed(
        error_class,
        words + hint,
        never_sent=not sent or not broke_down,
        retry_after_seconds=_seconds(retry_after) if error_class == ErrorClass.BUSY else None,
    )


def _seconds(retry_after: str) -> float | None:
    """The seconds that a Retry-After asks for: a number, or a date (RFC 9110, 10.2.3)."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date.astimezone(UTC) - settings.clock()).total_seconds())


def _of_status(status: int, retry_after: str) -> tuple[ErrorClass, str]:
    """The class of an HTTP status, and what to add to the words."""
    if status in (401, 403):
        return ErrorClass.AUTH, ": it refuses access"
    if status in (429, 503):
        wait = _seconds(retry_after)
        return ErrorClass.BUSY, ": it is busy" + (f", and asks to come back after {wait:.0f} s" if wait else "")
    if status >= 500 or status == 408:
        return ErrorClass.TRANSPORT, f": {MAYBE}"
    return ErrorClass.PROTOCOL, ": there is no MCP endpoint" if status in (404, 405) else ""


def _json_rpc(error: MCPError, seen: wire.Wire, server: str) -> CallFailed:
    words = wording.fit(error.message, 3500)
    if error.code in _NEEDS_PERSON:
        return CallFailed(ErrorClass.INPUT_REQUIRED, f"the tool asks for input of a person: {words}")
    if error.code == mcp_types.CONNECTION_CLOSED and words.startswith(("Connection closed", "SSE stream ")):
        if not seen.call_sent:
            message = f'server "{server}" ended its answer before the call was made: {words}'
            return CallFailed(ErrorClass.CONNECT, message, never_sent=True)
        return CallFailed(ErrorClass.TRANSPORT, f'server "{server}" ended its answer early ({words}): {MAYBE}')
    if error.code == mcp_types.REQUEST_TIMEOUT:
        return CallFailed(ErrorClass.TIMEOUT, f'server "{server}" gave up: {words}')
    message = f'server "{server}" refused the call: {words} (JSON-RPC error {error.code})'
    return CallFailed(ErrorClass.PROTOCOL, message, never_sent=error.code in _WRONG_REQUEST, answered=True)


def timed_out(seen: wire.Wire, server: str, seconds: float) -> CallFailed:
    """The failure of a call whose time was over."""
    if not seen.call_sent:
        message = f'server "{server}" did not even answer the greeting within {seconds:g} s: the call was not made'
        return CallFailed(ErrorClass.TIMEOUT, message, never_sent=True)
    return CallFailed(ErrorClass.TIMEOUT, f'no answer of server "{server}" within {seconds:g} s: {MAYBE}')
