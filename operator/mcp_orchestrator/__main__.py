"""The command line of the image: `mcp-orchestrator operator | gateway | runner`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import metadata


def main(argv: Sequence[str] | None = None) -> int:
    """Start the program that was asked for; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="mcp-orchestrator", description="MCP servers and workflows of MCP tool calls on Kubernetes."
    )
    parser.add_argument("--version", action="version", version=metadata.version("mcp-orchestrator"))
    programs = parser.add_subparsers(dest="program", required=True, metavar="PROGRAM")
    programs.add_parser("operator", help="watch the three kinds and make them so (in the operator's Deployment)")
    programs.add_parser("gateway", help="serve one MCP server over Streamable HTTP (in a server's pod)")
    programs.add_parser("runner", help="execute one WorkflowRun (in a run's Job)")
    program = parser.parse_args(argv).program
    # Each program pays for its own imports only: a runner must start fast.
    if program == "operator":
        from mcp_orchestrator.controllers import operator

        return operator.run()
    if program == "gateway":
        from mcp_orchestrator.gateway import main as gateway

        return gateway.run()
    from mcp_orchestrator.runner import main as runner

    return runner.run()


if __name__ == "__main__":
    sys.exit(main())
