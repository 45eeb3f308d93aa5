"""What was found in files: each with its place, and in the forms that people, programs and code scanners read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote


class Severity(StrEnum):
    """How bad it is. Warnings become errors with --strict."""

    ERROR = "error"
    WARNING = "warning"


class Rule(StrEnum):
    """What was checked. A stable contract: programs match these words. Workflows have those of TemplateReason too."""

    UNREADABLE = "Unreadable"
    NOTHING_HERE = "NothingHere"
    DUPLICATE_KEY = "DuplicateKey"
    AMBIGUOUS_WORD = "AmbiguousWord"
    DUPLICATE_OBJECT = "DuplicateObject"
    UNKNOWN_KIND = "UnknownKind"
    UNKNOWN_FIELD = "UnknownField"
    INVALID_SPEC = "InvalidSpec"
    INVALID_GRAPH = "InvalidGraph"
    INVALID_EXPRESSION = "InvalidExpression"
    INVALID_PARAMETER = "InvalidParameter"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"


DESCRIPTIONS: dict[Rule, str] = {
    Rule.UNREADABLE: "The file can be read as YAML or JSON.",
    Rule.NOTHING_HERE: "A file that is given by name holds an object of MCP Orchestrator.",
    Rule.DUPLICATE_KEY: "A key stands only once in a mapping.",
    Rule.AMBIGUOUS_WORD: "Words that YAML 1.1 takes for true or false, such as no and on, stand in quotes.",
    Rule.DUPLICATE_OBJECT: "Each object has a name of its own.",
    Rule.UNKNOWN_KIND: "apiVersion and kind are those of MCP Orchestrator.",
    Rule.UNKNOWN_FIELD: "Every field is one that the kind has.",
    Rule.INVALID_SPEC: "Every value is one that its field takes.",
    Rule.INVALID_GRAPH: "Tasks wait for tasks that are there, and never for each other.",
    Rule.INVALID_EXPRESSION: "Expressions are sound CEL over parameters and tasks that are there.",
    Rule.INVALID_PARAMETER: "Parameters are declared, and their values fit.",
    Rule.TEMPLATE_NOT_FOUND: "Workflows that are named are among the files.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    file: str
    line: int
    column: int
    severity: Severity
    path: str
    """Path of the field; empty where it is about the file."""
    message: str
    rule: str

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Where it stands among those of its file."""
        return self.line, self.column, self.path, self.message

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {where}{' '.join(self.message.split())}"

    def wire(self) -> dict[str, Any]:
        """The finding as JSON."""
        return asdict(self)


def sarif(findings: Iterable[Finding], version: str) -> dict[str, Any]:
    """The findings as SARIF 2.1.0, which code scanners show beside the lines."""
    rules = list(Rule)
    places = {str(rule): index for index, rule in enumerate(rules)}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mcp-orchestrator",
                        "version": version,
                        "rules": [
                            {"id": str(rule), "shortDescription": {"text": DESCRIPTIONS[rule]}} for rule in rules
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, places) for finding in findings],
            }
        ],
    }


def _result(finding: Finding, places: dict[str, int]) -> dict[str, Any]:
    where = f"{finding.path}: " if finding.path else ""
    return {
        "ruleId": finding.rule,
        "ruleIndex": places[finding.rule],
        "level": str(finding.severity),
        "message": {"text": f"{where}{finding.message}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.file)},
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
    }
