"""From nothing to the results of a workflow: cluster, images, operator, servers, one run. The program of hack/demo."""

import argparse
import json
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from console.block import Block
from console.problems import Problem
from console.progress import Progress, guarded
from localcluster import state, tools

from . import release, table
from .kubectl import Kubectl, Object

EXAMPLE = release.ROOT / "examples" / "field-notes"
NAMESPACE = "mcp-demo"
SERVERS, RUNS = "mcpservers.mcp-orchestrator.io", "workflowruns.mcp-orchestrator.io"
PATIENCE_SECONDS = 180
INTERVAL_SECONDS = 0.3
# Where nobody looks at a terminal.
LOG_COLUMNS = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of hack/demo; the exit code is 0 if the run succeeded."""
    parser = argparse.ArgumentParser(
        prog="hack/demo",
        description="From nothing to the results of a workflow: cluster, images, operator, servers, one run. "
        "Safe to run again; each time is another run.",
    )
    parser.add_argument("--name", default="dev", help="the cluster's name (default: dev)")
    name = parser.parse_args(arguments).name
    shown = Progress()
    stopped = Problem("Stopped.", "make demo goes on from here, make down removes everything.")
    return guarded(lambda: run(name, shown), shown, stopped)


def run(name: str, shown: Progress) -> int:
    """Everything, on the cluster of that name; the exit code. Raises Problem."""
    shown.begin()
    found = tools.ensure(state.home(None), shown)
    shown.done("tools", found.text())
    if code := release.bring_up(name):
        return code
    return show(Kubectl(found.kubectl, state.home(None).cluster(name).kubeconfig, NAMESPACE), name, shown)


def show(kubectl: Kubectl, name: str, shown: Progress) -> int:
    """The example on a cluster that has the operator; the exit code. Raises Problem."""
    shown.begin()
    prepare(kubectl)
    wait_for_servers(kubectl, shown)
    run = watch(kubectl, create_run(kubectl))
    print("", *table.ending(run, width()), sep="\n")
    other = "" if name == "dev" else f" --name {name}"
    print("", *following(run["metadata"]["name"], run["status"]["phase"], other), sep="\n")
    return 0 if run["status"]["phase"] == "Succeeded" else 1


def prepare(kubectl: Kubectl) -> None:
    """Namespace, servers and template. Raises Problem."""
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kubectl.run("apply", "-f", EXAMPLE / "servers.yaml", "-f", EXAMPLE / "template.yaml")


def wait_for_servers(kubectl: Kubectl, shown: Progress) -> None:
    """Wait until every server is ready. Raises Problem with what the ones that are not say."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = {server["metadata"]["name"]: readiness(server) for server in kubectl.get(SERVERS)["items"]}
        words = "  ".join(f"{name} {'✓' if is_ready else '…'}" for name, (is_ready, _) in sorted(found.items()))
        if found and all(is_ready for is_ready, _ in found.values()):
            shown.done("servers", words)
            return
        if time.monotonic() > end:
            said = "".join(f"\n     {name}: {message}" for name, (is_ready, message) in found.items() if not is_ready)
            raise Problem(f"servers: not ready after {PATIENCE_SECONDS} s:{said}", describe("msrv", ""))
        shown.under_way("servers", words)
        time.sleep(INTERVAL_SECONDS)


def readiness(server: Object) -> tuple[bool, str]:
    """Whether a server's Ready condition is true, and what it says."""
    for condition in server.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            return condition["status"] == "True", condition.get("message", "")
    return False, "the operator has not seen it"


def create_run(kubectl: Kubectl) -> str:
    """Create a run of the example under a new name, which is returned. Raises Problem."""
    run = json.loads(kubectl.run("create", "--dry-run=client", "--output=json", "-f", EXAMPLE / "run.yaml"))
    name = f"field-notes-{secrets.token_hex(2)}"
    kubectl.create(run | {"metadata": {"name": name}})
    return name


def watch(kubectl: Kubectl, name: str) -> Object:
    """Show the run until it ends, and return it then. Raises Problem if that takes too long."""
    view = Terminal() if sys.stdout.isatty() else Log()
    began = time.monotonic()
    while True:
        run = kubectl.get(RUNS, name)
        status = run.get("status", {})
        view.show(run, time.monotonic() - began)
        if status.get("phase") in table.ENDED:
            return run
        if time.monotonic() - began > PATIENCE_SECONDS:
            said = status.get("message", "the operator has not seen it")
            raise Problem(f"run {name}: not at its end after {PATIENCE_SECONDS} s: {said}", describe("mrun", name))
        time.sleep(INTERVAL_SECONDS)


class Terminal:
    """One table, which changes in place."""

    def __init__(self) -> None:
        self._block = Block()

    def show(self, run: Object, elapsed_seconds: float) -> None:
        """Draw the run as it is now."""
        ended = run.get("status", {}).get("phase") in table.ENDED
        self._block.show(table.live(run, elapsed_seconds, width()), final=ended)


class Log:
    """A line for each thing that happens: the run's phases, and the tasks in the order in which they end."""

    def __init__(self) -> None:
        self._phase = ""
        self._told: set[str] = set()

    def show(self, run: Object, elapsed_seconds: float) -> None:
        """Print what is new."""
        status: Any = run.get("status", {})
        ended = [task for task in status.get("tasks", ()) if task["phase"] in table.ENDED]
        shown = table.layout(table.workflow(run), LOG_COLUMNS) if table.workflow(run) else None
        if ended and shown and not self._told:
            print(f"\n{shown.head()}", flush=True)
        for task in ended:
            if shown and task["name"] not in self._told:
                self._told.add(task["name"])
                print(table.row(task, table.calls(run).get(task["name"], {}), shown), flush=True)
        if (phase := status.get("phase", "Pending")) != self._phase:
            self._phase = phase
            gap = "\n" if self._told else ""
            print(f"{gap}{table.live(run, elapsed_seconds, LOG_COLUMNS)[0]}", flush=True)


def following(run: str, phase: str, other: str) -> list[str]:
    """What a person may do next. `other` is the option that names the cluster, where it is not the usual one."""
    kubectl = f"kubectl -n {NAMESPACE}"
    look = f"{kubectl} get msrv,mtpl,mrun" if phase == "Succeeded" else f"{kubectl} describe mrun {run}"
    down = f"hack/cluster down{other}" if other else "make down"
    steps = (
        (f'eval "$(hack/cluster env{other})"', "use this cluster"),
        (look, "look around" if phase == "Succeeded" else "see the whole story"),
        ("kubectl apply -f examples/hello/", "run your own"),
        (down, "remove everything"),
    )
    longest = max(len(command) for command, _ in steps)
    room = width() >= 8 + longest + 3 + max(len(why) for _, why in steps)
    return [
        f" {'Next:' if not number else '':<6} {command:<{longest}}{f'   {why}' if room else ''}".rstrip()
        for number, (command, why) in enumerate(steps)
    ]


def describe(kind: str, name: str) -> str:
    """The commands that show an object's whole story."""
    return f'eval "$(hack/cluster env)"; kubectl -n {NAMESPACE} describe {kind} {name}'


def width() -> int:
    """The columns that may be written to."""
    return shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else LOG_COLUMNS
