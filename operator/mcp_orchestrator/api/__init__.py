"""The three kinds as pydantic models, their conditions, and the CRDs made from them."""
