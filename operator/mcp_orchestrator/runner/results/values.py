"""JSON values: what a tool's result may be, how large it is, and what of it stands in the run's status.

Called by `answers` and `execute`, which hold values to the limits, and by `reporting`, which shows them.
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from mcp_orchestrator.planning import wording

INLINE_BYTES = 32 * 1024
"""The largest result or output, as JSON, that stands in the status."""
OUTPUTS_BYTES = 64 * 1024
"""All outputs that stand in one status."""
RESULT_BYTES = 16 * 1024 * 1024
"""The largest result that a task may have at all."""
PREVIEW_BYTES = 1024
DEPTH = 100
"""How deeply a value may be nested; API servers and JSON libraries stop a little above it."""

_LEAST, _MOST = -(2**63), 2**63 - 1


class Unusable(ValueError):
    """The value can't be held; the message says why."""


def plain(value: Any, depth: int = DEPTH) -> Any:
    """`value` as every JSON reader down the line holds it.

    NaN and infinities become null, as JSON.stringify has it; whole numbers beyond 64 bits become floating point, as in
    Kubernetes and in CEL; half surrogate pairs become question marks. Raises Unusable where it is nested too deeply.
    """
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case bool() | None:
            return value
        case int():
            return value if _LEAST <= value <= _MOST else _finite(value)
        case float():
            return value if math.isfinite(value) else None
    if depth == 0:
        raise Unusable(f"it is nested more than {DEPTH} levels deep")
    match value:
        case dict():
            return {plain(str(key)): plain(item, depth - 1) for key, item in value.items()}
        case list() | tuple():
            return [plain(item, depth - 1) for item in value]
    raise Unusable(f"it holds a {type(value).__name__}, which JSON does not know")


def encode(value: Any) -> bytes:
    """A plain value as JSON."""
    return orjson.dumps(value)


def preview(value: Any, encoded: bytes) -> str:
    """The beginning of a value that is too large to be shown: of the text itself where it is one."""
    start = value[:PREVIEW_BYTES] if isinstance(value, str) else encoded[:PREVIEW_BYTES].decode("utf-8", "ignore")
    return wording.cut(wording.fit(start), PREVIEW_BYTES - 3).removesuffix("…") + "…"


def human(size: int) -> str:
    """A size as people write it: 812 B, 40.1 KiB, 3.2 MiB."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"


def _finite(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
