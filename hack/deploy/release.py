"""The operator on a cluster: cluster, images and Helm release, each made only as far as it is not there.

The program of hack/install, used by hack/demo and hack/test too.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from console import commands
from console.problems import Problem
from console.progress import Progress, guarded
from imagebuild import catalogue
from imagebuild import program as image
from localcluster import cli as cluster
from localcluster import images, state, tools

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "helm" / "mcp-orchestrator"
RELEASE = NAMESPACE = "mcp-orchestrator"
PATIENCE = "3m"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of hack/install; the exit code."""
    parser = argparse.ArgumentParser(
        prog="hack/install",
        description="Bring up a cluster, load the images, install the operator. Safe to run again after any change.",
        epilog="Other options go to helm: hack/install --set replicaCount=1",
    )
    parser.add_argument("--name", default="dev", help="the cluster's name (default: dev)")
    options, values = parser.parse_known_args(arguments)
    return bring_up(options.name, values)


def bring_up(name: str, values: Sequence[str] = ()) -> int:
    """Cluster, images, operator; `values` are options for helm. The exit code of what fails, which has said why."""
    code = cluster.main(["up", "--name", name]) or image.main(["build", "--load", "--name", name])
    if code:
        return code
    shown = Progress()
    return guarded(lambda: install(name, values, shown), shown, "Stopped. Run it again to go on.")


def install(name: str, values: Sequence[str], shown: Progress) -> int:
    """Install or upgrade the release, until the operator's pods are ready; 0. Raises Problem."""
    shown.begin()
    home = state.home(None)
    helm = tools.ensure(home, shown).directory / "helm"
    operator = catalogue.IMAGES[0]
    argv: list[str | Path] = [
        helm, "--kubeconfig", home.cluster(name).kubeconfig, "upgrade", "--install", RELEASE, CHART,
        "--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", PATIENCE,
        # A developer may have applied crds/ by kubectl meanwhile.
        "--force-conflicts",
        "--set", f"image.repository={operator.name}", "--set", f"image.tag={catalogue.TAG}",
        # The tag stays the same when the image changes: a changed annotation rolls the pods.
        "--set-string", f"podAnnotations.mcp-orchestrator\\.io/image={content(operator)}",
        *values,
    ]  # fmt: skip
    try:
        commands.run(argv, on_line=lambda line: shown.under_way("operator", "waiting for its pods"))
    except Problem as problem:
        raise Problem(f"operator: {problem.message}", look(name)) from problem
    shown.done("operator", f"helm install {RELEASE}, ready")
    return 0


def content(built: catalogue.Image) -> str:
    """What tells one build of an image from another, in a form that fits an annotation. Raises Problem."""
    archive = image.cache_directory() / built.archive
    digests = images.contents(archive)
    if not digests:
        raise Problem(f"{archive} is no archive of an image.", "hack/image build --fresh")
    return next(iter(digests.values())).removeprefix("sha256:")[:16]


def look(name: str) -> str:
    """The command that shows what keeps the operator from becoming ready."""
    other = "" if name == "dev" else f" --name {name}"
    return f'eval "$(hack/cluster env{other})"; kubectl -n {NAMESPACE} describe pods'
