"""Ctrl-C and SIGTERM while a command waits: last words, and a last act where one is wanted."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import StrEnum
from typing import Any, TypeVar

from mcp_orchestrator.client.exits import Exit, Failed

T = TypeVar("T")


class OnInterrupt(StrEnum):
    """What becomes of the run when the command that follows it is interrupted."""

    DETACH = "detach"
    CANCEL = "cancel"


@asynccontextmanager
async def heeded(leave: Callable[[], Awaitable[str]]) -> AsyncIterator[None]:
    """Wait for something. If that is interrupted, `leave` is called; what it says ends the command. Raises Failed."""
    with _terminable():
        try:
            yield
        except asyncio.CancelledError:
            if sys.stderr.isatty():
                print(file=sys.stderr)  # behind the ^C
            raise Failed(await leave(), Exit.INTERRUPTED) from None


async def or_like_ctrl_c(work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to. SIGTERM does to it what Ctrl-C does."""
    with _terminable():
        try:
            return await work
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


@contextmanager
def _terminable() -> Iterator[None]:
    """asyncio.run makes a cancellation of Ctrl-C; this does so of SIGTERM, by which pipelines are aborted."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task  # noqa: S101 - a coroutine runs in one
    with suppress(NotImplementedError):  # on Windows, where nothing sends it
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


async def or_else(work: Coroutine[Any, Any, T], stop: Callable[[], object]) -> T:
    """What the work comes to. A first Ctrl-C calls `stop`, for the work to end soon; a second one interrupts it."""
    running, own = asyncio.create_task(work), asyncio.current_task()
    assert own  # noqa: S101 - a coroutine runs in one
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        # asyncio.run makes a cancellation of a first Ctrl-C, and a KeyboardInterrupt of a second one.
        own.uncancel()
        stop()
        return await running
