"""Shows which step a build is at: reads what buildah and BuildKit say. Used by engines."""

import re
from collections.abc import Callable

from console.progress import Progress

# "[2/5] STEP 3/4: RUN …" (buildah) and "#12 [toolchain 3/4] RUN …" (BuildKit)
STEP = re.compile(r"^(?:\[\S+] STEP \S+: |STEP \S+: |#\d+ \[[^\]]+] )(?P<step>.+)")
NOISE = re.compile(r"--mount=\S+\s+|if \[ -f \S+ ]; then \. \S+; fi\s+&&\s+")


def follow(shown: Progress, what: str, detail: str) -> Callable[[str], None]:
    """What takes the lines of a build, or of any command, and shows the step that is under way."""
    step = ""

    def on_line(line: str) -> None:
        nonlocal step
        step = name(line) or step
        shown.under_way(what, f"{detail}  {step}" if step else detail)

    return on_line


def name(line: str) -> str:
    """The step that a line announces, without mounts and settings; empty for any other line."""
    found = STEP.match(line)
    return " ".join(NOISE.sub("", found["step"]).split()) if found else ""
