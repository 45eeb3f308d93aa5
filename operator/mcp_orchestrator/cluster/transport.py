"""One request to the API server: sent, counted, tried again, its failure made an error of ours. `client` calls it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from yarl import URL

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import errors, retry

logger = logging.getLogger(__name__)

JSON = "application/json"
WRITE_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 30.0
DISTINCT_WARNINGS = 100


@dataclass(frozen=True, slots=True)
class Request:
    """A request. If it is not `repeatable`, doing it twice is not the same as doing it once."""

    method: str
    path: str
    params: dict[str, str]
    body: bytes | None = None
    content_type: str = JSON
    timeout_seconds: float = READ_TIMEOUT_SECONDS
    repeatable: bool = True
    accept: str = ""
    """Empty: whatever the session accepts."""

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def headers(self) -> dict[str, str]:
        content_type = {"Content-Type": self.content_type} if self.body is not None else {}
        return content_type | ({"Accept": self.accept} if self.accept else {})


class Transport:
    """Requests over one session. `gate` is called before each try of a write and raises NotLeader to stop it."""

    def __init__(
        self,
        server: str,
        session: aiohttp.ClientSession,
        *,
        gate: Callable[[], None] | None,
        policy: retry.Policy,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._server = server
        self._session = session
        self._gate = gate
        self._policy = policy
        self._sleep = sleep
        self._host = URL(server).authority
        self._warned: set[str] = set()

    async def call(self, request: Request) -> bytes:
        """The body of the answer. Raises the errors of `errors`."""
        tried = 0
        while True:
            if self._gate is not None and request.is_write:
                self._gate()
            try:
                return await self._send(request)
            except errors.Unavailable as error:
                tried += 1
                wait = self._policy.wait_seconds(tried, error, repeatable=request.repeatable)
                if wait is None:
                    raise
                logger.debug("%s %s again in %.2f s: %s", request.method, request.path, wait, error)
            await self._sleep(wait)

    async def _send(self, request: Request) -> bytes:
        started = time.perf_counter()
        code = "<error>"
        try:
            async with self._session.request(
                request.method,
                self._server + request.path,
                params=request.params or None,
                data=request.body,
                headers=request.headers,
                timeout=aiohttp.ClientTimeout(total=request.timeout_seconds),
                allow_redirects=False,
            ) as response:
                body = await response.read()
                code = str(response.status)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise errors.Unavailable(_describe(request, error), sent=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unavailable(_describe(request, error)) from error
        finally:
            telemetry.REST_REQUESTS.labels(code, request.method, self._host).inc()
            telemetry.REST_DURATION.labels(request.method, self._host).observe(time.perf_counter() - started)
        if response.status >= 300:
            raise errors.from_response(response.status, body, response.headers.get("Retry-After"))
        self._log_warnings(request, response)
        return body

    def _log_warnings(self, request: Request, response: aiohttp.ClientResponse) -> None:
        """The API server warns of unknown fields and deprecated versions: say each once."""
        for text in response.headers.getall("Warning", ()):
            if text not in self._warned and len(self._warned) < DISTINCT_WARNINGS:
                self._warned.add(text)
                logger.warning("the API server warns of %s %s: %s", request.method, request.path, text)


def _describe(request: Request, error: BaseException) -> str:
    text = f"{request.method} {request.path}: {type(error).__name__}"
    return f"{text}: {error}" if str(error) else text
