"""The JSON Schemas for editors: sound, described, as the committed files, and strict about fields."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from tests.cluster import ROOT

from mcp_orchestrator.api import crds, jsonschema
from mcp_orchestrator.api.crds import Kind

every_kind = pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.name)
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
MODELINE = re.compile(r"^# yaml-language-server: \$schema=(\S+)\napiVersion: mcp-orchestrator\.io/v1alpha1$", re.M)


def committed(kind_name: str) -> dict[str, Any]:
    """The schema as it is in the repository."""
    schema: dict[str, Any] = json.loads((ROOT / "schemas" / f"{kind_name.lower()}.schema.json").read_text())
    return schema


def objects(file: Path) -> list[dict[str, Any]]:
    """The objects of ours in a file."""
    found = yaml.safe_load_all(file.read_text())
    return [one for one in found if one and one["apiVersion"].startswith("mcp-orchestrator.io/")]


def parts(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schema and everything in it."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}")
    if "items" in schema:
        yield from parts(schema["items"], f"{path}[]")


@every_kind
def test_the_committed_schema_is_what_the_models_give_and_sound(kind: Kind) -> None:
    schema = committed(kind.name)
    assert {key: value for key, value in schema.items() if key != "$comment"} == jsonschema.schema(kind)
    assert jsonschema_rs.meta.is_valid(schema)
    assert "x-kubernetes" not in json.dumps(schema)


@every_kind
def test_every_field_is_described_and_every_object_closed_or_free(kind: Kind) -> None:
    for path, schema in parts(committed(kind.name)):
        assert path.endswith("[]") or schema["description"], path
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_an_example_fits_its_schema_and_no_unknown_field_does(file: Path) -> None:
    assert objects(file)
    for one in objects(file):
        validator = jsonschema_rs.validator_for(committed(one["kind"]), offline=True)
        assert [error.message for error in validator.iter_errors(one)] == []
        for place in (("spec",), ("metadata",), ()):
            strange = copy.deepcopy(one)
            inner = strange
            for key in place:
                inner = inner[key]
            inner["specc"] = {}
            assert not validator.is_valid(strange), place


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_an_example_names_its_schema_to_editors(file: Path) -> None:
    named = [(file.parent / path).resolve() for path in MODELINE.findall(file.read_text())]
    assert named == [ROOT / "schemas" / f"{one['kind'].lower()}.schema.json" for one in objects(file)]
