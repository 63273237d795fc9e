"""The file that `backstay init` writes where there is none: small, commented, and it starts."""

from __future__ import annotations

from typing import Final

from backstay.config.models.stack import stack_name_from

STARTER: Final = """\
# The fleet of this folder. `backstay up` brings it up; `backstay check` says what is wrong with this file.
name: {name}

services:
  # A server from npm; `pypi:`, `cargo:`, `go:`, `path:./folder` and https addresses work as well.
  files:
    mcp: npm:@modelcontextprotocol/server-filesystem
    args: ["{{{{ fleet.dir }}}}"]            # what it may read and write: this folder

  time:
    mcp: pypi:mcp-server-time
    args: [--local-timezone, UTC]

  # A server that needs a key takes it from the environment, or from a file `.env` beside this one.
  # search:
  #   mcp: npm:@modelcontextprotocol/server-brave-search
  #   environment: {{BRAVE_API_KEY: "${{BRAVE_API_KEY:?get one at brave.com/search/api}}"}}

  # A service that servers stand on: any program. `auto` leases a port.
  # redis:
  #   command: redis-server --port {{{{ ports.main }}}} --save ""
  #   ports: {{main: auto}}
  #   healthcheck: {{tcp: main}}

# Clients reach all servers here: http://127.0.0.1:7077/mcp
gateway: {{listen: 127.0.0.1:7077}}
"""


def starter(folder: str) -> str:
    """Return a stack file to start from, for a fleet in a folder of this name."""
    return STARTER.format(name=stack_name_from(folder) or "fleet")
