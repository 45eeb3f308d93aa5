"""An MCP server by hand, for a container of its own: its tool `go` goes wrong in the way that its argument names.

python faults_http.py PORT                 serve http://*:PORT/mcp, the revision 2026-07-28
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMPLETE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
TOOLS = [
    {"name": "go", "inputSchema": {"type": "object", "properties": {"fault": {"type": "string"}}}},
    {
        "name": "strict",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
]


class Mcp(BaseHTTPRequestHandler):
    """Answers one request after the other."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match asked["method"]:
            case "server/discover":
                found = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **COMPLETE}
                self.answer(asked, result=found)
            case "tools/list":
                self.answer(asked, result={"tools": TOOLS, **COMPLETE})
            case "tools/call":
                self.go(asked, asked["params"].get("arguments", {}).get("fault", "bad-schema"))
            case _:
                self.answer(asked, error={"code": -32601, "message": "Method not found"})

    def go(self, asked: dict[str, Any], fault: str) -> None:
        print(f"asked for {fault}", file=sys.stderr, flush=True)
        match fault:
            case "401" | "403" | "429" | "500" | "503":
                self.refuse(int(fault))
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case "silence":
                time.sleep(600)
            case "huge":
                self.text(asked, "x" * (17 << 20))
            case "error":
                self.text(asked, "no such city: Atlantis", isError=True)
            case "hidden":
                self.answer(asked, result={"content": [], "structuredContent": {"error": "quota"}, **COMPLETE})
            case "refused":
                self.answer(asked, error={"code": -32602, "message": "region is not known"})
            case "bad-schema":
                self.answer(asked, result={"content": [], "structuredContent": {"n": "many"}, **COMPLETE})
            case "memory":
                eaten = bytearray()
                while True:
                    eaten += b"x" * (16 << 20)
            case _:
                self.text(asked, "well done")

    def text(self, asked: dict[str, Any], text: str, **more: Any) -> None:
        self.answer(asked, result={"content": [{"type": "text", "text": text}], **COMPLETE, **more})

    def answer(self, asked: dict[str, Any], **what: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), **what}).encode()
        self.send_response(200 if "id" in asked else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status in (429, 503):
            self.send_header("Retry-After", "1")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""


class Server(ThreadingHTTPServer):
    """Its log is what tests read: a client that went away is nothing to tell of."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    Server(("", int(sys.argv[1])), Mcp).serve_forever()
