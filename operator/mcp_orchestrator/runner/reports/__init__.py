"""What a runner tells: its tasks and results, written to the run."""
