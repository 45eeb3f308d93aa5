"""A load of workflow runs for the operator, and what it makes of it. See `python -m bench.load --help`."""
