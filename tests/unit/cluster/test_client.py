"""The client against a real HTTP server that follows a script."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.cluster import scripted_server
from tests.unit.cluster.scripted_server import ScriptedServer, disconnect, ok, scripted, status, text

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import client, config, errors, lists, resources, retry, transport

RUN = {"metadata": {"name": "a", "namespace": "team", "uid": "u1"}, "spec": {"template": "t"}}
RUN_PATH = "/apis/mcp-orchestrator.io/v1alpha1/namespaces/team/workflowruns"


class Naps:
    """The waits between tries, taken without waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@contextlib.asynccontextmanager
async def a_client(
    *answers: scripted_server.Answer, naps: Naps | None = None, gate: Callable[[], None] | None = None
) -> AsyncIterator[tuple[client.Client, ScriptedServer]]:
    async with scripted(*answers) as server:
        connection = config.Connection(server.url)
        policy = retry.Policy(random=lambda: 0.0)
        async with client.Client(connection, gate=gate, policy=policy, sleep=naps or Naps()) as subject:
            yield subject, server


async def test_get_reads_one_object_by_its_url() -> None:
    async with a_client(ok(RUN)) as (subject, server):
        assert await subject.get(resources.WORKFLOW_RUNS, "a", "team") == RUN
    assert (server.received[0].method, server.received[0].path) == ("GET", f"{RUN_PATH}/a")


async def test_get_may_take_what_the_api_server_remembers() -> None:
    async with a_client(ok(RUN), ok(RUN)) as (subject, server):
        await subject.get(resources.WORKFLOW_RUNS, "a", "team")
        await subject.get(resources.WORKFLOW_RUNS, "a", "team", cached=True)
    assert [received.query for received in server.received] == [{}, {"resourceVersion": "0"}]


async def test_merge_sends_only_what_changes() -> None:
    async with a_client(ok(RUN)) as (subject, server):
        assert (
            await subject.merge(resources.WORKFLOW_RUNS, "a", "team", {"spec": {"suspend": True}}, manager="m") == RUN
        )
    (request,) = server.received
    assert (request.method, request.path) == ("PATCH", f"{RUN_PATH}/a")
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.query == {"fieldManager": "m", "timeout": "5s"}
    assert request.body == {"spec": {"suspend": True}}


async def test_an_answer_that_is_no_json_is_not_the_api_servers() -> None:
    async with a_client(text("<html>Please log in</html>")) as (subject, _):
        with pytest.raises(errors.Unavailable, match="something else than the API server"):
            await subject.get(resources.WORKFLOW_RUNS, "a", "team")


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        pytest.param(resources.PODS, ("team", "p", "log"), "/api/v1/namespaces/team/pods/p/log", id="core-subresource"),
        pytest.param(resources.JOBS, ("team",), "/apis/batch/v1/namespaces/team/jobs", id="collection-of-a-namespace"),
        pytest.param(resources.JOBS, (), "/apis/batch/v1/jobs", id="collection-of-all-namespaces"),
        pytest.param(resources.NAMESPACES, ("", "x"), "/api/v1/namespaces/x", id="cluster-scoped"),
    ],
)
def test_a_resource_knows_its_paths(resource: resources.Resource, arguments: tuple[str, ...], path: str) -> None:
    assert resource.path(*arguments) == path


async def test_apply_sends_kind_manager_and_precondition_and_leaves_its_argument_alone() -> None:
    async with a_client(ok(RUN), ok(RUN)) as (subject, server):
        await subject.apply(resources.WORKFLOW_RUNS, RUN, manager="m", force=False)
        await subject.apply_status(resources.WORKFLOW_RUNS, RUN, manager="m", resource_version="7")
    plain, conditional = server.received
    assert (plain.method, plain.path) == ("PATCH", f"{RUN_PATH}/a")
    assert plain.headers["Content-Type"] == "application/apply-patch+yaml"
    assert plain.query == {"fieldManager": "m", "force": "false", "timeout": "5s"}
    assert plain.body == {"apiVersion": "mcp-orchestrator.io/v1alpha1", "kind": "WorkflowRun", **RUN}
    assert (conditional.path, conditional.query["force"]) == (f"{RUN_PATH}/a/status", "true")
    assert conditional.body["metadata"]["resourceVersion"] == "7"
    assert "resourceVersion" not in RUN["metadata"]


