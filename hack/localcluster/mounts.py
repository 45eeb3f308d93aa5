"""Mounts below a directory: what is there, and its removal. Used by embedded."""

import re
import subprocess
from pathlib import Path

from console.problems import Problem

MOUNTINFO = Path("/proc/self/mountinfo")


def below(directory: Path, mountinfo: Path = MOUNTINFO) -> tuple[str, ...]:
    """The mount points below a directory, deepest first."""
    points = (_unescaped(line.split()[4]) for line in mountinfo.read_text().splitlines())
    return tuple(sorted((point for point in points if point.startswith(f"{directory}/")), key=len, reverse=True))


def remove(directory: Path) -> None:
    """Unmount everything below a directory. Raises Problem if something stays: then nothing may be deleted there."""
    for point in below(directory):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    if left := below(directory):
        raise Problem(f"{left[0]} can't be unmounted.", f"Unmount it by hand: umount {left[0]}")


def filesystem(directory: Path) -> str:
    """The type of the file system that a directory is on."""
    command: list[str | Path] = ["stat", "--file-system", "--format=%T", directory]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _unescaped(text: str) -> str:
    """Spaces and the like are octal in the kernel's tables."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
