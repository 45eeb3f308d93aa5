"""What can go wrong between us and the API server, as types: `client` raises them, controllers map them to waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Cause:
    """One of the mistakes that the API server found in an object."""

    reason: str
    field: str
    message: str


class ApiError(Exception):
    """The API server refused a request; `str()` is its own message."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.causes = causes
        self.retry_after_seconds = retry_after_seconds


class NotFound(ApiError):
    """404: the object, its namespace or its kind is not there."""


class AlreadyExists(ApiError):
    """409 on a create: the name is taken, perhaps by an earlier try of the same create."""


class Conflict(ApiError):
    """409 otherwise: the object changed since it was read, its UID is another, or a field has another manager."""


class Forbidden(ApiError):
    """403: RBAC, admission or a quota says no."""


class Invalid(ApiError):
    """400, 413 or 422: the object can't be accepted as it is; `causes` lists the mistakes."""


class Expired(ApiError):
    """410: the resource version or the continue token is too old."""


class Unavailable(ApiError):
    """401 with fresh credentials, 429, 5xx, a broken connection or a timeout: the same request may work later.

    `sent` is False only if the API server can't have carried the request out.
    """

    def __init__(self, message: str, *, sent: bool = True, **details: Any) -> None:
        super().__init__(message, **details)
        self.sent = sent


class NotLeader(ApiError):
    """The write was not sent: another replica may lead."""


def from_response(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that an answer with `status` >= 400 stands for, with the text of its Status object where it has one."""
    answer = _status_object(body)
    details = answer.get("details") or {}
    reason = str(answer.get("reason") or "")
    message = (
        str(answer.get("message") or "") or body[:500].decode("utf-8", "replace").strip() or f"HTTP status {status}"
    )
    seconds = _seconds(retry_after)
    if seconds is None and isinstance(details.get("retryAfterSeconds"), int) and details["retryAfterSeconds"] > 0:
        seconds = float(details["retryAfterSeconds"])
    common: dict[str, Any] = {
        "status": status,
        "reason": reason,
        "causes": _causes(details),
        "retry_after_seconds": seconds,
    }
    if status in (401, 429) or status >= 500:
        # Refused by authentication or by flow control: the request was not carried out.
        return Unavailable(message, sent=status >= 500, **common)
    return _error_class(status, reason)(message, **common)


def _error_class(status: int, reason: str) -> type[ApiError]:
    if status == 409:
        return AlreadyExists if reason == "AlreadyExists" else Conflict
    classes: dict[int, type[ApiError]] = {
        400: Invalid,
        403: Forbidden,
        404: NotFound,
        410: Expired,
        413: Invalid,
        422: Invalid,
    }
    return classes.get(status, ApiError)


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:  # a proxy's page, or the API server's plain "404 page not found"
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _causes(details: dict[str, Any]) -> tuple[Cause, ...]:
    return tuple(
        Cause(str(c.get("reason") or ""), str(c.get("field") or ""), str(c.get("message") or ""))
        for c in details.get("causes") or ()
        if isinstance(c, dict)
    )


def _seconds(retry_after: str | None) -> float | None:
    """The header as seconds; its other form, a date, is not used by API servers."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
