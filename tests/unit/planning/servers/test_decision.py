"""plan_server: what an MCPServer needs, and what its status says at each point of its life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.builders import NOW, a_server
from tests.oracles import kstatus

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer, MCPServerSpec
from mcp_orchestrator.api.mcpserverstatus import MCPServerStatus, ServerCondition, ServerReason
from mcp_orchestrator.planning.plan import EventType, Plan
from mcp_orchestrator.planning.servers import decision, toollists
from mcp_orchestrator.planning.servers.decision import ObservedServer, plan_server
from mcp_orchestrator.settings import Settings

SETTINGS = Settings()
COUNTS = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}
STARTING: dict[str, Any] = {"metadata": {"generation": 1}, "status": COUNTS}
READY: dict[str, Any] = {"metadata": {"generation": 1}, "status": {**COUNTS, "readyReplicas": 1}}
ROLLING = {
    "metadata": {"generation": 2},
    "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1},
}
TOOL = {"name": "get_current_time", "digest": "sha256:1", "description": "Tell the time.\nMore.", "readOnly": True}


def new_server(**spec: Any) -> MCPServer:
    """A server that the operator sees for the first time."""
    given = {"stdio": {"command": "mcp-server-time"}, **spec}
    return a_server(spec=MCPServerSpec.model_validate(given)).model_copy(update={"status": MCPServerStatus()})


def a_report(ok: bool = True, checked_at: datetime = NOW, **fields: Any) -> GatewayReport:
    known = {
        "ok": ok,
        "checkedAt": checked_at,
        "responseTimeMilliseconds": 12,
        "serverInfo": {"name": "mcp-time", "version": "1.2"},
        "protocolVersion": "2025-11-25",
        "tools": [TOOL] if ok else [],
        "toolsDigest": "sha256:all" if ok else None,
    }
    return GatewayReport.model_validate(known | fields)


def a_failure(class_: str, message: str = "it is broken", failures: int = 1) -> GatewayReport:
    return a_report(ok=False, error={"class": class_, "message": message}, consecutiveFailures=failures)


def a_pod(**container: Any) -> dict[str, Any]:
    statuses = [{"name": "gateway", "image": "ours:1", **container}]
    return {"metadata": {"name": "time-1"}, "status": {"containerStatuses": statuses}}


def waiting(reason: str, message: str, **fields: Any) -> dict[str, Any]:
    return a_pod(state={"waiting": {"reason": reason, "message": message}}, **fields)


def plan(observed: ObservedServer, now: datetime = NOW) -> Plan:
    return plan_server(observed, SETTINGS, now)


def status_of(made: Plan) -> Mapping[str, Any]:
    assert made.status is not None
    return made.status


def condition(made: Plan, type_: str = "Ready") -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(c for c in status_of(made)["conditions"] if c["type"] == type_)
    return found


def said(made: Plan, type_: str = "Ready") -> tuple[str, str, str]:
    found = condition(made, type_)
    return found["status"], found["reason"], found["message"]


def verdict(observed: ObservedServer, made: Plan) -> kstatus.Verdict:
    metadata = observed.server.metadata.model_dump(mode="json", by_alias=True)
    return kstatus.verdict({"metadata": metadata, "status": status_of(made)})


def applied(observed: ObservedServer, made: Plan) -> ObservedServer:
    """What is observed once the plan's status was applied: the operator owns all of it."""
    if made.status is None:
        return observed
    status = MCPServerStatus.model_validate({"observedGeneration": -1, **made.status})
    return replace(observed, server=observed.server.model_copy(update={"status": status}))


NEW = ObservedServer(new_server())
HEALTHY = ObservedServer(new_server(), READY, report=a_report())


