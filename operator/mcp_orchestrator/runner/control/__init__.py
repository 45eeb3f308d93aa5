"""What is ordered of a run while it is executed: to hold, to go on, to stop."""
