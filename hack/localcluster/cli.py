"""The command line of `hack/cluster`: which cluster, which provider, and what is said about it."""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from console.problems import Problem
from console.progress import Progress, guarded

from . import current, embedded, images, kind, state, tools
from .state import Home, Place, Record

EPILOG = """\
providers
  embedded  built from Go modules once (7 to 12 minutes), cached by version. A real node needs root on Linux, and there
            is one real cluster on a machine at a time; fake nodes (kwok) need neither root nor containers, and their
            clusters run beside any other.
  kind      where a Docker daemon answers.
  current   the current context of your kubeconfig, only when asked for by name; `down` forgets it and changes nothing.

where things are
  caches and clusters are below ${XDG_CACHE_HOME:-~/.cache}/mcp-orchestrator, or where --home or the environment's
  MCP_ORCHESTRATOR_CLUSTER_HOME says. A cluster is in clusters/NAME; its logs/audit.log has every request.

exit codes
  0 done or healthy, 1 not, 2 wrong usage, 3 no such cluster, 130 interrupted
"""
NO_CLUSTER = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    options = parser().parse_args(arguments)
    # A path on standard output is for other programs: what is said on the way goes to standard error.
    shown = Progress(sys.stdout if options.command in ("up", "down", "load-image") else sys.stderr)

    def run() -> int:
        code: int = options.run(options, state.home(options.home), shown)
        return code

    return guarded(run, shown, "Stopped. What was started is gone; what was built is kept.")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="hack/cluster", description="A Kubernetes cluster for development and tests.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    result.add_argument("--home", metavar="DIR", help="where caches and clusters are")
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="dev", help="the cluster's name (default: dev)")
    one = commands.add_parser("up", parents=[named], help="start a cluster, or see that it is healthy")
    one.add_argument("--provider", choices=["auto", "embedded", "kind", "current"], default="auto")
    one.add_argument("--nodes", choices=["real", "fake"], default="real")
    one.add_argument(
        "--audit-states", action="store_true", help="have the audit log tell what is written into the status of runs"
    )
    one.set_defaults(run=up)
    one = commands.add_parser("down", parents=[named], help="remove a cluster and all that it left on this machine")
    one.set_defaults(run=down)
    one = commands.add_parser("status", parents=[named], help="what a cluster is, and how it is")
    one.add_argument("-o", "--output", choices=["text", "json"], default="text")
    one.set_defaults(run=status)
    one = commands.add_parser("load-image", parents=[named], help="bring images to the cluster's nodes")
    one.add_argument(
        "image", nargs="+", help="an archive (docker save, or OCI), or what a local builder calls an image"
    )
    one.set_defaults(run=load_image)
    one = commands.add_parser("kubeconfig", parents=[named], help="print the path of the kubeconfig")
    one.set_defaults(run=kubeconfig)
    one = commands.add_parser("env", parents=[named], help="print what a shell needs to use the cluster, for eval")
    one.set_defaults(run=print_environment)
    one = commands.add_parser("tools", help="fetch kubectl and helm, and print the path of their directory")
    one.set_defaults(run=print_tools)
    return result


def up(options: argparse.Namespace, home: Home, shown: Progress) -> int:
    """Start the cluster, or see that the running one is what was asked for, and healthy."""
    place = home.cluster(options.name)
    with place.locked():
        shown.begin()
        if (record := place.read()) and is_usable(options, home, place, record, shown):
            return 0
        provider = options.provider
        if provider == "auto":
            provider = "kind" if options.nodes == "real" and kind.docker_answers() else "embedded"
        start(provider, options, home, place, shown)
    return 0


def start(provider: str, options: argparse.Namespace, home: Home, place: Place, shown: Progress) -> None:
    """Start a cluster of the chosen provider."""
    if provider == "embedded":
        embedded.prepare(options.nodes)
        embedded.up(home, place, options.nodes, shown, os.environ, audit_states=options.audit_states)
    elif options.audit_states:
        raise Problem(f"A cluster of provider {provider} keeps no audit log.", "--provider embedded has one.")
    elif provider == "kind":
        kind.prepare(options.nodes)
        kind.up(home, place, options.nodes, shown, os.environ)
    else:
        current.up(home, place, shown)


def is_usable(options: argparse.Namespace, home: Home, place: Place, record: Record, shown: Progress) -> bool:
    """Whether the recorded cluster will do. A broken one is removed; a sound one of another sort raises Problem."""
    found = problems(home, place, record, shown)
    if found:
        shown.note(f'Cluster "{place.name}" is broken ({"; ".join(found)}): removing it and starting afresh.')
        remove(home, place, record, shown)
        return False
    asked = (record.provider if options.provider == "auto" else options.provider, options.nodes)
    if asked != (record.provider, record.nodes):
        raise Problem(
            f'Cluster "{place.name}" is there, with provider {record.provider} and {record.nodes} nodes.',
            f"hack/cluster down --name {place.name}, or take another --name.",
        )
    if options.audit_states and not record.audit_states:
        raise Problem(
            f'Cluster "{place.name}" is there, and its audit log does not tell the states of runs.',
            f"hack/cluster down --name {place.name}, or take another --name.",
        )
    if record.provider == "embedded":
        embedded.refresh(place, record)
    shown.done("cluster", f"{record.provider}, Kubernetes {record.version}, already up")
    return True


