"""Why a run failed, and what to do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NOW, a_run, a_server, a_spec, a_task

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.diagnosis import Diagnosis
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer, MCPServerSpec
from mcp_orchestrator.api.mcpserverstatus import ServerCondition
from mcp_orchestrator.api.resolved import NestedTemplate, ResolvedServer, ResolvedTemplate
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskError, TaskPhase, TaskStatus
from mcp_orchestrator.api.workflow import RunnerPod
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.diagnosis import failures
from mcp_orchestrator.planning.diagnosis.pods import PodTrouble
from mcp_orchestrator.planning.diagnosis.scene import Question, Scene, ServerScene

INNER = a_spec(a_task("look", server="search"))
WORKFLOW = ResolvedTemplate(
    digest="sha256:0",
    spec=a_spec(a_task("now"), a_task("write", server="filesystem"), Task(name="sub", template={"name": "inner"})),
    nested=(NestedTemplate(name="inner", digest="sha256:1", spec=INNER),),
)


def a_status(name: str = "now", phase: TaskPhase = TaskPhase.SUCCEEDED, **fields: Any) -> TaskStatus:
    return TaskStatus(name=name, phase=phase, **fields)


def a_failure(name: str, class_: ErrorClass = ErrorClass.TOOL, seconds: int = 0, message: str = "no") -> TaskStatus:
    return a_status(
        name,
        TaskPhase.FAILED,
        completion_time=NOW + timedelta(seconds=seconds),
        error=TaskError(class_=class_, message=message),
    )


def a_failed_run(*tasks: TaskStatus, **status: Any) -> WorkflowRun:
    known = {
        "template": WORKFLOW,
        "servers": (ResolvedServer(name="filesystem", url="http://filesystem", tools_digest="sha256:1"),),
        "tasks": tasks,
        "admitted_at": NOW,
        "job_name": "field-notes-1-abc",
    }
    return a_run(status=WorkflowRunStatus(**{**known, **status}))


def explained(*tasks: TaskStatus, scene: Scene | None = None) -> Diagnosis:
    """The diagnosis of a run with these tasks."""
    failure = failures.of_task(tasks)
    assert failure
    return failures.explain(failure, a_failed_run(*tasks), scene)


@pytest.mark.parametrize("class_", [pytest.param(class_, id=class_) for class_ in ErrorClass])
def test_every_class_of_error_is_told_with_its_task_and_its_cause(class_: ErrorClass) -> None:
    found = explained(a_failure("write", class_, message="disk {full}"))

    assert (found.class_, found.task) == (class_, "write")
    assert found.summary == f'task "write" failed ({class_}): disk {{full}}'
    assert found.recommendations
    assert not any("{class" in text or "None" in text for text in found.recommendations)


@pytest.mark.parametrize(
    ("class_", "advice"),
    [
        pytest.param(
            ErrorClass.CONNECT, "kubectl -n default describe mcpservers.mcp-orchestrator.io file", id="connect"
        ),
        pytest.param(ErrorClass.BUSY, "(spec.maxParallelTasks is 3 now)", id="busy"),
        pytest.param(ErrorClass.AUTH, "Renew the key in the Secret that MCPServer filesystem names", id="auth"),
        pytest.param(ErrorClass.TIMEOUT, "spec.timeoutSeconds of MCPServer filesystem", id="timeout"),
        pytest.param(ErrorClass.TRANSPORT, "may have done its work", id="transport"),
        pytest.param(ErrorClass.PROTOCOL, "get mcpserver filesystem -o jsonpath", id="protocol"),
        pytest.param(ErrorClass.SCHEMA, "makers of server filesystem", id="schema"),
        pytest.param(ErrorClass.TOOL, "arguments of task write", id="tool"),
        pytest.param(ErrorClass.INPUT_REQUIRED, "asks a person", id="input"),
        pytest.param(ErrorClass.RESULT_TOO_LARGE, "narrow the arguments of task write", id="too large"),
        pytest.param(ErrorClass.EXPRESSION, "Mend the expression", id="expression"),
        pytest.param(ErrorClass.RUNNER, "kubectl -n default logs job/field-notes-1-abc", id="runner"),
    ],
)
def test_every_class_of_error_has_a_remedy_that_names_the_thing(class_: ErrorClass, advice: str) -> None:
    found = explained(a_failure("write", class_))

    assert advice in "\n".join(found.recommendations)


def test_the_first_failure_in_time_is_the_one_that_matters() -> None:
    found = explained(a_failure("now", seconds=5), a_failure("write", seconds=2), a_status("x"))

    assert found.task == "write"


def test_an_item_is_told_before_the_task_that_failed_because_of_it() -> None:
    found = explained(a_failure("write"), a_failure("write[b]"), a_failure("write[a]/x"))

    assert found.task == "write[a]/x"


def test_tasks_that_did_not_fail_have_no_diagnosis() -> None:
    tasks = [a_status("now"), a_status("write", TaskPhase.SKIPPED, error=TaskError(class_="Tool", message="no"))]

    assert failures.of_task(tasks) is None


@pytest.mark.parametrize(
    ("tasks", "named"),
    [
        pytest.param([], None, id="nothing began"),
        pytest.param([a_status("now", start_time=NOW), a_status("write", TaskPhase.PENDING)], None, id="between tasks"),
        pytest.param(
            [a_status("now", start_time=NOW), a_status("write", TaskPhase.RUNNING, start_time=NOW)],
            "write",
            id="the one under way, not the one that is done",
        ),
        pytest.param(
            [
                a_status("now", start_time=NOW),
                a_failure("write", ErrorClass.CANCELLED).model_copy(update={"start_time": NOW}),
            ],
            "write",
            id="the one that was cut off",
        ),
        pytest.param([a_status("write", TaskPhase.SKIPPED)], None, id="one that never began"),
    ],
)
def test_a_time_out_names_the_task_that_was_under_way(tasks: list[TaskStatus], named: str | None) -> None:
    found = failures.explain(failures.of_time_out("the run took too long", tasks), a_failed_run(*tasks))

    assert (found.class_, found.task, found.summary) == ("TimedOut", named, "the run took too long")
    assert "Raise timeoutSeconds" in found.recommendations[0]


def test_outputs_that_can_not_be_worked_out_are_a_mistake_of_the_workflow() -> None:
    found = failures.explain(failures.of_outputs("outputs[0].value: no such key: text"), a_failed_run())

    assert (found.class_, found.summary) == ("Expression", "outputs[0].value: no such key: text")
    assert "spec.outputs" in found.recommendations[0]


@pytest.mark.parametrize(
    ("kind", "class_", "advice"),
    [
        pytest.param("image", "ImagePull", "image.* in the chart's values", id="image"),
        pytest.param("oom", "OutOfMemory", "limits.memory of the workflow, which is 64Mi now", id="out of memory"),
        pytest.param("evicted", "Evicted", "spec.pod.resources.requests", id="evicted"),
        pytest.param("removed", "Disrupted", "create the run again", id="drained"),
        pytest.param("unschedulable", "Unschedulable", "nodeSelector", id="no node"),
        pytest.param("reference", "MissingReference", "Create what the message names", id="a missing Secret"),
        pytest.param("exited", "Runner", "kubectl -n default logs job/field-notes-1-abc", id="ended"),
    ],
)
def test_the_trouble_of_the_pod_is_told_with_its_remedy(kind: str, class_: str, advice: str) -> None:
    pod = RunnerPod.model_validate({"resources": {"limits": {"memory": "64Mi"}}})
    run = a_failed_run(template=ResolvedTemplate(digest="sha256:0", spec=a_spec(pod=pod)))
    failure = failures.of_pod(PodTrouble(kind, "pod x is ill"), "the run's pod ended without a report", run)
    found = failures.explain(failure, run)

    assert found.class_ == class_
    assert found.summary == "the run's pod ended without a report: pod x is ill"
    assert advice in found.recommendations[0]
    assert failures.question(failure, run) == Question(pod=True)


@pytest.mark.parametrize("length", [10, 4096, 9000])
def test_long_words_of_others_are_cut_and_never_an_error(length: int) -> None:
    long, run = "x" * length, a_failed_run()
    different = [
        failures.of_pod(PodTrouble("exited", long), "ended", run),
        failures.of_pod(None, long, run),
        failures.of_outputs(long),
        failures.of_time_out(long, []),
    ]
    assert all(len(failures.explain(failure, run).summary) <= 4096 for failure in different)
    assert len(explained(a_failure("now", message=long[:4096])).summary) <= 4096


@pytest.mark.parametrize(
    ("unit", "server"),
    [
        pytest.param("write", "filesystem", id="a task"),
        pytest.param("write[a/b]", "filesystem", id="an item"),
        pytest.param("sub/look", "search", id="a nested task"),
        pytest.param("sub[x]/look[0]", "search", id="an item of a nested task of an item"),
        pytest.param("sub", "", id="a workflow"),
        pytest.param("gone", "", id="nothing"),
    ],
)
def test_the_server_of_every_unit_is_known(unit: str, server: str) -> None:
    task = failures.task_of(unit, WORKFLOW)

    assert (task.server if task else None) == (server or None)


def test_what_nobody_knows_is_told_with_how_to_go_on() -> None:
    error = TaskError(class_=ErrorClass.TIMEOUT, message="no answer within 30 s")
    found = explained(TaskStatus(name="write", phase=TaskPhase.INDETERMINATE, attempts=1, error=error))

    assert found.summary == 'task "write" ended as Indeterminate (Timeout): no answer within 30 s'
    assert "spec.resumeFrom" in found.recommendations[0]
    assert [(e.source, e.message) for e in found.evidence] == [
        ("task write", "Indeterminate (attempt 1): Timeout: no answer within 30 s")
    ]


def test_what_is_finished_need_not_be_done_again() -> None:
    tasks = (a_status("now"), a_status("write[a]"), a_failure("write"))
    assert explained(*tasks).recommendations[-1] == (
        "Then run what is left: mcp-orchestrator retry field-notes-1 -n default; the finished task is kept."
    )
    assert "mcp-orchestrator retry" not in " ".join(explained(a_failure("write")).recommendations)


# --- what is looked at ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_", [pytest.param(class_, id=class_) for class_ in ErrorClass])
def test_the_server_is_looked_at_only_where_it_may_be_the_cause(class_: ErrorClass) -> None:
    failure = failures.of_task([a_failure("write", class_)])
    assert failure
    wanted = Question(server="filesystem") if class_ in failures.SERVER_CLASSES else None

    assert failures.question(failure, a_failed_run(a_failure("write", class_))) == wanted


def test_a_time_out_asks_for_the_server_of_the_task_under_way() -> None:
    task = a_status("write", TaskPhase.RUNNING, start_time=NOW)

    assert failures.question(failures.of_time_out("late", [task]), a_failed_run(task)) == Question("filesystem")
    assert failures.question(failures.of_time_out("late", []), a_failed_run()) is None


# --- the server, as it was found --------------------------------------------------------------------------------------


def a_broken_server(reason: str, message: str = "no", **spec: Any) -> MCPServer:
    server = a_server("filesystem", spec=MCPServerSpec.model_validate(spec) if spec else None)
    verdicts = {ServerCondition.READY: conditions.false(reason, message)}
    ready = conditions.merge((), verdicts, 1, NOW)
    return server.model_copy(update={"status": server.status.model_copy(update={"conditions": ready})})


def killed(seconds: int) -> dict[str, Any]:
    """A pod of the server whose container ran out of memory so long after the run's admission."""
    end = (NOW + timedelta(seconds=seconds)).isoformat()
    state = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": end}}
    container = {"name": "server", "restartCount": 1, "lastState": state, "state": {"running": {}}}
    return {"metadata": {"name": "filesystem-1"}, "status": {"containerStatuses": [container]}}


