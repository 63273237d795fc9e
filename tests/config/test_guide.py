"""What the guide shows is true: its examples pass the check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Load

GUIDES = Path(__file__).parents[2] / "docs/guide"
GUIDE = "\n".join((GUIDES / page).read_text() for page in ("stack-file.md", "limits.md", "caching.md"))
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def whole(block: str) -> list[str]:
    """Return the stack files that an example of the guide stands for."""
    if "services:" in block:
        return [block]
    if block.startswith("  "):
        return [f"services:\n{block}"]
    if block.startswith("healthcheck"):
        return [
            f"services:\n  a:\n    command: x\n    ports: {{main: auto}}\n    {line}\n"
            for line in block.splitlines()
        ]
    return ["services:\n  a:\n    command: x\n" + re.sub("^", "    ", block, flags=re.MULTILINE)]


@pytest.mark.parametrize("text", [text for block in BLOCKS for text in whole(block)])
def test_every_example_of_the_guide_passes_the_check(text: str, load_text: Load, folder: Path) -> None:
    (folder / "pgpass.txt").write_text("x")
    load_text(text, environ={"BRAVE_API_KEY": "x", "REDIS_PASSWORD": "x"})
