"""Workflows on this machine, without a cluster: the real program, the real engine, gateways and servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.space import eventually

MISBEHAVING = Path(__file__).parents[2] / "servers" / "misbehaving.py"
SECRET = "not-to-be-seen-anywhere"  # noqa: S105 - looked for, to show that it is nowhere
PATIENCE_SECONDS = 200
"""A run starts four processes, and it may have to wait for a busy machine."""


def an_object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "mcp-orchestrator.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def a_server(name: str = "x", *options: str, **spec: Any) -> dict[str, Any]:
    command = {"command": sys.executable, "args": [str(MISBEHAVING), *options]}
    return an_object("MCPServer", name, {"stdio": command, **spec})


def a_task(name: str, tool: str, arguments: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "server": "x", "tool": tool, "arguments": arguments or {}, **fields}


SUM = {
    "parameters": [{"name": "count", "schema": {"type": "integer"}, "default": 1}],
    "tasks": [
        a_task("first", "add", {"a": "${{ params.count }}", "b": 1}),
        a_task("second", "add", {"a": "${{ tasks.first.result.result }}", "b": 10}),
    ],
    "outputs": [{"name": "sum", "value": "${{ tasks.second.result.result }}"}],
}


def written(directory: Path, *objects: dict[str, Any]) -> str:
    """The manifests as a file; its name."""
    path = directory / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    return program("plan", *arguments)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return program("run", "--local", *arguments, **environ)


def program(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mcp_orchestrator", *arguments]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, **environ}, timeout=PATIENCE_SECONDS
    )


def test_a_template_runs_with_its_parameters_and_tells_its_outputs(tmp_path: Path) -> None:
    done = run("sum", "-f", written(tmp_path, a_server(), an_object("WorkflowTemplate", "sum", SUM)), "-p", "count=31")

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith(("first: Succ", "second: Succ"))] == [
        "first: Succeeded",
        "second: Succeeded",
    ]
    assert lines[-2:] == ["2 tasks succeeded", "sum: 42"]


def test_programs_get_the_same_as_a_status_has_it(tmp_path: Path) -> None:
    options = ("-o", "json", "--results-dir", str(tmp_path / "results"))
    done = run("-f", written(tmp_path, a_server(), an_object("WorkflowTemplate", "sum", SUM)), *options)
    told = json.loads(done.stdout)
    written_down = json.loads((tmp_path / "results" / "workflow_results.json").read_text())

    assert (written_down["status"], written_down["tasks_completed"], written_down["outputs"]) == (
        "completed",
        2,
        {"sum": 12},
    )
    assert (told["outcome"], told["reason"], told["outputs"]) == ("Succeeded", "Succeeded", {"sum": 12})
    assert [(task["name"], task["phase"], task["attempts"]) for task in told["tasks"]] == [
        ("first", "Succeeded", 1),
        ("second", "Succeeded", 1),
    ]
    assert told["tasks"][1]["result"] == {"result": 12}


def test_a_failed_task_fails_the_command(tmp_path: Path) -> None:
    spec = {"tasks": [a_task("bad", "fail", {"message": "no luck"}), a_task("after", "count", dependsOn=["bad"])]}
    done = run("-f", written(tmp_path, a_server(), an_object("WorkflowTemplate", "w", spec)))

    assert done.returncode == 1
    assert "bad: Failed" in done.stdout
    assert "no luck" in done.stdout
    assert "after: Skipped" in done.stdout


def test_a_run_with_secrets_shows_none_of_them(tmp_path: Path) -> None:
    spec = {
        "template": {
            "parameters": [{"name": "key", "sensitive": True}],
            "tasks": [
                a_task("told", "echo_env", {"name": "${{ params.key }}"}),
                a_task("held", "echo_env", {"name": "TOKEN"}),
                a_task("bad", "fail", {"message": "${{ params.key }}"}, onFailure="Continue"),
            ],
            "outputs": [{"name": "mine", "value": "${{ params.key }}", "sensitive": True}],
        },
        "parametersFrom": [{"name": "key", "secretKeyRef": {"name": "keys", "key": "api-key"}}],
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"api-key": SECRET}}
    token = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api-key"}}}]
    objects = (secret, a_server(env=token), an_object("WorkflowRun", "w", spec))
    for output in ("text", "json"):
        done = run("-f", written(tmp_path, *objects), "-o", output)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "•••" in done.stdout
        assert SECRET not in done.stdout + done.stderr


def test_a_secret_may_come_from_the_environment(tmp_path: Path) -> None:
    token = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "my-keys", "key": "api-key"}}}]
    spec = {"tasks": [a_task("held", "echo_env", {"name": "TOKEN"})]}
    path = written(tmp_path, a_server(env=token), an_object("WorkflowTemplate", "w", spec))
    missing, there = run("-f", path), run("-f", path, "-o", "json", MY_KEYS_API_KEY="a-value")

    assert missing.returncode == 2
    assert "set the environment variable TOKEN or MY_KEYS_API_KEY" in missing.stderr
    assert json.loads(there.stdout)["tasks"][0]["result"] == {"result": "a-value"}


GONE = {"stdio": {"command": "gone"}}
BROKEN = an_object("WorkflowTemplate", "w", {"tasks": [a_task("t", "nothing")]})


@pytest.mark.parametrize(
    ("content", "arguments", "code", "words"),
    [
        pytest.param("tasks: [", [], 2, "file.yaml:", id="broken YAML"),
        pytest.param(b"\xff\xfe\x00", [], 2, "UTF-8", id="no text"),
        pytest.param("", [], 2, "name the template to run", id="an empty file"),
        pytest.param("- 1\n- 2\n", [], 2, "name the template to run", id="something else"),
        pytest.param(json.dumps(BROKEN), [], 2, "no manifest of MCPServer x", id="no server"),
        pytest.param(json.dumps(an_object("WorkflowTemplate", "w", {"tasks": 7})), [], 2, "spec.tasks", id="no tasks"),
        pytest.param(json.dumps(BROKEN), ["other"], 2, 'there is no template "other"', id="another name"),
        pytest.param(json.dumps(BROKEN), ["-p", "x"], 2, "NAME=VALUE", id="no value"),
        pytest.param(json.dumps(BROKEN), ["-o", "yaml"], 2, "text or json", id="no such output"),
        pytest.param(
            json.dumps({"kind": "List", "items": [BROKEN, a_server()]}),
            [],
            2,
            'tasks[0].tool',
            id="no such tool",
        ),
        pytest.param(
            json.dumps({"kind": "List", "items": [BROKEN, an_object("MCPServer", "x", GONE)]}),
            [],
            2,
            "its command gone is not in the PATH of this machine",
            id="no such program",
        ),
        pytest.param(
            json.dumps(
                {"kind": "List", "items": [BROKEN, an_object("MCPServer", "x", {"http": {"image": "i", "port": 1}})]}
            ),
            [],
            2,
            "is a container",
            id="a container",
        ),
    ],
)  # fmt: skip
def test_what_can_not_run_is_said_in_words(
    tmp_path: Path, content: str | bytes, arguments: list[str], code: int, words: str
) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run(*arguments, "-f", str(path))

    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_means_a_run_of_the_files_first_and_values_its_template(tmp_path: Path) -> None:
    same = an_object("WorkflowRun", "sum", {"templateRef": {"name": "sum"}, "parameters": {"count": 2}})
    other = an_object("WorkflowRun", "other", {"templateRef": {"name": "sum"}, "parameters": {"count": 3}})
    path = written(tmp_path, a_server(), an_object("WorkflowTemplate", "sum", SUM), same, other)

    assert run("sum", "-f", path).stdout.endswith("sum: 13\n")
    assert run("sum", "-f", path, "-p", "count=5").stdout.endswith("sum: 16\n")
    assert run("other", "-f", path).stdout.endswith("sum: 14\n")
    refused = run("other", "-f", path, "-p", "count=5")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert '"other" is a run, and has its values' in refused.stderr


def test_a_run_of_the_files_ends_within_the_time_that_is_given(tmp_path: Path) -> None:
    spec = {"template": {"tasks": [a_task("long", "slow", {"seconds": 60})]}}
    done = run("-f", written(tmp_path, a_server(), an_object("WorkflowRun", "w", spec)), "--timeout", "1")

    assert done.returncode == 1
    assert "the run took longer than its time-out of 1 s" in done.stdout


def test_files_are_needed_and_must_be_there() -> None:
    assert "needs -f FILE" in run("x").stderr
    assert "there is no file or directory nowhere.yaml" in run("-f", "nowhere.yaml").stderr


def test_a_plan_says_what_would_run_and_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    spec = {
        "parameters": [
            {"name": "key", "sensitive": True},
            {"name": "count", "schema": {"type": "integer"}, "default": 1},
        ],
        "tasks": [
            a_task("first", "add", {"a": 1, "b": 1}),
            a_task("danger", "crash", when="tasks.first.result.result > 5"),
            a_task("each", "slow", {"seconds": 1, "begun": str(mark)}, forEach={"items": "${{ [1, 2] }}"}),
        ],
        "finally": [a_task("last", "count")],
    }
    path = written(tmp_path, a_server(), an_object("WorkflowTemplate", "w", spec))
    text, data = plan("-f", path, "-p", f"key={SECRET}"), plan("-f", path, "-p", f"key={SECRET}", "-o", "json")

    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout.splitlines() == [
        "4 tasks would run, at most 3 at once",
        "  first   x.add    only reads",
        "  danger  x.crash  may destroy data; if tasks.first.result.result > 5; after first",
        "  each    x.slow   does not say what it may do; once for each of [1, 2]",
        "  last    x.count  does not say what it may do; at the end, whatever happened",
        "",
        "Parameters",
        "  key: (sensitive)",
        "  count: 1",
        "",
        "1 of them may destroy data, as their tools say: danger",
    ]
    told = json.loads(data.stdout)
    assert told["tasks"][1] == {
        "name": "danger",
        "calls": "x.crash",
        "after": ["first"],
        "destructive": True,
        "when": "tasks.first.result.result > 5",
        "last": False,
    }
    assert SECRET not in text.stdout + data.stdout
    assert not mark.exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"tasks": [a_task("t", "nothing")]}, "tasks[0].tool", id="no such tool"),
        pytest.param(
            {"tasks": [a_task("t", "add", {"a": "x", "b": 1})]}, "tasks[0].arguments.a", id="a wrong argument"
        ),
        pytest.param(
            {"tasks": [a_task("t", "add", dependsOn=["gone"])]}, "tasks[0].dependsOn", id="a wrong dependency"
        ),
    ],
)
def test_a_plan_that_can_not_be_made_says_why(tmp_path: Path, spec: dict[str, Any], words: str) -> None:
    done = plan("-f", written(tmp_path, a_server(), an_object("WorkflowTemplate", "w", spec)))

    assert done.returncode in (1, 2)
    assert words in done.stderr


def test_a_disk_that_is_full_in_the_end_does_not_hide_what_came_out(tmp_path: Path) -> None:
    manifests, full = written(tmp_path, a_server(), an_object("WorkflowTemplate", "sum", SUM)), tmp_path / "full"
    full.mkdir()
    own = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "none", full], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system of its own")
    small = 'mount -t tmpfs -o size=4k none "$0" && head -c 4096 /dev/zero >"$0/full"'
    line = f'{small} && "$@" --results-dir "$0"; code=$?; ls "$0"; exit $code'
    command = [sys.executable, "-m", "mcp_orchestrator", "run", "--local", "-f", manifests]
    done = subprocess.run(
        [*own, "sh", "-c", line, full, *command], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )

    result = full / "workflow_results.json"
    assert done.stderr == f"mcp-orchestrator: sum completed, but {result} can't be written: No space left on device\n"
    assert done.returncode == 2
    assert done.stdout.endswith("2 tasks succeeded\nsum: 12\nfull\n"), "a part of a file may be left behind"


def test_a_run_that_nobody_follows_any_more_goes_on_to_its_end(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    tasks = [a_task("first", "count"), a_task("last", "slow", {"seconds": 0, "begun": str(begun)}, dependsOn=["first"])]
    path = written(tmp_path, a_server(), an_object("WorkflowTemplate", "w", {"tasks": tasks}))
    command = [sys.executable, "-m", "mcp_orchestrator", "run", "--local", "-f", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        told = process.stderr.read()

    assert (process.returncode, told) == (141, b"")
    assert begun.exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process_behind(tmp_path: Path, sent: signal.Signals) -> None:
    begun = tmp_path / "begun"
    spec = {"tasks": [a_task("long", "slow", {"seconds": 60, "begun": str(begun)})]}
    path = written(tmp_path, a_server("x", "--complain", str(tmp_path)), an_object("WorkflowTemplate", "w", spec))
    words = [sys.executable, "-m", "mcp_orchestrator", "run", "--local", "-f", path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "long: Running" in process.stdout.readline()
        process.send_signal(sent)
        shown, told = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130
    assert told == ""
    assert "the run was interrupted" in shown
    eventually("the end of all processes", lambda: not processes_with(str(tmp_path)))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_runs_finally_and_a_second_one_ends_that_too(
    tmp_path: Path, times: int, sent: signal.Signals
) -> None:
    last = a_task("last", "slow", {"seconds": 60 if times == 2 else 0.1})
    spec = {"tasks": [a_task("long", "slow", {"seconds": 60})], "finally": [last]}
    path = written(tmp_path, a_server("x", "--complain", str(tmp_path)), an_object("WorkflowTemplate", "w", spec))
    words = [sys.executable, "-m", "mcp_orchestrator", "run", "--local", "-f", path, "--results-dir", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in ("long: Running", "last: Running")[:times]:
            assert any(line in shown for shown in iter(process.stdout.readline, ""))
            process.send_signal(sent)
        shown, told = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130
    assert told == ""
    assert ("last: Succeeded" in shown) == (times == 1)
    if times == 1:
        assert json.loads((tmp_path / "workflow_results.json").read_text())["status"] == "cancelled"
    eventually("the end of all processes", lambda: not processes_with(str(tmp_path)))


def processes_with(words: str) -> list[str]:
    """The command lines of running processes that hold the words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line and "pytest" not in line:
            found.append(line)
    return found
