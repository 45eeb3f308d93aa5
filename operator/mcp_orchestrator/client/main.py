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
    _diagnose(programs)
    _validate(programs)
    _graph(programs)


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


def _diagnose(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = programs.add_parser("diagnose", help="say why a run failed, what was seen, and what to do about it")
    parser.add_argument("run", metavar="RUN", help="name of the run")
    _on_cluster(parser)
    _output(parser, "text", "json")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import diagnose

        return diagnose.run(options.run, _access(options), options.output)

    parser.set_defaults(command=command)


def _validate(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = programs.add_parser("validate", help="find mistakes in files, without a cluster")
    parser.add_argument("files", metavar="FILE|DIR", nargs="*", help="what to check; default: this directory; -: input")
    parser.add_argument("--strict", action="store_true", help="count warnings as errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say what was not checked")
    _output(parser, "text", "json", "sarif")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import validate

        return validate.run(options.files, options.output, strict=options.strict, verbose=options.verbose)

    parser.set_defaults(command=command)


def _graph(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = programs.add_parser("graph", help="draw the tasks of a workflow, and what waits for what")
    parser.add_argument("file", metavar="FILE", help="what holds the workflow; -: standard input")
    parser.add_argument("--template", default="", metavar="NAME", help="which workflow, where the file holds several")
    _output(parser, "mermaid", "svg")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import graph

        return graph.run(options.file, options.template, options.output)

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
