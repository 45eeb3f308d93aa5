"""The values of a run's parameters, with those that the pod has as files: Secrets and ConfigMaps. Called by `main`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.api.workflowrun import WorkflowRunSpec
from mcp_orchestrator.api.workflowtemplate import Mistake
from mcp_orchestrator.planning.workflows import parameters

DIRECTORY = Path("/var/run/mcp-orchestrator/parameters")
"""Where the pod has them: a file for each, by the parameter's name."""


@dataclass(frozen=True, slots=True)
class Given:
    """The values of all parameters, those that are secret, and what is wrong with them."""

    values: Mapping[str, Any]
    secrets: tuple[Any, ...] = ()
    mistakes: tuple[Mistake, ...] = ()


def resolve(spec: WorkflowRunSpec, declared: tuple[Parameter, ...], directory: Path = DIRECTORY) -> Given:
    """The values of a run's parameters."""
    by_name = {parameter.name: parameter for parameter in declared}
    found: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for source in spec.parameters_from:
        path = f"spec.parametersFrom.{source.name}"
        try:
            text = (directory / source.name).read_text(encoding="utf-8")
            found[source.name] = parameters.from_text(by_name.get(source.name), text)
        except (OSError, UnicodeDecodeError) as error:
            words = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "its file is not there"
            mistakes.append(parameters.a_mistake(path, words))
        except parameters.NotReadable as error:
            mistakes.append(parameters.a_mistake(path, str(error)))
    resolved = parameters.resolve(declared, {**spec.parameters, **found}, "spec.parameters")
    secrets = tuple(_secrets(by_name, resolved.values))
    return Given(resolved.values, secrets, (*mistakes, *resolved.mistakes))


def _secrets(declared: Mapping[str, Parameter], values: Mapping[str, Any]) -> Iterator[Any]:
    yield from (values[name] for name, parameter in declared.items() if parameter.sensitive and name in values)