async def test_delete_asks_for_the_very_object_and_for_its_children() -> None:
    async with a_client(ok()) as (subject, server):
        await subject.delete(resources.JOBS, "j", "team", uid="u1", propagation="Foreground")
    assert server.received[0].method == "DELETE"
    assert server.received[0].body["preconditions"] == {"uid": "u1"}
    assert server.received[0].body["propagationPolicy"] == "Foreground"


async def test_delete_asks_for_the_version_that_was_seen() -> None:
    async with a_client(ok(), ok()) as (subject, server):
        await subject.delete(resources.JOBS, "j", "team", resource_version="7")
        await subject.delete(resources.JOBS, "j", "team")
    assert [received.body.get("preconditions") for received in server.received] == [{"resourceVersion": "7"}, None]


async def test_a_table_has_metadata_and_what_the_columns_show() -> None:
    row = {"cells": ["a", "soon"], "object": {"kind": "PartialObjectMetadata", "metadata": {"name": "a"}}}
    columns = [{"name": "Name"}, {"name": "Until"}]
    table = {"kind": "Table", "metadata": {"resourceVersion": "7"}, "columnDefinitions": columns, "rows": [row]}
    async with a_client(ok(table), ok({"metadata": {}, "items": []})) as (subject, server):
        found = await subject.list_all(resources.WORKFLOW_RUNS, "team", convert=dict, as_table=True)
        await subject.list_all(resources.WORKFLOW_RUNS, "team", convert=dict)
    assert [(one["metadata"], one["cells"]) for one in found.items] == [({"name": "a"}, {"Name": "a", "Until": "soon"})]
    assert [request.headers["Accept"] for request in server.received] == [lists.TABLE, "application/json, */*"]


@pytest.mark.parametrize(("rows", "metadata", "number"), [(0, {}, 0), (1, {}, 1), (1, {"remainingItemCount": 41}, 42)])
async def test_objects_are_counted_by_reading_one(rows: int, metadata: dict[str, int], number: int) -> None:
    row = {"cells": ["a"], "object": {"metadata": {"name": "a"}}}
    async with a_client(ok({"rows": [row] * rows, "metadata": metadata})) as (subject, server):
        assert await subject.count(resources.WORKFLOW_RUNS, "team") == number
    (request,) = server.received
    assert request.query["limit"] == "1"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(status(404, "NotFound", "no such run"), errors.NotFound, id="missing"),
        pytest.param(status(409, "AlreadyExists", "taken"), errors.AlreadyExists, id="name-taken"),
        pytest.param(status(409, "Conflict", "changed"), errors.Conflict, id="changed-meanwhile"),
        pytest.param(status(403, "Forbidden", "no"), errors.Forbidden, id="forbidden"),
        pytest.param(status(400, "BadRequest", "what?"), errors.Invalid, id="bad-request"),
        pytest.param(status(413, "RequestEntityTooLarge", "limit is 3145728"), errors.Invalid, id="too-large"),
        pytest.param(status(410, "Expired", "too old"), errors.Expired, id="expired"),
        pytest.param(status(418, "Odd", "teapot"), errors.ApiError, id="unknown"),
        pytest.param(status(401, "Unauthorized", "who?"), errors.Unavailable, id="unauthorized"),
    ],
)
async def test_an_answer_of_failure_becomes_its_error_at_once(
    answer: scripted_server.Answer, error: type[errors.ApiError]
) -> None:
    async with a_client(answer) as (subject, server):
        with pytest.raises(errors.ApiError) as caught:
            await subject.create(resources.WORKFLOW_RUNS, RUN)
    assert type(caught.value) is error
    assert caught.value.message == str(caught.value) != ""
    assert len(server.received) == 1


