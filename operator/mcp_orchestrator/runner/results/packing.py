"""An answer as it stands outside of the status: its JSON, compressed, named by its digest. See `packs`, `objects`."""

from __future__ import annotations

import gzip
import hashlib
import zlib

from mcp_orchestrator.runner.results import values
from mcp_orchestrator.runner.results.answers import Answer

LEVEL = 4
"""Of gzip: 1 MiB of JSON takes some 20 ms."""


class Unreadable(ValueError):
    """The bytes are not the answer that they are named after."""


def pack(answer: Answer) -> bytes:
    """The answer's bytes: the same each time."""
    return compress(answer.encode())


def unpack(data: bytes, digest: str) -> Answer:
    """The answer of that digest. Raises Unreadable."""
    encoded = decompress(data)
    if hashlib.sha256(encoded).hexdigest()[: len(digest)] != digest:
        raise Unreadable("they were changed")
    return decode(encoded)


def compress(encoded: bytes) -> bytes:
    """An answer's JSON, made small."""
    return gzip.compress(encoded, LEVEL, mtime=0)


def decompress(data: bytes) -> bytes:
    """What was compressed, no further than an answer goes: others may have made it a bomb. Raises Unreadable."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, values.RESULT_BYTES + 1)
    except zlib.error as error:
        raise Unreadable(str(error)) from error


def decode(encoded: bytes) -> Answer:
    """The answer that its JSON says. Raises Unreadable."""
    try:
        return Answer.decode(encoded)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(str(error)) from error
