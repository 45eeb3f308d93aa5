"""The command line: `mcp-orchestrator COMMAND` for people, `operator | gateway | runner` for the image's containers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from mcp_orchestrator.client import arguments
from mcp_orchestrator.client import main as client


def main(argv: Sequence[str] | None = None) -> int:
    """Start what was asked for; returns its exit code."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        from mcp_orchestrator.client import completion

        completion.answer(parser)
    options = client.parsed(parser, argv)
    # Each program pays for its own imports only: a runner must start fast.
    match options.program:
        case "operator":
            from mcp_orchestrator.controllers import operator

            return operator.run()
        case "gateway":
            from mcp_orchestrator.gateway import main as gateway

            return gateway.run()
        case "runner":
            from mcp_orchestrator.runner import main as runner

            return runner.run()
    return client.run(options)


def complete() -> None:
    """kubectl_complete-mcp, which kubectl starts to complete the words behind `kubectl mcp`."""
    from mcp_orchestrator.client import completion

    print(completion.answer_kubectl(_parser(), sys.argv[1:] or [""]))


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = arguments.Parser(
        prog="mcp-orchestrator", description="MCP servers and workflows of MCP tool calls on Kubernetes."
    )
    parser.add_argument("--version", action="version", version=metadata.version("mcp-orchestrator"))
    programs = parser.add_subparsers(dest="program", required=True, metavar="COMMAND")
    client.add_to(programs)
    programs.add_parser("operator", help="watch the three kinds and make them so (in the operator's Deployment)")
    programs.add_parser("gateway", help="serve one MCP server over Streamable HTTP (in a server's pod)")
    programs.add_parser("runner", help="execute one WorkflowRun (in a run's Job)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
