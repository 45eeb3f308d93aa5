"""The command line that people use. Called by `__main__`, which has the programs of the image beside it.

The parser is made without importing what the commands need: help must come at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from mcp_orchestrator.client import arguments, runcommands
from mcp_orchestrator.client.exits import Exit, Failed

if TYPE_CHECKING:
    from mcp_orchestrator.client.arguments import Programs

Command = Callable[[argparse.Namespace], Exit]


def add_to(programs: Programs) -> None:
    """Add the commands to those of the image."""
    for add in (_validate, _graph, _plan):
        add(programs)
    runcommands.add_to(programs)
    for add in (_list, _queue, _get, _results, _logs, _diagnose, _completion):
        add(programs)


def parsed(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for. Raises SystemExit with the exit code once the help, the version or a mistake is told."""
    _ready(sys.stdout)
    _ready(sys.stderr)
    sys.stdout = sys.stdout or io.StringIO()  # closed: whoever starts us so wants to read nothing
    told = io.StringIO()  # argparse would not say that it could not write
    try:
        with contextlib.redirect_stdout(told):
            return parser.parse_args(words)
    except SystemExit as end:
        code = int(end.code or 0)
        raise SystemExit(_heard(lambda: _print(told.getvalue(), code))) from None


def run(options: argparse.Namespace) -> int:
    """Carry out the command that was asked for; returns its exit code."""
    command: Command = options.command
    return _heard(lambda: command(options))


def _heard(work: Callable[[], int]) -> int:
    """The exit code of the work, once all that it printed is written; of what keeps it from that, else."""
    try:
        code = work()
        sys.stdout.flush()
        return int(code)
    except Failed as error:
        print(f"mcp-orchestrator: {error}", file=sys.stderr)
        return int(error.code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough, `head` for example. Nothing more may be written at the end.
        sys.stdout = None
        return int(Exit.UNHEARD)
    except OSError as error:
        # Of what was written: what can't be read, or reached, is told by those who tried.
        sys.stdout = None
        print(f"mcp-orchestrator: the output can't be written: {error.strerror or error}", file=sys.stderr)
        return int(Exit.USAGE)


def _print(text: str, code: int) -> int:
    print(text, end="")
    return code


def _ready(stream: TextIO | None) -> None:
    """Names and results may hold what the stream's encoding does not: shown by its number, rather than not at all."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _validate(programs: Programs) -> None:
    parser = programs.add_parser("validate", help="find mistakes in files, without a cluster")
    parser.add_argument("files", metavar="FILE|DIR", nargs="*", help="what to check; default: this directory; -: input")
    parser.add_argument("--strict", action="store_true", help="count warnings as errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say what was not checked")
    arguments.output(parser, "text", "json", "sarif")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import validate

        return validate.run(options.files, options.output, strict=options.strict, verbose=options.verbose)

    parser.set_defaults(command=command)


def _graph(programs: Programs) -> None:
    parser = programs.add_parser("graph", help="draw the tasks of a workflow, and what waits for what")
    parser.add_argument("file", metavar="FILE", help="what holds the workflow; -: standard input")
    parser.add_argument("--template", default="", metavar="NAME", help="which workflow, where the file holds several")
    arguments.output(parser, "mermaid", "svg")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import graph

        return graph.run(options.file, options.template, options.output)

    parser.set_defaults(command=command)


def _plan(programs: Programs) -> None:
    parser = programs.add_parser("plan", help="say what a run would do, without calling a tool")
    arguments.template(parser)
    arguments.values(parser)
    arguments.files(parser)
    arguments.on_cluster(parser)
    arguments.output(parser, "text", "json")

    def command(options: argparse.Namespace) -> Exit:
        if not options.files and not options.template:
            raise Failed("name the template: kubectl get workflowtemplates lists them; or give its files with -f")
        from mcp_orchestrator.client import plan
        from mcp_orchestrator.client.localrun import Order

        order = Order(options.files, options.template, options.parameters)
        return plan.run(order, arguments.access(options), options.output)

    parser.set_defaults(command=command)


def _list(programs: Programs) -> None:
    parser = programs.add_parser("list", help="list runs, the newest first")
    parser.add_argument(
        "--template", type=arguments.name, default="", metavar="NAME", help="only runs of this template"
    )
    arguments.on_cluster(parser)
    arguments.output(parser, "text", "json", "yaml")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.show_list(arguments.access(options), options.output, options.template)

    parser.set_defaults(command=command)


def _queue(programs: Programs) -> None:
    parser = programs.add_parser("queue", help="show which runs wait, in which order, for what, and until when")
    parser.add_argument(
        "--limits", default="mcp-orchestrator/mcp-orchestrator-limits", metavar="NAMESPACE/NAME",
        help="the operator's ConfigMap of limits; default: mcp-orchestrator/mcp-orchestrator-limits",
    )  # fmt: skip
    arguments.on_cluster(parser)
    arguments.output(parser, "text", "json", "yaml")

    def command(options: argparse.Namespace) -> Exit:
        namespace, slash, name = options.limits.partition("/")
        if not (namespace and slash and name):
            raise Failed(f"--limits is {options.limits!r}: give it as NAMESPACE/NAME")
        from mcp_orchestrator.client import queue

        return queue.run(arguments.access(options), options.output, (namespace, name))

    parser.set_defaults(command=command)


def _get(programs: Programs) -> None:
    parser = arguments.of_run(programs, "get", "show a run with its tasks", "text", "json", "yaml")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.show(options.run, arguments.access(options), options.output)

    parser.set_defaults(command=command)


def _results(programs: Programs) -> None:
    parser = arguments.of_run(
        programs, "results", "print a run's outputs, or a task's whole result", "text", "json", "yaml"
    )
    parser.add_argument("--task", default="", metavar="NAME", help="the result of this task, for example ask[2]")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.results(options.run, arguments.access(options), options.output, options.task)

    parser.set_defaults(command=command)


def _logs(programs: Programs) -> None:
    parser = arguments.of_run(programs, "logs", "print the log of a run's pods", "text", "json")
    parser.add_argument(
        "--tail", type=arguments.count, default=1000, metavar="LINES", help="lines of each pod; default: 1000"
    )

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import queries

        return queries.logs(options.run, arguments.access(options), options.output, options.tail)

    parser.set_defaults(command=command)


def _diagnose(programs: Programs) -> None:
    about = "say why a run failed, what was seen, and what to do about it"
    parser = arguments.of_run(programs, "diagnose", about, "text", "json")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import diagnose

        return diagnose.run(options.run, arguments.access(options), options.output)

    parser.set_defaults(command=command)


def _completion(programs: Programs) -> None:
    parser = programs.add_parser("completion", help="print what makes a shell complete these commands")
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import completion

        print(completion.script(options.shell))
        return Exit.OK

    parser.set_defaults(command=command)
