"""Arguments against the schema of their tool, where some of the values are not known yet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_parameter, a_task, a_tool

from mcp_orchestrator.planning.workflows import arguments

TOOL = 'tool "find" of MCPServer "search"'
ANY = "${{ params.any }}"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 3},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "mode": {"enum": ["fast", "deep"]},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 2},
        "options": {"type": "object", "properties": {"deep": {"type": "boolean"}}, "required": ["deep"]},
    },
    "required": ["query"],
    "additionalProperties": False,
}
PARAMETERS = {
    "text": a_parameter("text", {"type": "string"}),
    "number": a_parameter("number", {"type": "integer"}),
    "either": a_parameter("either", {"type": ["string", "integer"]}),
    "any": a_parameter("any"),
}


def found(given_arguments: dict[str, Any], schema: dict[str, Any] | None) -> list[str]:
    task = a_task("f", "search", "find", given_arguments)
    return [str(mistake) for mistake in arguments.check(task, a_tool("find", schema), PARAMETERS, "spec.arguments")]


@pytest.mark.parametrize(
    ("given_arguments", "expected"),
    [
        pytest.param({"query": "cats"}, [], id="nothing where all is well"),
        pytest.param({"query": "$${{ }}", "mode": "fast"}, [], id="escaped text is known text"),
        pytest.param({}, [f'spec.arguments: "query" is missing, and {TOOL} needs it'], id="a missing one"),
        pytest.param(
            {"quary": "cats"},
            [
                f'spec.arguments.quary: {TOOL} does not take this argument; did you mean "query"?',
                f'spec.arguments: "query" is missing, and {TOOL} needs it; is it meant by "quary"?',
            ],
            id="a misspelt one",
        ),
        pytest.param(
            {"query": "cats", "colour": 1},
            [f"spec.arguments.colour: {TOOL} does not take this argument; it takes count, mode, options, query, tags"],
            id="an unknown one",
        ),
        pytest.param(
            {"query": 1, "count": "x", "mode": "slow", "tags": ["a", 2], "options": {}},
            [
                f'spec.arguments.query: 1 is not of type "string", as {TOOL} asks',
                f'spec.arguments.count: "x" is not of type "integer" or "null", as {TOOL} asks',
                f'spec.arguments.mode: "slow" is not one of "fast" or "deep", as {TOOL} asks',
                f'spec.arguments.tags[1]: 2 is not of type "string", as {TOOL} asks',
                f'spec.arguments.options: "deep" is missing, and {TOOL} needs it',
            ],
            id="wrong values, each with its path",
        ),
        pytest.param(
            {"query": "${{ params.any }}", "count": "${{ params.either }}", "mode": "${{ params.text }}"},
            [],
            id="values that are not known are taken to fit",
        ),
        pytest.param(
            {
                "query": "${{ params.any }}",
                "tags": ["${{ params.any }}", "${{ params.any }}"],
                "options": "${{ params.any }}",
            },
            [],
            id="also where two of them would be the same",
        ),
        pytest.param(
            {"query": "${{ params.number }}", "count": "${{ params.text }}"},
            [
                f"spec.arguments.query: this is always of type integer, but {TOOL} takes string",
                f"spec.arguments.count: this is always of type string, but {TOOL} takes integer or null",
            ],
            id="a parameter whose type never fits",
        ),
        pytest.param(
            {"query": "${{ size(params.text) }}", "count": "${{ params.number }} or so"},
            [
                f"spec.arguments.query: this is always of type integer, but {TOOL} takes string",
                f"spec.arguments.count: this is always of type string, but {TOOL} takes integer or null",
            ],
            id="an expression or text whose type never fits",
        ),
        pytest.param(
            {"quary": "${{ params.any }}", "tags": ["${{ params.any }}", 1, "c"]},
            [
                f"spec.arguments.tags: it has more than 2 items, as {TOOL} asks",
                f'spec.arguments.tags[1]: 1 is not of type "string", as {TOOL} asks',
                f'spec.arguments.quary: {TOOL} does not take this argument; did you mean "query"?',
                f'spec.arguments: "query" is missing, and {TOOL} needs it; is it meant by "quary"?',
            ],
            id="names and literal values beside them are checked",
        ),
    ],
)
def test_arguments_that_the_tool_would_refuse_are_found_before_the_run(
    given_arguments: dict[str, Any], expected: list[str]
) -> None:
    assert found(given_arguments, SCHEMA) == expected


@pytest.mark.parametrize(
    ("schema", "given_arguments"),
    [
        pytest.param(None, {"x": 1}, id="a schema that is not known"),
        pytest.param({"type": "objekt"}, {"x": 1}, id="a schema that is broken"),
        pytest.param({"$ref": "https://schemas.invalid/x"}, {"x": 1}, id="a schema that would have to be fetched"),
        pytest.param({"type": "object"}, {"x": 1}, id="a schema that allows anything"),
        pytest.param(
            {"if": {"properties": {"x": {"const": 1}}}, "then": {"required": ["y"]}},
            {"x": "${{ params.any }}"},
            id="a condition on a value that is not known",
        ),
        pytest.param(
            {"anyOf": [{"required": ["y"]}, {"properties": {"x": {"const": 1}}}]},
            {"x": "${{ params.any }}"},
            id="a choice that depends on one",
        ),
    ],
)
def test_what_can_not_be_told_is_left_to_the_server(
    schema: dict[str, Any] | None, given_arguments: dict[str, Any]
) -> None:
    assert found(given_arguments, schema) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param(
            {"type": "object", "properties": {}, "additionalProperties": False},
            [f"spec.arguments.x: {TOOL} does not take this argument; it takes none"],
            id="by an empty list of properties",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": False},
            [f"spec.arguments: {TOOL} does not take these arguments"],
            id="without one",
        ),
    ],
)
def test_a_tool_without_arguments_takes_none(schema: dict[str, Any], expected: list[str]) -> None:
    assert found({"x": "${{ params.any }}"}, schema) == expected


VALUES = st.sampled_from(["", "x", "fast", 0, 1.5, None, True, [], ["a"], {"deep": True}])


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "other"]), VALUES), st.sets(st.integers(0, 9)))
def test_hiding_a_good_value_behind_an_expression_never_makes_a_mistake(
    given_arguments: dict[str, Any], hidden: set[int]
) -> None:
    if found(given_arguments, SCHEMA):
        return
    partly = {name: ANY if index in hidden else value for index, (name, value) in enumerate(given_arguments.items())}
    assert found(partly, SCHEMA) == []
