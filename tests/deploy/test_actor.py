"""The acting side: what is durable before what, and that nothing which happens meanwhile is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from backstay.deploy.actor import Actor
from backstay.deploy.admission import LeaseBook
from backstay.deploy.inputs import Begin, Change
from backstay.deploy.journal import Journal
from backstay.deploy.memory import dump_service, load_fleet
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import Fleet, Goal, Placement, Revision
from backstay.deploy.wanted import Wanted
from backstay.engines.simulated import SimulatedEngine
from backstay.errors import StateError
from backstay.ledger import Ledger, Ports
from backstay.state import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def actor(tmp_path: Path) -> AsyncIterator[Actor]:
    """One service that runs, in the hands of an actor."""
    simulation = Simulation()
    simulation.up({"a": Wanted(Revision("a", 0, "x", probe=True), 1, frozenset())})
    store = await Store.open(tmp_path / "state.db")
    engine = simulation.engine
    actor = Actor(
        engine=engine,
        store=store,
        journal=Journal(store),
        book=LeaseBook(Ledger(cpus=1), Ports(22000, 22001)),
        installer=lambda service, progress: asyncio.sleep(0),  # type: ignore[arg-type, return-value]
        environ={},
        fleet=simulation.fleet,
    )
    engine.subscribe(actor.deliver)
    yield actor
    engine.close()
    await actor.records.save()
    await store.close()


STOP = Begin("stop-1", "stop", {"a": Change(goal=Goal.STOP)})


def accept_with(actor: Actor, gate: asyncio.Event):
    async def accept(fleet: Fleet) -> None:
        services = {name: dump_service(service) for name, service in fleet.services.items()}
        await actor.store.accept(facts={}, services=services)
        await gate.wait()

    return accept


async def test_a_record_of_what_was_cannot_undo_what_was_accepted(actor: Actor):
    gate = asyncio.Event()
    actor.records.service_changed("a")
    beginning = asyncio.create_task(actor.begin(STOP, accept_with(actor, gate)))
    while not await actor.store.services():
        await asyncio.sleep(0)
    saving = asyncio.create_task(actor.records.save())  # of the state before, as a timer may at any moment
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(beginning, saving)
    assert (await actor.store.services())["a"]["goal"] == "stop"


async def test_what_happens_while_a_deploy_is_made_durable_is_decided_on_after(actor: Actor):
    gate = asyncio.Event()
    unchanged = Begin("up-2", "up", {"a": Change()})
    beginning = asyncio.create_task(actor.begin(unchanged, accept_with(actor, gate)))
    await asyncio.sleep(0)
    engine = actor.engine
    assert isinstance(engine, SimulatedEngine)
    engine.kill("a.1")
    assert actor.fleet.services["a"].instances["a.1"].up, "not decided on yet"
    gate.set()
    await beginning
    assert not actor.fleet.services["a"].instances["a.1"].up
    engine.advance(60)
    assert actor.fleet.services["a"].instances["a.1"].restarts == 1


async def test_what_cannot_be_made_durable_does_not_begin(actor: Actor):
    async def refuse(fleet: Fleet) -> None:
        raise StateError("the disk is full")

    before = actor.fleet
    with pytest.raises(StateError):
        await actor.begin(STOP, refuse)
    assert actor.fleet is before
    engine = actor.engine
    assert isinstance(engine, SimulatedEngine)
    assert engine.running["a.1"].state == "ready"


def test_what_is_remembered_is_what_was_known():
    simulation = Simulation()
    simulation.up({"a": Wanted(Revision("a", 0, "x", depends_on=()), 2, frozenset())})
    known = simulation.fleet.services["a"]
    loaded = load_fleet({"a": dump_service(known)}, None).services["a"]
    assert loaded == replace(known, instances=loaded.instances, since=loaded.since)
    assert loaded.target == Placement(known.target.revision, ("a.1", "a.2"))
