"""The examples: manifests of our kinds, without a misspelt field, that fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import cluster

from mcp_orchestrator.api import crds
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate

EXAMPLES = cluster.ROOT / "examples"
KINDS = {kind.name: kind for kind in crds.KINDS}
MODELS = {"MCPServer": MCPServer, "WorkflowRun": WorkflowRun, "WorkflowTemplate": WorkflowTemplate}
FILES = sorted(EXAMPLES.rglob("*.yaml"))


def documents(*files: Path) -> list[dict[str, Any]]:
    """All objects in the files."""
    return [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]


def unknown(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths of fields that the schema does not have."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if known is None:
                yield f"{path}.{key}"
            else:
                yield from unknown(inner, known, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from unknown(inner, schema["items"], path)


@pytest.mark.parametrize("file", [pytest.param(file, id=str(file.relative_to(EXAMPLES))) for file in FILES])
def test_an_example_is_sound(file: Path) -> None:
    ours = [one for one in documents(file) if one["kind"] in KINDS]
    assert ours
    for one in ours:
        found = read(MODELS[one["kind"]], one)
        assert not isinstance(found, Unreadable), found
        assert not list(unknown(one["spec"], crds.root_schema(KINDS[one["kind"]])["properties"]["spec"], "spec"))


@pytest.mark.parametrize("name", ["hello", "field-notes"])
def test_an_example_that_runs_has_all_that_it_needs(name: str) -> None:
    found = documents(*sorted((EXAMPLES / name).glob("*.yaml")))
    servers = {one["metadata"]["name"] for one in found if one["kind"] == "MCPServer"}
    (template,) = (one for one in found if one["kind"] == "WorkflowTemplate")
    (run,) = (one for one in found if one["kind"] == "WorkflowRun")
    assert run["spec"]["templateRef"]["name"] == template["metadata"]["name"]
    assert {task["server"] for task in template["spec"]["tasks"]} == servers
    assert set(run["spec"]["parameters"]) <= {one["name"] for one in template["spec"]["parameters"]}


def test_every_volume_claim_is_in_the_same_file() -> None:
    for file in FILES:
        claims = {one["metadata"]["name"] for one in documents(file) if one["kind"] == "PersistentVolumeClaim"}
        used = {
            volume["persistentVolumeClaim"]["name"]
            for one in documents(file)
            for volume in one.get("spec", {}).get("volumes", ())
            if "persistentVolumeClaim" in volume
        }
        assert used == claims


def test_examples_without_images_name_versions() -> None:
    for one in documents(*sorted((EXAMPLES / "no-image").glob("*.yaml"))):
        if one["kind"] == "MCPServer":
            assert "image" not in one["spec"]["stdio"]
            package = next(word for word in one["spec"]["stdio"]["args"] if word != "-y")
            assert "==" in package or "@" in package[1:], package
