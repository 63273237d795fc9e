"""Puts a daemon together: state, books, engine and controller, as a former daemon left them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backstay.config import Stack
from backstay.deploy.actor import Actor
from backstay.deploy.admission import LeaseBook
from backstay.deploy.build import Launched
from backstay.deploy.eras import Eras
from backstay.deploy.fleet import FleetController, restore_configs
from backstay.deploy.handed import HandedOver
from backstay.deploy.installer import PackageInstaller
from backstay.deploy.journal import Journal
from backstay.deploy.measured import InstallSeries
from backstay.deploy.memory import load_fleet
from backstay.ledger import Ledger, Ports, capacity
from backstay.packages import cache_dir
from backstay.state import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from backstay.deploy.state import Fleet
    from backstay.engines.base import Engine

__all__ = ["Assembled", "Memory", "assemble", "remember"]

DEFAULT_RANGE = (30_000, 32_000)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a former daemon knew."""

    store: Store
    generation: int
    stack: Stack | None
    gateway: dict[str, Any] | None
    previous_stack: Stack | None
    fleet: Fleet
    leases: dict[str, Any]
    last_numbers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Assembled:
    """A daemon's parts."""

    actor: Actor
    controller: FleetController
    journal: Journal


async def remember(state_dir: Path) -> Memory:
    """Open the state and count this daemon.

    Raises:
        StateError: it cannot be read or written.
    """
    store = await Store.open(state_dir / "state.db")
    generation = await store.next_generation()
    stack = await store.fact("stack")
    previous = await store.fact("previous_stack")
    return Memory(
        store=store,
        generation=generation,
        stack=Stack.model_validate_json(stack) if stack else None,
        gateway=await store.fact("gateway"),
        previous_stack=Stack.model_validate_json(previous) if previous else None,
        fleet=load_fleet(await store.services(), await store.fact("deploy")),
        leases=await store.leases(),
        last_numbers=await store.last_numbers(),
    )


async def assemble(
    memory: Memory, engine: Engine, *, state_dir: Path, environ: Mapping[str, str], gateway_url: str
) -> Assembled:
    """Put the parts together; nothing is started yet."""
    environ = {**environ, **HandedOver(state_dir).load()}
    journal = Journal(memory.store)
    installer = PackageInstaller(environ)
    installer.series = InstallSeries(engine, cache_dir(environ))
    await installer.series.show_cache()
    ports = memory.stack.ports if memory.stack else None
    first, last = (ports.first, ports.last) if ports else DEFAULT_RANGE
    book = LeaseBook(Ledger(**capacity(state_dir)), Ports(first, last))
    book.restore(memory.leases)
    actor = Actor(
        engine=engine,
        store=memory.store,
        journal=journal,
        book=book,
        installer=installer,
        environ=environ,
        fleet=memory.fleet,
        gateway_url=gateway_url,
    )
    actor.blueprints.stack = memory.stack
    actor.blueprints.eras = Eras(installer)
    if memory.stack:
        installer.begin(memory.stack.dir)
    in_use = {
        (p.revision.service, p.revision.number)
        for service in memory.fleet.services.values()
        for p in (service.target, service.good)
        if p
    }
    rows = await memory.store.revisions(in_use)
    actor.blueprints.configs = restore_configs(rows)
    actor.blueprints.launched = {
        key: launched for key, (_, value) in rows.items() if (launched := Launched.load(value)) is not None
    }
    controller = FleetController(
        actor,
        installer=installer,
        state_dir=state_dir,
        generation=memory.generation,
        last_numbers=memory.last_numbers,
        previous_stack=memory.previous_stack,
    )
    return Assembled(actor, controller, journal)


def core_config(memory: Memory, state_dir: Path, gateway: Mapping[str, Any]) -> bytes:
    """Write the configuration of the Rust half."""
    token_file = gateway.get("token_file")
    settings = {
        "allowed_hosts": list(gateway.get("allowed_hosts", ())),
        "allowed_origins": list(gateway.get("allowed_origins", ())),
        "token_file": str(state_dir.parent / token_file) if token_file else None,
        "tls": gateway.get("tls"),
        "metrics": gateway.get("metrics", True),
    }
    config = {"state_dir": str(state_dir), "generation": memory.generation, "gateway": settings}
    return json.dumps(config).encode()
