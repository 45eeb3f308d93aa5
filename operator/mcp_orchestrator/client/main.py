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
    for add in (_validate, _graph, _plan, _run, _watch, _list, _get, _results, _logs, _diagnose):
        add(programs)


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
    _what(parser)
    parser.add_argument("--timeout", type=_count, metavar="SECONDS", help="seconds that the run may take")
    stay = parser.add_mutually_exclusive_group()
    stay.add_argument("--follow", action="store_true", help="show its tasks until it ends; the exit code tells how")
    stay.add_argument("--wait", action="store_true", help="wait until it ends; the exit code tells how")
    parser.add_argument("--name", default="", help="name of the run; default: the template's with a few letters more")
    parser.add_argument(
        "--results-dir", default="", metavar="DIR",
        help="write workflow_results.json there, once the run has ended",
    )  # fmt: skip
    _patience(parser)
    _on_cluster(parser)
    local = parser.add_argument_group("on this machine")
    local.add_argument("--local", action="store_true", help="run it here, servers as child processes")
    _output(parser, "text", "json", "yaml", "name")
    parser.set_defaults(command=_start)


def _start(options: argparse.Namespace) -> Exit:
    if options.local:
        if not options.files:
            raise Failed("run --local needs -f FILE, with the manifests of the template and its servers")
        for name in ("namespace", "kubeconfig", "context", "name", "patience"):
            if getattr(options, name):
                raise Failed(f"--{name} has no meaning with --local")
        if options.output not in ("text", "json"):
            raise Failed(f"run --local prints text or json, not {options.output}")
        from mcp_orchestrator.client import localrun

        here = localrun.Order(options.files, options.template, options.parameters, options.timeout, options.results_dir)
        return localrun.run(here, options.output)
    if options.files:
        raise Failed("-f FILE is for --local; on a cluster, apply the manifests first: kubectl apply -f FILE")
    if not options.template:
        raise Failed("name the template to run: kubectl get workflowtemplates lists them")
    from mcp_orchestrator.client import runs

    there = runs.Order(
        template=options.template,
        parameters=options.parameters,
        name=options.name,
        timeout_seconds=options.timeout,
        wait=options.wait or bool(options.results_dir),
        follow=options.follow,
        wait_seconds=options.patience,
        results_directory=options.results_dir,
    )
    return runs.run(there, _access(options), options.output)


def _plan(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = programs.add_parser("plan", help="say what a run would do, without calling a tool")
    parser.add_argument("template", metavar="TEMPLATE", nargs="?", default="", help="name of the WorkflowTemplate")
    _what(parser)
    _on_cluster(parser)
    _output(parser, "text", "json")

    def command(options: argparse.Namespace) -> Exit:
        if not options.files and not options.template:
            raise Failed("name the template: kubectl get workflowtemplates lists them; or give its files with -f")
        from mcp_orchestrator.client import plan
        from mcp_orchestrator.client.localrun import Order

        order = Order(options.files, options.template, options.parameters)
        return plan.run(order, _access(options), options.output)

    parser.set_defaults(command=command)


def _what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("-p", "--parameter"), action="append", default=[], metavar="NAME=VALUE", dest="parameters",
        help="a parameter's value: text, or JSON for other types; NAME=@FILE reads it from a file",
    )  # fmt: skip
    parser.add_argument(
        *("-f", "--file"), action="append", default=[], metavar="FILE", dest="files",
        help="a file or a directory with the manifests of template and servers; may be given again",
    )  # fmt: skip


def _watch(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _of_run(
        programs, "watch", "show a run's tasks until it ends; the exit code tells how", "text", "json", "yaml"
    )
    _patience(parser)

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import runs

        return runs.watch(options.run, _access(options), options.output, options.patience)

    parser.set_defaults(command=command)


def _list(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = programs.add_parser("list", help="list runs, the newest first")
    parser.add_argument("--template", default="", metavar="NAME", help="only runs of this template")
    _on_cluster(parser)
    _output(parser, "text", "json", "yaml")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.show_list(_access(options), options.output, options.template)

    parser.set_defaults(command=command)


def _get(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _of_run(programs, "get", "show a run with its tasks", "text", "json", "yaml")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.show(options.run, _access(options), options.output)

    parser.set_defaults(command=command)


def _results(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _of_run(programs, "results", "print a run's outputs, or a task's whole result", "text", "json", "yaml")
    parser.add_argument("--task", default="", metavar="NAME", help="the result of this task, for example ask[2]")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.results(options.run, _access(options), options.output, options.task)

    parser.set_defaults(command=command)


def _logs(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _of_run(programs, "logs", "print the log of a run's pods", "text", "json")
    parser.add_argument("--tail", type=_count, default=1000, metavar="LINES", help="lines of each pod; default: 1000")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.logs(options.run, _access(options), options.output, options.tail)

    parser.set_defaults(command=command)


def _of_run(
    programs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, *formats: str
) -> argparse.ArgumentParser:
    parser = programs.add_parser(name, help=about)
    parser.add_argument("run", metavar="RUN", help="name of the run")
    _on_cluster(parser)
    _output(parser, *formats)
    return parser


def _patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--patience", type=_count, metavar="SECONDS",
        help="give up waiting after so many seconds, with exit code 124; the run goes on",
    )  # fmt: skip


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _diagnose(programs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "say why a run failed, what was seen, and what to do about it"
    parser = _of_run(programs, "diagnose", about, "text", "json")

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
