"""The manifests that a local run is made of: our three kinds, and the Secrets and ConfigMaps that they name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.client import sources, validate
from mcp_orchestrator.client.exits import Failed
from mcp_orchestrator.client.findings import Finding, Rule, Severity
from mcp_orchestrator.client.sources import Document

M = TypeVar("M", MCPServer, WorkflowTemplate, WorkflowRun)
NAMESPACE = "local"
"""What objects are in that name no namespace."""


@dataclass
class Manifests:
    """What was found, by name."""

    servers: dict[str, MCPServer] = field(default_factory=dict)
    templates: dict[str, WorkflowTemplate] = field(default_factory=dict)
    runs: dict[str, WorkflowRun] = field(default_factory=dict)
    secrets: dict[tuple[str, str], str] = field(default_factory=dict)
    """Values by the Secret's name and key."""
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    """Values by the ConfigMap's name and key."""


def load(paths: Iterable[str]) -> Manifests:
    """What stands in these files and directories. Raises Failed with all their mistakes, and where they are."""
    read_in = sources.read(paths)
    # A file of Secrets alone is what a local run may need.
    errors = [found for found in validate.check(read_in).findings if _counts(found)]
    if errors:
        raise Failed("the files have mistakes:\n" + "\n".join(f"  {found}" for found in errors))
    held = Manifests()
    for document in read_in.documents:
        match document.kind.name:
            case "MCPServer":
                _add(held.servers, MCPServer, document)
            case "WorkflowTemplate":
                _add(held.templates, WorkflowTemplate, document)
            case "WorkflowRun":
                _add(held.runs, WorkflowRun, document)
    for body in read_in.others:
        _take_in(held, body)
    return held


def _counts(found: Finding) -> bool:
    return found.severity == Severity.ERROR and found.rule != Rule.NOTHING_HERE


def _add(known: dict[str, M], model: type[M], document: Document) -> None:
    metadata = {"namespace": NAMESPACE, "generation": 1, **document.metadata}
    if not metadata.get("name"):
        metadata["name"] = str(metadata.get("generateName", "")).rstrip("-")
    made = read(model, {**document.body, "metadata": {**metadata, "uid": metadata["name"]}, "status": {}})
    if isinstance(made, Unreadable):
        raise Failed(f"{document.file}: {model.__name__} {metadata['name']}: {made.message}")
    if made.metadata.name in known:
        raise Failed(f"{document.file}: there are two of {model.__name__} {made.metadata.name}: take one out")
    known[made.metadata.name] = made


def _take_in(held: Manifests, body: Mapping[str, Any]) -> None:
    metadata = body.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""
    if body.get("kind") == "Secret":
        held.secrets |= {(name, key): value for key, value in _secret(body, name).items()}
    elif body.get("kind") == "ConfigMap":
        held.texts |= {(name, key): str(value) for key, value in (body.get("data") or {}).items()}


def _secret(body: Mapping[str, Any], name: str) -> dict[str, str]:
    try:
        data = {key: base64.b64decode(value).decode() for key, value in (body.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        raise Failed(f"Secret {name}: data must be base64 of text; stringData takes plain text") from error
    return data | {key: str(value) for key, value in (body.get("stringData") or {}).items()}
