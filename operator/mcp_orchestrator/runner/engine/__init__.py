"""The engine: walks the graph of a workflow, and decides of each task when it runs and how it ended."""
