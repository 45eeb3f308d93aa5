"""From an error of the SDK, and from what the wire saw, to the class and the words of a failed call. Called by `tools`.

The class is decided by where the error arose. What counts most is whether the tool can have seen the call: if it surely
did not, the call may be made again, whatever the tool does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import mcp_types
from mcp import MCPError
from pydantic import ValidationError

from mcp_orchestrator import settings
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls import retryafter, wire
from mcp_orchestrator.runner.results import answers

MAYBE = "the tool may have done its work"
_STAND_INS = frozenset({"Server returned an error response", "Not Found", "Session terminated"})
"""What the SDK says for an HTTP status; a server that says the same in JSON-RPC means the same."""
_NEEDS_PERSON = frozenset({mcp_types.MISSING_REQUIRED_CLIENT_CAPABILITY, mcp_types.URL_ELICITATION_REQUIRED})
"""The tool wants to ask somebody: this client declares that nobody is there."""
_TURNED_AWAY = frozenset(
    {mcp_types.PARSE_ERROR, mcp_types.HEADER_MISMATCH, mcp_types.UNSUPPORTED_PROTOCOL_VERSION},
)
"""What a server says of a request that it did not even look into. Other codes may come from the tool itself."""
_GATEWAY = {
    "CommandNotFound": (ErrorClass.SERVER_DOWN, ErrorClass.SERVER_DOWN),
    "ProcessExited": (ErrorClass.SERVER_DOWN, ErrorClass.TRANSPORT),
    "CircuitOpen": (ErrorClass.SERVER_DOWN, ErrorClass.SERVER_DOWN),
    "Connect": (ErrorClass.CONNECT, ErrorClass.TRANSPORT),
    "Unauthorized": (ErrorClass.AUTH, ErrorClass.AUTH),
    "Timeout": (ErrorClass.CONNECT, ErrorClass.TIMEOUT),
    "Protocol": (ErrorClass.PROTOCOL, ErrorClass.PROTOCOL),
    "PrivateAddress": (ErrorClass.CONNECT, ErrorClass.CONNECT),
    "SecretMissing": (ErrorClass.AUTH, ErrorClass.AUTH),
}
"""A gateway's classes: ours if the server behind it can't have seen the call, and ours if it can."""


def leaf(error: BaseException) -> BaseException:
    """The error inside nested exception groups: task groups wrap what really happened."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def explain(error: BaseException, seen: wire.Wire, server: str) -> CallFailed:
    """What `error`, met while calling a tool of `server`, means."""
    error = leaf(error)
    failure = error if isinstance(error, CallFailed) else _explained(error, seen, server)
    failure.never_sent = failure.never_sent or not seen.call_sent
    return failure


def timed_out(seen: wire.Wire, server: str, seconds: float) -> CallFailed:
    """The failure of a call whose time was over."""
    shown = f"{round(seconds, 1):g}"  # what a deadline left of a second is nobody's number
    if seen.call_sent:
        return CallFailed(ErrorClass.TIMEOUT, f'no answer of server "{server}" within {shown} s: {MAYBE}')
    asked = seen.last.method if seen.last else ""
    what = asked if asked == "tools/list" else "the greeting"
    message = f'server "{server}" did not even answer {what} within {shown} s: the call was not made'
    return CallFailed(ErrorClass.TIMEOUT, message, never_sent=True)


def needs_person(words: str) -> CallFailed:
    """The failure of a call whose tool asks for what only a person can give; `words` are the tool's."""
    return CallFailed(ErrorClass.INPUT_REQUIRED, f"the tool asks for input of a person{f': {words}' if words else ''}")


def _explained(error: BaseException, seen: wire.Wire, server: str) -> CallFailed:
    exchange = seen.last or wire.Exchange("")
    if exchange.oversized and seen.call_sent:
        return answers.too_large(exchange.size)
    if exchange.oversized:
        message = f'server "{server}" answered {exchange.method} with more than {wire.OTHER_BYTES // 2**20} MiB'
        return CallFailed(ErrorClass.PROTOCOL, message)
    if exchange.error:
        return _broken(exchange.error, seen, server)
    if isinstance(error, MCPError):
        if isinstance(error.data, Mapping) and isinstance(error.data.get("sent"), bool):
            return _from_gateway(error, error.data)
        if exchange.status >= 300 and (error.message in _STAND_INS or exchange.refused or exchange.status < 400):
            return _http(error, exchange, seen, server)
        return _json_rpc(error, exchange, seen, server)
    words = wording.of_error(error)
    if isinstance(error, ValidationError):
        words = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:3])
    return _unreadable("is no valid MCP", words, seen, server)


