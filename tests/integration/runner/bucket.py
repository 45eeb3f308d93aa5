"""A real S3 server on loopback that checks signatures, with one bucket in a directory. Used by the tests beside it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.ports import free_port
from tests.waiting import eventually

from console.progress import Progress
from localcluster import objectstore
from mcp_orchestrator.settings import ObjectStore

BUCKET = "results"
KEYS = {"AWS_ACCESS_KEY_ID": "the-access-key", "AWS_SECRET_ACCESS_KEY": "the-s3cret-key"}


@dataclass(frozen=True, slots=True)
class Bucket:
    """The bucket of a running server: where it is, and the files that its objects are."""

    endpoint: str
    directory: Path

    def settings(self, **fields: int) -> ObjectStore:
        """How the chart would be told of it."""
        return ObjectStore(BUCKET, "a/b", self.endpoint, "us-east-1", "bucket-keys", **fields)

    def environ(self) -> Mapping[str, str]:
        """What a runner's Job has of it in its environment."""
        told = self.settings().environment()
        return {f"MCP_ORCHESTRATOR_{name}": value for name, value in told.items()} | KEYS

    def objects(self) -> dict[str, Path]:
        """The files of all objects by their keys."""
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return {str(path.relative_to(self.directory)): path for path in found}


@asynccontextmanager
async def serving(directory: Path, *options: str, scheme: str = "http") -> AsyncIterator[Bucket]:
    """Run the server with its files below the directory."""
    for name in ("buckets", "attributes"):
        (directory / name).mkdir()
    (directory / "buckets" / BUCKET).mkdir()
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(objectstore.program(Progress()), "--quiet", "--port", f"127.0.0.1:{port}", *options),
        *("posix", "--sidecar", directory / "attributes", directory / "buckets"),
        env={
            "PATH": os.defpath,
            "ROOT_ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_ACCESS_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
        },
        stdout=subprocess.DEVNULL,
    )
    try:

        async def answers() -> bool:
            assert process.returncode is None, "the S3 server ended at once"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        await eventually("an S3 server that listens", answers)
        yield Bucket(f"{scheme}://127.0.0.1:{port}", directory / "buckets" / BUCKET)
    finally:
        process.kill()
        await process.wait()


def certificates(directory: Path) -> str:
    """Make an authority, whose certificate is returned, and a server's certificate and key as server.crt and .key."""
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate(
        "authority", authority, "authority", authority, x509.BasicConstraints(ca=True, path_length=None)
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "server.crt").write_bytes(_certificate("server", own, "authority", authority, address))
    (directory / "server.key").write_bytes(own.private_bytes(serialization.Encoding.PEM, *plain))
    return root.decode()


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> bytes:
    return (
        x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=datetime(2026, 1, 1, tzinfo=UTC),
            not_valid_after=datetime(2036, 1, 1, tzinfo=UTC),
        )
        .add_extension(extension, critical=False)
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
