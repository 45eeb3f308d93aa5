"""The program inside a run's Job: walks the graph, calls tools, reports."""
