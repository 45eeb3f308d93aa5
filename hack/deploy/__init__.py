"""The project on a cluster of hack/cluster: what hack/install and hack/demo are made of. Only the standard library."""
