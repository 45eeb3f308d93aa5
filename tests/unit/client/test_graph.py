"""mcp-orchestrator graph: what the pictures say, read back from them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree  # what is parsed here, we have drawn ourselves

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests import builders
from tests.cluster import ROOT
from tests.objects import a_run, a_server, a_task, a_template
from tests.unit.client import program

from mcp_orchestrator.api.base import TemplateReference
from mcp_orchestrator.api.task import ForEach
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.client import drawing, graph

SVG = "{http://www.w3.org/2000/svg}"
Edges = set[tuple[str, str]]
CIRCLE = [a_task("a", dependsOn=["b"]), a_task("b", dependsOn=["a"])]


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """Workflows of up to 12 tasks without cycles, some with finally."""
    names = [f"t-{number}" for number in range(draw(st.integers(1, 12)))]
    waits = [draw(st.sets(st.sampled_from(names[:at]), max_size=3)) if at else () for at in range(len(names))]
    tasks = [builders.a_task(name, depends_on=sorted(others)) for name, others in zip(names, waits, strict=True)]
    last = [builders.a_task(f"f-{number}") for number in range(draw(st.integers(0, 2)))]
    return builders.a_spec(*draw(st.permutations(tasks)), finally_=tuple(last))


def wanted(spec: Workflow) -> Edges:
    """Who waits for whom."""
    return {(task.name, other) for task in spec.every_task for other in task.depends_on}


def read_mermaid(text: str) -> tuple[set[str], Edges]:
    """The names of the tasks, and the edges."""
    names = dict(re.findall(r'^    (\w+)\[+"([^<]+)<br/>[^"]*"\]+$', text, re.M))
    edges = re.findall(r"^    (\w+) -\.?->? ?(?:->)? ?(\w+)$|^    (\w+) --> (\w+)$", text, re.M)
    return set(names.values()), {(names[b or d], names[a or c]) for a, b, c, d in edges}


@given(workflows())
def test_mermaid_has_every_task_and_every_edge(spec: Workflow) -> None:
    names, edges = read_mermaid(drawing.mermaid(graph.parts(spec)))
    assert names == {task.name for task in spec.every_task}
    assert edges == wanted(spec)


@given(workflows())
def test_an_svg_has_every_task_and_edge_and_no_box_on_another(spec: Workflow) -> None:
    root = ElementTree.fromstring(drawing.svg(graph.parts(spec)))  # noqa: S314 - our own
    boxes = [box for box in root.findall(f"{SVG}rect") if box.get("class") != "all"]
    corners = [(int(box.get("x", "")), int(box.get("y", ""))) for box in boxes]
    wide, high = int(boxes[0].get("width", "")), int(boxes[0].get("height", ""))
    assert len(boxes) == len(spec.every_task)
    assert all(
        abs(one[0] - other[0]) > wide or abs(one[1] - other[1]) > high
        for at, one in enumerate(corners)
        for other in corners[:at]
    )
    width, height = int(root.get("width", "")), int(root.get("height", ""))
    assert all(0 <= x <= width - wide and 0 <= y <= height - high for x, y in corners)
    edges = root.findall(f"{SVG}path")
    titles = [(edge.findtext(f"{SVG}title") or "").split(" waits for ") for edge in edges]
    assert {(name, other) for name, other in titles} == wanted(spec)
    for edge in edges:
        for x, y in passed(edge.get("d", "")):
            assert 0 < x < width
            assert not any(abs(x - left - wide / 2) <= wide / 2 and y == upper for left, upper in corners)


def passed(way: str) -> list[tuple[int, int]]:
    """Where an edge enters the layers that it leads through, after it was seen to lead down."""
    curves = [[int(number) for number in curve.replace("V", " ").split()] for curve in way[1:].split("C")]
    (_, y), found = curves[0], []
    for *_, x, end, bottom in ([*curve, 0] if len(curve) == 6 else curve for curve in curves[1:]):
        assert end > y
        y = bottom
        found.append((x, end))
    return found[:-1]


def test_edges_of_expressions_items_nested_workflows_and_finally_are_marked() -> None:
    spec = builders.a_spec(
        builders.a_task("one"),
        builders.a_task("two", arguments={"x": "${{ tasks.one.result }}"}),
        builders.a_task("three", depends_on=["tasks.one.failed"], for_each=ForEach(items=[1])),
        builders.a_task("four", server=None, tool=None, arguments={}, template=TemplateReference(name="other")),
        finally_=(builders.a_task("last"),),
    )
    text = drawing.mermaid(graph.parts(spec))
    assert "tasks0 --> tasks1" in text
    assert "tasks0 -.-> tasks2" in text
    assert 'tasks2["three<br/>time: get_current_time, for each"]' in text
    assert 'tasks3[["four<br/>workflow other"]]' in text
    assert 'subgraph list_finally["finally"]' in text
    picture = ElementTree.fromstring(drawing.svg(graph.parts(spec)))  # noqa: S314 - our own
    assert [edge.get("class") for edge in picture.findall(f"{SVG}path")] == ["edge", "edge outcome"]
    assert len(picture.findall(f"{SVG}rect[@class='nested']")) == 1


def test_names_of_tools_are_text_and_nothing_else() -> None:
    hostile = '"]<script>&end;#'
    spec = builders.a_spec(builders.a_task("one", tool=hostile))
    assert hostile not in drawing.mermaid(graph.parts(spec))
    assert "<script" not in drawing.mermaid(graph.parts(spec))
    root = ElementTree.fromstring(drawing.svg(graph.parts(spec)))  # noqa: S314 - our own
    assert f"time: {hostile}" in [text.text for text in root.findall(f"{SVG}text")]
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "style", "defs", "marker", "path", "rect", "text", "title",
    }  # fmt: skip


# --- the program -----------------------------------------------------------------------------------------------------


def test_a_file_with_one_workflow_needs_no_name() -> None:
    ended = program.run("graph", ROOT / "examples/field-notes/template.yaml")
    assert (ended.returncode, ended.stderr) == (0, "")
    names, edges = read_mermaid(ended.stdout)
    assert ("commit", "stage") in edges
    assert len(names) == 7


def test_one_of_several_workflows_is_chosen_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    inline = a_run("r", template={"tasks": [a_task("inside")]})
    file.write_text(yaml.safe_dump_all([a_template("a"), a_template("b"), inline, a_server()]))
    assert "inside" in program.run("graph", file, "--template", "r", "-o", "svg").stdout
    several = program.run("graph", file)
    assert (several.returncode, several.stdout) == (2, "")
    assert "choose one with --template (a, b, r)" in several.stderr
    assert program.run("graph", file, "--template", "c").returncode == 2


@pytest.mark.parametrize(
    ("content", "words", "code"),
    [
        ("a: [", "while parsing", 2),
        (yaml.safe_dump(a_server()), "holds 0 workflows", 2),
        (yaml.safe_dump(a_template(tasks=17)), "validate says where", 1),
        (yaml.safe_dump(a_template(tasks=CIRCLE)), "a → b → a", 1),
    ],
)
def test_what_cannot_be_drawn_is_told_in_words(tmp_path: Path, content: str, words: str, code: int) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    ended = program.run("graph", file)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