# --- life ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("observed", "ready", "words"),
    [
        pytest.param(
            NEW, ("False", "Starting", "the server's pod is starting"), kstatus.Verdict.IN_PROGRESS, id="just made"
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (waiting("ContainerCreating", ""),)),
            ("False", "Starting", "the server's pod is starting"),
            kstatus.Verdict.IN_PROGRESS,
            id="pod is being created",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (waiting("ErrImagePull", "no such image"),)),
            (
                "False",
                "ImageNotFound",
                "image ours:1 of pod time-1 can't be pulled: no such image. "
                "Correct the image in spec, or make it available to the nodes.",
            ),
            kstatus.Verdict.FAILED,
            id="no such image",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (waiting("CreateContainerConfigError", 'secret "k" not found'),)),
            (
                "False",
                "ReferenceNotFound",
                'container gateway of pod time-1 can\'t be configured: secret "k" not found. Create what it names in '
                "this namespace, or correct spec.env, spec.remote.headers or spec.volumes.",
            ),
            kstatus.Verdict.FAILED,
            id="no such secret",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (waiting("CrashLoopBackOff", "back-off", restartCount=1),)),
            ("False", "PodFailed", "container gateway of pod time-1 does not start: back-off."),
            kstatus.Verdict.IN_PROGRESS,
            id="crashed once",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (waiting("CrashLoopBackOff", "back-off", restartCount=3),)),
            ("False", "PodFailed", "container gateway of pod time-1 does not start: back-off."),
            kstatus.Verdict.FAILED,
            id="crashes again and again",
        ),
        pytest.param(
            ObservedServer(
                new_server(),
                {
                    **STARTING,
                    "status": {
                        "conditions": [
                            {
                                "type": "ReplicaFailure",
                                "status": "True",
                                "reason": "FailedCreate",
                                "message": 'serviceaccount "reader" not found',
                            }
                        ]
                    },
                },
            ),
            ("False", "PodFailed", "the server's pods can't be made: serviceaccount \"reader\" not found"),
            kstatus.Verdict.IN_PROGRESS,
            id="the pods are refused",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (a_pod(),), report=a_failure("CommandNotFound", "no serve here")),
            ("False", "CommandNotFound", "no serve here"),
            kstatus.Verdict.FAILED,
            id="no such command",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (a_pod(),), report=a_failure("ProcessExited", "exit 1")),
            ("False", "ProcessExited", "exit 1"),
            kstatus.Verdict.IN_PROGRESS,
            id="process died once",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (a_pod(),), report=a_failure("ProcessExited", "exit 1", failures=3)),
            ("False", "ProcessExited", "exit 1"),
            kstatus.Verdict.FAILED,
            id="process dies again and again",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (a_pod(),), report=a_failure("Connect", "refused", failures=99)),
            ("False", "Connect", "refused"),
            kstatus.Verdict.IN_PROGRESS,
            id="can't be reached, which may pass",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (a_pod(),), report=a_failure("NewerWord", "?")),
            ("False", "NewerWord", "?"),
            kstatus.Verdict.IN_PROGRESS,
            id="a word of a newer gateway",
        ),
        pytest.param(
            ObservedServer(new_server(), STARTING, (a_pod(),), report=a_report(ok=False, starting=True)),
            ("False", "Starting", "the server's pod is starting"),
            kstatus.Verdict.IN_PROGRESS,
            id="gateway is starting",
        ),
        pytest.param(
            ObservedServer(new_server(), READY),
            ("Unknown", "NotVerified", "the server has not been checked yet"),
            kstatus.Verdict.IN_PROGRESS,
            id="pod is ready, nothing asked",
        ),
        pytest.param(
            ObservedServer(new_server(), READY, unreachable="http://time gave no report: timeout"),
            ("False", "Unreachable", "http://time gave no report: timeout"),
            kstatus.Verdict.IN_PROGRESS,
            id="no report",
        ),
        pytest.param(
            ObservedServer(new_server(), READY, report=a_failure("Unauthorized", "HTTP 401: renew the key")),
            ("False", "Unauthorized", "HTTP 401: renew the key"),
            kstatus.Verdict.FAILED,
            id="key is refused",
        ),
        pytest.param(HEALTHY, ("True", "Ready", "1 tool, checked in 12 ms"), kstatus.Verdict.CURRENT, id="all is well"),
        pytest.param(
            ObservedServer(new_server(replicas=0), {"metadata": {"generation": 1}, "status": {}}),
            ("False", "ScaledToZero", "spec.replicas is 0: no pod runs; set it to 1 or more to use the server"),
            kstatus.Verdict.IN_PROGRESS,
            id="no replicas wanted",
        ),
        pytest.param(
            ObservedServer(new_server(), conflict="Service time"),
            (
                "False",
                "NameConflict",
                "metadata.name: Service time exists and belongs to somebody else; rename the server or remove it",
            ),
            kstatus.Verdict.FAILED,
            id="the name is taken",
        ),
        pytest.param(
            ObservedServer(new_server(), mistake="cpu: must be a quantity"),
            ("False", "InvalidSpec", "spec: the API server refused the pods: cpu: must be a quantity"),
            kstatus.Verdict.FAILED,
            id="the spec makes no pod",
        ),
    ],
)
def test_the_status_tells_the_first_thing_that_is_wrong(
    observed: ObservedServer, ready: tuple[str, str, str], words: kstatus.Verdict
) -> None:
    made = plan(observed)

    assert said(made) == ready
    assert verdict(observed, made) == words


