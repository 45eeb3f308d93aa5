"""Failures provoked on a real node: each run says why it failed, shows what was seen, and what to do about it."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e import programs
from tests.e2e.servers import MISBEHAVING, PYTHON, VOLUME, by_http, by_stdio, hold, let_go, the_programs
from tests.e2e.space import Space, eventually
from tests.objects import DEMO_IMAGE, a_run, a_server

KEY = [{"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api-key"}}}]
BREAKABLE = f"""
echo $$ > /tmp/pid
test ! -e /tmp/broken || {{ echo 'the disk is full' >&2; exit 5; }}
exec {" ".join(MISBEHAVING)}
"""
SECRET = "not-to-be-seen-anywhere"  # noqa: S105 - looked for, to show that it is nowhere


def go(fault: str, server: str = "faulty", **fields: Any) -> dict[str, Any]:
    task = {"name": "work", "server": server, "tool": "go", "arguments": {"fault": fault}}
    return {**task, "retry": {"attempts": 1}, **fields}


def call(tool: str, server: str = "program", **fields: Any) -> dict[str, Any]:
    return {"name": "work", "server": server, "tool": tool, "retry": {"attempts": 1}, **fields}


@dataclass(frozen=True)
class Case:
    """A workflow that fails, and what must be said of it."""

    tasks: list[dict[str, Any]]
    class_: str
    summary: str
    evidence: list[str]
    advice: list[str]
    workflow: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    task: str | None = "work"


WAIT = hold("wait")
"""What comes after it finds its server broken: it ends when the servers have been."""
LATER = {"dependsOn": ["wait"]}

CASES = {
    "a-key-that-is-refused": Case(
        [go("401")],
        "Auth",
        "HTTP 401",
        ["MCPServer faulty", "Ready=True"],
        ["Renew the key api-key of Secret keys: kubectl -n {namespace} patch secret keys", "rollout restart"],
    ),
    "a-server-that-forbids-and-has-no-key": Case(
        [go("403", "keyless")],
        "Auth",
        "HTTP 403",
        ["MCPServer keyless"],
        ["MCPServer keyless sends no key: add it to spec.env"],
    ),
    "a-rate-limit": Case(
        [go("429")],
        "Busy",
        "busy",
        [],
        ["rate limit", "spec.maxParallelTasks is 2 now", "retry.attempts"],
        {"maxParallelTasks": 2},
    ),
    "a-server-that-is-overloaded": Case([go("503")], "Busy", "busy", [], ["rate limit"]),
    "a-server-that-breaks-down": Case(
        [go("500")],
        "Transport",
        "Indeterminate",
        ["HTTP 500"],
        ["Find out whether work was carried out", "idempotent: true", "logs deployment/faulty -c server"],
    ),
    "a-connection-that-breaks": Case(
        [go("reset", idempotent=True)],
        "Transport",
        "may have done its work",
        ["task work"],
        ["check before you run again", "logs deployment/faulty -c server"],
    ),
    "a-server-that-is-silent": Case(
        [go("silence", timeoutSeconds=5, idempotent=True)],
        "Timeout",
        "within 5 s",
        ["MCPServer faulty: Ready=True"],
        ["raise timeoutSeconds of task work (now 5)"],
    ),
    "a-deadline-of-a-task": Case(
        [go("silence", timeoutSeconds=60, deadlineSeconds=5, idempotent=True)],
        "Timeout",
        "no answer of server",
        [],
        ["The task as a whole may take 5 s (deadlineSeconds)"],
    ),
    "a-run-that-takes-too-long": Case(
        [go("silence", timeoutSeconds=60, idempotent=True)],
        "TimedOut",
        "30 s",
        ["MCPServer faulty"],
        ["Raise timeoutSeconds of the run"],
        run={"timeoutSeconds": 30},
    ),
    "a-result-that-is-too-large": Case(
        [go("huge")],
        "ResultTooLarge",
        "MiB",
        ["task work"],
        ["Ask tool go for less"],
    ),
    "a-result-that-breaks-its-schema": Case(
        [go("", tool="strict", arguments={})],
        "Schema",
        "n",
        ["task work"],
        ["makers of server faulty"],
    ),
    "a-tool-that-says-no": Case(
        [go("error")],
        "Tool",
        "Atlantis",
        ["Atlantis"],
        ["mend the arguments of task work", "onErrors: [Tool]"],
    ),
    "an-error-that-is-hidden": Case(
        [go("hidden", successWhen="!has(result.error)")],
        "Tool",
        "successWhen",
        [],
        ["successWhen of task work does not hold"],
    ),
    "a-call-that-is-refused": Case(
        [go("refused")],
        "Protocol",
        "region is not known",
        ["MCPServer faulty"],
        ["Check that tool go still exists", "logs deployment/faulty -c server"],
    ),
    "a-tool-that-asks-a-person": Case(
        [call("ask")],
        "InputRequired",
        "Who are you?",
        [],
        ["asks a person", "as an argument of task work"],
    ),
    "a-program-that-dies-in-the-call": Case(
        [call("crash", "mortal", idempotent=True)],
        "Transport",
        "exit code 7",
        ["MCPServer mortal: the server's process has ended: exit code 7", "giving up: out of patience"],
        ["The server died (", "giving up: out of patience): mend that", "logs deployment/mortal -c gateway"],
    ),
    "a-program-that-is-killed": Case(
        [call("hang_up", "short-lived", idempotent=True)],
        "Transport",
        "signal 9",
        ["signal 9 (out of memory?)"],
        ["The process of MCPServer short-lived was killed, likely for want of memory: raise spec.resources.limits"],
    ),
    "a-container-that-runs-out-of-memory": Case(
        [go("memory", "hungry", idempotent=True)],
        "Transport",
        "hungry",
        ["container server last ended: OOMKilled, exit code 137"],
        ["MCPServer hungry ran out of memory: raise spec.resources.limits.memory, which is 64Mi now"],
    ),
    "a-server-that-was-deleted": Case(
        [WAIT, go("", "doomed", **LATER)],
        "Connect",
        "doomed",
        ["does not exist any more"],
        ["MCPServer doomed does not exist any more: apply it again.", "the finished task is kept"],
    ),
    "a-server-without-pods": Case(
        [WAIT, go("", "sleepy", **LATER)],
        "Connect",
        "sleepy",
        ["Ready=False (ScaledToZero)"],
        ["kubectl -n {namespace} scale mcpserver sleepy --replicas=1"],
    ),
    "a-server-that-lost-its-program": Case(
        [WAIT, call("count", "broken", **LATER)],
        "Connect",
        "broken",
        ["Ready=False (ProcessExited)"],
        ["Mend MCPServer broken first (ProcessExited)"],
    ),
    "an-expression-without-a-value": Case(
        [{**go("fine"), "name": "first"}, go("${{ tasks.first.structured.city }}")],
        "Expression",
        "structured",
        [],
        ["Mend the expression of task work"],
    ),
    "an-output-without-a-value": Case(
        [go("fine")],
        "Expression",
        'output "city" failed',
        [],
        ["Mend spec.outputs"],
        {"outputs": [{"name": "city", "value": "${{ tasks.work.structured.city }}"}]},
        task=None,
    ),
    "a-runner-without-memory": Case(
        [go("fine")],
        "OutOfMemory",
        "OOMKilled",
        ["container runner last ended: OOMKilled", "Job"],
        ["spec.pod.resources.limits.memory of the workflow, which is 24Mi now"],
        {"pod": {"resources": {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}}},
        task=None,
    ),
    "resources-that-contradict-themselves": Case(
        [go("fine")],
        "Runner",
        "must be less than or equal to",
        [],
        ["Mend spec.pod"],
        {"pod": {"resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "32Mi"}}}},
        task=None,
    ),
    "a-parameter-that-does-not-fit": Case(
        [go("${{ params.fault }}")],
        "InvalidParameter",
        "parameters.fault",
        [],
        ["parameters corrected"],
        {"parameters": [{"name": "fault", "schema": {"type": "string", "enum": ["401"]}}]},
        {"parameters": {"fault": "402"}},
        task=None,
    ),
    "a-tool-that-does-not-exist": Case(
        [go("fine", tool="gone")],
        "TemplateInvalid",
        "tasks[0].tool",
        [],
        ["Mend the workflow"],
        task=None,
    ),
}


@pytest.fixture(scope="module")
def failures(space: Space) -> Space:
    """All runs, on their way to their failures."""
    key = {"api-key": base64.b64encode(SECRET.encode()).decode()}
    space.apply(
        the_programs(),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": key},
        by_http("faulty", env=KEY),
        by_http("hungry", resources={"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}}),
        *(by_http(name) for name in ("keyless", "doomed", "sleepy")),
        *(by_stdio(name) for name in ("program", "mortal", "short-lived")),
        a_server("broken", stdio={"image": DEMO_IMAGE, "command": "sh", "args": ["-c", BREAKABLE]}, volumes=[VOLUME]),
    )
    for server in space.list("msrv"):
        space.wait(f"msrv/{server['metadata']['name']}", "Ready")
    space.apply(
        *(a_run(name, template={"tasks": case.tasks, **case.workflow}, **case.run) for name, case in CASES.items())
    )
    for run in ("a-server-that-was-deleted", "a-server-without-pods", "a-server-that-lost-its-program"):
        space.wait_for(f"mrun/{run}", "{.status.tasks[0].phase}", "Running")
    space.kubectl("delete", "mcpserver", "doomed", "--wait=false")
    space.kubectl("scale", "mcpserver", "sleepy", "--replicas=0")
    space.execute("deploy/broken", "sh", "-c", "touch /tmp/broken; kill -9 $(cat /tmp/pid)")
    for server in ("doomed", "sleepy", "broken"):
        eventually(f"the end of {server}", lambda server=server: not answers(space, server))
    space.wait_for_reason("sleepy", "ScaledToZero")
    space.wait_for_reason("broken", "ProcessExited")
    let_go(space)
    return space


def answers(space: Space, server: str) -> bool:
    """Whether calls to the server reach one of its pods, as its Service says and as its node does a moment later."""
    slices = space.list("endpointslices", "-l", f"kubernetes.io/service-name={server}")
    if any(end["conditions"]["ready"] for found in slices for end in found["endpoints"] or ()):
        return True
    connect = f"import socket; socket.create_connection(('{server}.{space.namespace}.svc', 8080), 5); print('open')"
    return space.execute("deploy/program", PYTHON, "-c", connect, check=False) == "open\n"


@pytest.mark.parametrize("name", CASES)
def test_a_failed_run_says_why_shows_what_was_seen_and_what_to_do(failures: Space, name: str) -> None:
    case, run = CASES[name], failures.finish(name)
    status = run["status"]
    found = status["diagnosis"]
    seen = "\n".join(f"{piece['source']}: {piece['message']}" for piece in found.get("evidence", ()))
    steps = "\n".join(found.get("recommendations", ()))
    print(f"\n{name}: {found['class']}: {found['summary']}\n{seen}\n{steps}")

    assert status["phase"] == "Failed"
    assert (found["class"], found.get("task")) == (case.class_, case.task)
    assert case.summary in found["summary"]
    assert [words for words in case.evidence if words not in seen] == []
    assert [words for words in case.advice if words.format(namespace=failures.namespace) not in steps] == []
    assert len(str(found["evidence"]) if seen else "") < 16 * 1024
    assert SECRET not in str(run)


def diagnose(space: Space, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, as a person runs it."""
    return programs.run(space, "diagnose", *arguments)


