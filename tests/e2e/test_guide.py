"""The three workflows of the guide, over stand-ins for the servers that need a key: the same graphs and figures."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.e2e.space import EXAMPLES, Space

GUIDE = EXAMPLES / "guide"
FIGURES = {"code-development": (3600, 5), "research-analysis": (1800, 3), "optimization": (1200, 2)}


def template(path: str) -> Any:
    return yaml.safe_load((GUIDE / path).read_text())


@pytest.fixture(scope="module")
def guide(space: Space) -> Space:
    space.apply_example("guide/offline")
    return space


@pytest.mark.parametrize("name", FIGURES)
def test_the_workflows_have_the_guides_figures_and_their_stand_ins_the_same_graph(name: str) -> None:
    real, offline = template(f"{name}.yaml")["spec"], template(f"offline/{name}.yaml")["spec"]

    assert (real["timeoutSeconds"], real["maxParallelTasks"]) == FIGURES[name]
    for field in ("timeoutSeconds", "maxParallelTasks", "parameters"):
        assert offline[field] == real[field]
    for field in ("name", "dependsOn", "forEach", "when", "onFailure", "idempotent"):
        assert [task.get(field) for task in offline["tasks"]] == [task.get(field) for task in real["tasks"]]
    assert [output["name"] for output in offline["outputs"]] == [output["name"] for output in real["outputs"]]


def test_research_collects_its_answers_in_a_report(guide: Space) -> None:
    status = guide.succeed("research-offline")["status"]

    assert "grey herons: Where do they nest?" in status["outputs"]["report"]
    assert "grey herons: What do they eat?" in status["outputs"]["report"]
    assert status["outputs"]["sources"] == "Echo: grey herons"


def test_code_is_designed_from_the_documentation_and_reviewed(guide: Space) -> None:
    outputs = guide.succeed("code-offline")["status"]["outputs"]

    assert "Echo: /kopf/kopf: handlers" in outputs["design"]
    assert outputs["review"].startswith("Echo: Review this design: Echo: Design code with kopf")
    assert outputs["pitfalls"] == "Echo: pitfalls of kopf for restart pods that hang"


def test_only_what_misses_its_goal_is_optimized(guide: Space) -> None:
    outputs = guide.succeed("optimization-offline")["status"]["outputs"]

    assert list(outputs["advice"]) == ["p99"]
    assert "the shop: p99 is 900, and should be 500." in outputs["advice"]["p99"]
