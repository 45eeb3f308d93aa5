"""Servers that can't work on a real node: each ends in a condition that names the field and the remedy."""

from __future__ import annotations

import pytest

from tests.e2e.space import Space
from tests.objects import DEMO_IMAGE, a_server

DIES = "import sys; print('no configuration found', 'set FILE', sep='\\n', file=sys.stderr); sys.exit(3)"
RUBBISH = "while True: print('this is not JSON-RPC', flush=True); input()"
WEB_SITE = """
import http.server
class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.end_headers()
        self.wfile.write(b'<h1>It works!</h1>')
    do_POST = do_DELETE = do_GET
http.server.HTTPServer(('', 8000), Site).serve_forever()
"""

CASES = [
    pytest.param(
        {"stdio": {"command": "no-such-program"}},
        "CommandNotFound",
        ["no-such-program", "spec.stdio.command"],
        id="a-command-that-does-not-exist",
    ),
    pytest.param(
        {"stdio": {"command": "python3", "args": ["-c", DIES]}},
        "ProcessExited",
        ["exit code 3", "no configuration found | set FILE"],
        id="a-process-that-dies",
    ),
    pytest.param(
        {"stdio": {"command": "python3", "args": ["-c", RUBBISH]}},
        "Protocol",
        ["not JSON-RPC"],
        id="a-process-that-writes-rubbish",
    ),
    pytest.param(
        {"http": {"image": DEMO_IMAGE, "command": ["python3", "-c", WEB_SITE], "port": 8000}},
        "Protocol",
        ["127.0.0.1:8000", "text/html", "spec.http"],
        id="a-container-that-is-a-web-site",
    ),
    pytest.param(
        {"http": {"image": DEMO_IMAGE, "command": ["python3", "-c", "import time; time.sleep(3600)"], "port": 8000}},
        "Connect",
        ["127.0.0.1:8000", "spec.http.port"],
        id="a-container-that-does-not-listen",
    ),
    pytest.param(
        {
            "stdio": {"command": "mcp-server-time", "image": DEMO_IMAGE},
            "env": [{"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "key"}}}],
        },
        "ReferenceNotFound",
        ["no-such-secret", "spec.env"],
        id="a-secret-that-is-missing",
    ),
    pytest.param(
        {"stdio": {"command": "mcp-server-time", "image": "localhost/no-such-image:1"}},
        "ImageNotFound",
        ["no-such-image", "image"],
        id="an-image-that-is-missing",
    ),
    pytest.param(
        {"remote": {"url": "http://127.0.0.1:9/mcp", "allowPrivate": True}},
        "Connect",
        ["127.0.0.1"],
        id="a-host-that-refuses",
    ),
    pytest.param(
        {"remote": {"url": "https://127.0.0.1:9/mcp"}},
        "PrivateAddress",
        ["allowPrivate"],
        id="a-private-address-that-is-not-allowed",
    ),
]


@pytest.fixture(scope="module")
def servers(space: Space) -> Space:
    """All bad servers at once: they wait in parallel."""
    space.apply(*(a_server(str(case.id)[:40].rstrip("-"), **case.values[0]) for case in CASES))
    return space


@pytest.mark.parametrize(("spec", "reason", "words"), CASES)
def test_a_bad_server_says_what_is_wrong_and_what_helps(
    servers: Space, spec: dict[str, object], reason: str, words: list[str], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id[:40].rstrip("-")
    ready = servers.wait_for_reason(name, reason)
    print(f"\n{name}: {reason}: {ready['message']}")
    assert ready["status"] == "False"
    for word in words:
        assert word in ready["message"]
