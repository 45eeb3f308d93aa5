"""Answers that runs share: one cache for all of a namespace, in the cluster or in Redis."""
