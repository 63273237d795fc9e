"""What `config` prints is a stack file, and gives the same stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backstay.config import load
from backstay.config.machine import Machine
from backstay.config.resolved import resolved

if TYPE_CHECKING:
    from .conftest import Load

ROOT = Path(__file__).parents[2]


def test_a_resolved_stack_loads_to_itself(load_text: Load, folder: Path) -> None:
    (folder / "a.env").write_text("T={{ x }}\nD=$$\n")
    text = """
        name: ${NAME:-given}
        secrets: {k: {environment: K}, f: {file: f.txt}}
        ports: 31000-31100
        services:
          remote:
            mcp: {url: "https://e.com/mcp", headers: {A: "b$$c"}, call_timeout: 1m30s}
            depends_on: [db]
          server:
            mcp: {package: path:./s, with: [a], prefix: ""}
            args: ["$$HOME"]
            env_file: a.env
            environment: [OUT]
          db:
            command: sh -c 'echo $$X {{ ports.main }}'
            ports: {main: auto, fixed: 5000}
            healthcheck: {test: "nc {{ ports.main }}", interval: 1.5s}
            secrets: [k]
            restart: on-failure:3
            profiles: [p]
            deploy: {replicas: 1, resources: {limits: {memory: 1.5G}, reservations: {cpus: 0.5}}}
        """
    options = {"environ": {"K": "k", "OUT": "$x {{"}, "profiles": ["p"]}
    stack = load_text(text, **options)
    again = load_text(json.dumps(resolved(stack)), **options)
    assert again == stack
    assert resolved(again) == resolved(stack)


def test_times_are_written_and_sizes_counted(load_text: Load) -> None:
    stack = load_text(
        "services: {a: {command: x, stop_grace_period: 90, deploy: {resources: {limits: {memory: 1K}}}}}"
    )
    service = resolved(stack)["services"]["a"]
    assert service["stop_grace_period"] == "1m30s"
    assert service["deploy"]["resources"]["limits"]["memory"] == 1024


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("examples/**/backstay.yaml")), ids=lambda file: file.parent.name
)
def test_every_example_passes_the_check(file: Path) -> None:
    machine = Machine(64, 2**40, 8)
    for profiles in ([], ["*"]):
        assert load([file], environ={}, profiles=profiles, machine=machine).services