async def test_an_invalid_object_carries_each_mistake() -> None:
    causes = [{"reason": "FieldValueInvalid", "field": "spec.tasks[0]", "message": "Invalid value: cycle"}]
    answer = status(422, "Invalid", 'WorkflowRun "a" is invalid', {"causes": causes})
    async with a_client(answer) as (subject, _):
        with pytest.raises(errors.Invalid, match='WorkflowRun "a" is invalid') as caught:
            await subject.create(resources.WORKFLOW_RUNS, RUN)
    assert caught.value.causes == (errors.Cause("FieldValueInvalid", "spec.tasks[0]", "Invalid value: cycle"),)


async def test_a_page_that_is_no_status_object_is_quoted() -> None:
    async with a_client(text("404 page not found", 404)) as (subject, _):
        with pytest.raises(errors.NotFound, match="404 page not found"):
            await subject.get(resources.WORKFLOW_RUNS, "a", "team")


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(status(503, "ServiceUnavailable", "later"), id="unavailable"),
        pytest.param(status(500, "InternalError", "etcdserver: leader changed"), id="internal-error"),
        pytest.param(status(429, "TooManyRequests", "slow down"), id="throttled"),
        pytest.param(disconnect, id="broken-connection"),
    ],
)
async def test_a_named_write_is_tried_again_with_doubled_waits(failure: scripted_server.Answer) -> None:
    naps = Naps()
    async with a_client(failure, failure, ok(RUN), naps=naps) as (subject, server):
        assert await subject.create(resources.WORKFLOW_RUNS, RUN) == RUN
    assert len(server.received) == 3
    assert naps.seconds == [0.1, 0.2]


async def test_tries_are_bounded_and_the_last_failure_is_told() -> None:
    async with a_client(*[status(503, "ServiceUnavailable", f"try {n}") for n in range(4)]) as (subject, server):
        with pytest.raises(errors.Unavailable, match="try 3"):
            await subject.apply(resources.WORKFLOW_RUNS, RUN, manager="m")
    assert len(server.received) == 4


async def test_a_create_without_a_name_is_not_sent_twice_if_it_may_have_been_carried_out() -> None:
    nameless = {"metadata": {"generateName": "a-", "namespace": "team"}}
    async with a_client(status(429), disconnect) as (subject, server):
        with pytest.raises(errors.Unavailable) as caught:
            await subject.create(resources.WORKFLOW_RUNS, nameless)
    assert caught.value.sent
    assert len(server.received) == 2  # the refusal by flow control was surely not carried out


async def test_a_retry_after_is_the_least_wait() -> None:
    naps = Naps()
    async with a_client(status(429, **{"Retry-After": "3"}), ok(RUN), naps=naps) as (subject, _):
        await subject.get(resources.WORKFLOW_RUNS, "a", "team")
    assert naps.seconds == [3.0]


async def test_a_long_retry_after_is_left_to_the_caller() -> None:
    naps = Naps()
    async with a_client(status(503, "", "", {"retryAfterSeconds": 60}), naps=naps) as (subject, _):
        with pytest.raises(errors.Unavailable) as caught:
            await subject.get(resources.WORKFLOW_RUNS, "a", "team")
    assert caught.value.retry_after_seconds == 60
    assert naps.seconds == []


async def test_a_server_that_is_not_there_is_unavailable_and_surely_got_nothing() -> None:
    async with scripted() as server:
        url = server.url
    async with client.Client(config.Connection(url), sleep=Naps()) as subject:
        with pytest.raises(errors.Unavailable, match="ClientConnectorError") as caught:
            await subject.create(resources.WORKFLOW_RUNS, RUN)
    assert not caught.value.sent


async def test_a_silent_server_is_given_up_after_the_time_limit() -> None:
    async with a_silent_port() as url, config.Connection(url).new_session() as session:
        subject = transport.Transport(url, session, gate=None, policy=retry.Policy(tries=1))
        with pytest.raises(errors.Unavailable, match="TimeoutError") as caught:
            await subject.call(transport.Request("PATCH", "/x", {}, b"{}", timeout_seconds=0.5))
    assert caught.value.sent


