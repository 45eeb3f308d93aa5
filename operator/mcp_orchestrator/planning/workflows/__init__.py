"""A workflow's text: what it means, whether it is right, and what a run of it needs."""
