"""The command line of `hack/image`: which images to build, whether they need it, and what becomes of the archives."""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from console.progress import Progress, guarded
from console.text import size
from localcluster import cli as cluster

from . import catalogue, engines, settings
from .catalogue import Image

ROOT = Path(__file__).resolve().parent.parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0, 1 if it failed, 2 for wrong usage, 130 if it was interrupted."""
    options = parser().parse_args(arguments)
    shown = Progress()
    return guarded(lambda: run(options, cache_directory(), shown), shown, "Stopped. What is finished is kept.")


def run(options: argparse.Namespace, cache: Path, shown: Progress) -> int:
    """Run the command; its exit code. Raises Problem."""
    if options.command == "clean":
        return clean(cache, shown)
    if options.command == "path":
        print(*(cache / image.archive for image in catalogue.IMAGES if image.name == options.name))
        return 0
    with locked(cache, shown):
        archives = build(options, cache, shown)
    return cluster.main(["load-image", "--name", options.cluster, *map(str, archives)]) if options.load else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="hack/image", description=__doc__)
    commands = result.add_subparsers(dest="command", required=True)
    one = commands.add_parser(
        "build",
        help="build the images whose inputs changed, and write them to archive files",
        description="Build with Docker where a daemon answers, else as root with buildah and debootstrap.",
    )
    one.add_argument("--only", metavar="NAME", choices=[image.name for image in catalogue.IMAGES],
                     help="only this image and what it builds upon: %(choices)s")  # fmt: skip
    one.add_argument("--load", action="store_true", help="then bring the images to a cluster of hack/cluster")
    one.add_argument("--name", dest="cluster", default="dev", help="with --load, the cluster's name (default: dev)")
    one.add_argument("--output", metavar="DIR", type=Path, help="where the archives go (default: the cache)")
    one.add_argument("--fresh", action="store_true", help="use nothing cached: newest base, newest Debian packages")
    path = commands.add_parser("path", help="print where the archive of an image is")
    path.add_argument("name", choices=[image.name for image in catalogue.IMAGES], help="the image")
    commands.add_parser("clean", help="remove everything that builds have cached")
    return result


def cache_directory() -> Path:
    """Where archives, logs and buildah's storage live."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mcp-orchestrator" / "images"


def build(options: argparse.Namespace, cache: Path, shown: Progress) -> list[Path]:
    """Build what has to be built, bases first; the archives of all images asked for."""
    output = (options.output or cache).resolve()
    output.mkdir(parents=True, exist_ok=True)
    log = cache / "build.log"
    log.write_text("")
    engine = engines.choose(cache, shown, log=log)
    with tempfile.TemporaryDirectory(prefix="mcp-orchestrator-build-") as private:
        script = Path(private) / "build-settings"
        script.touch(mode=0o600)
        script.write_text(settings.script(os.environ, Path.home()))
        work = engines.Work(ROOT, script, log, version(), fresh=options.fresh)
        digests: dict[str, str] = {}
        for image in catalogue.selected(options.only):
            salt = digests[image.base] if image.base else engine.salt
            digests[image.name] = catalogue.digest(image, ROOT, salt=salt)
            build_one(image, digests[image.name], output, engine, work, shown, quiet=options.load)
    if not options.load:
        shown.note(f"The archives are in {output}.")
    return [output / image.archive for image in catalogue.selected(options.only)]


def build_one(
    image: Image, digest: str, output: Path, engine: engines.Engine, work: engines.Work, shown: Progress, *, quiet: bool
) -> None:
    """Build one image and write its archive, unless an archive of the same inputs is there; `quiet` about that."""
    shown.begin()
    archive, stamp = output / image.archive, output / f"{image.archive}.json"
    made_from = json.dumps({"digest": digest})
    known = archive.exists() and stamp.exists() and stamp.read_text() == made_from and engine.has(image)
    if known and not work.fresh:
        if not quiet:
            shown.done("image", f"{image.reference}, {size(archive)} (unchanged)")
        return
    stamp.unlink(missing_ok=True)
    engine.build(image, work, shown)
    # Never a half-written archive under the right name.
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    engine.save(image, partial, work, shown)
    partial.replace(archive)
    stamp.write_text(made_from)
    shown.done("image", f"{image.reference}, {size(archive)}")


def version() -> str:
    """The project's version, for the image's label."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def clean(cache: Path, shown: Progress) -> int:
    """Remove the cache, buildah's storage included."""
    shown.begin()
    with locked(cache, shown):
        engines.forget(cache)
        shutil.rmtree(cache)
    shown.done("clean", str(cache))
    return 0


@contextlib.contextmanager
def locked(cache: Path, shown: Progress) -> Iterator[None]:
    """One build at a time for one cache; others wait."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            shown.note("Another build is under way; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