REMOTE = {
    "remote": {
        "url": "https://x",
        "headers": [{"name": "Authorization", "secretKeyRef": {"name": "keys", "key": "api-key"}}],
    }
}
ENV = {
    "stdio": {"command": "x"},
    "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "token"}}}],
}
SMALL = {"stdio": {"command": "x"}, "resources": {"limits": {"memory": "64Mi"}}}


def died(message: str, seconds: int = 1, now: str = "") -> GatewayReport:
    """What a gateway says whose program died so long after the run's admission, and what ails it now, if anything."""
    end = (NOW + timedelta(seconds=seconds)).isoformat()
    error = {"class": "ProcessExited", "message": now} if now else None
    return GatewayReport.model_validate({"ok": not now, "lastExit": {"at": end, "message": message}, "error": error})


@pytest.mark.parametrize(
    ("class_", "found", "advice"),
    [
        pytest.param(
            ErrorClass.AUTH,
            ServerScene("filesystem", a_server("filesystem", spec=MCPServerSpec.model_validate(REMOTE))),
            "Renew the key api-key of Secret keys: kubectl -n default patch secret keys -p "
            '\'{"stringData":{"api-key":"NEW"}}\'',
            id="the key of a remote server",
        ),
        pytest.param(
            ErrorClass.AUTH,
            ServerScene("filesystem", a_server("filesystem", spec=MCPServerSpec.model_validate(ENV))),
            "Renew the key token of Secret tokens",
            id="the key of a program",
        ),
        pytest.param(
            ErrorClass.AUTH,
            ServerScene("filesystem", a_server("filesystem")),
            "MCPServer filesystem sends no key: add it to spec.env",
            id="no key at all",
        ),
        pytest.param(
            ErrorClass.CONNECT,
            ServerScene("filesystem"),
            "MCPServer filesystem does not exist any more: apply it again.",
            id="a server that was deleted",
        ),
        pytest.param(
            ErrorClass.CONNECT,
            ServerScene("filesystem", a_broken_server("ScaledToZero")),
            "kubectl -n default scale mcpserver filesystem --replicas=1",
            id="a server without pods",
        ),
        pytest.param(
            ErrorClass.SERVER_DOWN,
            ServerScene("filesystem", a_broken_server("CommandNotFound", "check spec.stdio.command")),
            "Mend MCPServer filesystem first (CommandNotFound): check spec.stdio.command",
            id="a server that says what it lacks",
        ),
        pytest.param(
            ErrorClass.TRANSPORT,
            ServerScene("filesystem", a_server("filesystem", spec=MCPServerSpec.model_validate(SMALL)), (killed(5),)),
            "ran out of memory: raise spec.resources.limits.memory, which is 64Mi now",
            id="a container that ran out of memory",
        ),
        pytest.param(
            ErrorClass.TRANSPORT,
            ServerScene("filesystem", a_server("filesystem"), report=died("signal 9 (out of memory?)")),
            "was killed, likely for want of memory: raise spec.resources.limits.memory, which has no value now",
            id="a program that was killed",
        ),
        pytest.param(
            ErrorClass.TRANSPORT,
            ServerScene("filesystem", a_broken_server("ProcessExited", "exit code 5"), report=died("signal 9")),
            "Mend MCPServer filesystem first (ProcessExited): exit code 5",
            id="a program that was killed and now has another trouble",
        ),
        pytest.param(
            ErrorClass.SERVER_DOWN,
            ServerScene("filesystem", a_server("filesystem"), report=died("signal 9", now="exit code 5")),
            "Mend MCPServer filesystem first (ProcessExited): exit code 5",
            id="another trouble that the gateway knows of before the resource does",
        ),
        pytest.param(
            ErrorClass.SERVER_DOWN,
            ServerScene("filesystem", a_broken_server("ProcessExited", "signal 9"), report=died("signal 9")),
            "was killed, likely for want of memory",
            id="a program that was killed and has not come back",
        ),
        pytest.param(
            ErrorClass.TRANSPORT,
            ServerScene("filesystem", a_server("filesystem"), (killed(-3600),), died("signal 9", -3600)),
            "The connection broke during the call",
            id="a server that was killed long before",
        ),
        pytest.param(
            ErrorClass.TIMEOUT,
            ServerScene("filesystem", a_broken_server("Unauthorized", **REMOTE)),
            "Renew the key api-key of Secret keys",
            id="a server that got no answer for want of a key",
        ),
    ],
)
def test_what_was_found_of_the_server_decides_what_to_do(class_: ErrorClass, found: ServerScene, advice: str) -> None:
    made = explained(a_failure("write", class_), scene=Scene(server=found))

    assert advice in made.recommendations[0]


