"""Calls to tools: MCP over Streamable HTTP, one attempt at a time, and what their failures mean."""
