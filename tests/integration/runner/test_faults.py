"""Every way in which a server can fail a call: its class, whether the tool may have run, and the words."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.integration.runner import faulty_http
from tests.integration.runner.calling import call, failure, real_server
from tests.integration.runner.faulty_http import FAULTS, Faulty
from tests.ports import free_port
from tests.servers import rubbish_http

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.planning.calls import retry
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls import failures

AUTH, BUSY, CONNECT, DOWN = ErrorClass.AUTH, ErrorClass.BUSY, ErrorClass.CONNECT, ErrorClass.SERVER_DOWN
PERSON, PROTOCOL, TIMEOUT, TOOL = (
    ErrorClass.INPUT_REQUIRED,
    ErrorClass.PROTOCOL,
    ErrorClass.TIMEOUT,
    ErrorClass.TOOL,
)
TRANSPORT, LARGE, SCHEMA = ErrorClass.TRANSPORT, ErrorClass.RESULT_TOO_LARGE, ErrorClass.SCHEMA
NOT_RUN, TOLD, MAYBE = "the tool did not run", "the server told how it ended", "the tool may have run"


def fate(failed: CallFailed) -> str:
    """What is known of a call that failed."""
    known = retry.Failure(failed.error_class, failed.never_sent, failed.retry_after_seconds, failed.answered)
    fate = NOT_RUN if failed.never_sent else TOLD if retry.is_known(known, repeatable=False) else MAYBE
    assert (failures.MAYBE in failed.message) == (fate == MAYBE), failed.message
    return fate


@pytest.mark.parametrize(
    ("path", "error_class", "told", "words"),
    [
        # connections that break
        pytest.param("/reset", TRANSPORT, MAYBE, ["broke during the call"], id="reset in mid call"),
        pytest.param("/hang-up", TRANSPORT, MAYBE, ["broke during the call"], id="closed without an answer"),
        pytest.param("/cut-sse", TRANSPORT, MAYBE, ["ended its answer early"], id="cut stream"),
        pytest.param("/reset-sse", TRANSPORT, MAYBE, ["broke during the call"], id="stream reset"),
        pytest.param("/abandoned?era=legacy", TRANSPORT, MAYBE, ["ended its answer early"], id="not resumed"),
        pytest.param("/cut-json", TRANSPORT, MAYBE, ["broke during the call"], id="half an answer"),
        pytest.param("/cut-head", TRANSPORT, MAYBE, ["broke during the call"], id="half a head"),
        pytest.param("/no-http", TRANSPORT, MAYBE, ["broke during the call"], id="another protocol"),
        pytest.param("/huge-head", TRANSPORT, MAYBE, ["broke during the call"], id="head of a megabyte"),
        # too much
        pytest.param("/endless", LARGE, TOLD, ["MiB or more", "limit is 16.0 MiB"], id="endless JSON"),
        pytest.param("/endless-event", LARGE, TOLD, ["MiB or more", "limit is 16.0 MiB"], id="endless event"),
        pytest.param("/endless-events", LARGE, TOLD, ["MiB or more", "limit is 16.0 MiB"], id="endless events"),
        pytest.param("/gzipped", PROTOCOL, MAYBE, ["compressed (gzip), unasked"], id="compressed"),
        # rubbish
        pytest.param("/rubbish-json", PROTOCOL, MAYBE, ["no valid MCP", "JSON"], id="invalid JSON"),
        pytest.param("/rubbish-event", PROTOCOL, MAYBE, ["no valid MCP", "JSON"], id="invalid JSON in a stream"),
        pytest.param("/latin", PROTOCOL, MAYBE, ["no valid MCP", "JSON"], id="invalid UTF-8"),
        pytest.param("/deep", PROTOCOL, MAYBE, ["no valid MCP"], id="nested without end"),
        pytest.param("/html", PROTOCOL, MAYBE, ["it is text/html, and no MCP"], id="wrong content type"),
        pytest.param("/typeless", PROTOCOL, MAYBE, ["it is of no type"], id="no content type"),
        pytest.param("/accepted", PROTOCOL, MAYBE, ["HTTP 202"], id="202"),
        pytest.param("/nothing", PROTOCOL, MAYBE, ["it is of no type"], id="204"),
        pytest.param("/no-rpc", PROTOCOL, MAYBE, ["no valid MCP"], id="no JSON-RPC"),
        pytest.param("/no-result", PROTOCOL, MAYBE, ["no valid MCP", "content"], id="no result"),
        pytest.param("/wrong-id", PROTOCOL, MAYBE, ["the answer to another request"], id="wrong JSON-RPC id"),
        pytest.param("/a-request", PROTOCOL, MAYBE, ["the answer to another request"], id="a request as answer"),
        # HTTP
        pytest.param("/status/400", PROTOCOL, NOT_RUN, ["HTTP 400"], id="400"),
        pytest.param("/status/401", AUTH, NOT_RUN, ["HTTP 401", "refuses access"], id="401"),
        pytest.param("/status/403", AUTH, NOT_RUN, ["HTTP 403", "refuses access"], id="403"),
        pytest.param("/status/404", PROTOCOL, NOT_RUN, ["HTTP 404", "no MCP endpoint"], id="404"),
        pytest.param(
            "/status/404?era=legacy", CONNECT, NOT_RUN, ["no longer knows the session"], id="404 in a session"
        ),
        pytest.param("/status/404?era=stateless", PROTOCOL, NOT_RUN, ["HTTP 404"], id="404, handshake, no session"),
        pytest.param("/status/408", TRANSPORT, MAYBE, ["HTTP 408"], id="408"),
        pytest.param("/status/413", PROTOCOL, NOT_RUN, ["HTTP 413"], id="413"),
        pytest.param("/status/421", PROTOCOL, NOT_RUN, ["HTTP 421"], id="421"),
        pytest.param("/status/425", BUSY, NOT_RUN, ["HTTP 425"], id="425"),
        pytest.param("/status/429", BUSY, NOT_RUN, ["HTTP 429", "it is busy"], id="429"),
        pytest.param("/status/500", TRANSPORT, MAYBE, ["HTTP 500"], id="500"),
        pytest.param("/status/502", TRANSPORT, MAYBE, ["HTTP 502"], id="502"),
        pytest.param("/status/503", BUSY, NOT_RUN, ["HTTP 503", "it is busy"], id="503"),
        pytest.param("/status/504", TRANSPORT, MAYBE, ["HTTP 504"], id="504"),
        pytest.param("/error/-32602/429", BUSY, NOT_RUN, ["HTTP 429"], id="429 with a JSON-RPC error"),
        pytest.param("/redirect", PROTOCOL, NOT_RUN, ["HTTP 307", "http://other.example/mcp"], id="redirect"),
        # JSON-RPC
        pytest.param("/error/-32700", PROTOCOL, NOT_RUN, ["words of the server", "-32700"], id="parse error"),
        pytest.param("/error/-32600", PROTOCOL, TOLD, ["words of the server", "-32600"], id="invalid request"),
        pytest.param("/error/-32601", PROTOCOL, TOLD, ["words of the server", "-32601"], id="method not found"),
        pytest.param("/error/-32602", PROTOCOL, TOLD, ["words of the server", "-32602"], id="invalid params"),
        pytest.param("/error/-32602/400", PROTOCOL, TOLD, ["words of the server"], id="invalid params, HTTP 400"),
        pytest.param("/error/-32603", TRANSPORT, MAYBE, ["words of the server", "-32603"], id="internal, HTTP 200"),
        pytest.param("/error/-32603/500", TRANSPORT, MAYBE, ["words of the server"], id="internal, HTTP 500"),
        pytest.param("/error/-32000", TRANSPORT, MAYBE, ["words of the server"], id="a bridge's connection closed"),
        pytest.param("/error/-32000/400", PROTOCOL, TOLD, ["words of the server"], id="-32000 with HTTP 400"),
        pytest.param("/error/-32001", TIMEOUT, MAYBE, ["gave up: words of the server"], id="the server's time-out"),
        pytest.param("/error/-32020/400", PROTOCOL, NOT_RUN, ["words of the server", "-32020"], id="header mismatch"),
        pytest.param("/error/-32021/400", PERSON, TOLD, ["words of the server"], id="missing capability"),
        pytest.param("/error/-32042", PERSON, TOLD, ["words of the server"], id="URL elicitation"),
        pytest.param("/error/-32077", PROTOCOL, TOLD, ["words of the server", "-32077"], id="a code of its own"),
        pytest.param("/version", PROTOCOL, NOT_RUN, ["Unsupported protocol version", "-32022"], id="unknown revision"),
        pytest.param("/nameless", PROTOCOL, NOT_RUN, ["what is that?"], id="error without an id"),
        # input of a person
        pytest.param("/ask", PERSON, TOLD, ["input of a person: Who?"], id="input required"),
        pytest.param("/elicit/error?era=legacy", PERSON, TOLD, ["Elicitation not supported"], id="elicitation, error"),
        pytest.param("/elicit/result?era=legacy", PERSON, TOLD, ["Elicitation not"], id="elicitation, error result"),
        # our gateway
        pytest.param("/gateway/ProcessExited/unsent", DOWN, NOT_RUN, ["words"], id="gateway: program died before"),
        pytest.param(
            "/gateway/ProcessExited/sent", TRANSPORT, MAYBE, ["words"], id="gateway: program died in the call"
        ),
        pytest.param("/gateway/CommandNotFound/unsent", DOWN, NOT_RUN, ["words"], id="gateway: no command"),
        pytest.param("/gateway/CircuitOpen/unsent", DOWN, NOT_RUN, ["words"], id="gateway: circuit open"),
        pytest.param("/gateway/Connect/unsent", CONNECT, NOT_RUN, ["words"], id="gateway: refused"),
        pytest.param("/gateway/Connect/sent", TRANSPORT, MAYBE, ["words"], id="gateway: broken"),
        pytest.param("/gateway/Timeout/unsent", CONNECT, NOT_RUN, ["words"], id="gateway: still starting"),
        pytest.param("/gateway/Timeout/sent", TIMEOUT, MAYBE, ["words"], id="gateway: time-out"),
        pytest.param("/gateway/Unauthorized/sent", AUTH, NOT_RUN, ["words"], id="gateway: key refused"),
        pytest.param("/gateway/SecretMissing/unsent", AUTH, NOT_RUN, ["words"], id="gateway: no key"),
        pytest.param("/gateway/PrivateAddress/unsent", CONNECT, NOT_RUN, ["words"], id="gateway: private address"),
        pytest.param("/gateway/Protocol/sent", PROTOCOL, MAYBE, ["words"], id="gateway: rubbish"),
        pytest.param("/gateway/Protocol/sent/429", BUSY, NOT_RUN, ["words", "after 17 s"], id="gateway: 429"),
        pytest.param("/gateway/Protocol/sent/500", TRANSPORT, MAYBE, ["words"], id="gateway: 500"),
        pytest.param("/gateway/Protocol/unsent/500", TRANSPORT, NOT_RUN, ["words"], id="gateway: 500 to a greeting"),
        pytest.param("/gateway/Unheard/sent", PROTOCOL, MAYBE, ["words"], id="gateway: a class of later days"),
        # tools
        pytest.param('/tool/{"content": [], "isError": true}', TOOL, TOLD, ["without a word"], id="silent tool error"),
    ],
)
async def test_each_fault_of_a_call_has_its_class(
    faulty: Faulty, path: str, error_class: ErrorClass, told: str, words: list[str]
) -> None:
    caught = await failure(faulty.url(path))
    assert caught.error_class == error_class, caught.message
    assert fate(caught) == told
    for word in words:
        assert word in caught.message
    assert len(faulty.calls()) == 1, "a call is made once"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/silence", id="silence"),
        pytest.param("/slow-head", id="slow headers"),
        pytest.param("/slow-json", id="slow answer"),
        pytest.param("/comments", id="stream without a word"),
        pytest.param("/progress", id="stream without an end"),
        pytest.param("/silence?era=legacy", id="silence in a session"),
    ],
)
async def test_what_never_ends_is_ended_by_the_time_out(faulty: Faulty, path: str) -> None:
    caught = await failure(faulty.url(path), timeout_seconds=2)
    assert caught.error_class == TIMEOUT
    assert fate(caught) == MAYBE
    assert 'no answer of server "x" within 2 s' in caught.message
    assert len(faulty.calls()) == 1


PATHS = {"status": "/status/500", "error": "/error/-32603", "gateway": "/gateway/Connect/unsent", "tool": "/tool/{}"}
HARMLESS = frozenset({"moved", "resumed", "held", "big-event", "lost", "reborn", "routing", "elicit"})
"""Faults that are none in a greeting, or whose point is the call."""


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", sorted(set(FAULTS) - HARMLESS))
async def test_whatever_goes_wrong_in_the_greeting_the_tool_did_not_run(faulty: Faulty, name: str, era: str) -> None:
    caught = await failure(faulty.url(f"{PATHS.get(name, f'/{name}')}?at=greeting&era={era}"), timeout_seconds=1)
    assert fate(caught) == NOT_RUN, caught.message
    assert caught.error_class in (CONNECT, PROTOCOL, TRANSPORT, TIMEOUT), caught.message
    assert faulty.calls() == []


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("name", sorted(set(FAULTS) - HARMLESS))
async def test_whatever_goes_wrong_with_the_list_of_tools_the_call_is_made(faulty: Faulty, name: str, era: str) -> None:
    assert await call(faulty.url(f"{PATHS.get(name, f'/{name}')}?at=list&era={era}"), timeout_seconds=4) == "good"
    assert len(faulty.calls()) == 1


# --- asked to come back later ----------------------------------------------------------------------------------------

THEN = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        pytest.param("17", None, 17, id="seconds"),
        pytest.param("0", None, 0, id="at once"),
        pytest.param(format_datetime(THEN + timedelta(seconds=90), usegmt=True), THEN, 90, id="date, by its own clock"),
        pytest.param(format_datetime(THEN - timedelta(seconds=5), usegmt=True), THEN, 0, id="date that is over"),
        pytest.param("Thursday, 26-Nov-26 12:00:30 GMT", THEN, 30, id="date as of old"),
        pytest.param("Thu Nov 26 12:00:30 2026", THEN, 30, id="date as C has it"),
        pytest.param(format_datetime(THEN - timedelta(days=9000), usegmt=True), None, 0, id="date, by our clock"),
        pytest.param("soon", None, None, id="no time at all"),
        pytest.param("-3", None, None, id="negative"),
        pytest.param("1e400", None, None, id="not decimal"),
        pytest.param("9" * 400, None, 366 * 86400, id="for ever"),
        pytest.param("Fri, 31 Dec 99999 23:59:59 GMT", THEN, None, id="no such year"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_says_when_to_come_back(
    faulty: Faulty, status: int, retry_after: str, date: datetime | None, seconds: float | None
) -> None:
    dated = f"/{format_datetime(date, usegmt=True)}" if date else ""
    caught = await failure(faulty.url(f"/status/{status}/{retry_after}{dated}".replace(" ", "%20")))
    assert caught.error_class == BUSY
    assert caught.retry_after_seconds == seconds
    assert (f"come back after {seconds} s" in caught.message) == bool(seconds)


async def test_a_gateway_passes_on_when_to_come_back(faulty: Faulty) -> None:
    caught = await failure(faulty.url("/gateway/CircuitOpen/unsent/503"))
    assert caught.error_class == DOWN
    assert caught.retry_after_seconds == 17


# --- servers that are not there, or are something else ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "error_class", "words"),
    [
        pytest.param("http://no-such-server.invalid:8080/mcp", CONNECT, "can't connect", id="no such name"),
        pytest.param("http://127.0.0.1:PORT/mcp", CONNECT, "can't connect", id="connection refused"),
        pytest.param("http://[::1]:PORT/mcp", CONNECT, "can't connect", id="connection refused over IPv6"),
        pytest.param("http://240.0.0.1:40000/mcp", CONNECT, "can't connect", id="no route"),
        pytest.param("ftp://127.0.0.1/mcp", PROTOCOL, "address", id="another protocol"),
        pytest.param("http://127.0.0.1:99999/mcp", PROTOCOL, "", id="impossible port"),
        pytest.param("", PROTOCOL, "address", id="no address"),
    ],
)
async def test_what_can_not_be_reached_was_not_called(url: str, error_class: ErrorClass, words: str) -> None:
    caught = await failure(url.replace("PORT", str(free_port())))
    assert caught.error_class == error_class, caught.message
    assert words in caught.message
    assert fate(caught) == NOT_RUN


async def test_a_server_that_accepts_no_connection_is_given_up() -> None:
    """Its queue of connections is full, so that further ones get no answer."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
        socket.socket() as second,
    ):
        second.setblocking(False)
        second.connect_ex(listener.getsockname())
        caught = await failure(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", timeout_seconds=0.5)
    assert caught.error_class in (TIMEOUT, CONNECT)
    assert fate(caught) == NOT_RUN


async def test_a_server_that_nobody_vouches_for_is_not_called(tmp_path: Path) -> None:
    async with faulty_http.serving(self_signed(tmp_path)) as faulty:
        caught = await failure(faulty.url("/good").replace("http:", "https:"))
    assert caught.error_class == CONNECT
    assert "self-signed" in caught.message
    assert fate(caught) == NOT_RUN
    assert faulty.heads == []


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a server shows that has made its certificate itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2036, 1, 1, tzinfo=UTC),
    ).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


