"""The CEL specification's own test cases, through our layer over cel-cpp. See README.md."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mcp_orchestrator.planning.cel import engine
from mcp_orchestrator.planning.expressions import ExpressionFailed, Scope, scope

CASES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text())
SOURCE = CASES.pop("source")
FAILURES = engine.Failed, ExpressionFailed

NO_MAP_INSERT = "the binding's runtime has not the function that transformMap needs; it is refused when compiled"
SMALL_DURATIONS = "durations in cel-cpp end at 64 bits of nanoseconds, 292 years"
DIFFERENT: Mapping[str, Mapping[str, str]] = {
    "fields": {
        "qualified_identifier_resolution/map_value_repeat_key_heterogeneous": "0 and 0u are let be keys of one map",
    },
    "macros2": {
        f"transformMap/{name}": NO_MAP_INSERT
        for name in ("empty", "empty_filter", "one", "one_filter", "many", "many_filter")
    },
    "timestamps": {
        "timestamp_arithmetic/subtract_max_duration_from_max_time": SMALL_DURATIONS,
        "timestamp_arithmetic/add_duration_to_duration_max": SMALL_DURATIONS,
        "timestamp_arithmetic/subtract_duration_from_duration_min": SMALL_DURATIONS,
        "timestamp_range/sub_time_duration_over": SMALL_DURATIONS,
        "timestamp_range/sub_time_duration_under": SMALL_DURATIONS,
    },
    "type_deduction": {
        f"empty_range_nested_comprehensions/empty_range_nested_comprehension_{name}": "the type of [] is not deduced"
        for name in ("before_constraint", "equality")
    },
}
"""What comes out otherwise than the specification says, and why."""


@pytest.mark.parametrize("file", CASES)
def test_expressions_come_out_as_the_specification_says(file: str) -> None:
    different = {
        name: f"{text} came to {found!r}, not {expected!r}"
        for name, (text, variables, expected) in CASES[file].items()
        if not same(found := outcome(text, variables), read(expected))
    }
    known = DIFFERENT.get(file, {})
    assert {name: why for name, why in different.items() if name not in known} == {}
    assert set(known) == set(different)


def test_the_cases_are_all_there() -> None:
    assert sum(map(len, CASES.values())) == SOURCE["applicable"] == 1822
    assert set(DIFFERENT) <= set(CASES)


class Error:
    """No value."""


def outcome(text: str, variables: Mapping[str, Any]) -> Any:
    """The value of the expression, of Python's types; or Error, whenever that is found."""
    program = engine.compile(text, variables)
    if not isinstance(program, engine.Program):
        return Error
    try:
        if program.tree.whole:
            return scope.follow(program.tree.whole, Scope(variables))
        data = scope.data(program.tree.paths, Scope(variables))
        return engine.run(program, data.variables, data.measure)
    except FAILURES:
        return Error


def read(value: Any) -> Any:
    """An expected value as it stands in the file, of Python's types."""
    match value:
        case {"$error": _}:
            return Error
        case {"$uint": number}:
            return number
        case {"$double": number}:
            return float(number)
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$timestamp": [seconds, nanos]}:
            return datetime.fromtimestamp(0, UTC) + duration(seconds, nanos)
        case {"$duration": [seconds, nanos]}:
            return duration(seconds, nanos)
        case {"$map": entries}:
            return {read(key): read(inner) for key, inner in entries}
        case {"$type": name}:
            return f"the type {name.removeprefix('google.protobuf.').removesuffix('_type').lower()}"
        case dict():
            return {key: read(inner) for key, inner in value.items()}
        case list():
            return [read(inner) for inner in value]
    return value


def duration(seconds: int, nanos: int) -> timedelta:
    """With the microseconds that Python has room for."""
    return timedelta(seconds=seconds, microseconds=int(nanos / 1000))


def same(found: Any, expected: Any) -> bool:
    """Whether values are equal, with their types."""
    if isinstance(found, bytearray):
        found = bytes(found)
    if isinstance(expected, str) and expected.startswith("the type ") and hasattr(found, "name"):
        return found.name().split("<")[0].lower() == expected.removeprefix("the type ")
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float) and math.isnan(expected):
        return math.isnan(found)
    return bool(found == expected)
