"""The layers of tests, from the fastest to the slowest, each with what it needs. The program of hack/test."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from console import commands
from console.progress import Progress, guarded
from console.text import duration
from localcluster import cli as cluster
from localcluster import kind, objectstore

from . import release

ENV = release.ROOT / "hack" / "env"
# Simulated nodes, and a real one; tests/cluster.py names them too.
FAKE, REAL = "test", "dev"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what it needs before its tests can run, and why it may be impossible here."""

    name: str
    about: str
    prepare: Callable[[], int] = lambda: 0
    obstacle: Callable[[], str] = lambda: ""

    def run(self, arguments: Sequence[str]) -> int:
        """Run it; the exit code."""
        if code := self.prepare():
            return code
        if self.name == "check":
            return commands.pass_through([release.ROOT / "hack" / "check"], cwd=release.ROOT)
        return commands.pass_through([ENV, "pytest", f"tests/{self.name}", *arguments], cwd=release.ROOT)


def no_simulation() -> str:
    """Why there can be no cluster with simulated nodes."""
    if os.environ.get("MCP_ORCHESTRATOR_TEST_KUBECONFIG") or sys.platform == "linux":
        return ""
    return "simulated nodes need Linux; MCP_ORCHESTRATOR_TEST_KUBECONFIG may name a cluster for the tests"


def no_real_node() -> str:
    """Why there can be no cluster with a real node."""
    return "" if os.geteuid() == 0 or kind.docker_answers() else "a real node needs root, or Docker for kind"


def simulated() -> int:
    """Bring up the cluster with simulated nodes, unless another was named for the tests, and an S3 server's program."""
    objectstore.program(Progress())
    if os.environ.get("MCP_ORCHESTRATOR_TEST_KUBECONFIG"):
        return 0
    return cluster.main(["up", "--name", FAKE, "--nodes", "fake"])


LAYERS = (
    Layer("check", "format, lint, types, layers, generated files"),
    Layer("unit", "what needs no cluster"),
    Layer("chart", "what helm makes of the chart"),
    Layer("integration", "a real API server with simulated nodes", simulated, no_simulation),
    Layer("e2e", "the chart on a real node", lambda: release.bring_up(REAL), no_real_node),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of hack/test; the exit code: that of the first layer that fails, which ends it."""
    listed = "\n".join(f"  {layer.name:<12} {layer.about}" for layer in LAYERS)
    parser = argparse.ArgumentParser(
        prog="hack/test", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="All tests, or one layer of them.", epilog=f"layers\n{listed}\n\nOther arguments go to pytest.",
    )  # fmt: skip
    parser.add_argument("layer", nargs="?", default="all", choices=["all", *(layer.name for layer in LAYERS)])
    options, rest = parser.parse_known_args(arguments)
    chosen = [layer for layer in LAYERS if options.layer in ("all", layer.name)]
    return guarded(lambda: run(chosen, rest), Progress(), "Stopped.")


def run(layers: Sequence[Layer], arguments: Sequence[str]) -> int:
    """Run layers until one fails; the exit code."""
    whole, shown = Progress(), Progress()
    shown.begin()
    if code := commands.pass_through([ENV]):
        shown.failed("The development environment can't be made.")
        return code
    told = []
    for layer in layers:
        shown.begin()
        if reason := layer.obstacle():
            shown.skipped(layer.name, reason)
            told.append(f"{layer.name} skipped")
            continue
        if code := layer.run(arguments):
            shown.failed(f"{layer.name}: failed after {duration(shown.seconds)} (exit code {code})")
            return code
        shown.done(layer.name, layer.about)
        told.append(f"{layer.name} {duration(shown.seconds)}")
    if len(layers) > 1:
        whole.done("tests", ", ".join(told))
    return 0
