"""Orders to runs by the real program, on a real API server. What the operator would say, the tests write themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.objects import a_run, a_task, a_template
from tests.waiting import PATIENCE_SECONDS, eventually

from mcp_orchestrator import MCPOrchestrator
from mcp_orchestrator.api.base import OPERATOR_MANAGER
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client

Json = dict[str, Any]
RUNS = resources.WORKFLOW_RUNS
DONE = {"name": "now", "phase": "Succeeded"}
OPEN = {"name": "then", "phase": "Running"}


@dataclass
class Done:
    """What a program printed, and its exit code."""

    code: int
    out: str
    told: str


@dataclass
class Space:
    """A namespace, with the program that people run in it."""

    client: Client
    namespace: str
    kubeconfig: Path

    @contextlib.asynccontextmanager
    async def begun(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The program, at work."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mcp_orchestrator", words[0], "-n", self.namespace, *words[1:]),
            env={"PATH": os.environ["PATH"], "KUBECONFIG": str(self.kubeconfig)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def program(self, *words: str) -> Done:
        """The program, once it has ended."""
        async with self.begun(*words) as process:
            return await ended(process)

    async def create(self, name: str = "report-1", **spec: Any) -> None:
        """A run."""
        spec = {"templateRef": {"name": "report"}, "parameters": {"topic": "herons"}} | spec
        await self.client.create(RUNS, a_run(name, self.namespace, **spec))

    async def status(self, name: str = "report-1", **status: Any) -> None:
        """Say of the run what the operator and its runner would."""
        body = {"metadata": {"name": name, "namespace": self.namespace}, "status": status}
        await self.client.apply_status(RUNS, body, manager=OPERATOR_MANAGER)

    async def get(self, name: str = "report-1") -> Json:
        """The run."""
        return await self.client.get(RUNS, name, self.namespace)

    async def run_there(self) -> str:
        """The name of the one run that is there."""

        async def look() -> list[Json]:
            return (await self.client.list_all(RUNS, self.namespace, convert=dict)).items

        (run,) = await eventually("a run", look)
        return str(run["metadata"]["name"])


async def ended(process: asyncio.subprocess.Process) -> Done:
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, told = await process.communicate()
    return Done(process.returncode or 0, out.decode(), told.decode())


async def read_until(process: asyncio.subprocess.Process, words: str) -> list[str]:
    """The lines that it prints, up to one with those words."""
    assert process.stdout
    lines: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not lines or words not in lines[-1]:
            lines.append((await process.stdout.readline()).decode())
            assert lines[-1], f"{words!r} was not told: {lines}"
    return lines


def cancelled(reason: str = "Cancelled", **status: Any) -> Json:
    """The status of a run that was stopped."""
    condition = {
        "type": "Succeeded",
        "status": "False",
        "reason": reason,
        "message": "stopped",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    return {"phase": "Cancelled", "message": "stopped while it ran", "conditions": [condition], **status}


@pytest.fixture
async def space(client: Client, namespace: str, kubeconfig: Path) -> Space:
    template = a_template("report", namespace, parameters=[{"name": "topic"}], tasks=[a_task(), a_task("then")])
    await client.create(resources.WORKFLOW_TEMPLATES, template)
    return Space(client, namespace, kubeconfig)


async def test_a_run_is_held_let_go_on_and_stopped(space: Space) -> None:
    await space.create()
    held = await space.program("suspend", "report-1")
    again = await space.program("suspend", "report-1")

    assert (held.code, again.code, held.told) == (0, 0, "")
    assert held.out == (
        f"report-1 is being suspended; to let it go on: mcp-orchestrator resume report-1 -n {space.namespace}\n"
    )
    assert again.out == "report-1 is suspended already\n"
    assert (await space.get())["spec"]["suspend"] is True

    assert (await space.program("resume", "report-1")).out == "report-1 goes on\n"
    assert (await space.get())["spec"]["suspend"] is False
    assert (await space.program("resume", "report-1")).out == "report-1 is not suspended\n"

    assert (await space.program("cancel", "report-1")).out == "report-1 is being cancelled (Graceful)\n"
    faster = await space.program("cancel", "--immediate", "report-1", "-o", "json")
    assert json.loads(faster.out)["spec"]["cancel"] == "Immediate"
    late = await space.program("suspend", "report-1")
    assert (late.code, late.out) == (2, "")
    assert "report-1 is being cancelled: it can't be suspended" in late.told


async def test_an_order_changes_its_field_alone_and_names_who_gave_it(space: Space) -> None:
    await space.create(timeoutSeconds=60)
    before = await space.get()
    await space.status(phase="Running", tasks=[OPEN])
    await space.program("cancel", "report-1")
    after = await space.get()

    assert after["spec"] == {**before["spec"], "cancel": "Graceful"}
    assert after["status"]["tasks"] == [OPEN]
    (entry,) = (one for one in after["metadata"]["managedFields"] if one["manager"] == "mcp-orchestrator-cli")
    assert entry["fieldsV1"] == {"f:spec": {"f:cancel": {}}}


async def test_of_several_runs_one_that_has_ended_keeps_no_other_from_its_order(space: Space) -> None:
    for name in ("one", "two", "three"):
        await space.create(name)
    await space.status("two", phase="Succeeded", message="done")
    done = await space.program("cancel", "one", "two", "gone", "three", "-o", "name")

    assert done.code == 2
    assert done.out.splitlines() == [f"workflowrun.mcp-orchestrator.io/{name}" for name in ("one", "three")]
    assert "two has ended (Succeeded): nothing to cancel" in done.told
    assert 'there is no run "gone"' in done.told
    assert "cancel" not in (await space.get("two"))["spec"]
    listed = json.loads((await space.program("cancel", "one", "three", "-o", "json")).out)
    assert [run["spec"]["cancel"] for run in listed["items"]] == ["Graceful", "Graceful"]
    assert (await space.program("suspend", "gone")).code == 4


async def test_who_cancels_may_wait_for_the_end(space: Space) -> None:
    await space.create()
    await space.create("fast")
    async with space.begun("cancel", "report-1", "fast", "--wait") as process:
        await read_until(process, "fast is being cancelled (Graceful)")
        await space.status(**cancelled(duration="3.0s"))
        await space.status("fast", phase="Succeeded", message="2 tasks succeeded")
        done = await ended(process)

    assert done.code == 2
    assert "report-1 was cancelled in 3.0s: stopped while it ran" in done.out
    assert "fast had ended (Succeeded) before it could be cancelled" in done.told
    already = await space.program("cancel", "report-1", "--wait")
    assert already.code == 0
    assert "report-1 is cancelled already" in already.out


async def test_a_cancelled_run_that_is_followed_has_an_exit_code_of_its_own(space: Space) -> None:
    await space.create()
    async with space.begun("watch", "report-1") as process:
        await space.status(phase="Queued", waitingReason="TemplateLimit", message="3 of 3 run")
        queued = await read_until(process, "Queued")
        await space.status(phase="Running", message="the run's tasks are under way", tasks=[OPEN])
        await read_until(process, "then: Running")
        await space.program("suspend", "report-1")
        await read_until(process, "being suspended")
        await space.status(phase="Suspended", waitingReason="Suspended", message="held by spec.suspend", tasks=[OPEN])
        held = await read_until(process, "is Suspended")
        await space.program("resume", "report-1")
        await space.status(phase="Running", message="the run's tasks are under way", tasks=[OPEN])
        await read_until(process, "report-1 goes on")
        await space.program("cancel", "report-1")
        await read_until(process, "Running, being cancelled")
        await space.status(**cancelled(tasks=[DONE]))
        done = await ended(process)

    assert queued[-1] == "report-1 is Queued (TemplateLimit): 3 of 3 run\n"
    assert held[-1] == "report-1 is Suspended: held by spec.suspend\n"
    assert done.code == 3
    lines = done.out.splitlines()
    assert lines[-2:] == [
        "report-1 was cancelled: stopped while it ran",
        f"To run what is left: mcp-orchestrator retry report-1 -n {space.namespace}",
    ]


async def test_what_is_known_of_a_run_tells_that_it_waits_or_was_stopped_and_by_whom(space: Space) -> None:
    await space.create("held", suspend=True)
    await space.create("newer")
    await space.status("held", phase="Suspended", waitingReason="Suspended", message="held by spec.suspend")
    await space.status("newer", **cancelled("Skipped"))

    rows = {line.split()[0]: line.split() for line in (await space.program("list")).out.splitlines()}
    assert rows["RUN"] == ["RUN", "TEMPLATE", "PHASE", "PROGRESS", "WAITING", "DURATION", "MESSAGE"]
    assert rows["held"] == ["held", "report", "Suspended", "Suspended", "held", "by", "spec.suspend"]
    assert rows["newer"][2] == "Cancelled"
    assert (await space.program("get", "held")).out.splitlines()[0] == "held is Suspended: held by spec.suspend"
    told = (await space.program("diagnose", "held")).out
    assert f"1. To let it go on: mcp-orchestrator resume held -n {space.namespace}" in told
    stopped = (await space.program("diagnose", "newer")).out
    assert stopped.startswith("newer was cancelled: stopped while it ran")
    found = json.loads((await space.program("diagnose", "newer", "-o", "json")).out)
    assert found["recommendations"] == [f"To let it go on: mcp-orchestrator retry newer -n {space.namespace}"]
    results = await space.program("results", "newer")
    assert (results.code, results.out) == (3, "")


async def test_a_run_is_made_with_the_key_that_was_given_and_never_with_an_empty_one(space: Space) -> None:
    made = await space.program("run", "report", "-p", "topic=owls", "--idempotency-key", "deploy 3f2a", "-o", "json")
    refused = await space.program("run", "report", "-p", "topic=owls", "--idempotency-key", "")

    assert made.code == 0
    assert (await space.get(await space.run_there()))["spec"]["idempotencyKey"] == "deploy 3f2a"
    assert refused.code == 2
    assert "'' is no key: it has 1 to 128 characters" in refused.told


async def test_a_retry_goes_on_from_the_run_that_ended(space: Space) -> None:
    await space.create("report-1", priority="high", suspend=True)
    early = await space.program("retry", "report-1")
    await space.status(phase="Failed", message="no luck", tasks=[DONE, {"name": "then", "phase": "Failed"}])
    done = await space.program("retry", "report-1", "-p", "topic=owls")
    named = await space.program("retry", "report-1", "--name", "second", "-o", "json")

    assert (early.code, early.out) == (2, "")
    assert "report-1 has not ended (Pending): nothing to retry" in early.told
    name = done.out.split()[0]
    assert done.out == (
        f"{name} is created and goes on from report-1, where 1 of 2 tasks succeeded; "
        f"to follow it: mcp-orchestrator watch {name} -n {space.namespace}\n"
    )
    spec = (await space.get(name))["spec"]
    assert spec == {
        "templateRef": {"name": "report"},
        "parameters": {"topic": "owls"},
        "priority": "high",
        "resumeFrom": "report-1",
    }
    assert json.loads(named.out)["spec"] == {**spec, "parameters": {"topic": "herons"}}
    taken = await space.program("retry", "report-1", "--name", "second")
    assert (taken.code, taken.out) == (2, "")
    await space.status("second", phase="Succeeded", message="done")
    assert (await space.program("retry", "second")).code == 2


async def test_a_retry_can_be_followed_to_its_end(space: Space) -> None:
    await space.create()
    await space.status(**cancelled())
    async with space.begun("retry", "report-1", "--name", "again", "--follow") as process:

        async def there() -> Any:
            listed = await space.client.list_all(RUNS, space.namespace, convert=dict)
            return [run for run in listed.items if run["metadata"]["name"] == "again"]

        await eventually("the retry", there)
        await space.status("again", phase="Succeeded", message="2 tasks succeeded", tasks=[DONE])
        done = await ended(process)

    assert done.code == 0
    assert "again succeeded: 2 tasks succeeded" in done.out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("choice", ["", "cancel"])
async def test_who_interrupts_a_followed_run_chooses_what_becomes_of_it(
    space: Space, how: signal.Signals, choice: str
) -> None:
    options = ["--on-interrupt", choice] if choice else []
    async with space.begun("run", "report", "-p", "topic=owls", "--follow", *options) as process:
        name = await space.run_there()
        await space.status(name, phase="Queued", waitingReason="ClusterLimit", message="10 of 10 run")
        await read_until(process, "Queued (ClusterLimit)")
        process.send_signal(how)
        done = await ended(process)

    assert done.code == 130
    assert f"to follow it: mcp-orchestrator watch {name} -n {space.namespace}" in done.told
    assert f"{name} {'is being cancelled (Graceful)' if choice else 'goes on'};" in done.told
    assert "Traceback" not in done.told
    assert (await space.get(name))["spec"].get("cancel") == ("Graceful" if choice else None)


async def test_the_python_client_gives_a_cancelled_run_as_a_result(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(space.kubeconfig))
    orchestrator = MCPOrchestrator(namespace=space.namespace)
    running = asyncio.create_task(
        orchestrator.execute_workflow("report", {"topic": "owls"}, results_directory=str(tmp_path))
    )
    await space.status(await space.run_there(), **cancelled(tasks=[DONE, {"name": "then", "phase": "Skipped"}]))
    result = await running

    assert (result.status, result.succeeded, result.error) == ("cancelled", False, "stopped while it ran")
    assert (result.tasks_completed, result.tasks_total) == (1, 2)
    assert json.loads((tmp_path / "workflow_results.json").read_text())["status"] == "cancelled"
