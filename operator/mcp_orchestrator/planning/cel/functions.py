"""The functions that expressions have beside CEL's own: json, time. Called by `engine`, and by CEL through it.

They get Python's values of CEL's, and raise ValueError with a message that tells nothing of these.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from mcp_orchestrator.planning import plain
from mcp_orchestrator.planning.cel import inputs

MAX_PATTERN = 256
"""Characters of a pattern of a time."""
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_DIRECTIVES = frozenset("YmdHMSfjyzaAbBIpuGV%")
"""Those that come out the same on every system."""


def json_encode(value: Any) -> str:
    """json.encode: the value as JSON, with the keys of objects in order."""
    return plain.json(plain.ordered(plain.plain(value)))


def json_decode(text: str) -> Any:
    """json.decode: the value that the text is the JSON of."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the text of json.decode is not JSON: line {error.lineno}, column {error.colno}") from None
    try:
        return inputs.taken(value)[0]
    except plain.NotPlain as error:
        raise ValueError(f"the JSON of json.decode {error}") from None


def time_format(time: datetime, pattern: str) -> str:
    """time.format: the time in UTC, by a pattern such as %Y-%m-%d."""
    _check(pattern)
    year = f"{time.year:04}"  # which some systems write without leading zeros
    return time.strftime(_DIRECTIVE.sub(lambda found: year if found[1] == "Y" else found[0], pattern))


def time_parse(text: str, pattern: str) -> datetime:
    """time.parse: the time that the text tells by a pattern; in UTC, where there is no %z."""
    _check(pattern)
    if len(text) > MAX_PATTERN:
        raise ValueError(f"the text of time.parse has more than {MAX_PATTERN} characters")
    try:
        time = datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone is added below
    except (ValueError, OverflowError, re.error):
        raise ValueError("the text of time.parse is not of the form of its pattern") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _check(pattern: str) -> None:
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the pattern of the time has more than {MAX_PATTERN} characters")
    for directive in _DIRECTIVE.findall(pattern):
        if directive not in _DIRECTIVES:
            raise ValueError(f"the pattern of the time has %{directive}; there are %{' %'.join(sorted(_DIRECTIVES))}")
