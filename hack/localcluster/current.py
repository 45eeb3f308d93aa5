"""The cluster of the user's own kubeconfig, only when asked for by name. Nothing in it is changed. Used by cli."""

import json
import os
import subprocess
from pathlib import Path

from console.problems import Problem
from console.progress import Progress

from . import kind, tools
from .state import Home, Place, Record


def up(home: Home, place: Place, shown: Progress) -> None:
    """Take the current context, as it is now, into a kubeconfig of its own. Raises Problem if it does not answer."""
    shown.begin()
    tool = tools.ensure(home, shown)
    command: list[str | Path] = [tool.kubectl, "config", "view", "--minify", "--flatten", "--raw", "--output=json"]
    viewed = subprocess.run(command, capture_output=True, text=True, check=False)
    if viewed.returncode != 0:
        raise Problem(
            f"There is no current context: {viewed.stderr.strip()}", "Set KUBECONFIG, or leave --provider out."
        )
    place.directory.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(place.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(viewed.stdout)
    context = json.loads(viewed.stdout)["current-context"]
    if found := kind.reachable(tool, place.kubeconfig):
        place.forget()
        raise Problem(f'The cluster of context "{context}": {found[0]}')
    version = kind.server_version(tool, place.kubeconfig)
    place.write(Record(place.name, "current", "real", version=version, ready_after_seconds=0.0))
    shown.done("cluster", f"context {context}, Kubernetes {version}")


def load_image(home: Home, place: Place, archive: Path, shown: Progress) -> bool:
    """Whether it was needed. Works for kind's clusters only. Raises Problem for others."""
    context = json.loads(place.kubeconfig.read_text())["current-context"]
    if not context.startswith("kind-"):
        raise Problem(
            f'"{context}" is a cluster of yours, which gets its images from a registry.',
            "Push the image to a registry that the cluster can reach, and name it by that.",
        )
    return kind.load_into(home, context.removeprefix("kind-"), archive, shown)
