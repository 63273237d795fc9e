"""Runs a fleet of MCP servers and the services they need, behind one endpoint."""
