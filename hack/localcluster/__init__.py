"""Local Kubernetes clusters behind one command, `hack/cluster`. Standard library only: it runs before anything else."""
