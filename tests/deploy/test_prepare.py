"""From a stack file to an admitted plan, and to what an engine starts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from backstay.config.loading import load
from backstay.config.machine import Machine
from backstay.deploy.admission import LeaseBook
from backstay.deploy.build import Launched, instance_spec, server_url, values_for
from backstay.deploy.prepare import Prepared, prepare
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import Fleet, Order
from backstay.errors import DoesNotFit, PortHeld
from backstay.ledger import Ledger, Ports

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.config.models import Stack

ENVIRON = {"PATH": "/bin", "HOME": "/home/x", "LANG": "C.UTF-8", "HTTPS_PROXY": "http://p", "API_KEY": "k"}


def stack(folder: Path, services: str) -> Stack:
    (folder / "backstay.yaml").write_text(f"name: town\nports: 23000-23050\nservices:\n{services}")
    return load([folder / "backstay.yaml"], environ=ENVIRON)


def load_on_gpus(folder: Path, services: str) -> Stack:
    """Read a stack on a machine that has GPUs."""
    (folder / "backstay.yaml").write_text(f"name: town\nservices:\n{services}")
    machine = Machine(cpus=8, memory=1 << 34, gpus=4)
    return load([folder / "backstay.yaml"], environ=ENVIRON, machine=machine)


def book() -> LeaseBook:
    return LeaseBook(Ledger(cpus=2, memory="1Gi"), Ports(23000, 23050))


def begun(prepared: Prepared) -> Fleet:
    """The fleet after a deploy that went well."""
    simulation = Simulation()
    changes = {name: plan.change for name, plan in prepared.planned.items()}
    assert simulation.finish(simulation.change("up", changes)).ok
    return simulation.fleet


REDIS = """
  redis:
    command: redis-server --port {{ ports.main }}
    ports: {main: auto}
    healthcheck: {tcp: main}
    deploy: {resources: {reservations: {cpus: 0.5, memory: 64M}}}
  cache:
    command: cache
    args: [--url, "redis://127.0.0.1:{{ services.redis.ports.main }}/0"]
    mcp: {transport: stdio}
    depends_on: [redis]
"""


def test_a_plan_says_what_in_which_order_with_what(tmp_path: Path):
    plan = prepare(stack(tmp_path, REDIS), Fleet(), book(), {}).plan
    assert [(step.service, step.action, step.level) for step in plan.steps] == [
        ("redis", "start", 0),
        ("cache", "start", 1),
    ]
    assert plan.steps[0].ports == {"redis.1": {"main": 23000}}
    assert plan.steps[1].after == ["redis"]
    assert (plan.cpus, plan.memory) == (0.5, 64 << 20)


def test_the_same_stack_again_plans_nothing(tmp_path: Path):
    leases = book()
    fleet = begun(prepare(stack(tmp_path, REDIS), Fleet(), leases, {}))
    again = prepare(stack(tmp_path, REDIS), fleet, leases, {}).plan
    assert not again.changes
    assert [step.reason for step in again.steps] == ["unchanged", "unchanged"]


def test_a_changed_port_touches_those_that_name_it(tmp_path: Path):
    leases = book()
    fleet = begun(prepare(stack(tmp_path, REDIS), Fleet(), leases, {}))
    fixed = REDIS.replace("main: auto", "main: 23040")
    plan = prepare(stack(tmp_path, fixed), fleet, leases, {}).plan
    assert {step.service: (step.action, step.reason) for step in plan.steps} == {
        "redis": ("replace", "ports changed"),
        "cache": ("replace", "the port of `redis` changed"),
    }


@pytest.mark.parametrize("change", ["prefix: c", "tools: {deny: [x]}", "call_timeout: 5s"])
def test_what_the_gateway_applies_by_itself_replaces_no_process(tmp_path: Path, change: str):
    leases = book()
    fleet = begun(prepare(stack(tmp_path, REDIS), Fleet(), leases, {}))
    changed = REDIS.replace("transport: stdio", f"transport: stdio, {change}")
    assert not prepare(stack(tmp_path, changed), fleet, leases, {}).plan.changes


def test_what_is_refused_leaves_the_books_as_they_were(tmp_path: Path):
    leases = book()
    fleet = begun(prepare(stack(tmp_path, REDIS), Fleet(), leases, {}))
    before = leases.dump()
    more = REDIS + "  big: {command: x, deploy: {replicas: 4, resources: {reservations: {cpus: 0.5}}}}\n"
    with pytest.raises(DoesNotFit, match="redis"):
        prepare(stack(tmp_path, more), fleet, leases, {})
    assert leases.dump() == before


def test_the_way_back_is_admitted_with_the_deploy(tmp_path: Path):
    job = "  job: {command: x, deploy: {resources: {reservations: {cpus: 1.5}}}}\n"
    leases = book()
    fleet = begun(prepare(stack(tmp_path, job), Fleet(), leases, {}))
    leases.release("job.1")  # it completed
    smaller = job.replace("1.5", "0.1")
    prepare(stack(tmp_path, smaller), fleet, leases, {})
    assert leases.need("job.1").milli_cpus == 1500
    leases.release("job.1")
    crowded = smaller + "  more: {command: x, deploy: {resources: {reservations: {cpus: 1}}}}\n"
    with pytest.raises(DoesNotFit):
        prepare(stack(tmp_path, crowded), fleet, leases, {})


def test_what_leaves_makes_room_and_is_waited_for(tmp_path: Path):
    leases = book()
    fleet = begun(prepare(stack(tmp_path, "  old: {command: x, ports: {a: 23010}}"), Fleet(), leases, {}))
    renamed = stack(tmp_path, "  new: {command: x, ports: {a: 23010}}")
    with pytest.raises(PortHeld):
        prepare(renamed, fleet, leases, {}, atomic=True)
    prepared = prepare(renamed, fleet, leases, {})
    assert prepared.planned["new"].change.after == {"old"}
    assert prepared.planned["old"].change.leaving


def test_a_port_that_others_name_is_never_held_twice(tmp_path: Path):
    start_first = "    deploy: {update_config: {order: start-first}}\n"
    services = REDIS.replace(
        "    deploy: {resources: {reservations: {cpus: 0.5, memory: 64M}}}\n", start_first
    )
    prepared = prepare(stack(tmp_path, services), Fleet(), book(), {})
    redis = prepared.planned["redis"].change.target
    assert redis is not None
    assert redis.revision.order is Order.STOP_FIRST


def spec_of(folder: Path, name: str, services: str, launched: Launched | None = None):
    read, leases = stack(folder, services), book()
    placement = prepare(read, Fleet(), leases, {}).planned[name].change.target
    assert placement is not None
    service = read.services[name]
    values = values_for(
        service,
        read,
        f"{name}.1",
        ports=leases.ports(f"{name}.1"),
        services={"redis": leases.ports("redis.1")},
        environ=ENVIRON,
        gateway_url="http://127.0.0.1:7077",
    )
    return instance_spec(service, placement.revision, values, launched or Launched(), ENVIRON)


def test_an_instance_gets_its_ports_and_nothing_secret_of_ours(tmp_path: Path):
    spec = spec_of(tmp_path, "redis", REDIS)
    assert spec.argv == ("redis-server", "--port", "23000")
    assert spec.stdio == "logs"
    assert spec.env == {
        "PATH": "/bin",
        "HOME": "/home/x",
        "LANG": "C.UTF-8",
        "HTTPS_PROXY": "http://p",
        "PORT": "23000",
        "PORT_MAIN": "23000",
    }
    assert spec.probe is not None
    assert spec.probe.kind == {"tcp": {"port": 23000}}
    assert spec.restart.condition == "no"


def test_an_instance_sees_the_very_gpus_that_it_reserves(tmp_path: Path):
    service = """
  a:
    command: x
    deploy: {resources: {reservations: {devices: [{device_ids: ["1", GPU-7]}]}}}
