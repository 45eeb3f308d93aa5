"""Image archives: names in them, the pods' first process as one, images of local builders. Used by providers."""

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from console.problems import Problem

# What a node puts before a name without a registry.
DEFAULT_PREFIX = "docker.io/library/"
REF_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def names(archive: Path) -> tuple[str, ...]:
    """The names of the images in an archive, in full, as a pod's `image` is understood. Raises Problem."""
    try:
        with tarfile.open(archive) as tar:
            members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
            found = dict.fromkeys(full_name(name) for name in _names(tar, members) if "/" in name or ":" in name)
    except (tarfile.TarError, json.JSONDecodeError, OSError) as error:
        raise Problem(f"{archive} is no image archive: {error}.") from error
    if not found:
        raise Problem(f"No image in {archive} has a name.", "Save it with one: docker save NAME:TAG -o FILE.tar")
    return tuple(found)


def _names(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> Iterator[str]:
    """As the archive has them: Docker's in manifest.json, those of OCI in index.json."""

    def read(name: str) -> list[dict[str, object]] | dict[str, object] | None:
        file = tar.extractfile(members[name]) if name in members else None
        return json.load(file) if file else None

    manifests = read("manifest.json")
    for image in manifests if isinstance(manifests, list) else ():
        tags = image.get("RepoTags")
        yield from tags if isinstance(tags, list) else ()
    index = read("index.json")
    entries = index.get("manifests") if isinstance(index, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        annotations = entry.get("annotations") or {}
        named = next((annotations[key] for key in REF_NAMES if key in annotations), None)
        if named:
            yield named


def full_name(name: str) -> str:
    """`time:dev` is `docker.io/library/time:dev`, and a name without a tag has the tag `latest`."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"{DEFAULT_PREFIX}{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def contents(archive: Path) -> dict[str, str]:
    """The digest of each image's configuration by the image's full name; none for another format than Docker's."""
    found: dict[str, str] = {}
    with contextlib.suppress(KeyError, TypeError, tarfile.TarError, json.JSONDecodeError), tarfile.open(archive) as tar:
        for image in json.load(tar.extractfile("manifest.json") or io.BytesIO()):
            config = tar.extractfile(image["Config"]) or io.BytesIO()
            digest = f"sha256:{hashlib.sha256(config.read()).hexdigest()}"
            found |= {full_name(tag): digest for tag in image["RepoTags"]}
    return found


def is_present(archive: Path, ctr: Sequence[str]) -> bool:
    """Whether a node has all images of an archive, unpacked and with the same content. `ctr` is how its ctr is run."""
    wanted = contents(archive)
    if set(wanted) != set(names(archive)):
        return False
    with contextlib.suppress(Problem, json.JSONDecodeError, KeyError):
        for name, digest in wanted.items():
            # REF TYPE DIGEST STATUS … UNPACKED, below a line of titles
            [row] = [line.split() for line in _run((*ctr, "images", "check", f"name=={name}")).splitlines()[1:]] or [[]]
            if not row or row[3] != "complete" or row[-1] != "true":
                return False
            if json.loads(_run((*ctr, "content", "get", row[2])))["config"]["digest"] != digest:
                return False
        return True
    return False


def node_ctr(socket: Path) -> tuple[str, ...]:
    """How to run ctr on the images of Kubernetes, of the containerd that listens on a socket."""
    return ("ctr", "--address", str(socket), "--namespace", "k8s.io")


def write(archive: Path, *, name: str, executable: Path) -> None:
    """Write an image that consists of one static executable."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo(executable.name)
        entry.mode, entry.size = 0o755, executable.stat().st_size
        with executable.open("rb") as file:
            tar.addfile(entry, file)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}
    config = {
        "architecture": machine.get(_machine(), _machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{executable.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        for path, content in (
            ("layer.tar", layer.getvalue()),
            ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def _machine() -> str:
    return subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()


def load(archive: Path, socket: Path) -> tuple[str, ...]:
    """Bring an archive's images into the containerd of a node, under their full names. Raises Problem."""
    found = names(archive)
    ctr = (*node_ctr(socket), "images")
    said = _run((*ctr, "import", str(archive)))
    # containerd keeps names as they are in an OCI archive, but kubelet asks for full ones.
    for line in said.splitlines():
        stored = line.removeprefix("unpacking ").partition(" ")[0] if line.startswith("unpacking ") else ""
        if stored and full_name(stored) != stored:
            _run((*ctr, "tag", "--force", stored, full_name(stored)))
            _run((*ctr, "remove", stored))
    present = set(_run((*ctr, "list", "--quiet")).split())
    if missing := [name for name in found if name not in present]:
        raise Problem(f"containerd took {archive}, but does not know {', '.join(missing)}. It said: {said.strip()}")
    return found


def save(name: str, archive: Path) -> None:
    """Write an image of a local builder to an archive: Docker's, Podman's or buildah's. Raises Problem."""
    savers = {
        "docker": ("docker", "save", "--output", str(archive), name),
        "podman": ("podman", "save", "--output", str(archive), name),
        "buildah": ("buildah", "push", name, f"docker-archive:{archive}:{full_name(name)}"),
    }
    for program, argv in savers.items():
        if shutil.which(program):
            with contextlib.suppress(Problem):
                archive.unlink(missing_ok=True)
                _run(argv)
                return
    raise Problem(
        f"There is no file {name}, and no local Docker, Podman or buildah has an image of that name.",
        "Give an archive: hack/cluster load-image FILE.tar",
    )


def _run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"`{' '.join(argv)}` failed: {done.stderr.strip()[-400:]}")
    return done.stdout