@pytest.mark.parametrize(
    ("path", "error_class", "words", "requests"),
    [
        pytest.param("/status/401", AUTH, "HTTP 401", 1, id="401"),
        pytest.param("/status/403", AUTH, "HTTP 403", 1, id="403"),
        pytest.param("/status/429", BUSY, "after 17 s", 1, id="429"),
        pytest.param("/status/503", BUSY, "after 17 s", 1, id="503"),
        pytest.param("/status/404", PROTOCOL, "there is no MCP endpoint", 2, id="404"),
        pytest.param("/status/500", TRANSPORT, "HTTP 500", 2, id="500"),
        pytest.param("/html", PROTOCOL, "text/html", 2, id="html"),
        pytest.param("/broken-json", PROTOCOL, "JSON", 2, id="broken json"),
        pytest.param("/redirect?http://other.example/mcp", PROTOCOL, "edirect", 2, id="redirect"),
        pytest.param("/reset", CONNECT, "broke before the call was made", 1, id="reset"),
        pytest.param("/hang", TIMEOUT, "did not even answer the greeting", 1, id="hang"),
    ],
)
async def test_a_server_that_is_none_is_explained(
    path: str, error_class: ErrorClass, words: str, requests: int
) -> None:
    async with rubbish_http.serving() as rubbish:
        caught = await failure(rubbish.url(path), timeout_seconds=1 if error_class == TIMEOUT else 30)
    assert caught.error_class == error_class, caught.message
    assert words in caught.message
    assert fate(caught) == NOT_RUN
    assert len(rubbish.requests) == requests


