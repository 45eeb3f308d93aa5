"""Expressions in their places: which variables they read there, what they need of tasks, and conditions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcp_orchestrator.planning import expressions
from mcp_orchestrator.planning.cel import engine, paths
from mcp_orchestrator.planning.expressions import Absent, ExpressionFailed, Scope, Use, scope

ITEM_ROOTS = ("params", "tasks", "question", "key", "index")
SCOPE = Scope(
    {
        "params": {"depth": 2, "on": True, "secret": "tick"},
        "tasks": {
            "a": {"result": {"n": 1, "list": [{"id": "x"}], "nothing": None}, "text": "hello", "phase": "Succeeded"},
            "lost": {"phase": "Failed", "failed": True, "error": {"class": "Tool", "message": "no"}},
        },
        "question": {"id": 7, "words": ["a", "b"]},
        "key": "q1",
        "index": 3,
        "attempt": 2,
        "error": {"class": "Busy", "message": "later"},
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("question.id + index", 10, id="the item of a forEach task"),
        pytest.param("question", {"id": 7, "words": ["a", "b"]}, id="a whole item"),
        pytest.param("key + '!'", "q1!", id="its key"),
        pytest.param("index", 3, id="its index"),
        pytest.param("error.class", "Busy", id="the error of an attempt, without a word that CEL keeps for itself"),
        pytest.param("attempt < 3 ? error.message : ''", "later", id="in a longer expression"),
        pytest.param("tasks.lost.phase", "Failed", id="how a task ended"),
        pytest.param("tasks.lost.failed && !has(tasks.lost.result)", True, id="which has no result"),
        pytest.param("tasks.lost.?result.n.orValue(5)", 5, id="instead of a result that is not there"),
        pytest.param("tasks.a.?result.n.orValue(5)", 1, id="and where it is"),
        pytest.param("tasks.a.result[?'zzz'].orValue('none')", "none", id="instead of a key"),
        pytest.param("has(tasks.a.result.nothing) && tasks.a.result.nothing == null", True, id="null is there"),
        pytest.param("has(tasks.a.result.list) && tasks.a.result.list[0].id == 'x'", True, id="asked for and read"),
    ],
)
def test_each_place_has_its_variables(text: str, expected: Any) -> None:
    assert expressions.compute(text, SCOPE) == expected
    assert expressions.evaluate(f"${{{{ {text} }}}}", SCOPE) == expected


class _Lazy(dict[str, Any]):
    def __init__(self, *fields: str) -> None:
        super().__init__(dict.fromkeys(fields))
        self.read: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.read.append(key)
        return {"big": [1] * 1000, "small": 1}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("tasks.a.text", ["text"], id="a path"),
        pytest.param("[tasks.a.result.small]", ["result"], id="an expression"),
        pytest.param("has(tasks.a.result) ? 1 : tasks.a.text.small", ["result", "text"], id="both sides of a choice"),
        pytest.param("'tasks.a.result'", [], id="none"),
    ],
)
def test_only_what_an_expression_names_is_asked_for(text: str, read: list[str]) -> None:
    task = _Lazy("result", "text")
    expressions.compute(text, Scope({"tasks": {"a": task}}))
    assert task.read == read


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        pytest.param("tasks.a.result.x", [Use("a", "result", False)], id="a result is needed"),
        pytest.param("tasks.a.failed", [Use("a", "failed", False)], id="an outcome is only waited for"),
        pytest.param("has(tasks.a.result)", [Use("a", "result", True)], id="asking whether it is there"),
        pytest.param(
            "has(tasks.a.text) ? tasks.a.result.x : tasks.b.result",
            [Use("a", "text", True), Use("a", "result", True), Use("b", "result", False)],
            id="and so for all of that task in the expression, but of no other",
        ),
        pytest.param("tasks.a.?result.x.orValue(1)", [Use("a", "result", True)], id="an optional result"),
        pytest.param("tasks[?'a'].result.orValue(1)", [Use("a", "result", True)], id="an optional task"),
        pytest.param("tasks.a.result.?x.orValue(1)", [Use("a", "result", False)], id="an optional key of a result"),
        pytest.param("has(tasks.a.result.x)", [Use("a", "result", False)], id="asking for a key of a result"),
        pytest.param(
            "has(tasks.a.error) || tasks.a.result",
            [Use("a", "error", False), Use("a", "result", False)],
            id="asking for an outcome says nothing of the result",
        ),
        pytest.param("tasks.a", [Use("a", None, False)], id="no key at all"),
        pytest.param("tasks[params.x].result", [], id="a name that is worked out is a mistake"),
    ],
)
def test_references_tell_a_result_that_is_needed_from_an_outcome_that_is_waited_for(text: str, uses: list[Use]) -> None:
    found = expressions.condition_references(text)
    assert list(found.uses) == uses
    assert expressions.references({"x": f"${{{{ {text} }}}}"}) == found


def test_only_a_use_of_content_that_no_one_tested_needs_a_success() -> None:
    needing = [use.key for use in expressions.condition_references(" || ".join(
        f"tasks.a.{key}" for key in (*expressions.TASK_CONTENT, *expressions.TASK_OUTCOME)
    )).uses if use.needs_success]  # fmt: skip
    assert tuple(needing) == expressions.TASK_CONTENT
    assert not Use("a", "result", True).needs_success


def test_a_test_in_one_expression_says_nothing_of_another() -> None:
    found = expressions.references(["${{ has(tasks.a.result) }}", "${{ tasks.a.result }}"])
    assert set(found.uses) == {Use("a", "result", True), Use("a", "result", False)}


def test_references_name_the_variables_that_are_read() -> None:
    found = expressions.references({"a": "${{ question.id }} ${{ params.x }}", "b": "${{ index + 1 }}"}, ITEM_ROOTS)
    assert found.roots == ("index", "params", "question")
    assert expressions.references("${{ question.id }}").roots == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("params.depth > 1", True, id="a comparison"),
        pytest.param("${{ params.depth > 2 }}", False, id="with braces around it"),
        pytest.param("\n  params.on\n", True, id="with white space"),
    ],
)
def test_a_condition_is_true_or_false(text: str, expected: bool) -> None:
    assert expressions.test(text, SCOPE) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "params.secret",
            'params.secret: the value is a string, and a condition must be true or false: compare it, as in … == "yes"',
            id="a string, whose value is not told",
        ),
        pytest.param("params.depth", "params.depth: the value is a number", id="a number"),
        pytest.param("[params.on]", "[params.on]: the value is a list", id="a list"),
        pytest.param("tasks.a.result.nothing", "tasks.a.result.nothing: the value is null", id="null"),
        pytest.param("", "${{ }}: the expression is empty", id="nothing"),
        pytest.param("a ${{ params.on }}", 'a ${{ params.on }}: unexpected "$"', id="a text with an expression in it"),
    ],
)
def test_a_condition_of_another_type_fails(text: str, message: str) -> None:
    with pytest.raises(ExpressionFailed) as failed:
        expressions.test(text, SCOPE)
    assert str(failed.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        pytest.param(
            "tasks.lost.result.n", "lost", "tasks.lost.result: the task has no result, its phase is Failed", id="failed"
        ),
        pytest.param(
            "1 + tasks.lost.result.n", "lost", "tasks.lost.result: the task has no result, its", id="worked out"
        ),
        pytest.param("tasks.a.structured", "a", "tasks.a.structured: the task has no structured", id="not answered"),
        pytest.param("tasks.zzz.result", "zzz", "tasks.zzz: no such task; there are a, lost", id="no task"),
        pytest.param("tasks.a.result.zzz", None, "tasks.a.result.zzz: no such key; the result has", id="a key inside"),
        pytest.param("tasks.a.error", None, "tasks.a.error: no such key; tasks.a has phase, result", id="an outcome"),
        pytest.param("question.zzz", None, "question.zzz: no such key; question has id, words", id="a variable's key"),
    ],
)
def test_what_is_absent_is_told_apart_and_names_the_task_without_result(
    text: str, task: str | None, message: str
) -> None:
    with pytest.raises(Absent) as absent:
        expressions.compute(text, SCOPE)
    assert absent.value.task == task
    assert str(absent.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        pytest.param("params.on", {}, [], id="all is well"),
        pytest.param("params.depth > 1", {}, [], id="a boolean"),
        pytest.param("${{ params.on }}", {}, [], id="braces around it"),
        pytest.param("'a' + key", {}, ["this is always of type string, and must be a bool"], id="never a boolean"),
        pytest.param("1 < 2", {"type": "string"}, ["this is always of type bool, and must be a string"], id="a key"),
        pytest.param("question.id", {"type": "string"}, [], id="a key that may be right"),
        pytest.param("index", {"type": "any"}, [], id="any type"),
        pytest.param("params.zzz", {}, ['unknown parameter "zzz"; there are depth, on'], id="parameter"),
        pytest.param("tasks.b.failed", {}, ['unknown task "b"; there are a'], id="task"),
        pytest.param("tasks.a.faild", {}, ['tasks.a.faild: a task has no "faild"; did you mean "failed"?'], id="key"),
        pytest.param(
            "tasks.a", {}, ['"tasks.a" must be followed by what is read of the task, such as tasks.a.result'], id="bare"
        ),
        pytest.param("run.ok", {"roots": ("run",)}, ['run.ok: "run" has no "ok"; there are failed,'], id="of run"),
        pytest.param(
            "error.clas == 'a'", {"roots": ("error",)}, ['error.clas: "error" has no "clas"; did'], id="error"
        ),
        pytest.param(
            "params.on",
            {"roots": ("tasks",)},
            ['"params" is unknown; this expression reads tasks.NAME.result (character 1)'],
            id="a variable that is not for this place",
        ),
        pytest.param("tasks.a.?text", {"type": "any"}, ["the value may be absent, which JSON"], id="optional"),
        pytest.param(" ${{ 1 + }} ", {}, ["the expression ends too early (character 9)"], id="syntax"),
        pytest.param("type(index) == int", {}, [], id="names of types"),
    ],
)
def test_mistakes_in_conditions_are_found_before_the_run(
    text: str, options: dict[str, Any], expected: list[str]
) -> None:
    options = {"roots": ITEM_ROOTS, **options}
    found = expressions.check_condition(text, "spec.when", parameters=["on", "depth"], tasks=["a"], **options)
    assert len(found) == len(expected)
    for mistake, message in zip(found, expected, strict=True):
        assert str(mistake).startswith(f"spec.when: {message}")


steps = st.sampled_from(
    [
        ".a",
        ".class",
        ".in",
        ".as",
        ".b_1",
        '["k"]',
        "['']",
        "[0]",
        "[12]",
        "[01]",
        "[-1]",
        '["\\n"]',
        '["é"]',
        " .x",
        "[1u]",
    ]
)


@given(st.sampled_from(["params", "question", "key", "index", "in", "type", "zzz"]), st.lists(steps, max_size=4))
@example("question", ['["a\'b"]'])
@example("question", [".true"])
def test_a_path_that_is_plain_to_see_is_what_cel_makes_of_it(root: str, following: list[str]) -> None:
    text = root + "".join(following)
    seen = engine.compile(text, ITEM_ROOTS)
    compiled = engine.compile(f"({text})", ITEM_ROOTS)
    assert isinstance(seen, engine.Program) == isinstance(compiled, engine.Program)
    if isinstance(seen, engine.Program) and isinstance(compiled, engine.Program):
        assert seen.tree == compiled.tree
        assert seen.type == compiled.type
    if (path := paths.parse(text)) and path.root in ITEM_ROOTS and isinstance(compiled, engine.Program):
        assert path == compiled.tree.whole


@pytest.mark.parametrize("name", sorted({*engine.NAMES, "tasks", "index", "item", "question", "math", "size", "i"}))
def test_an_item_can_have_every_name_that_leaves_the_others_readable(name: str) -> None:
    program = engine.compile(f"{name} == 1 && params.x == tasks.a.result && size('') == index", (*ITEM_ROOTS, name))
    usable = isinstance(program, engine.Program) and name not in scope.VARIABLES
    assert (expressions.variable_fault(name) == "") == usable
