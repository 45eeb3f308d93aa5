"""What a tool answered: its parts, and the one value that is the task's result. Made by `tools`, kept by the engine.

The result, by the first rule that fits:
1. structured content, as it is. An explicit null is a value; content that is not there is none.
2. One block of text alone: what it says. If it is a JSON object or array, that; "123", "true" and the like stay text,
   because a text tool that happens to answer in digits must not change its type from one call to the next.
3. Several blocks of text: their texts, joined by line feeds. No block at all: null.
4. Anything else: a list with an object for each block: text, image, audio, resource or resource_link.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

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
from mcp_orchestrator.planning import plain
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.results import values

_OF_TYPE = {"images": "image", "audio": "audio", "resources": "resource", "links": "resource_link"}
"""What expressions call the blocks of a type."""


@dataclass(frozen=True)
class Answer:
    """A tool's answer as plain JSON. Its parts do not change, so what follows from them is worked out once."""

    structured: tuple[Any, ...] = ()
    """The structured content, if there is any."""
    blocks: tuple[Mapping[str, Any], ...] = ()
    """The blocks of content in their order, but for text that repeats the structured content."""

    @classmethod
    def of(cls, value: Any) -> Self:
        """An answer that has a value and nothing else."""
        return cls(structured=(value,))

    @classmethod
    def said(cls, text: str) -> Self:
        """An answer that is a text and nothing else."""
        return cls(blocks=({"type": "text", "text": text},))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The answer that was encoded so."""
        found = orjson.loads(data)
        return cls(tuple(found.get("structured", ())), tuple(found["content"]))

    def encode(self) -> bytes:
        """The whole answer as JSON."""
        structured = {"structured": list(self.structured)} if self.structured else {}
        return values.encode({**structured, "content": list(self.blocks)})

    @cached_property
    def digest(self) -> str:
        """The first half of the whole answer's SHA-256, in hexadecimal digits: a run may have a thousand of them."""
        return hashlib.sha256(self.encode()).hexdigest()[:32]

    @cached_property
    def result(self) -> Any:
        """The one value that is the task's result."""
        if self.structured:
            return self.structured[0]
        if len(self._texts) < len(self.blocks):
            return list(self.blocks)
        return _meaning(self._texts[0]) if len(self._texts) == 1 else "\n".join(self._texts) if self._texts else None

    @cached_property
    def text(self) -> str:
        """All text, or the structured content as JSON where there is no other."""
        if self.structured and not self._texts:
            return plain.text(_wrapped(self.structured[0]))
        return "\n".join(self._texts)

    def content(self) -> dict[str, Any]:
        """What expressions read of it."""
        found: dict[str, Any] = {"result": self.result, "text": self.text}
        if self.structured:
            found["structured"] = self.structured[0]
        for name, kind in _OF_TYPE.items():
            found[name] = [block for block in self.blocks if block["type"] == kind]
        return found

    @property
    def is_its_result(self) -> bool:
        """Whether the result alone tells the whole answer: see `of_result`."""
        return Answer.of_result(self.result).content() == self.content()

    @classmethod
    def of_result(cls, result: Any) -> Self:
        """The answer that has this result, and nothing else: a text, or structured content."""
        return cls.said(result) if isinstance(result, str) else cls.of(result)

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return tuple(str(block["text"]) for block in self.blocks if block["type"] == "text")


def answer(result: CallToolResult) -> Answer:
    """The tool's answer. Raises CallFailed if the tool failed, or if its answer can't be held."""
    if result.is_error:
        raise CallFailed(ErrorClass.TOOL, _complaint(result))
    try:
        structured = (
            (values.plain(result.structured_content),) if "structured_content" in result.model_fields_set else ()
        )
        blocks = tuple(values.plain(_block(block)) for block in result.content)
    except values.Unusable as error:
        raise CallFailed(ErrorClass.PROTOCOL, f"the tool's result can't be used: {error}", answered=True) from error
    if structured:
        blocks = tuple(block for block in blocks if not _repeats(block, structured[0]))
    found = Answer(structured, blocks)
    size = len(found.encode())
    if size > values.RESULT_BYTES:
        raise too_large(size)
    return found


def too_large(size: int) -> CallFailed:
    """The failure of a call with a result of more than `size` bytes."""
    limit = values.human(values.RESULT_BYTES)
    return CallFailed(
        ErrorClass.RESULT_TOO_LARGE, f"the tool's result has {values.human(size)} or more, and the limit is {limit}"
    )


def _repeats(block: Mapping[str, Any], structured: Any) -> bool:
    """Whether the block is the structured content once more, as servers add it for old clients."""
    if block["type"] != "text":
        return False
    wrapped = _wrapped(structured)
    if block["text"] == wrapped:
        return True
    try:
        return values.plain(orjson.loads(block["text"])) in (structured, wrapped)
    except (ValueError, values.Unusable):
        return False


def _wrapped(structured: Any) -> Any:
    """What a server wrapped into an object, since structured content had to be one: {"result": …}."""
    if isinstance(structured, dict) and structured.keys() == {"result"}:
        return structured["result"]
    return structured


def _meaning(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return values.plain(orjson.loads(text))
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
