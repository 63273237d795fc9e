"""Every key of the stack file does something: what is made of a stack with it is not what is made without.

What is made: the plan's facts, what the keeper starts, what the gateway serves, what is installed, how the
keeper is started, or a refusal that says why. A key that is only read and kept does none of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from backstay.config.loading import load
from backstay.config.machine import Machine
from backstay.config.models import StackFile
from backstay.config.validation import keys_of, models_of
from backstay.daemon.launch import keeper_command
from backstay.deploy.admission import LeaseBook
from backstay.deploy.blueprints import Blueprints
from backstay.deploy.prepare import prepare
from backstay.deploy.simulation import Simulation
from backstay.deploy.state import Fleet
from backstay.errors import ConfigErrors, ResourceError
from backstay.ledger import Ledger, Ports
from backstay.packages.request import Request

if TYPE_CHECKING:
    from backstay.deploy.plan import Planned

MACHINE = Machine(cpus=8, memory=1 << 33, gpus=8)
ENVIRON = {"PATH": "/bin", "HOME": "/home/x", "KEY": "k", "OTHER": "o"}

PLAIN = "services: {a: {command: x, HERE}}"
PROBE = "services: {a: {command: x, ports: {m: auto}, healthcheck: {HERE}}}"
HTTP = "services: {a: {command: x, ports: {m: auto}, healthcheck: {http: {port: m, HERE}}}}"
SERVER = "services: {a: {command: x, mcp: {transport: stdio, HERE}}}"
WEB = (
    "services: {a: {command: x, ports: {m: auto, n: auto}, mcp: {transport: streamable-http, port: m, HERE}}}"
)
REMOTE = "services: {a: {mcp: {url: 'https://example.com/mcp', HERE}}}"
PACKAGE = "services: {a: {mcp: {package: 'pypi:a', HERE}}}"
DEPENDS = "services: {b: {command: y}, a: {command: x, depends_on: {b: {HERE}}}}"
DEPLOY = "services: {a: {command: x, deploy: {HERE}}}"
RESERVED = DEPLOY.replace("HERE", "resources: {reservations: {HERE}}")
LIMITED = DEPLOY.replace("HERE", "resources: {reservations: {cpus: 1, memory: 1G}, limits: {HERE}}")
UPDATE = DEPLOY.replace("HERE", "update_config: {HERE}")
ROLLBACK = DEPLOY.replace("HERE", "rollback_config: {HERE}")
RESTART = DEPLOY.replace("HERE", "restart_policy: {HERE}")
DEVICE = RESERVED.replace("HERE", "devices: [{HERE}]")
SECRET = (
    "secrets: {s: {environment: KEY}, t: {environment: OTHER}}\n"
    "services: {a: {command: x, environment: {S: '{{ secrets.s }}'}, secrets: [HERE]}}"
)
TRAFFIC = "services: {a: {command: x, mcp: {transport: stdio}, traffic: {HERE}}}"
CACHE = "services: {a: {command: x, mcp: {transport: stdio}, cache: {HERE}}}"
LIMITS = TRAFFIC.replace("HERE", "limits: [{HERE}]")
QUEUE = TRAFFIC.replace("HERE", "concurrency: {HERE}")
BREAKER = TRAFFIC.replace("HERE", "breaker: {HERE}")
EJECTION = TRAFFIC.replace("HERE", "ejection: {HERE}")
RETRIES = TRAFFIC.replace("HERE", "retries: {HERE}")
TIMEOUTS = TRAFFIC.replace("HERE", "timeouts: {HERE}")
GATEWAY = "gateway: {HERE}\nservices: {a: {command: x}}"

PUBLISH = "services: {a: {command: x, ports: {m: auto, n: auto}, publish: {HERE}}}"
TLS = "gateway: {tls: {key: one.key, HERE}}\nservices: {a: {command: x}}"

SECOND = GATEWAY.replace("HERE", "cache: {second: {HERE}}")

READS = "secrets: {s: {HERE}}\nservices: {a: {command: x, environment: {S: '{{ secrets.s }}'}, secrets: [s]}}"

KEYS: dict[str, tuple[str, str, str]] = {
    "StackFile.name": (
        "HERE\nservices: {a: {command: 'x {{ fleet.name }}'}}",
        "name: b",
        "name: c",
    ),
    "StackFile.services": ("services: {HERE}", "a: {command: x}", "a: {command: x}, b: {command: y}"),
    "StackFile.gateway": ("HERE\nservices: {a: {command: x}}", "", "gateway: 127.0.0.1:7078"),
    "StackFile.ports": (
        "HERE\nservices: {a: {command: x, ports: {m: auto}}}",
        "",
        "ports: 24100-24101",
    ),
    "StackFile.secrets": (
        "secrets: {HERE}\nservices: {a: {command: x, environment: {S: '{{ secrets.s }}'}, secrets: [s]}}",
        "s: {environment: KEY}",
        "s: {environment: OTHER}",
    ),
    "ServiceFile.command": ("services: {a: {command: HERE}}", "x", "y"),
    "ServiceFile.args": (PLAIN, "", "args: [b]"),
    "ServiceFile.mcp": (PLAIN, "", "mcp: {transport: stdio}"),
    "ServiceFile.environment": (PLAIN, "", "environment: {A: b}"),
    "ServiceFile.env_file": (PLAIN, "", "env_file: given.env"),
    "ServiceFile.working_dir": (PLAIN, "", "working_dir: /tmp"),
    "ServiceFile.depends_on": (
        "services: {b: {command: y}, a: {command: x, HERE}}",
        "",
        "depends_on: [b]",
    ),
    "ServiceFile.healthcheck": (PLAIN, "ports: {m: auto}", "ports: {m: auto}, healthcheck: {tcp: m}"),
    "ServiceFile.ports": (PLAIN, "", "ports: {m: auto}"),
    "ServiceFile.publish": (PLAIN, "ports: {m: auto}", "ports: {m: auto}, publish: true"),
    "Publish.port": (PUBLISH, "port: m", "port: n"),
    "Publish.path": (PUBLISH, "port: m", "port: m, path: /x"),
    "Publish.hosts": (PUBLISH, "port: m, path: /x", "port: m, path: /x, hosts: x.localhost"),
    "Publish.strip": (PUBLISH, "port: m", "port: m, strip: false"),
    "Publish.listen": (PUBLISH, "port: m", "port: m, listen: 24600"),
    "Publish.tls": (
        PUBLISH,
        "port: m, listen: 24600",
        "port: m, listen: 24600, tls: {certificate: one.crt, key: one.key}",
    ),
    "Publish.public": (PUBLISH, "port: m", "port: m, public: true"),
    "Publish.protocol": (PUBLISH, "port: m", "port: m, protocol: h2c"),
    "Publish.timeout": (PUBLISH, "port: m", "port: m, timeout: 3s"),
    "Tls.certificate": (TLS, "certificate: one.crt", "certificate: two.crt"),
    "Tls.key": (TLS.replace("key: one.key", "certificate: two.crt"), "key: one.key", "key: two.key"),
    "ServiceFile.restart": (PLAIN, "", "restart: always"),
    "ServiceFile.stop_signal": (PLAIN, "", "stop_signal: SIGINT"),
    "ServiceFile.stop_grace_period": (PLAIN, "", "stop_grace_period: 3s"),
    "ServiceFile.profiles": ("services: {b: {command: y}, a: {command: x, HERE}}", "", "profiles: [p]"),
    "ServiceFile.secrets": (
        READS.replace("HERE", "environment: KEY").replace("secrets: [s]", "HERE"),
        "secrets: [s]",
        "secrets: []",
    ),
    "ServiceFile.deploy": (PLAIN, "", "deploy: {replicas: 2}"),
    "Mcp.package": ("services: {a: {mcp: {package: 'HERE'}}}", "pypi:a", "pypi:b"),
    "Mcp.url": ("services: {a: {mcp: {url: 'HERE'}}}", "https://a.example/mcp", "https://b.example/mcp"),
    "Mcp.headers": (REMOTE, "", "headers: {X: y}"),
    "Mcp.transport": (
        "services: {a: {command: x, ports: {m: auto}, mcp: {HERE}}}",
        "transport: stdio",
        "transport: sse",
    ),
    "Mcp.port": (WEB.replace("port: m, ", ""), "port: m", "port: n"),
    "Mcp.path": (WEB, "", "path: /x"),
    "Mcp.session": (SERVER, "", "session: isolated"),
    "Mcp.max_sessions": (SERVER, "session: isolated", "session: isolated, max_sessions: 3"),
    "Mcp.tools": (SERVER, "", "tools: {allow: [a]}"),
    "Mcp.prefix": (SERVER, "", "prefix: p"),
    "Mcp.start_timeout": (SERVER, "", "start_timeout: 3s"),
    "Mcp.call_timeout": (SERVER, "", "call_timeout: 3s"),
    "Mcp.with": (PACKAGE, "", "with: ['mcp<2']"),
    "Mcp.runtime": (PACKAGE, "", "runtime: 'python>=3.11'"),
    "Mcp.entry": (PACKAGE, "", "entry: e"),
    "Tools.allow": (SERVER, "", "tools: {allow: [a]}"),
    "Tools.deny": (SERVER, "", "tools: {deny: [a]}"),
    "EnvFile.path": (PLAIN, "env_file: [{path: given.env}]", "env_file: [{path: other.env}]"),
    "EnvFile.required": (
        PLAIN,
        "env_file: [{path: none.env}]",
        "env_file: [{path: none.env, required: false}]",
    ),
    "EnvFile.format": (PLAIN, "env_file: [{path: given.env}]", "env_file: [{path: given.env, format: raw}]"),
    "Dependency.condition": (
        DEPENDS,
        "condition: service_started",
        "condition: service_completed_successfully",
    ),
    "Dependency.restart": (
        DEPENDS,
        "condition: service_started",
        "condition: service_started, restart: true",
    ),
    "Dependency.required": (DEPENDS.replace("b: {command: y}, ", ""), "required: true", "required: false"),
    "Healthcheck.tcp": (PROBE, "notify: true", "tcp: m"),
    "Healthcheck.http": (PROBE, "notify: true", "http: m"),
    "Healthcheck.command": (PROBE, "notify: true", "command: [x]"),
    "Healthcheck.log": (PROBE, "notify: true", "log: ready"),
    "Healthcheck.notify": (PROBE, "tcp: m", "notify: true"),
    "Healthcheck.disable": (PROBE, "tcp: m", "tcp: m, disable: true"),
    "Healthcheck.interval": (PROBE, "tcp: m", "tcp: m, interval: 3s"),
    "Healthcheck.timeout": (PROBE, "tcp: m", "tcp: m, timeout: 3s"),
    "Healthcheck.retries": (PROBE, "tcp: m", "tcp: m, retries: 7"),
    "Healthcheck.start_period": (PROBE, "tcp: m", "tcp: m, start_period: 3s"),
    "Healthcheck.start_interval": (PROBE, "tcp: m", "tcp: m, start_interval: 3s"),
    "HttpProbe.port": (PROBE, "http: {port: m}", "http: {port: 24500}"),
    "HttpProbe.path": (HTTP, "", "path: /x"),
    "SecretUse.source": (SECRET, "{source: s, target: s}", "{source: t, target: s}"),
    "SecretUse.target": (SECRET, "{source: t}", "{source: t, target: s}"),
    "Deploy.replicas": (DEPLOY, "", "replicas: 2"),
    "Deploy.resources": (DEPLOY, "", "resources: {reservations: {cpus: 1}"),
    "Deploy.update_config": (DEPLOY, "", "update_config: {parallelism: 3}"),
    "Deploy.rollback_config": (DEPLOY, "", "rollback_config: {parallelism: 3}"),
    "Deploy.restart_policy": (DEPLOY, "", "restart_policy: {condition: any}"),
    "Resources.reservations": (DEPLOY, "", "resources: {reservations: {cpus: 1}"),
    "Resources.limits": (LIMITED, "", "cpus: 0.5"),
    "Reservations.cpus": (RESERVED, "", "cpus: 1"),
    "Reservations.memory": (RESERVED, "", "memory: 1G"),
    "Reservations.devices": (RESERVED, "", "devices: [{count: 1}]"),
    "Device.capabilities": (DEVICE, "capabilities: [gpu]", "capabilities: [tpu]"),
    "Device.count": (DEVICE, "count: 1", "count: 2"),
    "Device.device_ids": (DEVICE, "count: 1", "device_ids: ['1']"),
    "Device.driver": (DEVICE, "count: 1", "count: 1, driver: amd"),
    "Limits.cpus": (LIMITED, "", "cpus: 0.5"),
    "Limits.memory": (LIMITED, "", "memory: 1M"),
    "Limits.pids": (LIMITED, "", "pids: 3"),
    "UpdateConfig.parallelism": (UPDATE, "", "parallelism: 3"),
    "UpdateConfig.delay": (UPDATE, "", "delay: 3s"),
    "UpdateConfig.failure_action": (UPDATE, "", "failure_action: pause"),
    "UpdateConfig.monitor": (UPDATE, "", "monitor: 3s"),
    "UpdateConfig.max_failure_ratio": (UPDATE, "", "max_failure_ratio: 0.3"),
    "UpdateConfig.order": (UPDATE, "", "order: start-first"),
    "RollbackConfig.parallelism": (ROLLBACK, "", "parallelism: 3"),
    "RollbackConfig.delay": (ROLLBACK, "", "delay: 3s"),
    "RollbackConfig.failure_action": (ROLLBACK, "", "failure_action: continue"),
    "RollbackConfig.monitor": (ROLLBACK, "", "monitor: 3s"),
    "RollbackConfig.max_failure_ratio": (ROLLBACK, "", "max_failure_ratio: 0.3"),
    "RollbackConfig.order": (ROLLBACK, "", "order: start-first"),
    "RestartPolicy.condition": (RESTART, "condition: any", "condition: none"),
    "RestartPolicy.delay": (RESTART, "", "delay: 3s"),
    "RestartPolicy.max_attempts": (RESTART, "", "max_attempts: 3"),
    "RestartPolicy.window": (RESTART, "", "window: 3s"),
    "Gateway.listen": (GATEWAY, "", "listen: 127.0.0.1:7078"),
    "Gateway.tls": (GATEWAY, "", "tls: {certificate: one.crt, key: one.key}"),
    "Gateway.allowed_hosts": (GATEWAY, "", "allowed_hosts: [a.example]"),
    "Gateway.allowed_origins": (GATEWAY, "", "allowed_origins: ['https://a.example']"),
    "Gateway.token_file": (GATEWAY, "", "token_file: ./token"),
    "Gateway.metrics": (GATEWAY, "", "metrics: false"),
    "Gateway.traffic": (
        "gateway: {HERE}\nservices: {a: {command: x, mcp: {transport: stdio}}}",
        "",
        "traffic: {retries: false}",
    ),
    "ServiceFile.cache": (PLAIN, "mcp: {transport: stdio}", "mcp: {transport: stdio}, cache: true"),
    "Cache.disable": (CACHE, "", "disable: true"),
    "Cache.ttl": (CACHE, "", "ttl: 3s"),
    "Cache.negative": (CACHE, "", "negative: 3s"),
    "Cache.tools": (CACHE, "", "tools: [a]"),
    "Cache.resources": (CACHE, "", "resources: [a]"),
    "Cache.shared": (CACHE, "", "shared: true"),
    "Cache.invalidates": (CACHE, "", "invalidates: {a: [b]}"),
    "Cache.warm": (CACHE, "", "warm: ./calls.jsonl"),
    "Gateway.cache": (GATEWAY, "", "cache: 1M"),
    "GatewayCache.second": (GATEWAY, "cache: 1M", "cache: {memory: 1M, second: 'redis://h'}"),
    "SecondLevel.url": (SECOND, "url: redis://h", "url: memcached://h"),
    "SecondLevel.ca": (SECOND, "url: rediss://h", "url: rediss://h, ca: one.crt"),
    "SecondLevel.write": (SECOND, "url: redis://h", "url: redis://h, write: through"),
    "SecondLevel.timeout": (SECOND, "url: redis://h", "url: redis://h, timeout: 1s"),
    "GatewayCache.memory": (GATEWAY, "cache: {memory: 1M}", "cache: {memory: 2M}"),
    "ServiceFile.traffic": (
        PLAIN,
        "mcp: {transport: stdio}",
        "mcp: {transport: stdio}, traffic: {retries: 3}",
    ),
    "Traffic.balance": (TRAFFIC, "", "balance: hash"),
    "Traffic.affinity": (TRAFFIC, "", "affinity: session"),
    "Traffic.limits": (TRAFFIC, "", "limits: [1/s]"),
    "Traffic.concurrency": (TRAFFIC, "", "concurrency: 3"),
    "Traffic.breaker": (TRAFFIC, "", "breaker: false"),
    "Traffic.ejection": (TRAFFIC, "", "ejection: false"),
    "Traffic.retries": (TRAFFIC, "", "retries: 3"),
    "Traffic.timeouts": (TRAFFIC, "", "timeouts: {overall: 3s}"),
    "Traffic.slow_start": (TRAFFIC, "", "slow_start: 3s"),
    "RateLimit.rate": (LIMITS, "rate: 1/s", "rate: 1/min"),
    "RateLimit.burst": (LIMITS, "rate: 2/s", "rate: 2/s, burst: 9"),
    "RateLimit.per": (LIMITS, "rate: 1/s", "rate: 1/s, per: tool"),
    "Concurrency.max": (QUEUE, "max: 2", "max: 3"),
    "Concurrency.queue": (QUEUE, "max: 2", "max: 2, queue: 3"),
    "Concurrency.wait": (QUEUE, "max: 2", "max: 2, wait: 3s"),
    "Breaker.disable": (BREAKER, "", "disable: true"),
    "Breaker.failures": (BREAKER, "", "failures: 0.3"),
    "Breaker.least": (BREAKER, "", "least: 3"),
    "Breaker.window": (BREAKER, "", "window: 3s"),
    "Breaker.open": (BREAKER, "", "open: 3s"),
    "Breaker.open_at_most": (BREAKER, "", "open_at_most: 3s"),
    "Ejection.disable": (EJECTION, "", "disable: true"),
    "Ejection.failures": (EJECTION, "", "failures: 3"),
    "Ejection.rest": (EJECTION, "", "rest: 3s"),
    "Ejection.rest_at_most": (EJECTION, "", "rest_at_most: 3s"),
    "Retries.attempts": (RETRIES, "", "attempts: 3"),
    "Retries.budget": (RETRIES, "", "budget: 0.3"),
    "Retries.pause": (RETRIES, "", "pause: 3ms"),
    "Retries.pause_at_most": (RETRIES, "", "pause_at_most: 3s"),
    "Timeouts.attempt": (TIMEOUTS, "", "attempt: 3s"),
    "Timeouts.overall": (TIMEOUTS, "", "overall: 3s"),
    "PortRange.first": (
        "ports: {HERE}\nservices: {a: {command: x, ports: {m: auto}}}",
        "first: 24100, last: 24105",
        "first: 24101, last: 24105",
    ),
    "PortRange.last": (
        "ports: {HERE}\nservices: {a: {command: x, ports: {m: auto, n: auto}}}",
        "first: 24100, last: 24100",
        "first: 24100, last: 24101",
    ),
    "Secret.file": (
        READS,
        "file: ./one",
        "file: ./two",
    ),
    "Secret.environment": (
        READS,
        "environment: KEY",
        "environment: OTHER",
    ),
}


def test_every_key_is_looked_at() -> None:
    known = {f"{model.__name__}.{key}" for model in models_of(StackFile) for key in keys_of(model)}
    assert known == set(KEYS), "say here what a key does, and have it do that"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"given.env": "A='b'\n", "other.env": "A=c\n", "one": "1", "two": "2"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for name in ("one", "two"):
        certificate = trustme.CA().issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    return tmp_path


@pytest.mark.parametrize("key", KEYS)
def test_a_key_does_something(key: str, folder: Path) -> None:
    text, without, with_it = KEYS[key]
    first, second = (made_of(text.replace("HERE", value), folder) for value in (without, with_it))
    assert first != second
    refused = [made for made in (first, second) if made.startswith("error:")]
    assert len(refused) < 2, "a stack that is refused for something else shows nothing"


def made_of(text: str, folder: Path) -> str:
    """All that is made of a stack, as text."""
    (folder / "backstay.yaml").write_text(f"{text}\n")
    try:
        stack = load([folder / "backstay.yaml"], environ=ENVIRON, machine=MACHINE)
    except ConfigErrors as errors:
        return str(errors)
    book = LeaseBook(Ledger(cpus=8, memory="8Gi", gpus=8), Ports(stack.ports.first, stack.ports.last))
    try:
        prepared = prepare(stack, Fleet(), book, {})
    except ResourceError as error:
        return str(error)
    simulation = Simulation()
    simulation.change("up", {name: plan.change for name, plan in prepared.planned.items()})
    simulation.rest(1000)
    blueprints = Blueprints(book, ENVIRON)
    blueprints.stack = stack
    blueprints.configs = {(name, 1): service for name, service in stack.services.items()}
    made: dict[str, Any] = {
        "keeper": keeper_command(stack.state_dir, stack.gateway)[1:],
        "routes": json.loads(blueprints.routes(simulation.fleet).dump()),
        "services": {n: _of(plan, blueprints, simulation) for n, plan in prepared.planned.items()},
    }
    return json.dumps(made, sort_keys=True, default=str)


def _of(plan: Planned, blueprints: Blueprints, simulation: Simulation) -> dict[str, Any]:
    placement = plan.change.target
    assert placement is not None
    revision = placement.revision
    service = blueprints.configs[revision.service, 1]
    facts = {k: v for k, v in asdict(revision).items() if k not in ("fingerprint", "parts")}
    request = Request.of(service, Path("/"))
    follows = {name: dependency.restart for name, dependency in service.depends_on.items()}
    spec = ""
    try:
        if revision.process:
            spec = blueprints.spec(placement.names[0], revision, simulation.fleet).dump().decode()
    except (LookupError, OSError, ValueError) as error:
        spec = str(error)
    return {
        "facts": facts,
        "names": placement.names,
        "spec": spec,
        "follows": follows,
        "request": repr(request),
    }
