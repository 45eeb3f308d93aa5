"""The admission queue: which run starts next, what keeps the others, and until when."""
