"""What people give on the command line, and what they get back: parameters and outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.client.exits import Failed
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.planning.workflows import parameters as planned


def parameters(given: Iterable[str], declared: tuple[Parameter, ...] | None) -> dict[str, Any]:
    """The values of NAME=VALUE and NAME=@FILE: text for a string, else JSON, as `declared` says.

    Where the workflow is not known (None), what reads as JSON is JSON, and the rest is text. Raises Failed.
    """
    known = {parameter.name: parameter for parameter in declared or ()}
    found: dict[str, Any] = {}
    for entry in given:
        name, equals, text = entry.partition("=")
        if any("\ud800" <= character <= "\udfff" for character in entry):  # how Python has bytes that are no text
            raise Failed(f"-p {name}: it is not UTF-8 text")
        if not equals or not name:
            raise Failed(f"-p {entry}: write it as NAME=VALUE, or NAME=@FILE")
        if name in found:
            raise Failed(f"-p {name}: it is given twice, and a parameter has one value")
        if text.startswith("@"):
            text = _file(name, text[1:])
        found[name] = _value(known.get(name), name, text, known=declared is not None)
    return found


def _file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Failed(f"-p {name}: {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise Failed(f"-p {name}: {path} is not UTF-8 text") from error


def _value(parameter: Parameter | None, name: str, text: str, *, known: bool) -> Any:
    if not known:
        try:
            return json.loads(text)
        except ValueError:
            return text
    try:
        return planned.from_text(parameter, text)
    except planned.NotReadable as error:
        raise Failed(f"-p {name}: {error}") from error


def show_outputs(outputs: Mapping[str, Any], terminal: Terminal) -> None:
    """The outputs of a run, each behind its name: text as it is, anything else as JSON."""
    for name, value in outputs.items():
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        if "\n" in text.rstrip("\n"):
            terminal.line(f"{terminal.paint(name, 'bold')}:")
            terminal.hanging("  ", text.rstrip("\n"))
        else:
            terminal.hanging(f"{terminal.paint(name, 'bold')}: ", text.rstrip("\n"))
