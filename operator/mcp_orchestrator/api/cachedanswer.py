"""CachedAnswer: the answer of a call, for others that are the same. Runners make them, the operator deletes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from mcp_orchestrator.api.base import Model, ObjectMeta

MOST_BYTES = 256 * 1024
"""The largest answer that is kept, compressed and, with a key, encrypted."""
NAME = "^[0-9a-f]{64}$"
ROOT_RULES = (
    {
        "rule": f"self.metadata.name.matches('{NAME}')",
        "message": "metadata.name is the digest of a call, 64 hexadecimal digits: CachedAnswers are made by runners",
    },
)


class CachedAnswerSpec(Model):
    """The answer, or who is about to have one."""

    until: AwareDatetime = Field(
        description="When this is over. With an answer: until then it is taken instead of a call. Without one: until "
        "then others wait for the caller."
    )
    caller: Annotated[str, StringConstraints(max_length=320)] = Field(
        "",
        description="Name of the run that made the call, or of the one that makes it and a word for that call.",
    )
    answer: Annotated[str, StringConstraints(max_length=(MOST_BYTES + 2) // 3 * 4)] = Field(
        "",
        description="The answer's JSON, compressed, in base64; encrypted if the Secret of the cache has a key. Empty "
        "while the call is made.",
    )


class CachedAnswer(Model):
    """The answer of one call, taken again for others that are the same. Its name is the digest of the call."""

    metadata: ObjectMeta
    spec: CachedAnswerSpec
