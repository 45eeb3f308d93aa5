"""The program in front of every MCP server: one uniform endpoint, checked, measured and guarded."""
