"""Notes that an assistant keeps: the store (`store.py`) and the MCP server in front of it (`server.py`)."""
