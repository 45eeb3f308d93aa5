"""Expressions: what they read, what they come to, and how their mistakes read."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_orchestrator.planning import expressions
from mcp_orchestrator.planning.cel import cost, engine
from mcp_orchestrator.planning.expressions import ExpressionFailed, References, Scope

NOW = {"timezone": "UTC", "datetime": "2026-01-02T03:04:05+00:00", "items": [1, {"a": None}], "size": 2.0}
PARAMS = {
    "topic": "cats",
    "depth": 3,
    "tricky": "${{ params.depth }}",
    "huge": 2**70,
    "not_a_number": float("nan"),
}
TASKS = {
    "now": {"result": NOW},
    "my-task": {"result": "words"},
    "bad": {"result": {"text": "\ud800", "ok": 1}},
    "nul": {"result": "a\0b"},
    "lost": {"phase": "Failed", "failed": True, "error": {"class": "Tool", "message": "no"}},
}
SCOPE = Scope({"params": PARAMS, "tasks": TASKS})

# cel-cpp takes text that Unicode allows only, and no U+0000.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "é", "_"]) | texts, inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("${{ params.depth }}", 3, id="a lone expression keeps its type"),
        pytest.param("${{params.depth}}", 3, id="white space is optional"),
        pytest.param("${{ params.depth }}\n", 3, id="the line end of a YAML block does not make it a text"),
        pytest.param("${{ params.depth }} ", "3 ", id="any other white space does"),
        pytest.param("about ${{ params.topic }}: ${{ params.depth }}", "about cats: 3", id="text is filled in"),
        pytest.param("${{ tasks.now.result.items }}!", '[1,{"a":null}]!', id="other values in a text are JSON"),
        pytest.param("${{ tasks['my-task'].result }}", "words", id="names in brackets"),
        pytest.param("${{ tasks.now.result.items[1].a }}", None, id="null is a value"),
        pytest.param("${{ tasks.now.result }}", NOW, id="a whole result"),
        pytest.param("${{ params.huge }}", 2**70, id="a number that CEL could not hold, untouched"),
        pytest.param("${{ params.depth * 2 + 1 }}", 7, id="arithmetic"),
        pytest.param("${{ params.topic + ' and dogs' }}", "cats and dogs", id="joining text"),
        pytest.param("${{ 'a,b'.split(',').map(x, x.upperAscii()) }}", ["A", "B"], id="macros and string functions"),
        pytest.param("${{ has(tasks.now.result.zone) ? 'there' : 'gone' }}", "gone", id="asking before reading"),
        pytest.param("${{ {'b': {'a': '}}'}} }}", {"b": {"a": "}}"}}, id="braces inside do not end it"),
        pytest.param("${{ 'a' // }} a comment\n }}", "a", id="nor does a comment"),
        pytest.param("${{ r'\\d}}' + \"'}}\" + '''a'b}}''' }}", "\\d}}'}}a'b}}", id="nor does any kind of quote"),
        pytest.param("$${{ params.depth }}", "${{ params.depth }}", id="an escaped opening is text"),
        pytest.param("costs $5 $ { {", "costs $5 $ { {", id="other dollars and braces are text"),
        pytest.param("${{ b'abc' }}", "YWJj", id="bytes become base64"),
        pytest.param("${{ timestamp('2026-01-02T03:04:05+02:00') }}", "2026-01-02T01:04:05Z", id="timestamps RFC 3339"),
        pytest.param("${{ duration('1h') }}", "3600s", id="durations seconds"),
        pytest.param("${{ duration('-1.5s') }}", "-1.5s", id="with fractions and signs"),
        pytest.param("${{ 2u }}", 2, id="unsigned numbers are numbers"),
        pytest.param("${{ tasks.nul.result }}", "a\0b", id="any character"),
        pytest.param("${{ tasks.bad.result.ok }}", 1, id="what is broken beside it does not matter"),
        pytest.param(
            {"a": ["${{ params.depth }}", {"b": "${{ params.topic }}"}, 1, None, True]},
            {"a": [3, {"b": "cats"}, 1, None, True]},
            id="lists and objects are walked",
        ),
        pytest.param({"${{ params.topic }}": 1}, {"${{ params.topic }}": 1}, id="keys are text"),
    ],
)
def test_expressions_are_replaced_by_what_they_come_to(value: Any, expected: Any) -> None:
    found = expressions.evaluate(value, SCOPE)
    assert found == expected
    assert type(found) is type(expected)


def test_values_are_data_and_never_read_as_expressions() -> None:
    tricky = "${{ params.depth }}"
    assert expressions.evaluate("${{ params.tricky }}", SCOPE) == tricky
    assert expressions.evaluate("<${{ params.tricky }}>", SCOPE) == f"<{tricky}>"
    assert expressions.evaluate("${{ '<' + params.tricky + '>' }}", SCOPE) == f"<{tricky}>"


def test_an_object_made_by_an_expression_has_its_keys_in_order() -> None:
    assert list(expressions.evaluate("${{ {'c': 1, 'a': 2, 'b': 3} }}", SCOPE)) == ["a", "b", "c"]


def test_an_object_that_is_passed_on_keeps_the_order_of_its_keys() -> None:
    assert list(expressions.evaluate("${{ tasks.now.result }}", SCOPE)) == list(NOW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "tasks.now.result.timezon",
            "tasks.now.result.timezon: no such key; the result has datetime, items, size, timezone",
            id="a key that the result does not have",
        ),
        pytest.param(
            "'in ' + tasks.now.result.timezon",
            "tasks.now.result.timezon: no such key; the result has datetime, items, size, timezone",
            id="the same inside a longer expression",
        ),
        pytest.param(
            "tasks['my-task'].result.x + 1",
            'tasks["my-task"].result.x: no such key; the result is a string',
            id="a key of something that has none",
        ),
        pytest.param(
            "tasks.now.result.items[2]",
            "tasks.now.result.items[2]: no such item; tasks.now.result.items is a list of 2",
            id="an item behind the end",
        ),
        pytest.param("params.dept", "params.dept: no such parameter; there are", id="a parameter that is not there"),
        pytest.param("tasks.later.result", "tasks.later: no such task; there are", id="a task without result"),
        pytest.param("1 / 0", "1 / 0: divide by zero", id="arithmetic"),
        pytest.param("params.topic + 1", 'params.topic + 1: "+" does not take (string, int)', id="types"),
        pytest.param("1.0 / 0.0", "1.0 / 0.0: the value is inf, which JSON has no form for", id="infinity"),
        pytest.param("params.not_a_number", "params.not_a_number: the value is nan", id="a number that is none"),
        pytest.param("{1: 2}", "{1: 2}: the value has keys that are not strings", id="keys that are not text"),
        pytest.param("type(1)", "type(1): the value is a type", id="a value that is not data"),
        pytest.param("params.huge + 1", "params.huge: the value has a number beyond 64 bits in it", id="size"),
        pytest.param(
            "tasks.bad.result", "tasks.bad.result: the value has text that is not valid Unicode", id="Unicode"
        ),
        pytest.param(
            "tasks.nul.result + '!'",
            "tasks.nul.result: the value has the character U+0000 in it, which CEL can't take",
            id="a character at which CEL would cut",
        ),
        pytest.param(
            "params", 'params: "params" must be followed by the name of a parameter', id="all parameters at once"
        ),
        pytest.param("parms.x", 'parms.x: "parms" is unknown; did you mean "params"?', id="an unknown name"),
        pytest.param("", "${{ }}: the expression is empty", id="nothing"),
    ],
)
def test_a_failure_names_the_expression_and_what_there_is_instead(text: str, message: str) -> None:
    with pytest.raises(ExpressionFailed) as failed:
        expressions.evaluate(f"${{{{ {text} }}}}", SCOPE)
    assert str(failed.value).startswith(message)


def test_what_an_expression_does_is_bounded() -> None:
    many = Scope(
        {
            "params": {"many": list(range(cost.MAX_STEPS + 1)), "long": "x" * (expressions.MAX_TEXT // 2)},
            "tasks": {},
        }
    )
    with pytest.raises(ExpressionFailed, match="more than 10000 items"):
        expressions.evaluate("${{ params.many.all(x, x >= 0) }}", many)
    with pytest.raises(ExpressionFailed, match=f"{engine.MAX_EXPRESSION} is the most"):
        expressions.evaluate("${{ " + "1+" * engine.MAX_EXPRESSION + "1 }}", many)
    with pytest.raises(ExpressionFailed, match="more than 4 MiB"):
        expressions.evaluate("${{ params.long }} ${{ params.long }}", many)


def test_values_nested_too_deeply_are_refused_before_they_overflow_a_stack() -> None:
    deep: Any = "x"
    for _ in range(20_000):
        deep = [deep]
    scope = Scope({"params": {"deep": deep}, "tasks": {}})
    for value in (deep, "${{ params.deep }}", "${{ size(params.deep) }}"):
        with pytest.raises(ExpressionFailed, match="more than 100 levels"):
            expressions.evaluate(value, scope)
    assert "more than 100 levels" in str(expressions.check(deep, "spec", parameters=(), tasks=())[0])
    assert expressions.references(deep) == References((), ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(
            "${{ params.a + params['b'] + params.`c` }}", (("a", "b", "c"), ()), id="every way to write a name"
        ),
        pytest.param(
            ["${{ tasks.x.result }}", {"k": "a ${{ params.p }}"}], (("p",), ("x",)), id="in lists and objects"
        ),
        pytest.param("${{ 'tasks.x.result' + \"params.y\" }}", ((), ()), id="not inside quotes"),
        pytest.param("${{ 1 // tasks.x\n }}", ((), ()), id="not inside comments"),
        pytest.param("$${{ tasks.x.result }}", ((), ()), id="not where escaped"),
        pytest.param("${{ [1].map(tasks, [tasks, params.p]) }}", (("p",), ()), id="not a macro's own variable"),
        pytest.param("${{ tasks.x.result.map(tasks, tasks.y) }}", ((), ("x",)), id="a variable only inside its macro"),
        pytest.param("${{ has(tasks.x.result.y) && has(params.p) }}", (("p",), ("x",)), id="in has()"),
        pytest.param("${{ tasks.x.result.params.y }}", ((), ("x",)), id="keys of the same name are not names"),
        pytest.param("${{ {tasks.x.result: [params.p ? 1 : 2]}.size() }}", (("p",), ("x",)), id="anywhere in the tree"),
        pytest.param("${{ tasks.x. }} ${{ tasks.y.result", ((), ()), id="none in what can't be read"),
    ],
)
def test_references_are_the_names_that_are_really_read(
    value: Any, expected: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    found = expressions.references(value)
    assert (found.parameters, found.tasks) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("${{ params.topci }}", ['spec: unknown parameter "topci"; did you mean "topic"?'], id="parameter"),
        pytest.param("${{ params.zzz }}", ['spec: unknown parameter "zzz"; there are depth, topic'], id="no near one"),
        pytest.param("${{ tasks.nwo.result }}", ['spec: unknown task "nwo"; did you mean "now"?'], id="task"),
        pytest.param(
            "${{ tasks.now.results }}",
            ['spec: tasks.now.results: a task has no "results"; did you mean "result"?'],
            id="key of a task",
        ),
        pytest.param(
            "${{ tasks.my-task.result }}",
            ['spec: "task" is unknown; a name with "-" is written tasks["my-task"] (character 14)'],
            id="a name with a dash",
        ),
        pytest.param(
            "${{ params[params.topic] }}",
            ['spec: "params" must be followed by the name of a parameter: params.NAME or params["NAME"]'],
            id="a name that is worked out",
        ),
        pytest.param(
            "${{ siz(1) }}", ['spec: there is no function "siz"; did you mean "size"? (character 5)'], id="call"
        ),
        pytest.param("${{ 1.size(2) }}", ['spec: "size" does not take these arguments (character 7)'], id="wrong use"),
        pytest.param("${{ 1 + }}", ["spec: the expression ends too early (character 8)"], id="syntax"),
        pytest.param(
            "two\n lines ${{ 'é' + ) }}", ['spec: unexpected ")" (line 2, character 18)'], id="place in several lines"
        ),
        pytest.param(
            "a ${{ b",
            ['spec: "${{" has no "}}" (character 3); close it, or write "$${{" for the characters "${{"'],
            id="unclosed braces",
        ),
        pytest.param(
            "${{ 'b }}",
            ['spec: \' is not closed (character 5); close it, or write "$${{" for the characters "${{"'],
            id="unclosed quote",
        ),
        pytest.param(
            "${{ " + "(" * 99 + " }}",
            ["spec: the expression is nested too deeply; split it over several tasks (character 5)"],
            id="depth",
        ),
        pytest.param("${{ '\ud800' }}", ["spec: the expression is not valid Unicode (character 5)"], id="Unicode"),
        pytest.param(
            {"a": [{"b-c": "${{ params.x }}"}, "${{ params.y }}"]},
            [
                'spec.a[1]: unknown parameter "y"; there are depth, topic',
                'spec.a[0].b-c: unknown parameter "x"; there are depth, topic',
            ],
            id="with the path inside, all of them",
        ),
        pytest.param({"a": "${{ tasks.now.result.anything + params.topic }}"}, [], id="nothing where all is well"),
    ],
)
def test_mistakes_are_found_before_the_run_and_say_what_to_write(value: Any, expected: list[str]) -> None:
    found = expressions.check(value, "spec", parameters=["topic", "depth"], tasks=["now", "my-task"])
    assert [str(mistake) for mistake in found] == expected


@given(st.text(st.characters() | st.sampled_from("${}'")))
@example("$${{ a }}")
@example("$$${{")
def test_literal_text_comes_out_as_it_went_in_once_escaped(text: str) -> None:
    escaped = text.replace("${{", "$${{")
    assert expressions.evaluate(escaped, Scope({"params": {}, "tasks": {}})) == text
    assert expressions.check(escaped, "spec", parameters=(), tasks=()) == ()


FRAGMENTS = r"""
params tasks now result topic . . [ ] ( ) { } ' " ''' ` // , : ? + - * / % ! && || == < in 1 2u 1.5 -1 null true
b'x' r'\' map( filter( has( size( string( int( type( timestamp( duration( '1s' x 'a' [1,2] {'a':1} é \ }} ${{ $${{
"""
fragments = st.sampled_from([*FRAGMENTS.split(), "\n"]) | st.text(max_size=3)


@given(st.lists(fragments, max_size=14).map(" ".join), json_values)
def test_nothing_but_expression_failed_ever_comes_out_of_a_strange_expression(text: str, value: Any) -> None:
    scope = Scope({"params": {"topic": value}, "tasks": {"now": {"result": value}}})
    for template in (f"${{{{ {text} }}}}", f"x ${{{{ {text} }}}} y", text):
        expressions.references(template)
        expressions.check(template, "spec", parameters=["topic"], tasks=["now"])
        with contextlib.suppress(ExpressionFailed):
            found = expressions.evaluate(template, scope)
            assert json.loads(json.dumps(found, allow_nan=False)) == found


@settings(deadline=None)
@given(json_values)
def test_a_value_is_the_same_whether_followed_by_us_or_evaluated_by_cel(value: Any) -> None:
    scope = Scope({"params": {"x": value}, "tasks": {}})
    expected = json.dumps(value, sort_keys=True)
    assert json.dumps(expressions.evaluate("${{ params.x }}", scope), sort_keys=True) == expected
    assert json.dumps(expressions.evaluate("${{ [params.x][0] }}", scope), sort_keys=True) == expected


@settings(deadline=None)
@given(json_values, st.lists(st.sampled_from(["a", "b", "é", "_", 0, 1]), max_size=3))
def test_a_path_leads_to_the_same_value_or_failure_as_in_cel(value: Any, keys: list[str | int]) -> None:
    scope = Scope({"params": {"x": value}, "tasks": {}})
    path = "params.x" + "".join(f"[{json.dumps(key, ensure_ascii=False)}]" for key in keys)

    def outcome(text: str) -> Any:
        try:
            return expressions.evaluate(text, scope)
        except ExpressionFailed:
            return ExpressionFailed

    assert outcome(f"${{{{ {path} }}}}") == outcome(f"${{{{ true ? {path} : null }}}}")
