"""The CustomResourceDefinitions, made from the models. Called by hack/generate.

A structural schema is narrower than JSON Schema: references are put in place, `X | None` becomes an optional X, and
defaults turn into words of the description, so that the API server never rewrites what a user applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from mcp_orchestrator.api import cachedanswer, mcpserver, runreceipt, workflowrun
from mcp_orchestrator.api.base import GROUP, VERSION
from mcp_orchestrator.api.cachedanswer import CachedAnswer
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.runreceipt import RunReceipt
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate

KEPT = (
    "type", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
    "minProperties", "maxProperties", "required", "nullable",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type", "x-kubernetes-validations",
)  # fmt: skip
SYNONYMS = {"minLength": "minProperties", "maxLength": "maxProperties"}


class UnsupportedSchema(TypeError):
    """A model's field has a type that a structural schema can't express."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its model and what its CRD says beside the schema."""

    model: type[BaseModel]
    plural: str
    short_name: str
    columns: Sequence[tuple[str, str, str, int]]
    """(name, type, JSONPath, priority); priority 1 shows with -o wide only."""
    selectable: Sequence[str] = ()
    spec_rules: Sequence[Mapping[str, str]] = ()
    root_rules: Sequence[Mapping[str, str]] = ()
    subresources: Mapping[str, Any] = field(default_factory=dict)
    categories: Sequence[str] = ("mcp",)

    @property
    def name(self) -> str:
        return self.model.__name__

    @property
    def has_status(self) -> bool:
        return "status" in self.model.model_fields


def _condition(type_: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{part}'


AGE = ("Age", "date", ".metadata.creationTimestamp", 0)

KINDS = (
    Kind(
        model=MCPServer,
        plural="mcpservers",
        short_name="msrv",
        columns=(
            ("Source", "string", ".status.source", 0),
            ("Ready", "string", _condition("Ready", "status"), 0),
            ("Reason", "string", _condition("Ready", "reason"), 0),
            ("Tools", "integer", ".status.toolCount", 0),
            ("Replicas", "integer", ".status.readyReplicas", 0),
            AGE,
            ("URL", "string", ".status.address.url", 1),
            ("Version", "string", ".status.serverInfo.version", 1),
            ("Message", "string", _condition("Ready", "message"), 1),
        ),
        spec_rules=mcpserver.SPEC_RULES,
        root_rules=(
            {
                "rule": "self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "message": "metadata.name becomes a DNS name: at most 50 characters, lower-case letters, digits and -, "
                "a letter first",
            },
        ),
        subresources={
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            }
        },
    ),
    Kind(
        model=WorkflowTemplate,
        plural="workflowtemplates",
        short_name="mtpl",
        columns=(
            ("Ready", "string", _condition("Ready", "status"), 0),
            ("Reason", "string", _condition("Ready", "reason"), 0),
            ("Tasks", "integer", ".status.taskCount", 0),
            AGE,
            ("Message", "string", _condition("Ready", "message"), 1),
        ),
    ),
    Kind(
        model=WorkflowRun,
        plural="workflowruns",
        short_name="mrun",
        columns=(
            ("Template", "string", ".spec.templateRef.name", 0),
            ("Phase", "string", ".status.phase", 0),
            ("Progress", "string", ".status.progress", 0),
            ("Waiting", "string", ".status.waitingReason", 0),
            ("Duration", "string", ".status.duration", 0),
            AGE,
            ("Job", "string", ".status.jobName", 1),
            ("Message", "string", ".status.message", 1),
        ),
        selectable=(".spec.templateRef.name", ".status.phase"),
        spec_rules=workflowrun.SPEC_RULES,
        root_rules=workflowrun.ROOT_RULES,
    ),
)
"""The kinds that people write."""