async def test_a_closed_gate_stops_writes_before_each_try_but_no_reads() -> None:
    open_for = iter([None, errors.NotLeader("closed")])

    def gate() -> None:
        if error := next(open_for):
            raise error

    async with a_client(status(503), ok(RUN), gate=gate) as (subject, server):
        with pytest.raises(errors.NotLeader, match="closed"):
            await subject.apply(resources.WORKFLOW_RUNS, RUN, manager="m")
        assert await subject.get(resources.WORKFLOW_RUNS, "a", "team") == RUN
    assert [request.method for request in server.received] == ["PATCH", "GET"]


def a_page(names: str, version: str, token: str = "") -> scripted_server.Answer:
    items = [{"metadata": {"name": name}} for name in names]
    return ok({"metadata": {"resourceVersion": version, "continue": token}, "items": items})


def kind_and_name(item: client.Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


async def test_a_list_goes_through_its_pages_and_names_the_kind_of_each_item() -> None:
    async with a_client(a_page("ab", "9", "next"), a_page("c", "9")) as (subject, server):
        listing = await subject.list_all(
            resources.WORKFLOW_RUNS,
            "team",
            convert=lambda item: (item["kind"], item["metadata"]["name"]),
            label_selector="x=y",
        )
    assert listing.items == [("WorkflowRun", "a"), ("WorkflowRun", "b"), ("WorkflowRun", "c")]
    assert listing.resource_version == "9"
    assert [request.query.get("continue") for request in server.received] == [None, "next"]
    assert {request.query["limit"] for request in server.received} == {"500"}
    assert {request.query["labelSelector"] for request in server.received} == {"x=y"}


async def test_a_list_that_may_be_a_moment_old_is_asked_for_at_once_and_whole() -> None:
    async with a_client(a_page("ab", "9")) as (subject, server):
        listing = await subject.list_all(resources.PODS, "team", convert=kind_and_name, cached=True)
    assert listing.items == [("Pod", "a"), ("Pod", "b")]
    assert [request.query for request in server.received] == [{"resourceVersion": "0"}]


async def test_a_list_whose_moment_is_forgotten_begins_anew() -> None:
    answers = (a_page("ab", "9", "old"), status(410, "Expired"), a_page("b", "12", "new"), a_page("c", "12"))
    async with a_client(*answers) as (subject, server):
        listing = await subject.list_all(resources.JOBS, convert=lambda item: item["metadata"]["name"])
    assert (listing.items, listing.resource_version) == (["b", "c"], "12")
    assert [request.query.get("continue") for request in server.received] == [None, "old", None, "new"]


async def test_a_list_that_expires_again_and_again_is_given_up() -> None:
    answers = [a_page("a", "9", "old"), status(410, "Expired")] * 4
    async with a_client(*answers) as (subject, server):
        with pytest.raises(errors.Expired):
            await subject.list_all(resources.JOBS, convert=lambda item: item)
    assert server.answers == []


async def test_requests_are_counted_under_the_names_of_client_go() -> None:
    async with a_client(status(404, "NotFound", "gone")) as (subject, server):
        with pytest.raises(errors.NotFound):
            await subject.get(resources.JOBS, "j", "team")
    labels = {"code": "404", "method": "GET", "host": server.url.removeprefix("http://")}
    assert telemetry.OPERATOR.get_sample_value("rest_client_requests_total", labels) == 1


async def test_a_warning_of_the_api_server_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    warned = ok(RUN, Warning='299 - "unknown field spec.x"')
    with caplog.at_level(logging.WARNING):
        async with a_client(warned, warned) as (subject, _):
            await subject.apply(resources.WORKFLOW_RUNS, RUN, manager="m")
            await subject.apply(resources.WORKFLOW_RUNS, RUN, manager="m")
    assert [record.getMessage() for record in caplog.records] == [
        f'the API server warns of PATCH {RUN_PATH}/a: 299 - "unknown field spec.x"'
    ]


@contextlib.asynccontextmanager
async def a_silent_port() -> AsyncIterator[str]:
    """A listener that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
