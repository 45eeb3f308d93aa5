"""docs/expressions.md: every example on the page comes out as the page says, and no function is missing there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mcp_orchestrator.planning import expressions, plain
from mcp_orchestrator.planning.cel import cost, engine, faults
from mcp_orchestrator.planning.expressions import scope

PAGE = (Path(__file__).resolve().parents[4] / "docs/expressions.md").read_text()
VALUES = json.loads(PAGE.split("```json")[1].split("```")[0])
EXAMPLES = [
    tuple(cell.replace("\\|", "|") for cell in cells)
    for cells in re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)
]


@pytest.mark.parametrize(("text", "value"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_an_example_comes_to_what_the_page_says(text: str, value: str) -> None:
    template = text if "${{" in text else f"${{{{ {text} }}}}"
    found = expressions.evaluate(template, expressions.Scope(VALUES))
    assert json.dumps(found, sort_keys=True) == json.dumps(json.loads(value), sort_keys=True)
    roots, tasks = tuple(VALUES), VALUES["tasks"]
    assert expressions.check(template, "spec", parameters=VALUES["params"], tasks=tasks, roots=roots) == ()


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) > 80


@pytest.mark.parametrize("name", sorted(faults.FUNCTIONS))
def test_every_function_is_on_the_page(name: str) -> None:
    code = " ".join(re.findall(r"`([^`\n]+)`", PAGE))
    assert re.search(rf"\b{re.escape(name)}\b", code)


def test_the_page_tells_the_limits_as_they_are() -> None:
    limits = PAGE[PAGE.index("## Limits") :]
    for limit in (
        f"| {engine.MAX_EXPRESSION} |",
        f"| {cost.MAX_MACROS} |",
        f"| {cost.MAX_STEPS:,} |",
        f"| {scope.MAX_DATA >> 20} MiB |",
        f"| {cost.MAX_NANOSECONDS / 1e9:g} s |",
        f"| {cost.MAX_BYTES >> 20} MiB |",
        f"| {expressions.MAX_TEXT >> 20} MiB |",
        f"| {expressions.MAX_VALUE >> 20} MiB |",
        f"| {plain.MAX_DEPTH} |",
    ):
        assert limit in limits
