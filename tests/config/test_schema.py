"""The JSON Schema that editors read: current, true to the loader, and in the package."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from backstay.config import load
from backstay.config.machine import Machine
from backstay.config.models import StackFile
from backstay.config.resolved import resolved
from backstay.config.schema import FILE, text
from backstay.config.validation import keys_of, models_of
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/**/backstay.yaml"))
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(files("backstay.config").joinpath("schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def parse(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_the_schema_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run `python -m backstay.config.schema --write`"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_schema_accepts_every_example(file: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(parse(file.read_text()))
    stack = load([file], environ={}, profiles=["*"], machine=Machine(64, 2**40, 8))
    validator.validate(resolved(stack))


GOOD = """
services:
  a: {command: x, healthcheck: {test: [CMD, a], interval: 5s}, restart: on-failure:3, env_file: a.env}
---
services: {a: {command: [a, 1, true], environment: [A=b, C], depends_on: [b]}, b: {mcp: npm:b, args: x}}
---
services:
  a: {mcp: {package: "${PACKAGE}", start_timeout: "${T:-5s}"}, deploy: {replicas: "${N}"}, ports: {m: $P}}
---
services: {a: {command: x, depends_on: {b: service_healthy, c: {condition: service_started}, d: }}}
x-anything: {at: [all]}
gateway: 7077
ports: 1000-2000
secrets: {a: {file: b}}
---
services:
  a: {mcp: https://example.com/mcp, x-note: hello}
  b: {command: x, healthcheck: {http: main}, secrets: [a, {source: b}]}
---
services:
  a:
    command: x
    deploy: {resources: {limits: {memory: 512M, cpus: "0.5"}, reservations: {devices: [{count: all}]}}}
"""
WRONG = """
{}
---
services: []
---
services: {a: {comand: x}}
---
services: {a__b: {command: x}}
---
services: {a.b: {command: x}}
---
services: {a: {command: x, image: y}}
---
services: {a: {command: {a: b}}}
---
services: {a: {mcp: nmp:x}}
---
services: {a: {mcp: {package: npm:x, transport: http}}}
---
services: {a: {command: x, ports: [80]}}
---
services: {a: {command: x, ports: {m: 99999}}}
---
services: {a: {command: x, restart: sometimes}}
---
services: {a: {command: x, deploy: {replicas: many}}}
---
services: {a: {command: x, deploy: {resources: {limits: {memory: lots}}}}}
---
services: {a: {command: x, stop_grace_period: soon}}
---
services: {a: {command: x, depends_on: {b: {condition: healthy}}}}
---
services: {a: {command: x, environment: {A: [b]}}}
---
services: {a: {command: x, healthcheck: {tpc: m}}}
---
services: {a: {command: x}}
gateway: {listen: []}
---
services: {a: {command: x}}
nonsense: true
"""


@pytest.mark.parametrize("text", GOOD.split("---"))
def test_the_schema_accepts_every_form(text: str, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(parse(text))


@pytest.mark.parametrize("text", WRONG.split("---"))
def test_the_schema_refuses_what_the_loader_refuses(
    text: str, validator: jsonschema.Draft202012Validator
) -> None:
    assert not validator.is_valid(parse(text))


@pytest.mark.parametrize(
    "name", ["unknown-keys", "service-types", "service-values", "enum-values", "compose-keys", "top-level"]
)
def test_the_schema_refuses_bad_files(name: str, validator: jsonschema.Draft202012Validator) -> None:
    data = parse((HERE / "bad" / f"{name}.yaml").read_text())
    if name != "top-level":
        for service, body in data["services"].items():
            assert not validator.is_valid({"services": {service: body}}), service
    assert not validator.is_valid(data)


def test_every_key_has_a_description() -> None:
    for model in models_of(StackFile):
        assert model.__doc__
        for key, field in zip(keys_of(model), model.model_fields.values(), strict=True):
            assert field.description, f"{model.__name__}.{key}"
