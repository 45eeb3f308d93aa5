"""The life of a WorkflowRun, from its first sight to its end."""
