"""`python -m backstay.daemon`: one daemon, from the keeper's hand-over to its end.

It opens the state, counts itself, connects to the keeper, takes over what runs and goes on towards what is
wanted. It may be killed at any moment: the keeper starts another one, which finds all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay._core import Daemon
from backstay.api.server import control_server
from backstay.daemon.assemble import Assembled, Memory, assemble, core_config, remember
from backstay.daemon.broken import BrokenFleet
from backstay.daemon.recover import KeeperCommand
from backstay.daemon.sockets import address_of, inherited_sockets, url_of
from backstay.engines.local import LocalEngine
from backstay.errors import BackstayError, KeeperError

if TYPE_CHECKING:
    import socket

    from backstay.deploy.control import FleetControl

log = logging.getLogger("backstay.daemon")

KEEPER_SOCKET = "run/keeper.sock"
RETRY_AFTER = 30.0
"""Seconds after which a daemon that cannot be makes way for the next attempt."""


def main(arguments: list[str] | None = None) -> int:
    """Run a daemon to its end."""
    parser = argparse.ArgumentParser(prog="python -m backstay.daemon", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--gateway", type=json.loads, default={}, help="the stack file's `gateway`, as JSON")
    options = parser.parse_args(arguments)
    _log_lines()
    try:
        sockets = inherited_sockets(os.environ)
        return asyncio.run(_run(options.state_dir, options.gateway, sockets))
    except BackstayError as error:
        log.error("%s (%s)", error, error.hint or "no hint")
        return 1


async def _run(state_dir: Path, gateway: dict[str, Any], sockets: dict[str, socket.socket]) -> int:
    try:
        memory = await remember(state_dir)
    except BackstayError as error:
        log.error("%s (%s)", error, error.hint or "no hint")
        return await _be_broken(error, sockets["control"])
    keeper = KeeperCommand.of_parent()
    served = memory.gateway or gateway
    core = Daemon(core_config(memory, state_dir, served))
    engine = LocalEngine(core, state_dir / KEEPER_SOCKET)
    url = url_of(sockets["gateway"], tls=bool(served.get("tls")))
    parts = await assemble(memory, engine, state_dir=state_dir, environ=os.environ, gateway_url=url)
    parts.controller.gateway = served
    parts.controller.listens_at = address_of(sockets["gateway"])
    parts.journal.record("daemon.started", pid=os.getpid(), generation=memory.generation)
    parts.actor.reroute_as_remembered()
    core.listen("gateway", sockets["gateway"].fileno())
    core.listen("gateway-local", sockets["gateway-local"].fileno())
    engine.subscribe(parts.actor.deliver)
    log.info("daemon %d of this fleet serves %s", memory.generation, url)
    end = await _serve_until_the_end(parts, sockets["control"])
    return await _end(end, memory, parts, engine, keeper, sockets)


async def _serve_until_the_end(parts: Assembled, control: socket.socket) -> str:
    """Serve the control API until the fleet is down, the keeper is lost, or we are asked to end."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    server = control_server(parts.controller)
    serving = asyncio.create_task(server.serve(sockets=[control]))
    ends = {
        "down": asyncio.create_task(parts.controller.ended.wait()),
        "lost": asyncio.create_task(parts.actor.keeper_lost.wait()),
        "renew": asyncio.create_task(parts.controller.renew.wait()),
        "asked": asyncio.create_task(asked.wait()),
    }
    await asyncio.wait([*ends.values(), serving], return_when=asyncio.FIRST_COMPLETED)
    end = next((name for name, task in ends.items() if task.done()), "failed")
    for task in ends.values():
        task.cancel()
    parts.journal.close()
    server.stop()
    server.force_exit = end == "lost"  # nothing that is still asked can be answered
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    return end


async def _end(
    end: str,
    memory: Memory,
    parts: Assembled,
    engine: LocalEngine,
    keeper: KeeperCommand,
    sockets: dict[str, socket.socket],
) -> int:
    parts.actor.installations.cancel()
    if end == "lost":
        log.error("the keeper is gone: another one is started, which ends what is left and goes on")
        parts.journal.record("keeper.replaced", reason="the keeper ended without being asked to")
    with contextlib.suppress(BackstayError):
        await parts.actor.records.save()
        await memory.store.close()
    if end == "down":
        log.info("the fleet is down")
        with contextlib.suppress(KeeperError):
            await asyncio.to_thread(engine.shut_down)
        return 0
    await asyncio.to_thread(engine.close)
    for listener in sockets.values():
        listener.close()
    if end == "lost":
        await asyncio.to_thread(keeper.start_another)
    return 0 if end in ("asked", "lost") else 1


async def _be_broken(error: BackstayError, control: socket.socket) -> int:
    """Answer every request with what is wrong, for a while; then let the next daemon try."""
    broken: FleetControl = BrokenFleet(error)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    server = control_server(broken)
    serving = asyncio.create_task(server.serve(sockets=[control]))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asked.wait(), RETRY_AFTER)
    server.stop()
    await serving
    return 1


class _Lines(logging.Formatter):
    """One line to a record: level, where, what; the keeper adds the time and keeps it in `daemon.log`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as JSON."""
        line: dict[str, Any] = {
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _log_lines() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
