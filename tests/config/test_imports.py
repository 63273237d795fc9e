"""What costs time to import is imported by those who need it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def imported(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_backstay_alone_imports_no_stack_file() -> None:
    assert not {"backstay.config", "pydantic", "ruamel.yaml"} & imported("import backstay, backstay.errors")


@pytest.mark.parametrize(
    "statement",
    [
        "import backstay.config",
        'from backstay.config import Stack; Stack.model_validate_json(\'{"name": "a", "dir": "/"}\')',
        "from backstay.config.render import render",
    ],
)
def test_the_models_alone_read_no_yaml(statement: str) -> None:
    assert not {"ruamel.yaml", "jsonschema", "backstay._core"} & imported(statement)
