"""Which images there are and what each is made from. Read by program and engines."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TAG = "dev"


@dataclass(frozen=True, slots=True)
class Image:
    """One image. Paths are relative to the checkout; a directory among the inputs stands for all files below it."""

    name: str
    context: str
    inputs: tuple[str, ...]
    base: str | None = None  # the name of the image of ours that it builds upon

    @property
    def reference(self) -> str:
        """What pods and Docker call it: `mcp-orchestrator:dev`."""
        return f"{self.name}:{TAG}"

    @property
    def archive(self) -> str:
        """The file name of its archive."""
        return f"{self.name}-{TAG}.tar"


IMAGES = (
    Image(
        name="mcp-orchestrator",
        context=".",
        inputs=(
            ".dockerignore",
            "Dockerfile",
            "hack/imagebuild/toolchain.txt",
            "operator",
            "pyproject.toml",
            "requirements.lock",
        ),
    ),
    Image(
        name="mcp-demo-servers",
        context="examples/servers",
        inputs=(
            "examples/servers/Dockerfile",
            "examples/servers/package-lock.json",
            "examples/servers/package.json",
            "examples/servers/requirements.txt",
        ),
        base="mcp-orchestrator",
    ),
)


def selected(only: str | None) -> tuple[Image, ...]:
    """The images to build, bases first; all of them without `only`. Raises KeyError for a name that is none of ours."""
    if only is None:
        return IMAGES
    by_name = {image.name: image for image in IMAGES}
    image = by_name[only]
    return (*(selected(image.base) if image.base else ()), image)


def digest(image: Image, root: Path, *, salt: str) -> str:
    """A hash that changes whenever a build of the image would: of its inputs' names, modes and contents, and `salt`."""
    result = hashlib.sha256(salt.encode())
    for path in files(image, root):
        executable = bool(path.stat().st_mode & 0o100)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        result.update(f"{path.relative_to(root)} {executable} {content}\n".encode())
    return result.hexdigest()


def files(image: Image, root: Path) -> Iterator[Path]:
    """The image's input files, sorted, without Python's caches."""
    for name in image.inputs:
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
                yield file
