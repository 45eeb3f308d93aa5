"""From the API server's JSON to our models, without ever failing: what can't be read is a value too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from mcp_orchestrator.api.base import Model, ObjectMeta

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that the models can't hold, for example one stored under an older schema."""

    metadata: ObjectMeta
    message: str
    """Which fields are wrong, and why."""


def read(model: type[M], body: Mapping[str, Any]) -> M | Unreadable:
    """The object `body` as `model`."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = "; ".join(f"{_path(fault['loc'])}: {fault['msg']}" for fault in error.errors()[:5])
        return Unreadable(ObjectMeta.model_validate(body.get("metadata", {})), faults)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
