"""RunReceipt: what became of an idempotency key. The operator makes, reads and deletes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from mcp_orchestrator.api.base import ATOMIC, Digest, Message, Model, ObjectMeta, ObjectName, Word, preserved
from mcp_orchestrator.api.moments import Moment
from mcp_orchestrator.api.workflowrunstatus import RunPhase

MOST_OUTPUT_BYTES = 64 * 1024
"""The largest outputs, as JSON, that are kept in a receipt."""
ROOT_RULES = (
    {
        "rule": "self.metadata.name.matches('^[0-9a-f]{64}$')",
        "message": "metadata.name is the digest of a template's name and a key, 64 hexadecimal digits: RunReceipts are "
        "made by the operator",
    },
)


class ReceiptRun(Model):
    """The run that has the key."""

    name: ObjectName = Field(description="Name of the run.")
    uid: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="UID of the run: another one of its name has not got the key."
    )


class RunReceiptSpec(Model):
    """Which run has the key, and how it ended."""

    template: ObjectName = Field(description="Name of the WorkflowTemplate that the key is for.")
    run: ReceiptRun = Field(description="The run that has the key.")
    parameters_digest: Digest = Field(description="SHA-256 of its spec.parameters and spec.parametersFrom.")
    until: AwareDatetime = Field(
        description="When this is over and is deleted: the key may then be used for another execution."
    )
    phase: RunPhase | None = Field(
        None, description="How the run ended: Succeeded, Failed or Cancelled. Unset while it is under way."
    )
    reason: Word | None = Field(None, description="Why it ended so, in one word.")
    message: Message | None = Field(None, description="Why it ended so, in a sentence.")
    completion_time: Moment | None = Field(None, description="When it ended.")
    outputs: dict[str, Any] | None = Field(
        None, description="Its outputs, by name, but for sensitive ones.", json_schema_extra=preserved(**ATOMIC)
    )
    outputs_left_out: bool = Field(False, description="Whether its outputs are too large to be kept here: over 64 KiB.")


class RunReceipt(Model):
    """What became of an idempotency key. Its name is the digest of the template's name and the key. It outlives the
    run. Whoever deletes it frees the key for another execution.
    """

    metadata: ObjectMeta
    spec: RunReceiptSpec
