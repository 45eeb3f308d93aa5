"""The command line that people use. Called by `__main__`, which has the programs of the image beside it.

The parser is made without importing what the commands need: help must come at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mcp_orchestrator.client.exits import Exit, Failed

if TYPE_CHECKING:
    from mcp_orchestrator.client.cluster import Access

Command = Callable[[argparse.Namespace], Exit]


def add_to(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to those of the image."""
    _run(programs)
    _diagnose(programs)


def run(options: argparse.Namespace) -> int:
    """Carry out the command that was asked for; returns its exit code."""
    try:
        command: Command = options.command
        return int(command(options))
    except Failed as error:
        print(f"mcp-orchestrator: {error}", file=sys.stderr)
        return int(error.code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough, `head` for example. Nothing more may be written at the end.
        sys.stdout = None
        return int(Exit.OK)


def _run(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = programs.add_parser("run", help="run a workflow, on a cluster or on this machine")
    parser.add_argument("template", metavar="TEMPLATE", nargs="?", default="", help="name of the WorkflowTemplate")
    parser.add_argument(
        *("-p", "--parameter"), action="append", default=[], metavar="NAME=VALUE", dest="parameters",
        help="a parameter's value: text, or JSON for other types; NAME=@FILE reads it from a file",
    )  # fmt: skip
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="seconds that the run may take")
    local = parser.add_argument_group("on this machine")
    local.add_argument(
        "--local", action="store_true", help="run it here, without a cluster; servers are child processes"
    )
    local.add_argument(
        *("-f", "--file"), action="append", default=[], metavar="FILE", dest="files",
        help="a file or a directory with the manifests of template and servers; may be given again",
    )  # fmt: skip
    _output(parser, "text", "json")

    def command(options: argparse.Namespace) -> Exit:
        if not options.local:
            raise Failed("only --local is there yet")
        if not options.files:
            raise Failed("run --local needs -f FILE, with the manifests of the template and its servers")
        from mcp_orchestrator.client import localrun

        order = localrun.Order(options.files, options.template, options.parameters, options.timeout)
        return localrun.run(order, options.output)

    parser.set_defaults(command=command)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds")
    return int(text)


def _diagnose(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = programs.add_parser("diagnose", help="say why a run failed, what was seen, and what to do about it")
    parser.add_argument("run", metavar="RUN", help="name of the run")
    _on_cluster(parser)
    _output(parser, "text", "json")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import diagnose

        return diagnose.run(options.run, _access(options), options.output)

    parser.set_defaults(command=command)


def _on_cluster(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster")
    group.add_argument("-n", "--namespace", default="", help="namespace; default: the one of the kubeconfig's context")
    group.add_argument("--kubeconfig", default="", metavar="FILE", help="kubeconfig file; default: as kubectl's")
    group.add_argument("--context", default="", metavar="NAME", help="context of the kubeconfig; default: the current")


def _output(parser: argparse.ArgumentParser, *formats: str) -> None:
    parser.add_argument("-o", "--output", choices=formats, default=formats[0], help=f"default: {formats[0]}")


def _access(options: argparse.Namespace) -> Access:
    from mcp_orchestrator.client.cluster import Access

    return Access(options.namespace, options.kubeconfig, options.context)
