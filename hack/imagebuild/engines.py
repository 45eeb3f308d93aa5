"""What builds an image: a Docker daemon where one answers, else buildah over a base of our own. Used by program."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from console import commands
from console.problems import Problem
from console.progress import Progress

from . import debian, settings, steps
from .catalogue import TAG, Image

# Package names, which are also the names of the programs.
PACKAGES = ("buildah", "debootstrap")
DAEMON_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Work:
    """What all builds of one call share: the checkout, the script of build settings, the log, and what to do anew."""

    root: Path
    settings: Path
    log: Path
    version: str
    fresh: bool

    def run(
        self, what: str, detail: str, argv: Sequence[str], shown: Progress, env: Mapping[str, str] | None = None
    ) -> None:
        """Run a command of a build, its output into the log. Raises Problem."""
        commands.run(argv, on_line=steps.follow(shown, what, detail), env=env, log=self.log)

    def options(self, image: Image) -> list[str]:
        """The options that `docker build` and `buildah build` share."""
        return [
            *(["--build-arg", f"VERSION={self.version}"] if not image.base else []),
            *(["--no-cache"] if self.fresh else []),
            "--secret",
            f"id=build-settings,src={self.settings}",
            "--file",
            str(self.root / image.context / "Dockerfile"),
        ]


class Engine(Protocol):
    """Builds images and writes their archives."""

    @property
    def salt(self) -> str:
        """Of what, besides the image's own inputs, a build depends: goes into its digest."""

    def build(self, image: Image, work: Work, shown: Progress) -> None:
        """Build the image under its names. Raises Problem."""

    def save(self, image: Image, archive: Path, work: Work, shown: Progress) -> None:
        """Write the image into an archive file. Raises Problem."""

    def has(self, image: Image) -> bool:
        """Whether the engine still knows the image, so that a later build can stand on it."""


@dataclass(frozen=True, slots=True)
class Docker:
    """The daemon that `docker` talks to."""

    @property
    def salt(self) -> str:
        return "docker"

    def build(self, image: Image, work: Work, shown: Progress) -> None:
        base = ["--build-arg", f"BASE={image.base}:{TAG}"] if image.base else []
        fresh = ["--pull"] if work.fresh and not image.base else []
        argv = ["docker", "build", "--progress=plain", "--tag", image.reference, *base, *fresh, *work.options(image)]
        work.run("image", image.reference, [*argv, str(work.root / image.context)], shown, _buildkit())

    def save(self, image: Image, archive: Path, work: Work, shown: Progress) -> None:
        work.run("archive", image.reference, ["docker", "save", "-o", str(archive), image.reference], shown)

    def has(self, image: Image) -> bool:
        return _succeeds(["docker", "image", "inspect", image.reference])


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah without a daemon, with image storage of its own below `cache`: nobody else's images are touched."""

    cache: Path
    driver: str

    @property
    def salt(self) -> str:
        return f"buildah {debian.recipe()}"

    def _make_base(self, work: Work, shown: Progress) -> None:
        stamp = self.cache / "base.json"
        known = json.loads(stamp.read_text()) if stamp.exists() else {}
        if not work.fresh and known == {"recipe": debian.recipe(), "image": self._image_id(debian.REFERENCE)}:
            return
        shown.begin()
        with self._empty_container() as (container, directory):
            work.run("base", f"Debian {settings.SUITE}", debian.command(directory, os.environ), shown)
            debian.tidy(directory)
            self._ask("config", "--cmd", "bash", container)
            self._ask("commit", "--quiet", container, debian.REFERENCE)
        stamp.write_text(json.dumps({"recipe": debian.recipe(), "image": self._image_id(debian.REFERENCE)}))
        shown.done("base", f"Debian {settings.SUITE} from debootstrap")
        shown.begin()

    def build(self, image: Image, work: Work, shown: Progress) -> None:
        if image.base is None:
            self._make_base(work, shown)
        base = ["--build-arg", f"BASE={_canonical(image.base)}"] if image.base else []
        argv = self._buildah(
            "build", "--isolation=chroot", "--network=host", "--layers", "--pull-never", "--format=docker",
            "--tag", _canonical(image.name), *base, *work.options(image), str(work.root / image.context),
        )  # fmt: skip
        work.run("image", image.reference, argv, shown)

    def save(self, image: Image, archive: Path, work: Work, shown: Progress) -> None:
        name = _canonical(image.name)
        argv = self._buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")
        work.run("archive", image.reference, argv, shown)

    def has(self, image: Image) -> bool:
        return bool(self._image_id(_canonical(image.name)))

    @contextlib.contextmanager
    def _empty_container(self) -> Iterator[tuple[str, Path]]:
        container = self._ask("from", "scratch")
        try:
            yield container, Path(self._ask("mount", container))
        finally:
            self._ask("rm", container)

    def _image_id(self, reference: str) -> str:
        argv = self._buildah("inspect", "--type=image", "--format={{.FromImageID}}", reference)
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()

    def _ask(self, *arguments: str) -> str:
        return commands.output(self._buildah(*arguments)).strip()

    def _buildah(self, *arguments: str) -> list[str]:
        return ["buildah", *_storage(self.cache, self.driver), *arguments]


