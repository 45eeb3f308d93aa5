"""Parameters: sound declarations, and the values of a run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_parameter, a_run

from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.planning.workflows import parameters

DECLARED = (
    a_parameter("topic", {"type": "string", "minLength": 1}),
    a_parameter("depth", {"type": "integer", "maximum": 5}, default=1),
    a_parameter("options", {"type": "object", "properties": {"tags": {"items": {"enum": ["a", "b"]}}}}, default={}),
    a_parameter("anything", default=None),
)


def messages(found: tuple[Any, ...]) -> list[str]:
    return [str(mistake) for mistake in found]


def test_values_are_those_given_and_defaults_for_the_others() -> None:
    resolved = parameters.resolve(DECLARED, {"depth": 3, "topic": "cats"}, "spec.parameters")
    assert resolved == parameters.Resolved({"topic": "cats", "depth": 3, "options": {}, "anything": None}, ())
    assert list(resolved.values) == ["topic", "depth", "options", "anything"]


@pytest.mark.parametrize(
    ("given_values", "expected"),
    [
        pytest.param({}, ["spec.parameters.topic: it is missing, and has no default: give it a value"], id="missing"),
        pytest.param(
            {"topic": "x", "dept": 1},
            ['spec.parameters.dept: unknown parameter "dept"; did you mean "depth"?'],
            id="misspelt",
        ),
        pytest.param(
            {"topic": "x", "zzz": 1},
            ['spec.parameters.zzz: unknown parameter "zzz"; the workflow has anything, depth, options, topic'],
            id="unknown",
        ),
        pytest.param(
            {"topic": "x", "depth": "x"}, ['spec.parameters.depth: "x" is not of type "integer"'], id="wrong type"
        ),
        pytest.param(
            {"topic": "x", "depth": 9}, ["spec.parameters.depth: 9 is greater than the maximum of 5"], id="out of range"
        ),
        pytest.param(
            {"topic": "x", "options": {"tags": ["a", "c"]}},
            ['spec.parameters.options.tags[1]: "c" is not one of "a" or "b"'],
            id="wrong inside",
        ),
        pytest.param(
            {"depth": "x", "tpic": 1},
            [
                'spec.parameters.tpic: unknown parameter "tpic"; did you mean "topic"?',
                "spec.parameters.topic: it is missing, and has no default: give it a value",
                'spec.parameters.depth: "x" is not of type "integer"',
            ],
            id="all at once",
        ),
        pytest.param(
            {"topic": "x", "depth": "long " * 100},
            ['spec.parameters.depth: "' + ("long " * 100)[:78] + '… is not of type "integer"'],
            id="a long value is cut",
        ),
    ],
)
def test_a_mistake_in_the_values_names_the_field_and_what_would_fit(
    given_values: dict[str, Any], expected: list[str]
) -> None:
    assert messages(parameters.resolve(DECLARED, given_values, "spec.parameters").mistakes) == expected


def test_a_choice_of_types_is_told_as_such() -> None:
    optional = (a_parameter("n", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),)
    found = parameters.resolve(optional, {"n": "x"}, "spec.parameters").mistakes
    assert messages(found) == ['spec.parameters.n: "x" is not of type "integer" or "null"']


def test_a_value_that_is_nested_too_deeply_is_a_mistake() -> None:
    deep: Any = 1
    for _ in range(20_000):
        deep = [deep]
    found = parameters.resolve((a_parameter("x"),), {"x": deep}, "spec.parameters").mistakes
    assert messages(found) == ["spec.parameters.x: it has more than 100 levels of lists and objects"]


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        pytest.param(a_parameter(), "", id="no schema at all"),
        pytest.param(a_parameter(schema={"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}), "", id="own $defs"),
        pytest.param(a_parameter(schema={"type": ["string", "null"]}, default=None), "", id="null as a default"),
        pytest.param(
            a_parameter(schema={"type": "intger"}),
            'spec.parameters[0].schema: it is not a JSON Schema that can be used: type: "intger" is not valid',
            id="an unknown type",
        ),
        pytest.param(
            a_parameter(schema={"properties": {"a": {"minimum": "1"}}}),
            "spec.parameters[0].schema: it is not a JSON Schema that can be used: properties.a.minimum: "
            '"1" is not of type "number"',
            id="a wrong keyword inside",
        ),
        pytest.param(
            a_parameter(schema={"pattern": "("}),
            'spec.parameters[0].schema: it is not a JSON Schema that can be used: pattern: "(" is not a "regex"',
            id="a broken pattern",
        ),
        pytest.param(
            a_parameter(schema={"$ref": "https://schemas.invalid/topic"}),
            "spec.parameters[0].schema: it is not a JSON Schema that can be used: Resource "
            "'https://schemas.invalid/topic' is another document, and nothing is fetched",
            id="a reference to the network",
        ),
        pytest.param(
            a_parameter(schema={"$ref": "file:///etc/passwd"}),
            "spec.parameters[0].schema: it is not a JSON Schema that can be used: Resource 'file:///etc/passwd' is "
            "another document, and nothing is fetched",
            id="a reference to a file",
        ),
        pytest.param(
            a_parameter(schema={"$schema": "https://schemas.invalid/meta"}),
            "spec.parameters[0].schema: it is not a JSON Schema that can be used: Unknown meta-schema",
            id="an unknown dialect",
        ),
        pytest.param(
            a_parameter(schema={"$ref": "#/$defs/a"}),
            "spec.parameters[0].schema: it is not a JSON Schema that can be used: Pointer '/$defs/a' does not exist",
            id="a reference to nothing",
        ),
        pytest.param(
            a_parameter(schema={"type": "integer"}, default="x"),
            'spec.parameters[0].default: "x" is not of type "integer"',
            id="a default that does not fit",
        ),
        pytest.param(
            a_parameter(schema={"format": "date"}, default="tomorrow"),
            'spec.parameters[0].default: "tomorrow" is not a "date"',
            id="a default of another format",
        ),
    ],
)
def test_a_declaration_is_checked_before_any_run(parameter: Parameter, expected: str) -> None:
    found = messages(parameters.check_declarations((parameter,), "spec.parameters"))
    assert len(found) == (1 if expected else 0)
    assert "".join(found).startswith(expected)


def test_a_pattern_that_tries_forever_is_cut_short() -> None:
    slow = (a_parameter("x", {"pattern": r"^(a+)+\1$"}),)
    assert parameters.resolve(slow, {"x": "a" * 60 + "b"}, "spec.parameters").mistakes


@given(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text() | st.lists(st.floats())))
def test_whatever_a_run_gives_it_gets_values_or_mistakes(given_values: dict[str, Any]) -> None:
    resolved = parameters.resolve(DECLARED, given_values, "spec.parameters")
    assert resolved.mistakes or resolved.values.keys() == {parameter.name for parameter in DECLARED}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        pytest.param({"type": "string"}, "moths\n", "moths", id="text without the line end of a file"),
        pytest.param(None, "7", "7", id="without a type it is text"),
        pytest.param({"type": ["string", "null"]}, "null", "null", id="text where text is allowed"),
        pytest.param({"type": "array"}, "[40, 2]", [40, 2], id="a list"),
        pytest.param({"type": "integer"}, "7\n", 7, id="a number"),
    ],
)
def test_a_text_from_elsewhere_is_read_by_the_parameter_s_type(schema: Any, text: str, value: Any) -> None:
    assert parameters.from_text(a_parameter(schema=schema), text) == value


def test_a_text_that_is_no_json_is_told_by_its_place_and_not_quoted() -> None:
    with pytest.raises(
        parameters.NotReadable, match=r"must be JSON of type object, .* \(line 1, character 2\)"
    ) as told:
        parameters.from_text(a_parameter(schema={"type": "object"}), "{s3cr3t")
    assert "s3cr3t" not in str(told.value)


def test_a_fault_of_a_sensitive_value_is_told_without_the_value() -> None:
    declared = (a_parameter("key", {"type": "string", "minLength": 20}, sensitive=True),)
    (mistake,) = parameters.resolve(declared, {"key": "s3cr3t"}, "spec.parameters").mistakes
    assert mistake.path == "spec.parameters.key"
    assert "20 characters" in mistake.message
    assert "s3cr3t" not in mistake.message


SECRET = {"secret_key_ref": {"name": "keys", "key": "api"}}
CONFIG = {"config_map_key_ref": {"name": "settings", "key": "topic"}}


@pytest.mark.parametrize(
    ("given", "sources", "text", "words"),
    [
        pytest.param({}, [{"name": "topic", **CONFIG}], "moths", "", id="all is well"),
        pytest.param({}, [{"name": "topic", **CONFIG}], None, "", id="what is not there may come"),
        pytest.param(
            {"topic": "x"}, [{"name": "topic", **CONFIG}], "moths",
            'spec.parametersFrom[0]: "topic" stands in spec.parameters too', id="twice",
        ),
        pytest.param(
            {"topic": "x"}, [{"name": "topci", **CONFIG}], "moths",
            'unknown parameter "topci"; did you mean "topic"?', id="unknown",
        ),
        pytest.param(
            {}, [{"name": "topic", **SECRET}], "", 'declare the parameter with sensitive: true', id="an open secret"
        ),
        pytest.param(
            {}, [{"name": "topic", **CONFIG}], "", "(ConfigMap settings, key topic): \"\" is shorter than 1",
            id="a value that does not fit",
        ),
        pytest.param({}, [], "", "spec.parameters.topic: it is missing", id="missing"),
    ],
)  # fmt: skip
def test_what_a_run_gives_is_checked_as_far_as_it_may_be_known(
    given: Any, sources: Any, text: str | None, words: str
) -> None:
    declared = (a_parameter("topic", {"type": "string", "minLength": 1}),)
    spec = a_run(parameters=given, parameters_from=sources).spec
    found = parameters.check_given(spec, declared, {("settings", "topic"): text})
    assert words in "; ".join(map(str, found)) if words else found == ()
