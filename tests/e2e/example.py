"""The example fleet in a folder of a test's own, with ports that nobody else holds."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.conftest import ROOT, FleetFolder, free_port

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = ROOT / "examples" / "assistant"
#: What running the example leaves in its folder.
BUILT = (".backstay", "node_modules", "target", "dist", "__pycache__", "backstay.lock")


def copy_example(folder: Path) -> FleetFolder:
    """Copy `examples/assistant` to `folder`; only its two fixed ports are changed."""
    ignore = shutil.ignore_patterns(*BUILT)
    shutil.copytree(EXAMPLE, folder, ignore=ignore, dirs_exist_ok=True)
    fleet = FleetFolder(folder)
    stack = folder / "backstay.yaml"
    text = stack.read_text().replace("127.0.0.1:7077", f"127.0.0.1:{fleet.gateway_port}")
    stack.write_text(text.replace("30777", str(free_port())))
    # PostgreSQL will not run as root: where the tests do, its user must be able to go through this folder.
    for path in (folder, *folder.parents):
        if path.owner() == "root" and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    return fleet
