"""What users get: a wheel that works in a clean environment where there is no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]


def test_the_wheel_runs_a_fleet_without_a_compiler(tmp_path: Path, python_server: list[str]) -> None:
    dist = tmp_path / "dist"
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", dist, ROOT], check=True)
    (wheel,) = dist.glob("*.whl")
    assert "abi3" in wheel.name

    venv.create(tmp_path / "clean", with_pip=True)
    bare = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    bare["PATH"] = f"{tmp_path / 'clean' / 'bin'}:/usr/bin:/bin"
    python = tmp_path / "clean" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True, env=bare, cwd=tmp_path)
    backstay = tmp_path / "clean" / "bin" / "backstay"

    (tmp_path / "backstay.yaml").write_text(
        f"name: clean\nservices:\n  plain:\n    command: {python_server}\n    mcp: {{transport: stdio}}\n"
        "gateway: {listen: 127.0.0.1:0}\n"
    )
    try:
        subprocess.run([backstay, "up", "-d"], check=True, env=bare, cwd=tmp_path, timeout=60)
        answer = subprocess.run(
            [backstay, "call", "plain", "echo", "text=hello"],
            check=True,
            env=bare,
            cwd=tmp_path,
            text=True,
            capture_output=True,
        )
        assert "hello" in answer.stdout
    finally:
        subprocess.run([backstay, "down"], check=False, env=bare, cwd=tmp_path, timeout=60)
