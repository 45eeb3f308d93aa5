"""mcp-orchestrator validate: what is found, where, how it is told, and how the program ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import ROOT
from tests.objects import a_run, a_server, a_task, a_template, an_object
from tests.unit.client import program

from mcp_orchestrator.client import findings, sources, validate
from mcp_orchestrator.client.findings import Finding, Severity

Json = dict[str, Any]


def written(directory: Path, *objects: Json, name: str = "all.yaml") -> Path:
    """The objects in a file."""
    file = directory / name
    file.write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return file


def found(*files: Path, strict: bool = False) -> tuple[Finding, ...]:
    """What is found in the files."""
    return validate.check(sources.read(map(str, files)), strict=strict).findings


def a_nesting_task(template: str = "clock", **parameters: Any) -> Json:
    """A task that runs another workflow."""
    return {"name": "inner", "template": {"name": template}, "parameters": parameters}


ZONE = {"name": "zone", "schema": {"type": "string"}}
CLOCK = a_template(parameters=[ZONE])


@pytest.mark.parametrize(
    ("objects", "path", "words", "rule"),
    [
        pytest.param(
            [a_template(tasks=[a_task(timeoutSecond=4)])],
            "spec.tasks[0].timeoutSecond", 'unknown field "timeoutSecond"; did you mean "timeoutSeconds"?',
            "UnknownField", id="a misspelt field",
        ),
        pytest.param(
            [a_template() | {"specs": {}}], "specs", 'did you mean "spec"?', "UnknownField", id="one at the top"
        ),
        pytest.param(
            [a_template(tasks=[a_task(arguments={"timezone": "${{ params.zoen }}"})], parameters=[ZONE])],
            "spec.tasks[0].arguments.timezone", 'unknown parameter "zoen"; did you mean "zone"?',
            "InvalidExpression", id="a misspelt parameter",
        ),
        pytest.param(
            [a_template(tasks=[a_task("now"), a_task("then", dependsOn=["nwo"])])],
            "spec.tasks[1].dependsOn[0]", 'unknown task "nwo"; did you mean "now"?', "InvalidGraph",
            id="a misspelt task",
        ),
        pytest.param(
            [a_template(maxParallelTasks="3")], "spec.maxParallelTasks", 'not of type "integer"', "InvalidSpec",
            id="a type",
        ),
        pytest.param(
            [a_server(stdio={"command": "x", "args": [8080]})],
            "spec.stdio.args[0]", "put it in quotes", "InvalidSpec", id="a number for a text",
        ),
        pytest.param([a_template(tasks=[])], "spec.tasks", "less than 1 item", "InvalidSpec", id="a bound"),
        pytest.param(
            [a_template(tasks=[{"server": "time", "tool": "x"}])], "spec.tasks[0]", '"name" is missing', "InvalidSpec",
            id="a missing field",
        ),
        pytest.param([an_object("MCPServer", "x", {})], "spec", "exactly one of stdio", "InvalidSpec", id="a CEL rule"),
        pytest.param(
            [a_server("9x")], "", "metadata.name becomes a DNS name", "InvalidSpec", id="a CEL rule of the whole"
        ),
        pytest.param(
            [a_server(stdio={"command": "x"}, env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])],
            "spec.env[1]", '2 items have name "A"', "InvalidSpec", id="an item twice",
        ),
        pytest.param([a_server() | {"metadata": {}}], "metadata", '"name" is missing', "InvalidSpec", id="no name"),
        pytest.param(
            [CLOCK, a_run(templateRef={"name": "clock"}, parameters={"zone": 1})],
            "spec.parameters.zone", 'not of type "string"', "InvalidParameter", id="a run's parameter",
        ),
        pytest.param(
            [CLOCK, a_run()], "spec.parameters.zone", "is missing, and has no default", "InvalidParameter",
            id="a run without a parameter",
        ),
        pytest.param(
            [CLOCK, a_template("outer", tasks=[a_nesting_task(zone="UTC", zoen=1)])],
            "spec.tasks[0].parameters.zoen", 'no parameter "zoen"; did you mean "zone"?', "InvalidParameter",
            id="a nested parameter",
        ),
        pytest.param(
            [a_run(template={"tasks": [a_task(), a_task()]})],
            "spec.template.tasks[1].name", "the name of 2 tasks", "InvalidSpec", id="an inline workflow",
        ),
        pytest.param(
            [a_template(schedules=[{"name": "a", "cron": "0 0 30 2 *"}])],
            "spec.schedules[0].cron", "never comes", "InvalidSchedule", id="a schedule that never comes",
        ),
        pytest.param(
            [a_template(schedules=[{"name": "a", "cron": "@daily", "parameters": {"zoen": 1}}])],
            "spec.schedules[0].parameters.zoen", 'unknown parameter "zoen"', "InvalidParameter",
            id="a schedule's parameter",
        ),
        pytest.param(
            [a_run(template={"tasks": [a_task()], "history": {"failed": 1}})],
            "spec.template.history", 'unknown field "history"', "UnknownField", id="an inline workflow has no history",
        ),
        pytest.param([a_template(), a_template()], "metadata.name", "stands in", "DuplicateObject", id="a name twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_once_with_its_path(
    tmp_path: Path, objects: list[Json], path: str, words: str, rule: str
) -> None:
    (finding,) = found(written(tmp_path, *objects))
    assert (finding.path, finding.rule, finding.severity) == (path, rule, Severity.ERROR)
    assert words in finding.message


def test_a_template_that_is_not_among_the_files_is_a_warning_and_an_error_when_strict(tmp_path: Path) -> None:
    outer, run = a_template("outer", tasks=[a_nesting_task("clok")]), a_run(templateRef={"name": "oter"})
    file = written(tmp_path, outer, a_template(), run)
    messages = [
        'there is no WorkflowTemplate "clok" among the files; did you mean "clock"?',
        'there is no WorkflowTemplate "oter" among the files; did you mean "outer"?',
    ]
    for strict, severity in ((False, Severity.WARNING), (True, Severity.ERROR)):
        told = found(file, strict=strict)
        assert [(one.message, one.severity) for one in told] == [(m, severity) for m in messages]


def test_a_circle_is_told_in_each_template_of_it(tmp_path: Path) -> None:
    first = written(tmp_path, a_template("one", tasks=[a_nesting_task("two")]), name="1.yaml")
    second = written(tmp_path, a_template("two", tasks=[a_nesting_task("one")]), name="2.yaml")
    told = found(first, second)
    assert {(one.file, one.path, one.rule) for one in told} == {
        (str(file), "spec.tasks[0].template.name", "InvalidGraph") for file in (first, second)
    }


def test_a_template_that_cannot_be_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    told = found(written(tmp_path, a_template(tasks=17), a_run()))
    assert [one.path for one in told] == ["spec.tasks"]


def test_the_same_name_in_another_namespace_or_directory_is_another_object(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    written(tmp_path, a_template(), a_template(namespace="other"))
    written(tmp_path / "b", a_template())
    assert found(tmp_path) == ()


def test_places_are_those_of_values_and_of_the_keys_of_unknown_fields(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "apiVersion: mcp-orchestrator.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: a}\nspec:\n  tasks:\n"
        "    - name: a\n      server: s\n      tool: t\n      arguments:\n        q: ${{ params.x }}\n      wehn: x\n"
    )
    assert [(one.line, one.column) for one in found(file)] == [(10, 12), (11, 7)]


def test_lists_are_opened_and_objects_of_others_passed_over(tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    argo = {"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate", "metadata": {"name": "x"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret, argo, a_template(tasks=[])]}
    read = sources.read([str(written(tmp_path, secret, listed))])
    assert [document.kind.name for document in read.documents] == ["WorkflowTemplate"]
    assert len(read.skipped) == 3
    assert [one.path for one in validate.check(read).findings] == ["spec.tasks"]


def test_every_rule_is_described() -> None:
    assert set(findings.DESCRIPTIONS) == set(findings.Rule)


# --- the program -----------------------------------------------------------------------------------------------------


def test_all_examples_are_good() -> None:
    ended = program.run("validate", "--strict", "examples", cwd=ROOT)
    assert (ended.returncode, ended.stderr) == (0, "")
    *lines, summary = ended.stdout.splitlines()
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "examples").rglob("*.yaml"))
    assert sorted(line.split() for line in lines) == [[file, "ok"] for file in files]
    assert summary == f"{len(files)} files ok"


def test_mistakes_end_with_1_and_a_summary(tmp_path: Path) -> None:
    written(tmp_path, a_template(tasks=[a_task(timeoutSecond=4)]), name="bad.yaml")
    written(tmp_path, a_server(), name="good.yaml")
    (tmp_path / "foreign.yaml").write_text("a: {{ .Values.b }}\n")
    ended = program.run("validate", "-v", cwd=tmp_path)
    assert ended.returncode == 1
    bad, good, summary = ended.stdout.splitlines()
    assert bad.startswith("bad.yaml:")
    assert bad.split()[1:3] == ["error", "spec.tasks[0].timeoutSecond:"]
    assert good.split() == ["good.yaml", "ok"]
    assert summary == "1 error in 1 of 2 files"
    assert ended.stderr.splitlines()[0].startswith("skipped foreign.yaml")
    assert "tools" in ended.stderr.splitlines()[-1]


def test_json_and_sarif_say_the_same(tmp_path: Path) -> None:
    file = written(tmp_path, a_template(tasks=[a_task(timeoutSecond=4)]), a_run("r", templateRef={"name": "gone"}))
    as_json = json.loads(program.run("validate", file, "-o", "json").stdout)
    as_sarif = json.loads(program.run("validate", file, "-o", "sarif").stdout)
    assert [set(one) for one in as_json] == [
        {"file", "line", "column", "severity", "path", "message", "rule"} for _ in range(2)
    ]
    assert (as_sarif["version"], len(as_sarif["runs"])) == ("2.1.0", 1)
    (run,) = as_sarif["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rule["id"] and rule["shortDescription"]["text"] for rule in rules)
    for result, one in zip(run["results"], as_json, strict=True):
        (location,) = result["locations"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == one["rule"]
        assert result["level"] == one["severity"]
        assert result["message"]["text"] == f"{one['path']}: {one['message']}"
        assert location["physicalLocation"] == {
            "artifactLocation": {"uri": str(file)},
            "region": {"startLine": one["line"], "startColumn": one["column"]},
        }


def test_standard_input_is_a_file_too() -> None:
    ended = program.run("validate", "-", given=json.dumps(a_server()))
    assert (ended.returncode, ended.stdout) == (0, "-  ok\n1 file ok\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it holds no object of"),
        (b"a: b\n", "it holds no object of"),
        (b"a:\n\t- b", "tabs can't indent"),
        (b"a: \xff", "it is not UTF-8"),
        (b"[" * 1_000_000, "100 levels"),
        (b"#" * (8 * 2**20 + 1), "more than 8 MiB"),
        (b"apiVersion: mcp-orchestrator.io/v1\nkind: MCPServer\n", "write mcp-orchestrator.io/v1alpha1"),
        (b"apiVersion: mcp-orchestrator.io/v1alpha1\nkind: MCPServr\n", 'did you mean "MCPServer"?'),
        (b"apiVersion: mcp-orchestrator.io/v1alpha1\nkind: MCPServer\nmetadata: 7\nspec: [x]\n", "metadata: 7 is not"),
    ],
)
def test_a_file_that_is_no_good_is_told_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    ended = program.run("validate", file)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert words in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.yaml"], "no file or directory gone.yaml"),
        (["."], "none of the files"),
        (["-o", "xml"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_ends_with_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = program.run("validate", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
