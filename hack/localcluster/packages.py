"""What a real node needs from the system: root, Linux, and Debian's container packages. Used by embedded."""

import os
import platform
import shutil
from pathlib import Path

from console import commands
from console.problems import Problem
from console.progress import Progress

from . import versions

ELSEWHERE = "Start Docker, and kind is used; or use --nodes fake, which runs pods only in appearance."


def need_linux() -> None:
    """Raise Problem on a system that can't run the cluster's executables."""
    if platform.system() != "Linux":
        raise Problem(f"The embedded cluster runs on Linux, and this is {platform.system()}.", "Start Docker for kind.")


def need_root() -> None:
    """Raise Problem for a user who may not start containers."""
    if os.geteuid() != 0:
        raise Problem("A real node needs root: containers, network interfaces, mounts.", f"Use sudo. {ELSEWHERE}")


def ensure(shown: Progress) -> None:
    """Install the packages that are missing. Raises Problem."""
    missing = tuple(package for package, program in versions.DEBIAN_PACKAGES.items() if not _is_there(program))
    if not missing:
        return
    if not shutil.which("apt-get"):
        programs = ", ".join(versions.DEBIAN_PACKAGES[package] for package in missing)
        raise Problem(f"A real node needs these, and this is no Debian to install them on: {programs}.", ELSEWHERE)
    shown.begin()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}

    def on_line(line: str) -> None:
        shown.under_way("packages", ", ".join(missing))

    for words in (("update",), ("install", "--yes", "--no-install-recommends", *missing)):
        commands.run(("apt-get", "--quiet", *words), on_line=on_line, env=environment)
    if still := [package for package in missing if not _is_there(versions.DEBIAN_PACKAGES[package])]:
        raise Problem(f"These packages are installed but not complete: {', '.join(still)}.", ELSEWHERE)
    shown.done("packages", ", ".join(missing))


def _is_there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
