"""The guide's example is a stack file that loads."""

from __future__ import annotations

import re
from pathlib import Path

from backstay.config import load
from backstay.packages import Request

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "packages.md"


def test_the_example_loads_and_every_server_is_a_request(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        stack = tmp_path / "backstay.yaml"
        stack.write_text(block)
        requests = [Request.of(service, tmp_path) for service in load([stack], environ={}).services.values()]
        assert all(requests)
