"""How many runs there may be at the same time: what the installation says, beside templates and servers."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from mcp_orchestrator.api.base import Model, ObjectName
from mcp_orchestrator.api.control import Limit


class Limits(Model):
    """The limits file of the operator; the chart keeps it in a ConfigMap. An unknown field is an error."""

    model_config = ConfigDict(extra="forbid")

    max_concurrent_runs: Limit | None = Field(None, description="The most runs in all namespaces.")
    max_concurrent_runs_per_namespace: Limit | None = Field(
        None, description="The most runs in each namespace that namespaces does not name."
    )
    namespaces: dict[ObjectName, Limit] = Field(
        default_factory=dict, description="The most runs in a namespace, by its name."
    )
    aging_seconds: Annotated[int, Field(ge=0, le=604_800)] = Field(
        0,
        description="A run that has waited this long goes before fresh ones of the next higher priority, twice as long "
        "before those above that, and so on. 0: priorities are strict.",
    )

    def of_namespace(self, name: str) -> int | None:
        """The limit of that namespace; None if it has none."""
        return self.namespaces.get(name, self.max_concurrent_runs_per_namespace)