def problems(home: Home, place: Place, record: Record, shown: Progress) -> tuple[str, ...]:
    """What is wrong with a cluster; nothing for a healthy one."""
    if record.provider == "embedded":
        return embedded.problems(place, record)
    return kind.problems(home, place, record, shown)


def remove(home: Home, place: Place, record: Record, shown: Progress) -> None:
    """Remove a cluster, or forget one that is not ours."""
    if record.provider == "embedded":
        embedded.prepare(record.nodes)
        embedded.down(place, record)
    elif record.provider == "kind":
        kind.down(place, record, kind.executable(home, shown))
    else:
        place.forget()


def down(options: argparse.Namespace, home: Home, shown: Progress) -> int:
    """Remove the cluster; nothing to do is fine."""
    place = home.cluster(options.name)
    with place.locked():
        shown.begin()
        shutil.rmtree(place.failed_logs, ignore_errors=True)
        if not (record := place.read()):
            place.forget()
            shown.done("cluster", f'there is no cluster "{place.name}"')
            return 0
        remove(home, place, record, shown)
        shown.done("cluster", f'"{place.name}" is gone')
    return 0


def status(options: argparse.Namespace, home: Home, shown: Progress) -> int:
    """Say what the cluster is and how it is."""
    place = home.cluster(options.name)
    if not (record := place.read()):
        names = ", ".join(place.name for place in home.clusters())
        print(f'There is no cluster "{place.name}"{f"; there is {names}" if names else ""}.')
        return NO_CLUSTER
    found = problems(home, place, record, shown)
    report = {
        "name": place.name,
        "provider": record.provider,
        "nodes": record.nodes,
        "version": record.version,
        "healthy": not found,
        "problems": list(found),
        "kubeconfig": str(place.kubeconfig),
        "auditLog": str(place.audit_log) if record.provider == "embedded" else None,
        "logs": str(place.logs) if record.provider == "embedded" else None,
        "readyAfterSeconds": record.ready_after_seconds,
    }
    if options.output == "json":
        print(json.dumps(report, indent=2))
    else:
        health = "healthy" if not found else f"broken: {'; '.join(found)}"
        print(f'"{place.name}" ({record.provider}, Kubernetes {record.version}, {record.nodes} nodes) is {health}.')
        print(f"  export KUBECONFIG={place.kubeconfig}")
    return 1 if found else 0


def load_image(options: argparse.Namespace, home: Home, shown: Progress) -> int:
    """Bring images to the nodes, from archives or from a local builder; those that are there already stay."""
    place = home.cluster(options.name)
    record = existing(place)
    if record.nodes == "fake":
        raise Problem(f'The nodes of "{place.name}" are fakes and hold no images; pods only seem to run.')
    shown.begin()
    names: list[str] = []
    loaded = False
    for image in options.image:
        shown.under_way("images", f"{Path(image).name}: loading")
        with archive_of(image) as archive:
            names += images.names(archive)
            loaded |= load_archive(home, place, record, archive, shown)
    said = ", ".join(name.removeprefix(images.DEFAULT_PREFIX) for name in names)
    shown.done("images", f"{said}{'' if loaded else ' (unchanged)'}")
    return 0


@contextlib.contextmanager
def archive_of(image: str) -> Iterator[Path]:
    """The archive that is named, or one that is made for the while of an image of a local builder. Raises Problem."""
    if Path(image).is_file():
        yield Path(image)
        return
    with tempfile.TemporaryDirectory(prefix="mcp-orchestrator-image-") as directory:
        images.save(image, Path(directory) / "image.tar")
        yield Path(directory) / "image.tar"


def load_archive(home: Home, place: Place, record: Record, archive: Path, shown: Progress) -> bool:
    """Bring the images of an archive to the nodes; whether that was needed. Raises Problem."""
    if record.provider == "embedded":
        return embedded.load_image(place, archive)
    loader = kind.load_image if record.provider == "kind" else current.load_image
    return loader(home, place, archive, shown)


def kubeconfig(options: argparse.Namespace, home: Home, shown: Progress) -> int:
    """Print the path of the cluster's kubeconfig."""
    place = home.cluster(options.name)
    existing(place)
    print(place.kubeconfig)
    return 0


def print_environment(options: argparse.Namespace, home: Home, shown: Progress) -> int:
    """Print the lines that make kubectl and helm use the cluster, for a shell to evaluate."""
    place = home.cluster(options.name)
    existing(place)
    shown.begin()
    directory = tools.ensure(home, shown).directory
    print(f"export KUBECONFIG={shlex.quote(str(place.kubeconfig))}")
    print(f'export PATH={shlex.quote(str(directory))}:"$PATH"')
    return 0


def print_tools(options: argparse.Namespace, home: Home, shown: Progress) -> int:
    """Fetch kubectl and helm, and print where they are."""
    shown.begin()
    found = tools.ensure(home, shown)
    shown.done("tools", found.text())
    print(found.directory)
    return 0


def existing(place: Place) -> Record:
    """The record of a cluster that has to be there. Raises Problem."""
    if record := place.read():
        return record
    raise Problem(f'There is no cluster "{place.name}".', f"hack/cluster up --name {place.name}")