def test_a_new_object_waits_for_the_operator() -> None:
    body = {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}}

    assert kstatus.verdict(body) == kstatus.Verdict.IN_PROGRESS


def test_a_healthy_server_is_described_by_what_it_said() -> None:
    status = status_of(plan(HEALTHY))

    assert {name: status[name] for name in status if name not in ("conditions", "tools")} == {
        "observedGeneration": 1,
        "source": "stdio",
        "address": {"url": "http://time.default.svc:8080/mcp"},
        "replicas": 1,
        "readyReplicas": 1,
        "selector": "mcp-orchestrator.io/server=time",
        "serverInfo": {"name": "mcp-time", "version": "1.2", "protocolVersion": "2025-11-25"},
        "toolCount": 1,
        "toolsDigest": "sha256:all",
        "lastProbeTime": "2026-01-02T03:04:05.000Z",
        "responseTimeMilliseconds": 12,
        "consecutiveFailures": 0,
    }
    assert status["tools"] == [
        {
            "name": "get_current_time",
            "digest": "sha256:1",
            "readOnly": True,
            "description": "Tell the time.",
            "inputSchema": {},
        }
    ]


def test_the_tools_are_remembered_while_the_server_is_away() -> None:
    seen = applied(HEALTHY, plan(HEALTHY))
    away = replace(seen, deployment=STARTING, pods=(a_pod(),), report=a_failure("Connect", "refused"))

    before, after = status_of(plan(HEALTHY)), status_of(plan(away, NOW + timedelta(minutes=1)))

    for name in ("tools", "toolCount", "toolsDigest", "serverInfo"):
        assert after[name] == before[name]
    assert after["consecutiveFailures"] == 1


@pytest.mark.parametrize("spec", [{}, {"replicas": 0}, {"replicas": 3}])
def test_the_children_are_planned_at_every_look(spec: dict[str, Any]) -> None:
    for observed in (ObservedServer(new_server(**spec)), ObservedServer(new_server(**spec), READY, report=a_report())):
        assert [child["kind"] for child in plan(observed).children] == ["Service", "Deployment"]


def test_nothing_is_done_where_the_name_is_taken() -> None:
    assert plan(ObservedServer(new_server(), conflict="Service time")).children == ()


def test_nothing_is_made_for_a_server_that_is_being_deleted() -> None:
    server = new_server()
    going = server.model_copy(update={"metadata": server.metadata.model_copy(update={"deletion_timestamp": NOW})})

    assert plan(ObservedServer(going)) == Plan()


