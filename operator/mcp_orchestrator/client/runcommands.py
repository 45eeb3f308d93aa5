"""Commands that make runs, stay with them and give them orders. Called by `main`."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from mcp_orchestrator.client import arguments
from mcp_orchestrator.client.exits import Exit, Failed

if TYPE_CHECKING:
    from mcp_orchestrator.client.arguments import Programs
    from mcp_orchestrator.client.runs import Stay


def add_to(programs: Programs) -> None:
    """Add the commands to the others."""
    for add in (_run, _watch, _retry, _suspend, _resume, _cancel):
        add(programs)


def _run(programs: Programs) -> None:
    parser = programs.add_parser("run", help="run a workflow, on a cluster or on this machine")
    arguments.template(parser)
    arguments.values(parser)
    arguments.files(parser)
    parser.add_argument("--timeout", type=arguments.count, metavar="SECONDS", help="seconds that the run may take")
    parser.add_argument(
        "--name",
        type=arguments.name,
        default="",
        help="name of the run; default: the template's with a few letters more",
    )
    parser.add_argument(
        "--idempotency-key",
        type=arguments.key,
        metavar="KEY",
        help="run it once: if a run with that key was executed, the new one ends as that did",
    )
    _staying(parser)
    arguments.on_cluster(parser)
    local = parser.add_argument_group("on this machine")
    local.add_argument("--local", action="store_true", help="run it here, servers as child processes")
    arguments.output(parser, "text", "json", "yaml", "name")
    parser.set_defaults(command=_start)


def _start(options: argparse.Namespace) -> Exit:
    _prepare(options)
    if options.local:
        if not options.files:
            raise Failed("run --local needs -f FILE, with the manifests of the template and its servers")
        for name in ("namespace", "kubeconfig", "context", "name", "idempotency_key", "patience", "on_interrupt"):
            if getattr(options, name):
                raise Failed(f"--{name.replace('_', '-')} has no meaning with --local")
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
        idempotency_key=options.idempotency_key,
        stay=_stay(options),
    )
    return runs.run(there, arguments.access(options), options.output)


def _watch(programs: Programs) -> None:
    about = "show a run's tasks until it ends; the exit code tells how"
    parser = arguments.of_run(programs, "watch", about, "text", "json", "yaml")
    arguments.patience(parser)

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import runs

        return runs.watch(options.run, arguments.access(options), options.output, options.patience)

    parser.set_defaults(command=command)


def _retry(programs: Programs) -> None:
    about = "make a new run of the same that goes on from an ended one: finished tasks are kept"
    parser = arguments.of_run(programs, "retry", about, "text", "json", "yaml", "name")
    arguments.values(parser)
    parser.add_argument(
        "--name",
        type=arguments.name,
        default="",
        help="name of the new run; default: the run's with -retry- and letters",
    )
    _staying(parser)

    def command(options: argparse.Namespace) -> Exit:
        from mcp_orchestrator.client import retry

        _prepare(options)
        order = retry.Order(options.run, options.parameters, options.name, _stay(options))
        return retry.run(order, arguments.access(options), options.output)

    parser.set_defaults(command=command)


def _staying(parser: argparse.ArgumentParser) -> None:
    stay = parser.add_mutually_exclusive_group()
    stay.add_argument("--follow", action="store_true", help="show its tasks until it ends; the exit code tells how")
    stay.add_argument("--wait", action="store_true", help="wait until it ends; the exit code tells how")
    parser.add_argument(
        "--results-dir", default="", metavar="DIR",
        help="write workflow_results.json there, once the run has ended",
    )  # fmt: skip
    arguments.patience(parser)
    parser.add_argument(
        "--on-interrupt", choices=("detach", "cancel"),
        help="what Ctrl-C and SIGTERM do to a run that is followed; default: detach, it goes on",
    )  # fmt: skip


def _prepare(options: argparse.Namespace) -> None:
    """See that the result can be written before there is one."""
    if options.results_dir:
        from mcp_orchestrator.client import resultsfile

        resultsfile.prepare(options.results_dir)


def _stay(options: argparse.Namespace) -> Stay:
    from mcp_orchestrator.client.interrupts import OnInterrupt
    from mcp_orchestrator.client.runs import Stay

    return Stay(
        wait=options.wait or bool(options.results_dir),
        follow=options.follow,
        patience_seconds=options.patience,
        results_directory=options.results_dir,
        on_interrupt=OnInterrupt(options.on_interrupt or OnInterrupt.DETACH),
    )


def _suspend(programs: Programs) -> None:
    parser = _of_runs(programs, "suspend", "hold runs: no further task starts, until they are resumed")
    parser.set_defaults(command=partial(_order, "suspend"))


def _resume(programs: Programs) -> None:
    parser = _of_runs(programs, "resume", "let runs go on that are suspended")
    parser.set_defaults(command=partial(_order, "resume"))


def _cancel(programs: Programs) -> None:
    parser = _of_runs(programs, "cancel", "stop runs for good: calls under way end, then the tasks of finally run")
    parser.add_argument("--immediate", action="store_true", help="end the pod at once; tasks of finally do not run")
    parser.add_argument("--wait", action="store_true", help="wait until they have ended")
    arguments.patience(parser)

    def command(options: argparse.Namespace) -> Exit:
        verb = "cancel --immediate" if options.immediate else "cancel"
        if not options.wait:
            return _order(verb, options)
        from mcp_orchestrator.client import control, orders

        order = orders.Verb(verb)
        return control.cancel(options.runs, order, arguments.access(options), options.output, options.patience)

    parser.set_defaults(command=command)


def _order(verb: str, options: argparse.Namespace) -> Exit:
    from mcp_orchestrator.client import control, orders

    return control.order(options.runs, orders.Verb(verb), arguments.access(options), options.output)


def _of_runs(programs: Programs, name: str, about: str) -> argparse.ArgumentParser:
    parser = programs.add_parser(name, help=about)
    parser.add_argument("runs", type=arguments.given_name, metavar="RUN", nargs="+", help="names of runs")
    arguments.on_cluster(parser)
    arguments.output(parser, "text", "json", "yaml", "name")
    return parser
