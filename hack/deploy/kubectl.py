"""kubectl on a cluster of hack/cluster, in one namespace. Used by demo."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console import commands

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The program, and what it works on."""

    executable: Path
    kubeconfig: Path
    namespace: str

    def run(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What kubectl prints. Raises Problem with its complaint."""
        words = (self.executable, "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments)
        return commands.output(words, stdin=stdin)

    def get(self, *arguments: str) -> Object:
        """An object or a list. Raises Problem."""
        found: Object = json.loads(self.run("get", *arguments, "--output=json"))
        return found

    def create(self, body: Object) -> None:
        """Create an object. Raises Problem."""
        self.run("create", "--filename=-", stdin=json.dumps(body))

    def apply(self, body: Object) -> None:
        """Create an object or make it as `body` says. Raises Problem."""
        self.run("apply", "--filename=-", stdin=json.dumps(body))