@pytest.mark.parametrize(
    ("deployment", "ready"),
    [
        pytest.param(None, "False", id="none yet"),
        pytest.param({"metadata": {"generation": 2}, "status": READY["status"]}, "False", id="status of an older spec"),
        pytest.param({**READY, "status": {**READY["status"], "updatedReplicas": 0}}, "False", id="only old pods"),
        pytest.param(READY, "True", id="pods of this spec"),
    ],
)  # fmt: skip
def test_only_pods_of_the_newest_spec_count(deployment: dict[str, Any] | None, ready: str) -> None:
    made = plan(ObservedServer(new_server(), deployment, report=a_report()))

    assert condition(made, "Available")["status"] == ready


# --- a new spec while the old pods serve ------------------------------------------------------------------------------


def test_nobody_takes_a_roll_out_for_finished_while_old_pods_serve() -> None:
    observed = ObservedServer(new_server(), ROLLING, report=a_report())

    made = plan(observed)

    assert condition(made)["status"] == "True"
    assert said(made, "Reconciling") == ("True", "Starting", "pods of the new spec are starting")
    assert verdict(observed, made) == kstatus.Verdict.IN_PROGRESS
    assert made.wake_at == NOW + decision.STARTING_WAKE


def test_a_roll_out_that_can_not_end_is_stalled_though_old_pods_serve() -> None:
    observed = ObservedServer(new_server(), ROLLING, (waiting("ErrImagePull", "gone"),), report=a_report())

    made = plan(observed)

    assert condition(made)["status"] == "True"
    assert said(made, "Stalled")[:2] == ("True", "ImageNotFound")
    assert verdict(observed, made) == kstatus.Verdict.FAILED


# --- which evidence counts -------------------------------------------------------------------------------------------


PAST = {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "state": {"running": {}}}


@pytest.mark.parametrize(
    ("pod", "report", "reason"),
    [
        pytest.param(a_pod(**PAST), a_failure("Unauthorized"), "Unauthorized", id="the gateway runs and tells"),
        pytest.param(a_pod(**PAST), None, "PodFailed", id="the gateway died and is silent"),
        pytest.param(
            a_pod(**{**PAST, "name": "server"}), a_failure("Connect"), "PodFailed", id="the server beside it died"
        ),
    ],
)
def test_what_once_ended_the_gateway_does_not_hide_what_it_says_now(
    pod: dict[str, Any], report: GatewayReport | None, reason: str
) -> None:
    assert condition(plan(ObservedServer(new_server(), STARTING, (pod,), report)))["reason"] == reason


# --- words of servers that mean no good ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "kept"),
    [
        pytest.param({"description": " \n "}, {}, id="a blank description"),
        pytest.param({"description": "d" * 9000}, {"description": "d" * 511 + "…"}, id="a long description"),
        pytest.param({"name": "n" * 500}, {"name": "n" * 127 + "…"}, id="a long name"),
        pytest.param({"inputSchema": {"maximum": 2**70}}, None, id="a number that JSON has no room for"),
        pytest.param({"inputSchema": {"description": "x" * 9000}}, None, id="a large schema"),
    ],
)
def test_tools_of_any_shape_fit_into_the_status(tool: dict[str, Any], kept: dict[str, Any] | None) -> None:
    reported = {"name": "t", "digest": "sha256:1", "inputSchema": {}, **tool}

    (found,) = status_of(plan(ObservedServer(new_server(), READY, report=a_report(tools=[reported]))))["tools"]

    if kept is None:
        assert "inputSchema" not in found
    else:
        assert found == {"name": "t", "digest": "sha256:1", "inputSchema": {}, **kept}


def test_a_tool_without_a_name_is_passed_over() -> None:
    report = a_report(tools=[{"name": ""}, TOOL])

    assert [tool.name for tool in toollists.known_tools(report.tools)] == ["get_current_time"]


