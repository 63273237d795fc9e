"""The PEP 517 backend: builds the keeper, puts it where the wheel takes it from, then delegates to maturin.

A wheel of one extension module cannot declare a second executable, so the keeper travels as package data
(`backstay/bin/backstay-keeper`, run bit kept). Everything else about the build is maturin's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import maturin
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent
BINARY = "backstay-keeper"


def _build_keeper() -> None:
    """Build the keeper in release mode and place it, atomically, in `python/backstay/bin/`."""
    command = ["cargo", "build", "--release", "-p", BINARY]
    if os.environ.get("CARGO_NET_OFFLINE") == "true":
        command.append("--offline")
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    destination = ROOT / "python" / "backstay" / "bin" / BINARY
    destination.parent.mkdir(parents=True, exist_ok=True)
    fresh = destination.with_suffix(".new")
    shutil.copy2(target / "release" / BINARY, fresh)
    fresh.chmod(0o755)
    fresh.replace(destination)


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, object] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the wheel with the keeper inside (PEP 517)."""
    _build_keeper()
    return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, object] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build an editable install with the keeper in the source tree (PEP 660)."""
    _build_keeper()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))