def _broken(error: Exception, seen: wire.Wire, server: str) -> CallFailed:
    words = wording.of_error(error)
    match error:
        case httpx2.ConnectError():
            return CallFailed(ErrorClass.CONNECT, f'can\'t connect to server "{server}": {words}', never_sent=True)
        case httpx2.ConnectTimeout():
            limit = f"{wire.CONNECT_TIMEOUT_SECONDS:g} s"
            message = f'server "{server}" did not accept a connection within {limit}'
            return CallFailed(ErrorClass.CONNECT, message, never_sent=True)
        case httpx2.UnsupportedProtocol():
            message = f'the address of server "{server}" can\'t be used: {words}'
            return CallFailed(ErrorClass.PROTOCOL, message, never_sent=True)
        case wire.Unreadable():
            return _unreadable("can't be used", words, seen, server)
    if not seen.call_sent:
        message = f'the connection to server "{server}" broke before the call was made: {words}'
        return CallFailed(ErrorClass.CONNECT, message)
    message = f'the connection to server "{server}" broke during the call ({words}): {MAYBE}'
    return CallFailed(ErrorClass.TRANSPORT, message)


def _unreadable(what: str, words: str, seen: wire.Wire, server: str) -> CallFailed:
    """An answer came, and does not tell what became of the call."""
    return CallFailed(ErrorClass.PROTOCOL, f'the answer of server "{server}" {what}: {words}{_maybe(seen)}')


def _from_gateway(error: MCPError, data: Mapping[str, Any]) -> CallFailed:
    sent, status = bool(data["sent"]), data.get("httpStatus")
    retry_after = str(data.get("retryAfter") or "")
    if isinstance(status, int) and status >= 300 and data.get("class") == "Protocol":
        return _refusal(error.message, status, retry_after, sent=sent)
    error_class = _GATEWAY.get(str(data.get("class")), _GATEWAY["Protocol"])[sent]
    never_sent = not sent or error_class == ErrorClass.AUTH
    return CallFailed(
        error_class,
        error.message if never_sent else f"{error.message}: {MAYBE}",
        never_sent=never_sent,
        retry_after_seconds=retryafter.seconds(retry_after, now=settings.clock()),
    )


def _http(error: MCPError, exchange: wire.Exchange, seen: wire.Wire, server: str) -> CallFailed:
    if error.message == "Session terminated":
        # Another replica, or the same server restarted: it does not know the session, so it ran nothing.
        message = f'server "{server}" no longer knows the session that it had just opened'
        return CallFailed(ErrorClass.CONNECT, message, never_sent=True)
    if exchange.status < 400:
        words = wording.one_line(error.message, 1024)
        message = f'server "{server}" answered HTTP {exchange.status}: {words}'
        return CallFailed(ErrorClass.PROTOCOL, message, never_sent=True)
    words = f'server "{server}" answered HTTP {exchange.status}'
    return _refusal(words, exchange.status, exchange.retry_after, exchange.date, sent=seen.call_sent)


def _refusal(words: str, status: int, retry_after: str, date: str = "", *, sent: bool) -> CallFailed:
    """The failure that an HTTP status stands for: unless the server broke down over the call, the tool did not run."""
    wait = retryafter.seconds(retry_after, date, now=settings.clock())
    error_class, hint = _of_status(status, wait)
    broke_down = error_class == ErrorClass.TRANSPORT
    return CallFailed(
        error_class,
        words + (hint if sent or not broke_down else ""),
        never_sent=not sent or not broke_down,
        retry_after_seconds=wait,
    )


def _of_status(status: int, wait: float | None) -> tuple[ErrorClass, str]:
    """The class of an HTTP status, and what to add to the words."""
    if status in (401, 403):
        return ErrorClass.AUTH, ": it refuses access"
    if status in (425, 429, 503):
        return ErrorClass.BUSY, ": it is busy" + (f", and asks to come back after {wait:.0f} s" if wait else "")
    if status >= 500 or status == 408:
        return ErrorClass.TRANSPORT, f": {MAYBE}"
    return ErrorClass.PROTOCOL, ": there is no MCP endpoint" if status in (404, 405) else ""


def _json_rpc(error: MCPError, exchange: wire.Exchange, seen: wire.Wire, server: str) -> CallFailed:
    words = wording.fit(error.message, 3500)
    if error.code in _NEEDS_PERSON or seen.unmet:
        return needs_person(words)
    match error.code:
        case mcp_types.PARSE_ERROR if words.startswith("Failed to parse "):
            return _unreadable("is no valid MCP", wording.one_line(words, 1024), seen, server)
        case mcp_types.CONNECTION_CLOSED if exchange.status < 400:
            if not seen.call_sent:
                message = f'server "{server}" ended its answer before the call was made: {words}'
                return CallFailed(ErrorClass.CONNECT, message)
            return CallFailed(ErrorClass.TRANSPORT, f'server "{server}" ended its answer early ({words}): {MAYBE}')
        case mcp_types.REQUEST_TIMEOUT:
            return CallFailed(ErrorClass.TIMEOUT, f'server "{server}" gave up: {words}{_maybe(seen)}')
        case mcp_types.INTERNAL_ERROR:
            message = f'server "{server}" failed inside: {words} (JSON-RPC error {error.code}){_maybe(seen)}'
            return CallFailed(ErrorClass.TRANSPORT, message)
    what = "the call" if seen.call_sent else "the greeting"
    message = f'server "{server}" refused {what}: {words} (JSON-RPC error {error.code})'
    return CallFailed(ErrorClass.PROTOCOL, message, never_sent=error.code in _TURNED_AWAY, answered=True)


def _maybe(seen: wire.Wire) -> str:
    return f": {MAYBE}" if seen.call_sent else ""
