"""Child objects as JSON: what the operator creates for servers and runs."""
