"""The CRDs: what the API conventions ask of them, and that the committed files are the generated ones."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mcp_orchestrator.api import crds
from mcp_orchestrator.api.crds import Kind
from mcp_orchestrator.api.mcpserverstatus import ServerCondition
from mcp_orchestrator.api.workflowrunstatus import RunCondition
from mcp_orchestrator.api.workflowtemplate import TemplateCondition

ROOT = Path(__file__).resolve().parents[3]
MAX_BYTES = 200 * 1024
Schema = Mapping[str, Any]

every_kind = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in crds.EVERY_KIND])
with_status = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in crds.KINDS])


def load_generator() -> ModuleType:
    """hack/generate as a module: it has no suffix, being a command."""
    path = str(ROOT / "hack" / "generate")
    loader = importlib.machinery.SourceFileLoader("generate", path)
    spec = importlib.util.spec_from_loader("generate", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def version_of(kind: Kind) -> Schema:
    found: Schema = crds.crd(kind)["spec"]["versions"][0]
    return found


def root_of(kind: Kind) -> Schema:
    found: Schema = version_of(kind)["schema"]["openAPIV3Schema"]
    return found


def fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every field below `schema`, with its path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield f"{path}[]", schema[name]
            yield from fields(schema[name], f"{path}[]")


def is_bounded(schema: Schema) -> bool:
    if "enum" in schema:
        return True
    match schema.get("type"):
        case "string":
            return "maxLength" in schema or schema.get("format") == "date-time"
        case "array":
            return "maxItems" in schema
        case "object" if "additionalProperties" in schema:
            return "maxProperties" in schema
    return True


@every_kind
def test_the_committed_files_are_what_the_models_give(kind: Kind) -> None:
    generator = load_generator()
    for path, text in {
        ROOT / "crds" / f"{kind.plural}.yaml": generator.manifest(kind),
        ROOT / "helm/mcp-orchestrator/templates/crds" / f"{kind.plural}.yaml": generator.chart_template(kind),
    }.items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale: run hack/generate"


@every_kind
def test_the_yaml_says_the_same_as_the_generated_object(kind: Kind) -> None:
    assert yaml.safe_load((ROOT / "crds" / f"{kind.plural}.yaml").read_text()) == crds.crd(kind)


@every_kind
def test_every_field_has_a_description(kind: Kind) -> None:
    root = root_of(kind)
    undescribed = [
        path
        for part in ("spec", "status")
        for path, schema in fields(root["properties"].get(part, {}), part)
        if not path.endswith("[]") and not schema.get("description", "").strip()
    ]

    assert root["description"]
    assert undescribed == []


@every_kind
def test_every_description_is_a_sentence(kind: Kind) -> None:
    odd = [
        path
        for path, schema in fields(root_of(kind), "")
        if "description" in schema and not path.endswith("[]") and schema["description"].rstrip()[-1:] not in ".)"
    ]

    assert odd == []


@every_kind
def test_every_string_list_and_map_of_the_spec_is_bounded(kind: Kind) -> None:
    spec = root_of(kind)["properties"]["spec"]

    assert [path for path, schema in fields(spec, "spec") if not is_bounded(schema)] == []


@with_status
def test_every_list_and_map_of_the_status_is_bounded(kind: Kind) -> None:
    status = root_of(kind)["properties"]["status"]
    unbounded = [
        path for path, schema in fields(status, "status") if schema.get("type") != "string" and not is_bounded(schema)
    ]

    assert unbounded == []


@every_kind
def test_a_crd_is_well_under_what_the_api_server_takes(kind: Kind) -> None:
    assert len(json.dumps(crds.crd(kind))) < MAX_BYTES


@with_status
def test_a_new_object_is_not_taken_for_a_finished_one(kind: Kind) -> None:
    assert root_of(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert "status" in version_of(kind)["subresources"]


@every_kind
def test_only_the_status_has_a_default_so_that_the_api_server_rewrites_no_spec(kind: Kind) -> None:
    assert {path for path, schema in fields(root_of(kind), "") if "default" in schema} <= {".status"}


@with_status
def test_conditions_are_a_map_by_type(kind: Kind) -> None:
    conditions = root_of(kind)["properties"]["status"]["properties"]["conditions"]

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["required"]) >= {"type", "status", "reason", "lastTransitionTime"}


@every_kind
def test_the_schema_is_structural(kind: Kind) -> None:
    """A field has a type or keeps any JSON; references, unions and unknown keywords are not allowed."""
    allowed = {*crds.KEPT, "properties", "items", "additionalProperties", "format", "default"}
    for path, schema in fields(root_of(kind), ""):
        assert "type" in schema or schema.get("x-kubernetes-preserve-unknown-fields"), path
        assert set(schema) <= allowed, path
        assert not ("properties" in schema and "additionalProperties" in schema), path


@every_kind
def test_map_lists_require_their_keys(kind: Kind) -> None:
    for path, schema in fields(root_of(kind), ""):
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            assert key in schema["items"]["required"], path


@every_kind
def test_columns_and_selectable_fields_name_fields_that_exist(kind: Kind) -> None:
    known = {path.removeprefix(".") for path, _ in fields(root_of(kind), "")}
    for _, _, path, _ in kind.columns:
        plain = path.split("[", 1)[0].removeprefix(".")
        assert plain in known or plain == "metadata.creationTimestamp", path
    for path in kind.selectable:
        assert path.removeprefix(".") in known


@pytest.mark.parametrize(
    ("plural", "types"),
    [
        pytest.param("mcpservers", ServerCondition, id="server"),
        pytest.param("workflowtemplates", TemplateCondition, id="template"),
        pytest.param("workflowruns", RunCondition, id="run"),
    ],
)
def test_the_description_of_conditions_names_all_of_them(plural: str, types: type[StrEnum]) -> None:
    kind = next(kind for kind in crds.KINDS if kind.plural == plural)
    text = root_of(kind)["properties"]["status"]["properties"]["conditions"]["description"]

    assert text == f"Conditions: {', '.join(types)}."


def test_every_kind_is_named_as_its_documentation_says() -> None:
    names = {kind.name: crds.crd(kind)["spec"]["names"] for kind in crds.EVERY_KIND}

    assert {name: (said["plural"], *said["shortNames"]) for name, said in names.items()} == {
        "MCPServer": ("mcpservers", "msrv"),
        "WorkflowTemplate": ("workflowtemplates", "mtpl"),
        "WorkflowRun": ("workflowruns", "mrun"),
        "CachedAnswer": ("cachedanswers", "mans"),
        "RunReceipt": ("runreceipts", "mrcpt"),
    }
    assert {name for name, said in names.items() if said.get("categories")} == {kind.name for kind in crds.KINDS}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"anyOf": [{"type": "string"}, {"type": "integer"}]}, id="a union"),
        pytest.param({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}, id="an optional union"),
    ],
)
def test_what_has_no_structural_form_is_refused(source: Schema) -> None:
    with pytest.raises(crds.UnsupportedSchema, match="a union of 2 types"):
        crds.structural(source, {})


def test_a_default_turns_into_words() -> None:
    spec = root_of(crds.KINDS[0])["properties"]["spec"]["properties"]

    assert spec["timeoutSeconds"]["description"].endswith("Default: 30.")
    assert "Default" not in spec["replicas"]["description"]
