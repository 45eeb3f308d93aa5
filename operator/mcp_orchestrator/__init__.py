"""MCP Orchestrator: a Kubernetes operator for MCP servers and workflows of MCP tool calls.

api          the three kinds as pydantic models, and the CRDs made from them
planning     decisions as pure functions: (observed, now) -> plan
cluster      the one door to the Kubernetes API
controllers  the operator: kopf events -> store -> work queue -> observe, plan, apply
runner       the program inside a run's Job: walks the graph and calls tools
gateway      the program in front of every MCP server
"""
