"""The life of an MCPServer."""
