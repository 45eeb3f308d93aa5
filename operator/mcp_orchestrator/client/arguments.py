"""Options that several commands have. Used by `main` and `runcommands`, for their parsers."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from mcp_orchestrator.client.cluster import Access

    Programs = argparse._SubParsersAction[argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """Tells a mistake of the command line in a line, as commands tell all others."""

    def error(self, message: str) -> NoReturn:
        """End with the message, and where to read on."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def of_run(programs: Programs, command: str, about: str, *formats: str) -> argparse.ArgumentParser:
    """A command about one run."""
    parser = programs.add_parser(command, help=about)
    parser.add_argument("run", type=given_name, metavar="RUN", help="name of the run")
    on_cluster(parser)
    output(parser, *formats)
    return parser


def template(parser: argparse.ArgumentParser) -> None:
    """What to run."""
    about = "name of the WorkflowTemplate"
    parser.add_argument("template", type=name, metavar="TEMPLATE", nargs="?", default="", help=about)


def values(parser: argparse.ArgumentParser) -> None:
    """Values of a workflow's parameters."""
    parser.add_argument(
        *("-p", "--parameter"), action="append", default=[], metavar="NAME=VALUE", dest="parameters",
        help="a parameter's value: text, or JSON for other types; NAME=@FILE reads it from a file",
    )  # fmt: skip


def files(parser: argparse.ArgumentParser) -> None:
    """The manifests to work with, in the place of a cluster's."""
    parser.add_argument(
        *("-f", "--file"), action="append", default=[], metavar="FILE", dest="files",
        help="a file or a directory with the manifests of template and servers; may be given again",
    )  # fmt: skip


def on_cluster(parser: argparse.ArgumentParser) -> None:
    """Which cluster, and which namespace of it."""
    group = parser.add_argument_group("cluster")
    about = "namespace; default: the one of the kubeconfig's context"
    group.add_argument("-n", "--namespace", type=name, default="", help=about)
    group.add_argument("--kubeconfig", default="", metavar="FILE", help="kubeconfig file; default: as kubectl's")
    group.add_argument("--context", default="", metavar="NAME", help="context of the kubeconfig; default: the current")


def access(options: argparse.Namespace) -> Access:
    """The cluster that the options name."""
    from mcp_orchestrator.client.cluster import Access

    return Access(options.namespace, options.kubeconfig, options.context)


def output(parser: argparse.ArgumentParser, *formats: str) -> None:
    """How to print; the first of the formats is the default."""
    parser.add_argument("-o", "--output", choices=formats, default=formats[0], help=f"default: {formats[0]}")


def patience(parser: argparse.ArgumentParser) -> None:
    """How long to wait."""
    parser.add_argument(
        "--patience", type=count, metavar="SECONDS",
        help="give up waiting after so many seconds, with exit code 124; the run goes on",
    )  # fmt: skip


def count(text: str) -> int:
    """A whole number above 0, from text."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def name(text: str) -> str:
    """The name of an object, or none."""
    return given_name(text) if text else ""


def given_name(text: str) -> str:
    """The name of an object. It becomes part of an address, where more than names has a meaning."""
    if not re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name: names have lower-case letters, digits, '-' and '.'")
    return text


def key(text: str) -> str:
    """An idempotency key. An empty one is a mistake, of a script as a rule: without a key the run would be executed."""
    if not 1 <= len(text) <= 128:
        raise argparse.ArgumentTypeError(f"{text!r} is no key: it has 1 to 128 characters")
    return text