def test_as_many_schemas_are_kept_as_fit_and_every_tool_is_listed() -> None:
    tools = [{"name": f"t{n:03}", "inputSchema": {"description": "x" * 8000}} for n in range(600)]

    found = toollists.known_tools(a_report(tools=tools).tools)

    assert [tool.name for tool in found] == [f"t{n:03}" for n in range(512)]
    assert sum(tool.input_schema is not None for tool in found) == 24
    assert len(MCPServerStatus(tools=found).model_dump_json()) < 512 * 1024


def test_tools_stand_in_the_order_of_their_names() -> None:
    tools = [{"name": name} for name in ("b", "c", "a")]

    assert [tool.name for tool in toollists.known_tools(a_report(tools=tools).tools)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "report",
    [
        pytest.param({"error": {"class": "", "message": "m"}}, id="no class"),
        pytest.param({"error": {"class": "two words", "message": "m"}}, id="not a word"),
        pytest.param({"error": {"class": "x" * 200, "message": "m"}}, id="a long class"),
        pytest.param({"checkedAt": "2026-01-02T03:04:05"}, id="a time without a zone"),
        pytest.param({"tools": [{"name": "t", "digest": "x" * 100}]}, id="a long digest"),
    ],
)
def test_what_no_gateway_says_is_no_report(report: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        GatewayReport.model_validate({"ok": True, **report})


@pytest.mark.parametrize("length", [4096, 100_000])
def test_long_messages_are_cut(length: int) -> None:
    observed = ObservedServer(new_server(), STARTING, report=a_failure("Connect", "x" * length))

    assert len(said(plan(observed))[2]) == 4096


# --- when it is written, told and looked at again ---------------------------------------------------------------------


def test_a_change_of_the_verdict_is_told_once() -> None:
    failing = replace(HEALTHY, report=a_failure("Unauthorized", "renew the key"))
    first = plan(failing)
    again = plan(replace(applied(failing, first), report=a_failure("Unauthorized", "renew it")), NOW)

    assert [(e.type, e.reason, e.note) for e in first.events] == [(EventType.WARNING, "Unauthorized", "renew the key")]
    assert again.status is not None
    assert again.events == ()


def test_a_server_that_comes_up_is_told_and_one_that_starts_is_not() -> None:
    starting = plan(NEW)
    up = plan(replace(HEALTHY, server=applied(NEW, starting).server))

    assert starting.events == ()
    assert [(e.type, e.reason) for e in up.events] == [(EventType.NORMAL, "Ready")]


def test_a_service_that_is_not_wired_up_yet_is_no_news_and_one_that_is_cut_off_is() -> None:
    cut_off = replace(HEALTHY, report=None, unreachable="http://time.default.svc:8080/status gave no report")
    starting = replace(cut_off, server=applied(NEW, plan(NEW)).server)
    working = replace(cut_off, server=applied(HEALTHY, plan(HEALTHY)).server)

    assert said(plan(starting))[1] == "Unreachable"
    assert plan(starting).events == ()
    assert [(e.type, e.reason) for e in plan(working).events] == [(EventType.WARNING, "Unreachable")]


@pytest.mark.parametrize(
    ("report", "minutes", "writes"),
    [
        pytest.param(a_report(checked_at=NOW + timedelta(minutes=1)), 1, False, id="a later check"),
        pytest.param(a_report(responseTimeMilliseconds=99), 1, False, id="another response time"),
        pytest.param(a_report(consecutiveFailures=2), 1, False, id="another count"),
        pytest.param(a_report(checked_at=NOW + timedelta(minutes=10)), 10, True, id="a check ten minutes later"),
        pytest.param(a_report(), 24 * 60, False, id="a day later, with nothing new"),
        pytest.param(a_report(tools=[TOOL, {"name": "other"}]), 1, True, id="another tool"),
        pytest.param(a_report(toolsDigest="sha256:other"), 1, True, id="another digest"),
    ],
)
def test_only_news_is_written(report: GatewayReport, minutes: int, writes: bool) -> None:
    seen = applied(HEALTHY, plan(HEALTHY))

    made = plan(replace(seen, report=report), NOW + timedelta(minutes=minutes))

    assert (made.status is not None) == writes


@pytest.mark.parametrize(
    ("observed", "pause"),
    [
        pytest.param(NEW, 3, id="starting"),
        pytest.param(HEALTHY, 60, id="healthy"),
        pytest.param(
            ObservedServer(new_server(healthCheck={"intervalSeconds": 300}), READY, report=a_report()),
            300,
            id="healthy, with an interval of its own",
        ),
        pytest.param(replace(HEALTHY, report=a_failure("Unauthorized")), 15, id="broken"),
        pytest.param(replace(HEALTHY, report=None, unreachable="no"), 3, id="unreachable"),
    ],
)
def test_the_next_look_follows_the_state(observed: ObservedServer, pause: int) -> None:
    assert plan(observed).wake_at == NOW + timedelta(seconds=pause)


DEPLOYMENTS = st.sampled_from([None, STARTING, READY, ROLLING])
PODS = st.sampled_from(
    [
        (),
        (a_pod(),),
        (waiting("ErrImagePull", "no"),),
        (a_pod(**PAST),),
        (waiting("CrashLoopBackOff", "", restartCount=9),),
    ]
)
REPORTS = st.none() | st.builds(
    a_report,
    ok=st.booleans(),
    starting=st.booleans(),
    tools=st.lists(
        st.fixed_dictionaries({"name": st.text(max_size=3), "description": st.none() | st.text(max_size=3)}), max_size=3
    ),
    error=st.none()
    | st.fixed_dictionaries({"class": st.sampled_from([*ServerReason]), "message": st.text(max_size=9)}),
    consecutiveFailures=st.integers(0, 5),
    responseTimeMilliseconds=st.none() | st.integers(0, 9),
)
OBSERVED = st.builds(
    ObservedServer,
    server=st.sampled_from([new_server(), new_server(replicas=0), new_server(http={"image": "i", "port": 1})]),
    deployment=DEPLOYMENTS,
    pods=PODS,
    report=REPORTS,
    unreachable=st.sampled_from(["", "no answer"]),
    conflict=st.sampled_from(["", "Service time"]),
    mistake=st.sampled_from(["", "a mistake"]),
)


@settings(max_examples=50)
@given(OBSERVED, st.integers(0, 10**6))
def test_planning_again_after_the_write_writes_nothing(observed: ObservedServer, seconds: int) -> None:
    first = plan(observed)

    again = plan(applied(observed, first), NOW + timedelta(seconds=seconds))

    assert again.status is None
    assert again.events == ()
    assert again.children == first.children


@settings(max_examples=50)
@given(OBSERVED, OBSERVED)
def test_whatever_follows_on_whatever_the_status_is_whole_and_consistent(
    before: ObservedServer, after: ObservedServer
) -> None:
    seen = applied(before, plan(before))
    made = plan(replace(after, server=seen.server), NOW + timedelta(hours=1))
    assume(made.status is not None)
    held = {c.type: c for c in MCPServerStatus.model_validate(status_of(made)).conditions}

    assert list(held) == [*ServerCondition]
    assert not (held["Reconciling"].status == "True" and held["Stalled"].status == "True")
    assert held["Ready"].status == "True" or "True" in (held["Reconciling"].status, held["Stalled"].status)
    assert (held["Ready"].status == "True") == (held["Available"].status == held["Verified"].status == "True") or (
        held["Ready"].reason in (ServerReason.NAME_CONFLICT, ServerReason.INVALID_SPEC)
    )
    for type_, condition_now in held.items():
        earlier = conditions.find(seen.server.status.conditions, type_)
        assert earlier
        moved = earlier.status != condition_now.status
        assert condition_now.last_transition_time == (NOW + timedelta(hours=1) if moved else NOW)