def test_a_time_out_tells_of_a_server_that_is_broken() -> None:
    task = a_status("write", TaskPhase.RUNNING, start_time=NOW)
    scene = Scene(server=ServerScene("filesystem", a_broken_server("ProcessExited", "exit code 3")))
    found = failures.explain(failures.of_time_out("late", [task]), a_failed_run(task), scene)

    assert "Raise timeoutSeconds" in found.recommendations[0]
    assert "Mend MCPServer filesystem first (ProcessExited): exit code 3" in found.recommendations[1]


@pytest.mark.parametrize(
    ("class_", "seconds", "found", "again"),
    [
        pytest.param(ErrorClass.TRANSPORT, 0.5, ServerScene("filesystem", a_server()), True, id="just now"),
        pytest.param(ErrorClass.TRANSPORT, 2.5, ServerScene("filesystem", a_server()), False, id="a while ago"),
        pytest.param(ErrorClass.TRANSPORT, -60, ServerScene("filesystem", a_server()), False, id="by another clock"),
        pytest.param(ErrorClass.TRANSPORT, 0.5, ServerScene("filesystem", a_server(), (killed(1),)), False, id="known"),
        pytest.param(
            ErrorClass.TRANSPORT, 0.5, ServerScene("filesystem", a_server(), report=died("x")), False, id="known of old"
        ),
        pytest.param(ErrorClass.TRANSPORT, 0.5, ServerScene("filesystem"), False, id="no server"),
        pytest.param(ErrorClass.TOOL, 0.5, ServerScene("filesystem", a_server()), False, id="the tool's own failure"),
    ],
)
def test_the_news_of_a_death_is_waited_for_a_moment(
    class_: ErrorClass, seconds: float, found: ServerScene, again: bool
) -> None:
    task = a_failure("write", class_)
    failure = failures.of_task([task])
    assert failure
    now = NOW + timedelta(seconds=seconds)
    wanted = NOW + failures.NEWS_TAKE if again else None

    assert failures.look_again(failure, a_failed_run(task), Scene(server=found), now) == wanted