CACHED_ANSWER = Kind(
    model=CachedAnswer,
    plural="cachedanswers",
    short_name="mans",
    columns=(("Caller", "string", ".spec.caller", 0), ("Until", "string", ".spec.until", 0), AGE),
    root_rules=cachedanswer.ROOT_RULES,
    # There may be a thousand of them: whoever asks for all of mcp wants to see the others.
    categories=(),
)
RUN_RECEIPT = Kind(
    model=RunReceipt,
    plural="runreceipts",
    short_name="mrcpt",
    columns=(
        ("Template", "string", ".spec.template", 0),
        ("Run", "string", ".spec.run.name", 0),
        ("Phase", "string", ".spec.phase", 0),
        ("Until", "string", ".spec.until", 0),
        AGE,
    ),
    root_rules=runreceipt.ROOT_RULES,
    categories=(),
)
EVERY_KIND = (*KINDS, CACHED_ANSWER, RUN_RECEIPT)


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of `kind`, as a JSON object."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {**({"status": {}} if kind.has_status else {}), **kind.subresources},
        "additionalPrinterColumns": [
            {"name": name, "type": type_, "jsonPath": path} | ({"priority": priority} if priority else {})
            for name, type_, path, priority in kind.columns
        ],
        "schema": {"openAPIV3Schema": root_schema(kind)},
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                # The API server drops an empty list, and a GitOps engine would put it back for ever.
                **({"categories": list(kind.categories)} if kind.categories else {}),
            },
            "versions": [version],
        },
    }


def root_schema(kind: Kind) -> dict[str, Any]:
    """The structural schema of the whole object.

    The status defaults to observedGeneration -1, so that nothing takes an object that the operator has not seen yet
    for a finished one (the rule that Flux follows in its own CRDs).
    """
    source = kind.model.model_json_schema(by_alias=True)
    definitions = source.get("$defs", {})
    own = source["properties"]
    parts = {name: structural(own[name], definitions) for name in ("spec", "status") if name in own}
    if kind.spec_rules:
        parts["spec"]["x-kubernetes-validations"] = [dict(rule) for rule in kind.spec_rules]
    if "status" in parts:
        parts["status"]["default"] = {"observedGeneration": -1}
    for name, text in (
        ("apiVersion", "The group and version of this object."),
        ("kind", "The kind of this object."),
    ):
        definitions[name] = {"type": "string", "description": text}
    schema: dict[str, Any] = {
        "type": "object",
        "description": (kind.model.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": definitions["apiVersion"],
            "kind": definitions["kind"],
            "metadata": {"type": "object"},
            **parts,
        },
    }
    if kind.root_rules:
        schema["x-kubernetes-validations"] = [dict(rule) for rule in kind.root_rules]
    return schema


def structural(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The structural form of the JSON Schema `source`.

    Raises UnsupportedSchema for what has no structural form, such as a union of two types.
    """
    schema = _resolved(source, definitions)
    if schema.pop("bare", False):
        own = ("description", *(key for key in KEPT if key.startswith("x-")))
        return {"type": "object"} | {key: schema[key] for key in own if key in schema}
    if schema.get("type") == "object":
        schema = {SYNONYMS.get(key, key): value for key, value in schema.items()}
    result = {key: schema[key] for key in KEPT if key in schema}
    if "const" in schema:
        result |= {"type": "string", "enum": [schema["const"]]}
    if "default" in schema:
        result["description"] = _with_default(result.get("description", ""), schema["default"])
    if schema.get("format") == "date-time":
        result["format"] = "date-time"
    if schema.get("type") == "array":
        # kubectl explain prints the list's description and the item's one below the other: the first one suffices.
        result["items"] = structural(schema["items"], definitions)
        result["items"].pop("description", None)
    if "properties" in schema:
        result["properties"] = {name: structural(value, definitions) for name, value in schema["properties"].items()}
    elif isinstance(schema.get("additionalProperties"), Mapping):
        result["additionalProperties"] = structural(schema["additionalProperties"], definitions)
    if schema.get("type") == "integer":
        result["format"] = "int64"
    return result


def _resolved(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """`source` with its references put in place and `| null` taken away."""
    schema = dict(source)
    if "anyOf" in schema:
        options = [option for option in schema.pop("anyOf") if option.get("type") != "null"]
        if len(options) != 1:
            raise UnsupportedSchema(f"a union of {len(options)} types has no structural form: {source}")
        schema = _resolved(options[0], definitions) | schema
        schema.pop("default", None)
    if "$ref" in schema:
        name = schema.pop("$ref").rsplit("/", 1)[1]
        schema = _resolved(definitions[name], definitions) | schema
    return schema


def _with_default(description: str, default: Any) -> str:
    """The description, with a default that is worth words."""
    if default is None or default in ("", [], {}, -1, False) or isinstance(default, Mapping):
        return description
    return f"{description} Default: {default}."
