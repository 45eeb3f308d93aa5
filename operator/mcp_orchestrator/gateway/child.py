"""A stdio server's process: its pipes as MCP streams, its standard error as log lines. Used by gateway.upstream."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from mcp_orchestrator.gateway.failures import Failure, FailureClass, UpstreamError

log = logging.getLogger(__name__)

TAIL_LINES = 20
TAIL_BYTES = 4096
LINE_BYTES = 2048
"""Longer lines of standard error are cut."""
MESSAGE_BYTES = 64 * 1024 * 1024
"""The longest message that is read: one line of standard output."""
EXIT_SECONDS = 1.0
"""How long a server may take to end by itself once its standard input is closed."""
TERMINATE_SECONDS = 0.5
"""How long it may take once it was told to end, before it is killed."""


class Child:
    """A running stdio server. `read` and `write` are its streams, `ended` is set when it stops answering."""

    def __init__(self, process: asyncio.subprocess.Process, redact: Callable[[str], str]) -> None:
        self.ended = asyncio.Event()
        self.rubbish = ""
        """The first line of standard output that was no MCP message."""
        self.oversized = False
        self.dismissed = False
        """Whether the gateway ended it, and not it itself."""
        self._process = process
        self._redact = redact
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._received: MemoryObjectSendStream[SessionMessage | Exception]
        self._received, self.read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self._to_send: MemoryObjectReceiveStream[SessionMessage]
        self.write, self._to_send = anyio.create_memory_object_stream[SessionMessage](0)

    @property
    def exit_code(self) -> int | None:
        """What the process ended with, negative for a signal; None while it runs."""
        return self._process.returncode

    def tail(self) -> str:
        """The last lines of standard error, without secrets, at most 4 KiB."""
        text = "\n".join(self._tail)
        return text.encode()[-TAIL_BYTES:].decode(errors="ignore")

    async def wait(self, seconds: float) -> None:
        """Wait for the process's end, for a while: pipes that a grandchild holds open would hide it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)

    async def pump(self) -> None:
        """Move messages and log lines until the server ends."""
        stdout, stderr, stdin = (
            asyncio.create_task(work()) for work in (self._read_stdout, self._read_stderr, self._write_stdin)
        )
        try:
            await asyncio.wait({stdout, stdin}, return_when=asyncio.FIRST_COMPLETED)
            # An answer may still be in the pipe, and the reason of its end in the other.
            await asyncio.wait({stdout, stderr}, timeout=EXIT_SECONDS)
        finally:
            self.ended.set()
            for task in (stdout, stderr, stdin):
                task.cancel()
            await asyncio.gather(stdout, stderr, stdin, return_exceptions=True)
            for stream in (self._received, self.read, self.write, self._to_send):
                stream.close()

    async def stop(self) -> None:
        """End the process and everything it started: first politely, then not."""
        self.dismissed = not self.ended.is_set() and self._process.returncode is None
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self.wait(EXIT_SECONDS)
        for number, seconds in ((signal.SIGTERM, TERMINATE_SECONDS), (signal.SIGKILL, TERMINATE_SECONDS)):
            # Its own process group: npx and uvx leave the server itself behind when they die.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            if self._process.returncode is None:
                await self.wait(seconds)

    async def _read_stdout(self) -> None:
        # Closed at the end of the pipe, which fails the calls in flight at once.
        with self._ending(), self._received, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while line := await self._next_line():
                if not line.strip():
                    continue
                try:
                    message = _message(line)
                except (ValueError, RecursionError):
                    self._note_rubbish(line)
                else:
                    await self._received.send(message)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.ended.set()

    async def _next_line(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker: it was started with a pipe
        try:
            return await self._process.stdout.readuntil(b"\n")
        except asyncio.IncompleteReadError as rest:
            return rest.partial
        except asyncio.LimitOverrunError:
            self.oversized = True
            return b""

    def _note_rubbish(self, line: bytes) -> None:
        if not self.rubbish:
            self.rubbish = self._redact(line.decode(errors="replace").strip()[:200])
            log.warning("the server's standard output holds something that is no MCP message: %s", self.rubbish)

    async def _write_stdin(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - for the type checker: it was started with a pipe
        async for item in self._to_send:
            data = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            try:
                stdin.write(data.encode() + b"\n")
                await stdin.drain()
            except (ConnectionError, RuntimeError):
                return

    async def _read_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101 - for the type checker: it was started with a pipe
        pending = b""
        while chunk := await stderr.read(4096):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self._note_stderr(line)
            pending = pending[: 8 * LINE_BYTES]
        self._note_stderr(pending)

    def _note_stderr(self, line: bytes) -> None:
        # Redact before cutting: half a secret is no longer recognized.
        text = self._redact(line.decode(errors="replace").rstrip())[:LINE_BYTES]
        if text:
            self._tail.append(text)
            log.info("server: %s", text)


@asynccontextmanager
async def running(
    command: str, args: Sequence[str], env: Mapping[str, str], redact: Callable[[str], str]
) -> AsyncIterator[Child]:
    """Start `command` without a shell; leaving the context ends it.

    Raises UpstreamError when it can't be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *args,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=MESSAGE_BYTES,
        )
    except (OSError, ValueError) as error:
        raise UpstreamError(_not_started(command, env, error)) from error
    child = Child(process, redact)
    pump = asyncio.create_task(child.pump())
    try:
        yield child
    finally:
        await child.stop()
        # What it wrote last is worth a moment.
        await asyncio.wait({pump}, timeout=EXIT_SECONDS)
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


def _message(line: bytes) -> SessionMessage:
    """The message on a line. Raises ValueError or RecursionError if it is none."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        # JavaScript cuts texts inside surrogate pairs. No reader of JSON here takes the half that is left, and to drop
        # the message would leave the call without its answer.
        mended = json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
        return SessionMessage(jsonrpc_message_adapter.validate_json(mended, by_name=False))


def _not_started(command: str, env: Mapping[str, str], error: Exception) -> Failure:
    found = shutil.which(command, path=env.get("PATH"))
    if isinstance(error, FileNotFoundError) and found is None:
        problem = f"the command {command!r} is not in the image"
    elif isinstance(error, FileNotFoundError):
        problem = f"the command {command!r} can't run: the interpreter in its first line is not in the image"
    elif isinstance(error, PermissionError):
        problem = f"the command {command!r} may not be executed"
    else:
        problem = f"the command {command!r} can't be started: {error}"
    return Failure(FailureClass.COMMAND_NOT_FOUND, f"{problem}: check spec.stdio.command, or spec.stdio.image")
