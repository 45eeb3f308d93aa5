"""Completion by the shell: `mcp-orchestrator completion SHELL`, and the answers when somebody presses Tab.

A shell asks by starting the program with _ARGCOMPLETE set; kubectl asks a program of its own, kubectl_complete-mcp. A
script that knows all answers itself would be faster, but knows no names in a cluster, and kubectl has no use for it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shlex
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import argcomplete
from argcomplete.completers import BaseCompleter, FilesCompleter
from argcomplete.shell_integration import shellcode

from mcp_orchestrator.client.exits import Failed

if TYPE_CHECKING:
    from mcp_orchestrator.api.workflow import Parameter
    from mcp_orchestrator.client.cluster import Cluster

T = TypeVar("T")
PROGRAMS = ("mcp-orchestrator", "kubectl-mcp")
PATIENCE_SECONDS = 2.0
"""How long a shell waits for names from a cluster."""
# Of Cobra, which kubectl is made with: no space behind the only candidate, no names of files when there is none.
_NO_SPACE, _NO_FILES = 2, 4
# fish takes candidates as they are, with what they mean behind a tab.
_AS_FISH = {
    "_ARGCOMPLETE": "1",
    "_ARGCOMPLETE_SHELL": "fish",
    "_ARGCOMPLETE_IFS": "\n",
    "_ARGCOMPLETE_DFS": "\t",
    "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
}


def script(shell: str) -> str:
    """What the shell must run to complete our commands."""
    return shellcode(PROGRAMS, shell=shell, complete_arguments=("-o", "nospace"))


def answer(parser: argparse.ArgumentParser) -> None:
    """Tell the shell that asked what could stand at its cursor, and end this process."""
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=_Values())


def answer_kubectl(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """What could stand for the last of the words, as kubectl reads it: a line for each, then how to go on."""
    asked = f"{shlex.join([PROGRAMS[1], *words[:-1]])} {words[-1]}"
    os.environ |= _AS_FISH | {"COMP_LINE": asked, "COMP_POINT": str(len(asked))}
    told = io.StringIO()
    argcomplete.autocomplete(
        parser,
        always_complete_options=False,
        default_completer=_Values(),
        output_stream=told,
        exit_method=lambda _: None,
    )
    candidates = [line.rstrip("\t") for line in told.getvalue().splitlines()]
    goes_on = any(candidate.partition("\t")[0].endswith(("=", "/")) for candidate in candidates)
    return "\n".join((*candidates, f":{_NO_FILES | (_NO_SPACE if goes_on else 0)}"))


class _Values(BaseCompleter):
    """The values of whatever has no choices of its own. What can't be found out in time is left out."""

    def __call__(
        self, *, prefix: str, action: argparse.Action, parser: argparse.ArgumentParser, parsed_args: argparse.Namespace
    ) -> Iterable[str]:
        try:
            return self._of(action.dest, prefix, parsed_args)
        except (Failed, TimeoutError):
            return ()

    def _of(self, what: str, prefix: str, options: argparse.Namespace) -> Iterable[str]:
        match what:
            case "file" | "files":
                return FilesCompleter(("yaml", "yml", "json"))(prefix)
            case "kubeconfig" | "results_dir":
                return FilesCompleter()(prefix)
            case "context":
                return _contexts(options)
            case "namespace":
                return _there("NAMESPACES", options)
            case "run" | "runs":
                return _there("WORKFLOW_RUNS", options)
            case "template":
                return _in_files(options) if _files(options) else _there("WORKFLOW_TEMPLATES", options)
            case "parameters":
                return [f"{parameter.name}=" for parameter in _parameters(options)]
            case "task":
                return [task.name for task in _asked(options, lambda cluster: cluster.run(options.run)).status.tasks]
        return ()


def _files(options: argparse.Namespace) -> list[str]:
    one = getattr(options, "file", "")
    return [one] if one else getattr(options, "files", [])


def _in_files(options: argparse.Namespace) -> Iterable[str]:
    from mcp_orchestrator.client import manifests

    return manifests.load(_files(options)).templates


def _contexts(options: argparse.Namespace) -> Iterable[str]:
    from mcp_orchestrator.cluster import config, kubeconfig

    try:
        return kubeconfig.contexts((Path(options.kubeconfig),) if options.kubeconfig else config.kubeconfigs())
    except kubeconfig.ConfigError:
        return ()


def _there(kind: str, options: argparse.Namespace) -> Iterable[str]:
    """The names of the objects of a kind in the cluster."""
    from mcp_orchestrator.cluster import resources

    async def names(cluster: Cluster) -> list[str]:
        resource = getattr(resources, kind)
        space = cluster.namespace if resource.namespaced else ""
        found = await cluster.client.list_all(resource, space, convert=lambda body: str(body["metadata"]["name"]))
        return found.items

    return _asked(options, names)


def _parameters(options: argparse.Namespace) -> Iterable[Parameter]:
    """Those of the template that stands in the command line already."""
    from mcp_orchestrator.client import manifests, runs

    if files := _files(options):
        templates = manifests.load(files).templates
        template = templates.get(options.template or next(iter(templates), ""))
        return template.spec.parameters if template else ()
    return _asked(options, lambda cluster: runs.declared(cluster, options.template)) or ()


def _asked(options: argparse.Namespace, question: Callable[[Cluster], Awaitable[T]]) -> T:
    """What the cluster answers in time. Raises Failed, TimeoutError."""
    from mcp_orchestrator.client.cluster import Access, opened

    access = Access(options.namespace, options.kubeconfig, options.context)

    async def work() -> T:
        async with asyncio.timeout(PATIENCE_SECONDS), opened(access) as cluster:
            return await question(cluster)

    return asyncio.run(work())