def test_the_program_shows_what_was_seen_what_is_there_now_and_what_to_do(failures: Space) -> None:
    failures.finish("a-key-that-is-refused")
    done = diagnose(failures, "a-key-that-is-refused")
    print(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith('a-key-that-is-refused failed: task "work" failed (Auth): ')
    for title in ("Evidence", "Still there now", "What to do"):
        assert title in lines
    assert "Secret keys: key api-key is there, last changed " in done.stdout
    assert "            log of MCPServer faulty:" in lines
    assert "asked for 401" in done.stdout
    assert "  1. Renew the key api-key of Secret keys: kubectl" in done.stdout
    assert SECRET not in done.stdout
    assert "\x1b" not in done.stdout


def test_the_program_tells_programs_the_same(failures: Space) -> None:
    status = failures.finish("a-tool-that-says-no")["status"]
    told = json.loads(diagnose(failures, "a-tool-that-says-no", "-o", "json").stdout)

    assert told["phase"] == "Failed"
    assert {name: told[name] for name in ("class", "task", "evidence", "recommendations")} == {
        name: status["diagnosis"][name] for name in ("class", "task", "evidence", "recommendations")
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["no-such-run"], 4, 'there is no run "no-such-run" in namespace', id="no such run"),
        pytest.param(["x", "--context", "nowhere"], 5, "nowhere", id="no such cluster"),
        pytest.param([], 2, "RUN", id="no name"),
    ],
)
def test_the_program_says_in_words_what_it_can_not_do(
    failures: Space, arguments: list[str], code: int, words: str
) -> None:
    done = diagnose(failures, *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
