"""Why something does not work: what was seen, which class of failure it is, and what to do about it."""
