"""Dice: the arithmetic (`dice.py`) and the MCP server in front of it (`server.py`)."""
