"""A stdio server written by hand: what the SDK would not send. Started by the gateway's integration tests.

--mute              read requests and answer none
--deaf              not even read them
--pages N           list N tools, one a page
--broken NAME       list a tool NAME whose definition has no valid input schema
--silent-on-discover    ignore server/discover, as many old servers do
--ignore-eof        stay when standard input closes and when told to end
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from typing import Any

SCHEMA = {"type": "object", "properties": {"default": {"default": None}}}


def tool(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "description": f"Tool {name}", "inputSchema": schema}


def answer(options: argparse.Namespace, request: dict[str, Any]) -> dict[str, Any]:
    match request["method"]:
        case "initialize":
            version = request["params"]["protocolVersion"]
            return {
                "result": {
                    "protocolVersion": version,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "raw", "version": "0"},
                }
            }
        case "tools/list" if options.broken:
            return {"result": {"tools": [tool("fine", SCHEMA), tool(options.broken, {})]}}
        case "tools/list":
            page = int((request.get("params") or {}).get("cursor", "0"))
            result: dict[str, Any] = {"tools": [tool(f"tool-{page:03}", SCHEMA)]}
            if page + 1 < options.pages:
                result["nextCursor"] = str(page + 1)
            return {"result": result}
        case "tools/call":
            return {"result": {"content": [{"type": "text", "text": "ok"}]}}
        case method:
            return {"error": {"code": -32601, "message": f"no such method: {method}"}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mute", action="store_true")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--broken", default="")
    parser.add_argument("--silent-on-discover", action="store_true")
    parser.add_argument("--ignore-eof", action="store_true")
    options = parser.parse_args()
    if options.ignore_eof:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.deaf:
        threading.Event().wait()
    for line in sys.stdin:
        request = json.loads(line)
        silent = options.mute or (options.silent_on_discover and request.get("method") == "server/discover")
        if "id" in request and "method" in request and not silent:
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(options, request)}), flush=True)
    if options.ignore_eof:
        threading.Event().wait()


if __name__ == "__main__":
    main()
