"""The verbs, in the order of the help, with a line on each: known without importing any."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """What the help says of a verb; the verb itself is `command` in the module of its name."""

    section: str
    help: str


FILE, FLEET, LOOK, SERVERS, BACKSTAY = "Stack file", "Fleet", "Look", "Servers", "Backstay"

VERBS: dict[str, Verb] = {
    "init": Verb(FILE, "Write a first stack file, or one from another tool's file."),
    "check": Verb(FILE, "Say all that is wrong with the stack file."),
    "config": Verb(FILE, "Print the stack file as it is understood."),
    "lock": Verb(FILE, "Fix the exact version of every package."),
    "plan": Verb(FILE, "Print what `up` would change, in order."),
    "up": Verb(FLEET, "Bring the fleet up, or to what the stack file says now."),
    "down": Verb(FLEET, "End the fleet and everything that belongs to it."),
    "start": Verb(FLEET, "Start services that were stopped."),
    "stop": Verb(FLEET, "Stop services, and leave them stopped."),
    "restart": Verb(FLEET, "Restart services."),
    "scale": Verb(FLEET, "Set how many instances services have."),
    "ps": Verb(LOOK, "List services and their instances."),
    "logs": Verb(LOOK, "Print what services wrote."),
    "events": Verb(LOOK, "Print what happened in the fleet."),
    "doctor": Verb(LOOK, "Examine servers: health, protocol, and what to do."),
    "tools": Verb(SERVERS, "List the tools of the fleet, or of one server."),
    "call": Verb(SERVERS, "Call a tool and print its answer."),
    "connect": Verb(SERVERS, "Speak MCP on stdin and stdout, for desktop clients."),
    "version": Verb(BACKSTAY, "Print the versions of backstay and of what it uses."),
    "completion": Verb(BACKSTAY, "Print the completion script of a shell."),
}
