"""Log lines of our own programs, which write JSON, for people. Used by `logs` and `diagnose`."""

from __future__ import annotations

import json
from typing import Any


def said(line: str) -> str:
    """What the line says, without when and by whom; a line of another program as it is."""
    fields = _fields(line)
    return str(fields.get("message", line))


def told(line: str) -> str:
    """The line with its time and the facts that go with it."""
    fields = _fields(line)
    if not {"time", "message"} <= fields.keys():
        return line
    message, reason = str(fields["message"]), str(fields.get("reason") or "")
    facts = (fields.get("task"), fields.get("error_class"), "" if message.endswith(reason.lower()) else reason)
    level = "" if fields.get("level") == "INFO" else f"{fields.get('level', '')} "
    parts = [f"{str(fields['time'])[11:19]}  {level}{message}", *(str(fact) for fact in facts if fact)]
    return "  ".join(parts)


def _fields(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
