"""The servers of a local run: each behind a gateway, as on a cluster, in processes of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import MCPServerStatus
from mcp_orchestrator.api.pods import EnvironmentVariable, KeySelector
from mcp_orchestrator.client.exits import Failed
from mcp_orchestrator.client.manifests import Manifests
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.servers import decision
from mcp_orchestrator.settings import PREFIX, Settings, clock

END_SECONDS = 5.0
LOOK_SECONDS = 0.1
LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers, and where."""

    server: MCPServer
    url: str
    gateway: asyncio.subprocess.Process


@asynccontextmanager
async def running(
    wanted: Iterable[MCPServer], held: Manifests, start_seconds: float
) -> AsyncIterator[dict[str, Running]]:
    """All of them, checked; they end with the context. Raises Failed for one that can't be used."""
    async with AsyncExitStack() as stack:
        starts = [asyncio.create_task(_started(server, held, stack, start_seconds)) for server in wanted]
        try:
            found = await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
        try:
            yield {one.server.metadata.name: one for one in found}
        finally:
            # All at once: leaving the stack waits for one after the other.
            for one in found:
                _end(one.gateway)


async def _started(server: MCPServer, held: Manifests, stack: AsyncExitStack, start_seconds: float) -> Running:
    name, environ = server.metadata.name, _environment(server, held)
    if server.spec.http:
        raise Failed(
            f'MCPServer "{name}" is a container ({server.spec.http.image}), which a local run can\'t start: give a '
            "manifest with spec.stdio or spec.remote for it, or run on a cluster"
        )
    command = server.spec.stdio.command if server.spec.stdio else ""
    if command and not shutil.which(command, path=environ.get("PATH")):
        raise Failed(f'MCPServer "{name}": its command {command} is not in the PATH of this machine: install it')
    gateway, port = await stack.enter_async_context(_gateway(server, environ))
    report = await _checked(name, port, start_seconds)
    planned = decision.plan_server(_observed(server, report), Settings(), clock()).status
    status = MCPServerStatus.model_validate(planned or {})
    return Running(server.model_copy(update={"status": status}), f"http://127.0.0.1:{port}/mcp", gateway)


def _observed(server: MCPServer, report: GatewayReport) -> decision.ObservedServer:
    """The server as the operator would see it, with its one pod ready."""
    counts = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}
    deployment = {"metadata": {"generation": 1}, "status": counts}
    return decision.ObservedServer(server=server, deployment=deployment, report=report)


@asynccontextmanager
async def _gateway(
    server: MCPServer, environ: Mapping[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The server's gateway as a process of its own, and its port."""
    local = {"host": "127.0.0.1", "port": 0, "drainSeconds": 1}
    configuration = manifests.gateway_configuration(server) | local
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mcp_orchestrator", "gateway"),
        env={**os.environ, **environ, f"{PREFIX}GATEWAY": json.dumps(configuration), f"{PREFIX}MODE": "production"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=LINE_BYTES,
        # Ctrl-C in the terminal is for us: we end it, and it ends its program.
        start_new_session=True,
    )
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_read(process, listening))
    try:
        yield process, await listening
    finally:
        _end(process)
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
        await asyncio.wait({reading}, timeout=END_SECONDS)


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()


async def _read(process: asyncio.subprocess.Process, listening: asyncio.Future[int]) -> None:
    """Read the gateway's log to its end: a full pipe would stop it."""
    assert process.stdout  # noqa: S101 - it was started with a pipe
    last = ""
    async for raw in process.stdout:
        last = raw.decode(errors="replace").strip() or last
        if not listening.done() and '"listening"' in last:
            listening.set_result(int(json.loads(last)["port"]))
    if not listening.done():
        listening.set_exception(Failed(f"a gateway did not start: {last}"))


async def _checked(name: str, port: int, start_seconds: float) -> GatewayReport:
    """The first good report. Raises Failed with the server's failure."""
    # Here, while the gateway starts: the engine needs it later, too.
    import httpx2

    report = GatewayReport(ok=False, starting=True)
    try:
        async with asyncio.timeout(start_seconds), httpx2.AsyncClient(trust_env=False) as client:
            while not report.ok:
                answer = await client.get(f"http://127.0.0.1:{port}/status")
                report = GatewayReport.model_validate_json(answer.content)
                if report.error and not report.starting:
                    break
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        pass
    if report.ok:
        return report
    why = f"{report.error.class_}: {report.error.message}" if report.error else f"no answer within {start_seconds:g} s"
    raise Failed(f'MCPServer "{name}" can\'t be used: {why}')


def _environment(server: MCPServer, held: Manifests) -> dict[str, str]:
    """The variables of the server's process, and what its headers are made of."""
    found = {variable.name: _value(server, variable, held) for variable in server.spec.env}
    headers = server.spec.remote.headers if server.spec.remote else ()
    for number, header in enumerate(headers):
        what = f"spec.remote.headers {header.name}"
        found[manifests.header_variable(number)] = _secret(server, what, header.secret_key_ref, held)
    return found


def _value(server: MCPServer, variable: EnvironmentVariable, held: Manifests) -> str:
    source = variable.value_from
    if source is None:
        return variable.value or ""
    what = f"spec.env {variable.name}"
    if source.secret_key_ref:
        return _secret(server, what, source.secret_key_ref, held, variable.name)
    ref = source.config_map_key_ref
    if ref and (ref.name, ref.key) in held.texts:
        return held.texts[ref.name, ref.key]
    raise Failed(f'MCPServer "{server.metadata.name}": {what} names a ConfigMap that is not among the files')


def _secret(server: MCPServer, what: str, ref: KeySelector, held: Manifests, *names: str) -> str:
    """A Secret's value: out of the files, else out of this process's environment."""
    if (ref.name, ref.key) in held.secrets:
        return held.secrets[ref.name, ref.key]
    variables = (*names, re.sub(r"\W", "_", f"{ref.name}_{ref.key}").upper())
    for variable in variables:
        if os.environ.get(variable):
            return os.environ[variable]
    raise Failed(
        f'MCPServer "{server.metadata.name}": {what} needs key {ref.key} of Secret {ref.name}: add its manifest to the '
        f"files, or set the environment variable {' or '.join(variables)}"
    )
