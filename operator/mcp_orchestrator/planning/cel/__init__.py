"""CEL, as Google's cel-cpp has it: what an expression reads, what it costs at most, and what it comes to."""
