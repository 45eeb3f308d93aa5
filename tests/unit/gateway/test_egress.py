"""Which addresses a gateway may connect to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpcore2
import httpx2
import pytest

from mcp_orchestrator.gateway import egress


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert egress.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.8.8.8", id="loopback net"),
        pytest.param("0.0.0.0", id="unspecified"),  # noqa: S104 - an address to refuse
        pytest.param("10.96.0.1", id="private a, where API servers live"),
        pytest.param("172.16.0.1", id="private b"),
        pytest.param("192.168.1.1", id="private c"),
        pytest.param("100.64.0.1", id="carrier NAT"),
        pytest.param("100.100.100.200", id="metadata of Alibaba"),
        pytest.param("169.254.169.254", id="metadata"),
        pytest.param("168.63.129.16", id="wire server of Azure"),
        pytest.param("192.0.0.192", id="metadata of Oracle"),
        pytest.param("192.0.2.1", id="documentation"),
        pytest.param("198.18.0.1", id="benchmarking"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("224.0.1.1", id="multicast that is routed"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("::", id="unspecified v6"),
        pytest.param("::1", id="loopback v6"),
        pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
        pytest.param("::ffff:169.254.169.254", id="mapped metadata"),
        pytest.param("64:ff9b::a9fe:a9fe", id="NAT64 of metadata"),
        pytest.param("64:ff9b:1::1", id="local NAT64"),
        pytest.param("2002:7f00:1::", id="6to4 of loopback"),
        pytest.param("fe80::1", id="link-local v6"),
        pytest.param("fc00::1", id="unique local"),
        pytest.param("fd00:ec2::254", id="metadata v6"),
        pytest.param("fec0::1", id="site-local"),
        pytest.param("ff02::1", id="multicast v6"),
        pytest.param("2001:db8::1", id="documentation v6"),
        pytest.param("100::1", id="discard"),
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not egress.is_public(ipaddress.ip_address(address))


async def test_a_name_is_judged_by_the_address_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer of a rebinding name never gets its chance: nothing is resolved after the check."""
    asked: list[str] = []
    connected: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    class Backend(httpcore2.AsyncMockBackend):
        async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
            connected.append(host)
            return await super().connect_tcp(host, *args, **kwargs)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    guard = egress.PublicOnly()
    guard._backend = Backend([])  # type: ignore[assignment]
    await guard.connect_tcp("rebinding.example", 443)
    assert connected == ["93.184.216.34"]
    with pytest.raises(egress.PrivateAddress, match=r"rebinding\.example is 127\.0\.0\.1"):
        await guard.connect_tcp("rebinding.example", 443)
    assert connected == ["93.184.216.34"]


async def test_a_client_for_public_servers_refuses_before_it_connects() -> None:
    exchange = egress.Exchange()
    egress.EXCHANGE.set(exchange)
    async with egress.http_client({}, public_only=True) as client:
        answer = await client.post("https://127.0.0.1:1/mcp")
    assert answer.status_code == 502
    assert exchange.error is not None
    assert isinstance(exchange.error, httpx2.ConnectError)
    assert isinstance(exchange.error.__cause__, egress.PrivateAddress)


async def test_an_answer_without_end_is_read_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "ANSWER_BYTES", 2**20)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    inner = httpx2.MockTransport(lambda _: httpx2.Response(200, content=endless()))
    exchange = egress.Exchange()
    egress.EXCHANGE.set(exchange)
    async with httpx2.AsyncClient(transport=egress.Recorder(inner)) as client:
        answer = await client.post("http://server/mcp")
    assert len(answer.content) == 2**20
    assert str(exchange.error) == "it is longer than 1 MiB"


async def test_servers_are_asked_not_to_compress() -> None:
    async with egress.http_client({"X-Api-Key": "k"}, public_only=False) as client:
        headers = client.build_request("POST", "http://server/mcp").headers
    assert (headers["accept-encoding"], headers["x-api-key"]) == ("identity", "k")