"""
    read = load_on_gpus(tmp_path, service)
    leases = LeaseBook(Ledger(cpus=2, memory="1Gi", gpus=4), Ports(23000, 23050))
    placement = prepare(read, Fleet(), leases, {}).planned["a"].change.target
    assert placement is not None
    assert placement.revision.need.milli_gpus == 2000
    values = values_for(
        read.services["a"], read, "a.1", ports={}, services={}, environ=ENVIRON, gateway_url=""
    )
    spec = instance_spec(read.services["a"], placement.revision, values, Launched(), ENVIRON)
    assert spec.env["CUDA_VISIBLE_DEVICES"] == "1,GPU-7"


def test_a_stdio_server_ends_with_its_stdin_and_starts_again_always(tmp_path: Path):
    launched = Launched(("node", "cli.js"), {"PATH": "/node/bin:/bin"}, "npm:cache 1")
    spec = spec_of(tmp_path, "cache", REDIS, launched)
    assert spec.argv == ("node", "cli.js", "--url", "redis://127.0.0.1:23000/0")
    assert spec.env["PATH"] == "/node/bin:/bin"
    assert (spec.stdio, spec.stop.eof, spec.restart.condition) == ("mcp", True, "always")
    assert spec.probe is None
    assert json.loads(spec.dump())["argv"] == list(spec.argv)


def test_a_server_over_http_is_probed_before_it_is_spoken_to(tmp_path: Path):
    services = """
  web: {command: x, ports: {http: auto}, mcp: {transport: streamable-http, port: http, path: /m}}
"""
    spec = spec_of(tmp_path, "web", services)
    assert spec.stdio == "logs"
    assert spec.probe is not None
    assert spec.probe.kind == {"tcp": {"port": 23000}}
    service = stack(tmp_path, services).services["web"]
    assert server_url(service, {"http": 23000}) == "http://127.0.0.1:23000/m"


def test_a_secret_that_changed_replaces_who_reads_it_and_nobody_else(tmp_path: Path):
    services = "  reads: {command: x}\n  other: {command: y}"
    read, leases = stack(tmp_path, services), book()
    fleet = begun(prepare(read, Fleet(), leases, {}, seals={"reads": {"key": "aa"}}))
    same = prepare(read, fleet, leases, {}, seals={"reads": {"key": "aa"}})
    assert {plan.action for plan in same.planned.values()} == {"keep"}
    changed = prepare(read, fleet, leases, {}, seals={"reads": {"key": "bb"}})
    assert {name: plan.action for name, plan in changed.planned.items()} == {
        "reads": "replace",
        "other": "keep",
    }
    assert changed.planned["reads"].reason == "the secret `key` changed"
