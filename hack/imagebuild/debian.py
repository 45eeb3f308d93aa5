"""A Debian base image without a registry: debootstrap into an empty container. Used by the buildah engine.

The result stands in for the public image of the same name, so it is kept as lean: no documentation, no package lists.
"""

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from . import settings

REFERENCE = f"docker.io/library/debian:{settings.SUITE}-slim"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

DPKG = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
"""
# What debootstrap leaves behind: caches, logs, and traces of the machine that ran it.
EMPTIED = ("dev", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/info", "usr/share/lintian")
EMPTIED_OF_DOCUMENTATION = ("usr/share/locale", "usr/share/man")
REMOVED = ("etc/hostname", "etc/machine-id", "etc/resolv.conf", "var/cache/ldconfig/aux-cache")


def command(directory: Path, environ: Mapping[str, str]) -> list[str]:
    """The debootstrap command that fills `directory`. It has to run as root."""
    return [
        "debootstrap",
        "--variant=minbase",
        *(["--keyring", KEYRING] if Path(KEYRING).exists() else []),
        settings.SUITE,
        str(directory),
        # Without one debootstrap takes its default, the public mirror.
        *([near] if (near := settings.mirror(environ)) else []),
    ]


def sources(debootstrap: str) -> str:
    """The sources of the image's own apt: debootstrap's default mirror; empty if it has none for Debian.

    `debootstrap` is the text of that program.
    """
    default = re.search(r'(?m)^DEF_MIRROR="(https?://\S+/debian)/?"', debootstrap)
    if not default:
        return ""
    suite = settings.SUITE
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"
        for uri, suites in ((default[1], f"{suite} {suite}-updates"), (f"{default[1]}-security", f"{suite}-security"))
    )


def tidy(directory: Path) -> None:
    """Make a fresh debootstrap tree a base image: what it left behind goes, the public mirrors come."""
    for name in (*EMPTIED, *EMPTIED_OF_DOCUMENTATION):
        for path in (directory / name).iterdir() if (directory / name).is_dir() else ():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for package in (directory / "usr/share/doc").glob("*"):
        for path in package.iterdir() if package.is_dir() and not package.is_symlink() else ():
            if path.name != "copyright":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in REMOVED:
        (directory / name).unlink(missing_ok=True)
    program = shutil.which("debootstrap")
    if text := sources(Path(program).read_text() if program else ""):
        (directory / "etc/apt/sources.list").unlink(missing_ok=True)
        (directory / "etc/apt/sources.list.d/debian.sources").write_text(text)
    (directory / "etc/dpkg/dpkg.cfg.d/slim").write_text(DPKG)


def recipe() -> str:
    """A hash of how the base is made: another recipe, another base."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
