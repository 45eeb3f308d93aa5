"""Builds the project's images with Docker or with buildah: what `hack/image` is made of. Only the standard library."""
