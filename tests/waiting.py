"""Waiting in tests for what another process does: bounded, and with words when it never comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

PATIENCE_SECONDS = 60.0
"""For machines that are busy with other things: what is waited for takes a second or two."""


async def eventually(what: str, check: Callable[[], Awaitable[Any]]) -> Any:
    """The first truthy answer of `check`, which asks for something that another process does."""
    answer: Any = None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (answer := await check()):  # noqa: ASYNC110 - another process can only be asked again
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what} did not happen; the last answer was {answer!r}")
    return answer