# --- revisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["modern", "legacy", "stateless", "2024-11-05", "2025-03-26", "2025-06-18"])
async def test_servers_of_all_revisions_are_called(faulty: Faulty, era: str) -> None:
    assert await call(faulty.url(f"/good?era={era}")) == "good"
    assert len(faulty.calls()) == 1


async def test_a_server_of_a_revision_to_come_is_said_to_be_one(faulty: Faulty) -> None:
    caught = await failure(faulty.url("/good?era=2099-01-01"))
    assert caught.error_class == PROTOCOL
    assert "2099-01-01" in caught.message
    assert fate(caught) == NOT_RUN


# --- what looks like a fault and is none -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/moved", id="redirect within the server"),
        pytest.param("/resumed?era=legacy", id="stream that goes on"),
        pytest.param("/nothing?at=none", id="no fault at all"),
    ],
)
async def test_a_server_may_take_a_detour(faulty: Faulty, path: str) -> None:
    assert await call(faulty.url(path)) == "good"


async def test_an_event_of_five_megabytes_comes_whole(faulty: Faulty) -> None:
    assert await call(faulty.url("/big-event")) == "x" * 5 * (1 << 20)


# --- real servers ----------------------------------------------------------------------------------------------------


async def test_a_server_that_dies_in_a_call_is_a_broken_connection() -> None:
    with real_server() as server:
        caught = await failure(server, "crash")
    assert caught.error_class == TRANSPORT
    assert fate(caught) == MAYBE


@pytest.mark.parametrize(
    ("tool", "options"),
    [
        pytest.param("ask", [], id="modern"),
        pytest.param("ask", ["--legacy"], id="handshake"),
        pytest.param("ask_as_of_old", ["--legacy"], id="handshake, without looking at what the client can do"),
    ],
)
async def test_a_real_server_that_asks_for_a_person_is_told_that_nobody_is_there(tool: str, options: list[str]) -> None:
    with real_server(*options) as server:
        caught = await failure(server, tool)
    assert caught.error_class == PERSON, caught.message
    assert fate(caught) == TOLD