def choose(cache: Path, shown: Progress, *, log: Path) -> Engine:
    """The engine for this machine; missing Debian packages are installed where that is possible. Raises Problem."""
    if shutil.which("docker") and _succeeds(["docker", "info"]):
        return Docker()
    missing = [name for name in PACKAGES if not shutil.which(name)]
    if sys.platform != "linux" or os.geteuid() != 0 or (missing and not shutil.which("apt-get")):
        raise Problem(
            "Nothing here can build an image.", advice(missing, platform=sys.platform, root=os.geteuid() == 0)
        )
    if missing:
        shown.begin()
        quietly = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        apt = ("apt-get", "-o", "DPkg::Lock::Timeout=300")
        for words in (("update",), ("install", "--yes", "--no-install-recommends", "debian-archive-keyring", *missing)):
            commands.run(
                [*apt, *words], on_line=steps.follow(shown, "packages", " ".join(missing)), env=quietly, log=log
            )
        shown.done("packages", " ".join(missing))
    # Inside a container the overlay driver often can't stack on the container's own file system.
    overlay = _succeeds(["buildah", *_storage(cache, "overlay"), "images", "--quiet"])
    return Buildah(cache, "overlay" if overlay else "vfs")


def forget(cache: Path) -> None:
    """Let go of buildah's storage below `cache`, so that its files can be removed."""
    if (cache / "storage").exists() and shutil.which("buildah"):
        for driver in ("overlay", "vfs"):
            subprocess.run(["buildah", *_storage(cache, driver), "rm", "--all"], capture_output=True, check=False)


def advice(missing: Sequence[str], *, platform: str, root: bool) -> str:
    """What a person has to do before images can be built here."""
    if platform != "linux":
        return "Start Docker (`docker info` must succeed), then run this again."
    steps_needed = []
    if missing:
        steps_needed.append(f"install {' and '.join(missing)} (Debian: sudo apt-get install {' '.join(missing)})")
    if not root:
        steps_needed.append("run this as root: sudo -E hack/image build")
    return f"Start Docker (`docker info` must succeed); or {', and '.join(steps_needed)}."


def _canonical(name: str) -> str:
    # How the kubelet completes a short image name: the archive must hold the image under exactly this one.
    return f"docker.io/library/{name}:{TAG}"


def _storage(cache: Path, driver: str) -> list[str]:
    # The run directory tracks mounts, so it must not outlive a reboot; one for each cache.
    run = Path("/run") / f"mcp-orchestrator-images-{hashlib.sha256(str(cache).encode()).hexdigest()[:8]}"
    return ["--root", str(cache / "storage"), "--runroot", str(run), "--storage-driver", driver]


def _buildkit() -> dict[str, str]:
    return os.environ | {"DOCKER_BUILDKIT": "1"}


def _succeeds(argv: Sequence[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False, timeout=DAEMON_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
