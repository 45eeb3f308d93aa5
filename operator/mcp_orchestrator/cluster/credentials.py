"""Bearer tokens that expire and how they get into requests; `config` puts them into sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp

REREAD_SECONDS = 60.0
PLUGIN_KEYS = ("BearerToken", "authorization")
"""Where releases of the `kubernetes` package keep the token."""


class Token(Protocol):
    """A bearer token that may change over time."""

    async def read(self) -> str:
        """The token to send now."""
        ...

    def forget(self) -> bool:
        """The API server refused the token. True if another read may give another one."""
        ...


@dataclass(frozen=True, slots=True)
class FixedToken:
    """A token that was written down."""

    value: str

    async def read(self) -> str:
        return self.value

    def forget(self) -> bool:
        return False


class FileToken:
    """A token in a file that the kubelet replaces: read once a minute, and again after a 401."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._value = ""
        self._read_at = float("-inf")

    async def read(self) -> str:
        now = self._monotonic()
        if now - self._read_at >= REREAD_SECONDS:
            self._value = self._path.read_text(encoding="ascii").strip()
            self._read_at = now
        return self._value

    def forget(self) -> bool:
        self._read_at = float("-inf")
        return True


class PluginToken:
    """A token that the `kubernetes` package gets from an exec plugin or an identity provider."""

    def __init__(self, configuration: Any) -> None:
        self._configuration = configuration
        self._lock = asyncio.Lock()

    async def read(self) -> str:
        async with self._lock:  # one plugin process at a time
            header = await asyncio.to_thread(self._configuration.get_api_key_with_prefix, *PLUGIN_KEYS)
        return str(header or "").removeprefix("Bearer ")

    def forget(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Authorization:
    """Middleware of a session: adds the token; after a 401 asks once more with a token read anew."""

    token: Token

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        sent = await self.token.read()
        request.headers["Authorization"] = f"Bearer {sent}"
        response = await handler(request)
        if response.status != 401 or not self.token.forget():
            return response
        fresh = await self.token.read()
        if fresh == sent:
            return response
        response.release()
        request.headers["Authorization"] = f"Bearer {fresh}"
        return await handler(request)
