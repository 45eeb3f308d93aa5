"""From what a tool answered to the one value that is the task's result. Called by `tools`.

The rules, in this order:
1. structured content, as it is. An explicit null is a value; content that is not there is none.
2. One block of text alone: what it says. If it is a JSON object or array, that; "123", "true" and the like stay text,
   because a text tool that happens to answer in digits must not change its type from one call to the next.
3. Several blocks of text: their texts, joined by line feeds. No block at all: null.
4. Anything else: a list with an object for each block: text, image, audio, resource or resource_link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner import values
from mcp_orchestrator.runner.calls import CallFailed


def value(result: CallToolResult) -> Any:
    """The result as plain JSON. Raises CallFailed if the tool failed, or if its result can't be held."""
    if result.is_error:
        raise CallFailed(ErrorClass.TOOL, _complaint(result))
    try:
        found = values.plain(_picked(result))
    except values.Unusable as error:
        raise CallFailed(ErrorClass.PROTOCOL, f"the tool's result can't be used: {error}") from error
    size = len(values.encode(found))
    if size > values.RESULT_BYTES:
        raise too_large(size)
    return found


def too_large(size: int) -> CallFailed:
    """The failure of a call with a result of more than `size` bytes."""
    limit = values.human(values.RESULT_BYTES)
    return CallFailed(
        ErrorClass.RESULT_TOO_LARGE, f"the tool's result has {values.human(size)} or more, and the limit is {limit}"
    )


def _picked(result: CallToolResult) -> Any:
    if "structured_content" in result.model_fields_set:
        return result.structured_content
    texts = _texts(result.content)
    if len(texts) < len(result.content):
        return [_block(block) for block in result.content]
    return _meaning(texts[0]) if len(texts) == 1 else "\n".join(texts) if texts else None


def _meaning(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _block(block: ContentBlock) -> dict[str, Any]:
    match block:
        case TextContent():
            return {"type": "text", "text": block.text}
        case ImageContent() | AudioContent():
            return {"type": block.type, "mimeType": block.mime_type, "data": block.data}
        case ResourceLink():
            found: dict[str, Any] = {"type": block.type, "uri": str(block.uri), "name": block.name}
            return found | ({"mimeType": block.mime_type} if block.mime_type else {})
        case EmbeddedResource(resource=resource):
            found = {"type": block.type, "uri": str(resource.uri)}
            found |= {"mimeType": resource.mime_type} if resource.mime_type else {}
            if isinstance(resource, BlobResourceContents):
                return found | {"data": resource.blob}
            return found | {"text": resource.text}


def _texts(content: Sequence[ContentBlock]) -> list[str]:
    return [block.text for block in content if isinstance(block, TextContent)]


def _complaint(result: CallToolResult) -> str:
    words = "\n".join(text for text in _texts(result.content) if text.strip())
    if not words and result.structured_content is not None:
        words = str(result.structured_content)
    return words or "the tool reported an error without a word"


from dataclasses import dataclass  # stub


@dataclass(frozen=True, slots=True)
class Answer:
    result: Any

    @classmethod
    def of(cls, value: Any) -> Answer:
        return cls(value)

    def content(self) -> dict[str, Any]:
        return {"result": self.result, "text": self.result if isinstance(self.result, str) else None}
