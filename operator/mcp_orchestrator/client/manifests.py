"""The manifests that a local run is made of: our three kinds, and the Secrets and ConfigMaps that they name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mcp_orchestrator.api.base import API_VERSION
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.client.exits import Failed

M = TypeVar("M", MCPServer, WorkflowTemplate, WorkflowRun)
SUFFIXES = (".yaml", ".yml", ".json")
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
    """Everything that stands in these files and directories. Raises Failed, naming the file."""
    found = Manifests()
    for path in _files(paths):
        for body in _documents(path):
            _take_in(found, body, path)
    return found


def _files(paths: Iterable[str]) -> Iterator[Path]:
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            if not inside:
                raise Failed(f"{path}: the directory holds no {', '.join(SUFFIXES)} file")
            yield from inside
        else:
            yield path


def _documents(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        documents = [*yaml.safe_load_all(text)]
    except OSError as error:
        raise Failed(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Failed(f"{path}: it is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise Failed(f"{path}{where}: it is not YAML: {getattr(error, 'problem', None) or error}") from error
    for document in documents:
        if isinstance(document, Mapping) and document.get("kind") == "List":
            yield from (item for item in document.get("items") or () if isinstance(item, Mapping))
        elif isinstance(document, Mapping):
            yield document


def _take_in(found: Manifests, body: Mapping[str, Any], path: Path) -> None:
    kind, name = body.get("kind"), (body.get("metadata") or {}).get("name", "")
    if kind == "Secret":
        found.secrets |= {(name, key): value for key, value in _secret(body, path).items()}
    elif kind == "ConfigMap":
        found.texts |= {(name, key): str(value) for key, value in (body.get("data") or {}).items()}
    elif body.get("apiVersion") != API_VERSION:
        return
    elif kind == "MCPServer":
        _add(found.servers, MCPServer, body, path)
    elif kind == "WorkflowTemplate":
        _add(found.templates, WorkflowTemplate, body, path)
    elif kind == "WorkflowRun":
        _add(found.runs, WorkflowRun, body, path)


def _add(known: dict[str, M], model: type[M], body: Mapping[str, Any], path: Path) -> None:
    metadata = {"namespace": NAMESPACE, "generation": 1, **(body.get("metadata") or {})}
    if not metadata.get("name"):
        metadata["name"] = str(metadata.get("generateName", "")).rstrip("-")
    made = read(model, {**body, "metadata": {**metadata, "uid": metadata["name"]}, "status": {}})
    if isinstance(made, Unreadable):
        raise Failed(f"{path}: {model.__name__} {metadata['name']}: {made.message}")
    if made.metadata.name in known:
        raise Failed(f"{path}: there are two of {model.__name__} {made.metadata.name}: take one out")
    known[made.metadata.name] = made


def _secret(body: Mapping[str, Any], path: Path) -> dict[str, str]:
    try:
        data = {key: base64.b64decode(value).decode() for key, value in (body.get("data") or {}).items()}
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        name = (body.get("metadata") or {}).get("name", "")
        raise Failed(f"{path}: Secret {name}: data must be base64 of text; stringData takes plain text") from error
    return data | {key: str(value) for key, value in (body.get("stringData") or {}).items()}
