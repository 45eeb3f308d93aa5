"""The three workflows of the guide, over stand-ins for the servers that need a key: the same graphs and figures."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests import examples
from tests.e2e.space import EXAMPLES, Space

GUIDE = EXAMPLES / "guide"
FIGURES = {
    "code-development": ("high", 3600, 5),
    "research-analysis": ("medium", 1800, 3),
    "optimization": ("low", 1200, 2),
}


def template(path: str) -> Any:
    return yaml.safe_load((GUIDE / path).read_text())


@pytest.fixture(scope="module")
def guide(space: Space) -> Space:
    space.apply_example("guide/offline")
    return space


@pytest.mark.parametrize("name", FIGURES)
def test_the_workflows_have_the_guides_figures_and_their_stand_ins_the_same_graph(name: str) -> None:
    real, offline = template(f"{name}.yaml")["spec"], template(f"offline/{name}.yaml")["spec"]

    assert (real["priority"], real["estimatedDurationSeconds"], real["maxParallelTasks"]) == FIGURES[name]
    for field in ("priority", "estimatedDurationSeconds", "maxParallelTasks", "parameters"):
        assert offline[field] == real[field]
    for field in ("name", "dependsOn", "forEach", "when", "onFailure", "idempotent"):
        assert [task.get(field) for task in offline["tasks"]] == [task.get(field) for task in real["tasks"]]
    assert [output["name"] for output in offline["outputs"]] == [output["name"] for output in real["outputs"]]


@pytest.mark.parametrize("run", examples.GUIDE)
def test_a_workflow_comes_to_what_its_stand_ins_were_told(guide: Space, run: str) -> None:
    assert guide.succeed(run)["status"]["outputs"] == examples.GUIDE[run]
